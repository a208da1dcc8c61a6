# SPDX-License-Identifier: Apache-2.0
"""01: VMs made, run and freed again and again leave nothing behind."""

import os
import time

import guests
import nestvirt
import support

ROUNDS = int(os.environ.get("NESTVIRT_TEST_ROUNDS", "1000"))
WARM_UP = 20
MEMORY_SLACK = 8 << 20  # Of an allocator that keeps some; one VM's bookkeeping is 100 KiB.


class Many(support.Case):
    def once(self, number: int) -> None:
        with support.make(guests.RELAY, self.host, name=f"many{number}") as vm:
            vm.add_port_handler(0x700, 1, lambda access: number & 0xff)
            seen = []
            vm.add_port_handler(0x701, 1, lambda access: seen.append(access.value))
            vm.add_serial(output=self.sink)
            vm.set_log(lambda level, text: None)
            vm.build()
            vm.start()
            self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)
            self.assertEqual(seen, [number & 0xff])
            if number % 2:  # A view of memory, and a reference cycle.
                self.view = vm.memory.view(0, 4096)
                self.view.release()

    def test_nothing_is_left(self) -> None:
        self.sink = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self.addCleanup(os.close, self.sink)
        for number in range(WARM_UP):
            self.once(number)
        before = support.Holdings()
        start = time.monotonic()
        for number in range(ROUNDS):
            self.once(number)
        print(f"{ROUNDS} VMs in {time.monotonic() - start:.1f} s")
        after = support.Holdings()
        self.assertEqual(after.descriptors, before.descriptors)
        self.assertEqual(after.threads, before.threads)
        self.assertLess(after.mappings, before.mappings + 10)
        self.assertLess(after.resident, before.resident + MEMORY_SLACK)
        self.assertEqual(nestvirt._callbacks.count(), 0)
        self.assertEqual(list(nestvirt._handle.open_handles()), [])


if __name__ == "__main__":
    support.main()
