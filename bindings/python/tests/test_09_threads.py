# SPDX-License-Identifier: Apache-2.0
"""09: many threads use one VM, and many VMs."""

import threading
import time
from typing import Any, Callable, List

import guests
import nestvirt
import support

THREADS = 8
TIME = 1.0  # Seconds of each storm.


class Threads(support.Case):
    def storm(self, *functions: Callable[[], Any], seconds: float = TIME) -> None:
        """Calls functions over and over on threads of their own; Errors are answers, others are not."""
        deadline = time.monotonic() + seconds
        failures: List[BaseException] = []

        def run(function: Callable[[], Any]) -> None:
            while time.monotonic() < deadline and not failures:
                try:
                    function()
                except (nestvirt.Error, BufferError):
                    pass
                except BaseException as error:  # pylint: disable=broad-except
                    failures.append(error)

        threads = [threading.Thread(target=run, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def test_one_vm(self) -> None:
        vm = self.make(guests.SPIN)
        vm.build()
        self.storm(vm.start, vm.pause, vm.resume, vm.stop, lambda: vm.wait(0.01), vm.next_event,
                   lambda: vm.memory.read(0x3000, 4), lambda: vm.memory.view(0, 4096).release(),
                   lambda: vm.get_vcpu().get_regs(), lambda: vm.state)
        vm.stop()
        vm.start()
        support.await_spin(vm)

    def test_many_vms(self) -> None:
        done: List[int] = []

        def run() -> None:
            with support.make(guests.RELAY, self.host) as vm:
                vm.add_port_handler(0x700, 1, lambda access: 9)
                vm.build()
                vm.start()
                done.append(vm.wait(support.SECONDS).exit_code)

        self.storm(*[run] * THREADS)
        self.assertGreater(len(done), THREADS)
        self.assertEqual(set(done), {5})

    def test_all_wait_for_one(self) -> None:
        vm = self.started(guests.SPIN)
        results: List[nestvirt.Result] = []
        threads = [threading.Thread(target=lambda: results.append(vm.wait())) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        self.assertEqual(results, [])
        vm.stop()
        for thread in threads:
            thread.join(support.SECONDS)
        self.assertEqual([result.reason for result in results], [nestvirt.ResultReason.STOPPED] * THREADS)

    def test_closed_in_the_middle(self) -> None:
        """Threads that use a VM at any moment of its end get an error, not freed memory."""
        for _ in range(20):
            vm = self.started(guests.SPIN)
            vcpu = vm.get_vcpu()
            timer = threading.Timer(0.02, vm.close)
            timer.start()
            self.storm(lambda: vm.memory.read(0x3000, 4), lambda: vm.state, vm.pause, vm.resume, vcpu.get_regs,
                       lambda: vm.next_event(0.01), vm.wait, seconds=0.05)
            timer.join()
            vm.close()

    def test_one_thread_drives_a_vcpu(self) -> None:
        vm = self.make(guests.SPIN, manual_vcpus=True)
        vm.build()
        vm.start()
        vcpu = vm.get_vcpu()
        thread = threading.Thread(target=vcpu.run)
        thread.start()
        support.await_spin(vm)
        self.refused(nestvirt.BusyError, -16, vcpu.run)
        vcpu.cancel()
        thread.join(support.SECONDS)
        self.assertFalse(thread.is_alive())


if __name__ == "__main__":
    support.main()
