# SPDX-License-Identifier: Apache-2.0
"""08: a fork of the program: the child's calls are refused, the parent's VM goes on."""

import errno
import os
import threading
import time
import traceback
from typing import Any, Callable, List

import guests
import nestvirt
import support


class Fork(support.Case):
    def in_child(self, check: Callable[[], Any], seconds: float = support.SECONDS) -> None:
        """Runs something in a child, which must end well and in time."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                check()
                status = 0
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                os._exit(status)
        deadline = time.monotonic() + seconds
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                self.fail("the child hangs")
            time.sleep(0.01)
        self.assertEqual(status, 0)

    def check_refusals(self, vm: nestvirt.VM) -> None:
        assert vm._handle.is_inherited
        calls: List[Callable[[], Any]] = [
            vm.wait, vm.stop, vm.start, vm.next_event, vm.event_fd, lambda: vm.state, vm.get_vcpu,
            lambda: vm.memory.read(0, 1), lambda: vm.memory.view(0, 1), lambda: self.host.info,
            lambda: nestvirt.VM(self.host)]
        for function in calls:
            try:
                function()
            except nestvirt.StateError as error:
                assert error.code == -errno.ECHILD, error
                assert "parent" in str(error), error
            else:
                raise AssertionError(f"{function} was not refused")
        vm.close()
        self.host.close()

    def test_calls_are_refused(self) -> None:
        vm = self.started(guests.SPIN)
        support.await_spin(vm)
        self.in_child(lambda: self.check_refusals(vm))
        self.assertEqual(vm.state, nestvirt.State.RUNNING)
        support.await_spin(vm)
        vm.stop()
        self.assertEqual(vm.wait().reason, nestvirt.ResultReason.STOPPED)

    def test_child_has_vms_of_its_own(self) -> None:
        vm = self.started(guests.SPIN)

        def run() -> None:
            with support.started(guests.EXIT_CODE) as own:
                assert own.wait(support.SECONDS).exit_code == 7

        self.in_child(run)
        support.await_spin(vm)

    def test_fork_while_other_threads_call(self) -> None:
        """Whatever locks they hold at that moment, the child does not wait for them."""
        vm = self.started(guests.SPIN)
        end = threading.Event()

        def call() -> None:
            while not end.is_set():
                vm.memory.read(0x3000, 4)
                with support.make(guests.SPIN, self.host):
                    pass

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                self.in_child(lambda: self.check_refusals(vm))
        finally:
            end.set()
            for thread in threads:
                thread.join()
        support.await_spin(vm)

    def test_child_that_ends_as_a_program_does(self) -> None:
        """Its exit handlers and collection leave the parent's VM alone."""
        done = support.run_python("""
import os, sys, guests, support
vm = support.started(guests.SPIN)
view = vm.memory.view(0x3000, 4)
support.await_spin(vm)
child = os.fork()
if child == 0:
    del view, vm
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
support.await_spin(vm)
view.release()
vm.close()
print("well")
""")
        self.assertEqual(done.stdout, "well\n")


if __name__ == "__main__":
    support.main()
