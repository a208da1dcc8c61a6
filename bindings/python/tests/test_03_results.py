# SPDX-License-Identifier: Apache-2.0
"""03: how a run ends: exit code, reset, power-off, triple fault, stopped; and a wait that is too short."""

import errno
import time

import guests
import nestvirt
import support
from nestvirt import ResultReason


class Results(support.Case):
    def run_guest(self, guest: guests.Guest) -> nestvirt.Result:
        return self.started(guest).wait(support.SECONDS)

    def test_exit_code(self) -> None:
        result = self.run_guest(guests.EXIT_CODE)
        self.assertEqual(result.reason, ResultReason.GUEST_EXIT)
        self.assertEqual(result.exit_code, 7)
        self.assertEqual(result.vcpu, 0)
        self.assertEqual(str(result), "guest exit, code 7")

    def test_reset(self) -> None:
        self.assertEqual(self.run_guest(guests.RESET).reason, ResultReason.GUEST_RESET)

    def test_power_off(self) -> None:
        self.assertEqual(self.run_guest(guests.POWER_OFF).reason, ResultReason.GUEST_SHUTDOWN)

    def test_triple_fault(self) -> None:
        result = self.run_guest(guests.TRIPLE_FAULT)
        self.assertEqual(result.reason, ResultReason.TRIPLE_FAULT)
        self.assertEqual(str(result), "triple fault")

    def test_stopped_by_the_program(self) -> None:
        vm = self.started(guests.SPIN)
        vm.stop(support.SECONDS)
        self.assertEqual(vm.wait().reason, ResultReason.STOPPED)

    def test_stopped_by_a_handler(self) -> None:
        vm = self.make(guests.RELAY)
        vm.add_port_handler(0x700, 2, lambda access: nestvirt.Action.STOP)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).reason, ResultReason.STOPPED)

    def test_short_wait(self) -> None:
        vm = self.started(guests.SPIN)
        for seconds in (0, 0.1):
            start = time.monotonic()
            error = self.refused(nestvirt.WaitTimeout, -errno.ETIMEDOUT, vm.wait, seconds)
            self.assertGreaterEqual(time.monotonic() - start, seconds)
            self.assertIsInstance(error, TimeoutError)
            self.assertIn("vm vm", str(error))
        self.assertEqual(vm.state, nestvirt.State.RUNNING)

    def test_a_result_stays_until_the_next_run(self) -> None:
        vm = self.started(guests.EXIT_CODE)
        self.assertEqual(vm.wait(support.SECONDS), vm.wait(0))
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 7)


if __name__ == "__main__":
    support.main()
