# SPDX-License-Identifier: Apache-2.0
"""06: Ctrl-C ends a wait and nothing else."""

import asyncio
import os
import signal
import threading
import time
from typing import Any, Callable

import guests
import nestvirt
import nestvirt.aio
import support

SOON = 1.0  # Seconds; a slice of a wait is 50 ms.


class Interrupt(support.Case):
    def setUp(self) -> None:
        super().setUp()
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, previous)

    def press(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Ctrl-C during a call in this thread, which is the main one."""
        pressed = []

        def kill() -> None:
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.2, kill)
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            call(*arguments)
        self.assertLess(time.monotonic() - pressed[0], SOON)
        timer.join()

    def test_wait(self) -> None:
        vm = self.started(guests.SPIN)
        self.press(vm.wait)
        self.press(vm.wait, 100)
        self.assertEqual(vm.state, nestvirt.State.RUNNING)
        support.await_spin(vm)
        vm.stop()
        self.assertEqual(vm.wait().reason, nestvirt.ResultReason.STOPPED)

    def test_events(self) -> None:
        vm = self.started(guests.SPIN)
        self.press(lambda: list(vm.events()))
        self.assertEqual(vm.state, nestvirt.State.RUNNING)

    def test_console(self) -> None:
        vm = self.make(guests.SPIN)
        console = vm.add_serial().open()
        self.addCleanup(console.close)
        vm.build()
        vm.start()
        self.press(console.read, 1)
        self.assertEqual(vm.state, nestvirt.State.RUNNING)

    def test_stop_that_waits_for_a_handler(self) -> None:
        release = threading.Event()
        entered = threading.Event()

        def handler(access: nestvirt.Access) -> int:
            entered.set()
            release.wait(support.SECONDS)
            return 0

        vm = self.make(guests.RELAY)
        vm.add_port_handler(0x700, 1, handler)
        vm.build()
        vm.start()
        self.assertTrue(entered.wait(support.SECONDS))
        self.press(vm.stop)
        self.press(vm.close)
        self.assertFalse(vm.closed)
        with self.assertRaises(nestvirt.WaitTimeout):
            vm.stop(0.1)
        release.set()
        vm.close()

    def test_vcpu_by_hand(self) -> None:
        vm = self.make(guests.SPIN, manual_vcpus=True)
        vm.build()
        vm.start()
        vcpu = vm.get_vcpu()
        self.press(vcpu.run)
        vcpu.cancel()
        self.assertEqual(vcpu.run().reason, nestvirt.ExitReason.CANCELED)
        self.assertGreater(support.spins(vm), 0)

    def test_asyncio(self) -> None:
        async def wait() -> None:
            async with nestvirt.aio.VM(self.host, memory="1M") as vm:
                support.set_guest(vm, guests.SPIN)
                await vm.build()
                await vm.start()
                await vm.wait()

        self.press(asyncio.run, wait())


if __name__ == "__main__":
    support.main()
