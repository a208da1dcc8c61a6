# SPDX-License-Identifier: Apache-2.0
"""05: an exception in a function of the program stops the VM and is told to whoever waits."""

import asyncio
import threading
from typing import Any

import guests
import nestvirt
import nestvirt.aio
import support


class Mistake(Exception):
    """What a handler raises here."""


def fail(*_: Any) -> None:
    raise Mistake("of a handler")


class Exceptions(support.Case):
    def expect(self, vm: nestvirt.VM) -> None:
        with self.assertRaises(nestvirt.HandlerError) as caught:
            vm.wait(support.SECONDS)
        self.assertIsInstance(caught.exception.__cause__, Mistake)
        self.assertIn("Mistake", str(caught.exception))
        self.assertEqual(vm.state, nestvirt.State.STOPPED)

    def relay(self, handler: Any) -> nestvirt.VM:
        vm = self.make(guests.RELAY)
        vm.add_port_handler(0x700, 1, handler)
        vm.build()
        return vm

    def test_handler(self) -> None:
        vm = self.relay(fail)
        vm.start()
        self.expect(vm)
        self.expect(vm)

    def test_next_run_is_not_told(self) -> None:
        calls = []

        def once(access: nestvirt.Access) -> int:
            calls.append(access)
            if len(calls) == 1:
                raise Mistake("the first time")
            return 1

        vm = self.relay(once)
        vm.start()
        self.expect(vm)
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)

    def test_wrong_answers(self) -> None:
        for answer, cause in (("text", TypeError), (256, OverflowError), (-1, OverflowError), (b"12", ValueError)):
            vm = self.relay(lambda access, answer=answer: answer)
            vm.start()
            with self.assertRaises(nestvirt.HandlerError) as caught:
                vm.wait(support.SECONDS)
            self.assertIsInstance(caught.exception.__cause__, cause)

    def test_exit_handler(self) -> None:
        vm = self.make(guests.UNCLAIMED)
        vm.set_exit_handler(fail)
        vm.build()
        vm.start()
        self.expect(vm)

    def test_by_hand(self) -> None:
        vm = self.make(guests.RELAY, manual_vcpus=True)
        vm.add_port_handler(0x700, 1, fail)
        vm.build()
        vm.start()
        with self.assertRaises(nestvirt.HandlerError) as caught:
            vm.get_vcpu().run()
        self.assertIsInstance(caught.exception.__cause__, Mistake)

    def test_log_sink(self) -> None:
        vm = self.make(guests.SPIN)
        vm.set_log(fail, "debug")
        slot = next(iter(vm._slots))
        vm.build()
        vm.start()
        nestvirt._callbacks._on_log(slot, 1, b"a line that the library did not write")
        self.expect(vm)

    def test_a_thread_that_waits(self) -> None:
        vm = self.relay(fail)
        told = []

        def wait() -> None:
            try:
                vm.wait(support.SECONDS)
            except nestvirt.HandlerError as error:
                told.append(error)

        vm.start()
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(told), 3)

    async def asynchronous(self) -> None:
        async with nestvirt.aio.VM(self.host, memory="1M") as vm:
            support.set_guest(vm, guests.RELAY)
            vm.add_port_handler(0x700, 1, fail)
            await vm.build()
            await vm.start()
            with self.assertRaises(nestvirt.HandlerError) as caught:
                await vm.wait(support.SECONDS)
            self.assertIsInstance(caught.exception.__cause__, Mistake)

    def test_asyncio(self) -> None:
        asyncio.run(self.asynchronous())


if __name__ == "__main__":
    support.main()
