# SPDX-License-Identifier: Apache-2.0
"""12: a call that waits leaves the other threads of the program their speed."""

import ctypes
import statistics
import threading
import time
from typing import Any, Callable, List

import guests
import nestvirt
import support

SLICE = 0.05  # Seconds.
SLICES = 10  # Of each kind, by turns, in one attempt.
ATTEMPTS = 8  # The machine may be busy with something else.
WANTED = 0.9


class Counter:
    """A thread that counts as fast as Python can."""

    def __init__(self) -> None:
        self.count = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            self.count += 1

    def measure(self) -> float:
        """Counts a second, while this thread sleeps."""
        start, before = time.perf_counter(), self.count
        time.sleep(SLICE)
        return (self.count - before) / (time.perf_counter() - start)

    def end(self) -> None:
        self._is_over = True
        self._thread.join()


class Speed(support.Case):
    def setUp(self) -> None:
        super().setUp()
        self.counter = Counter()
        self.addCleanup(self.counter.end)

    def share(self, call: Callable[[], Any], end: Callable[[], Any]) -> float:
        """The counter's speed during a call on another thread, as a part of its speed without."""
        alone: List[float] = []
        beside: List[float] = []
        for _ in range(SLICES):
            alone.append(self.counter.measure())
            thread = threading.Thread(target=call)
            thread.start()
            time.sleep(SLICE / 5)
            self.assertTrue(thread.is_alive(), "the call does not wait")
            beside.append(self.counter.measure())
            end()
            thread.join(support.SECONDS)
            self.assertFalse(thread.is_alive())
        return statistics.median(beside) / statistics.median(alone)

    def check(self, what: str, call: Callable[[], Any], end: Callable[[], Any]) -> None:
        shares = []
        for _ in range(ATTEMPTS):
            shares.append(self.share(call, end))
            if shares[-1] >= WANTED:
                break
        print(f"{what}: {100 * shares[-1]:.0f} % of the speed")
        self.assertGreaterEqual(max(shares), WANTED, f"{what}: {shares}")

    def test_wait(self) -> None:
        vm = self.started(guests.HALT)

        def end() -> None:
            vm.stop()

        def call() -> None:
            if vm.state is not nestvirt.State.RUNNING:
                vm.start()
            vm.wait()

        self.check("wait", call, end)

    def test_next_event(self) -> None:
        vm = self.started(guests.HALT)

        def call() -> None:
            while vm.next_event():
                pass
            vm.next_event(None)

        def end() -> None:
            vm.pause()
            vm.resume()

        self.check("next_event", call, end)

    def test_stop(self) -> None:
        release: List[threading.Event] = []

        def handler(access: nestvirt.Access) -> int:
            release[-1].wait()
            return 0

        vm = self.make(guests.RELAY)
        vm.add_port_handler(0x700, 1, handler)
        vm.build()

        def call() -> None:
            release.append(threading.Event())
            vm.start()
            time.sleep(0.002)
            vm.stop()

        self.check("stop", call, lambda: release[-1].set())

    def test_vcpu_by_hand(self) -> None:
        vm = self.make(guests.HALT, manual_vcpus=True)
        vm.build()
        vm.start()
        vcpu = vm.get_vcpu()
        self.check("VCPU.run", vcpu.run, vcpu.cancel)

    def test_this_test_sees_a_call_that_keeps_the_others_waiting(self) -> None:
        """A function of C that is called without giving the interpreter free."""
        pause = ctypes.PyDLL(None).usleep
        is_over: List[bool] = []

        def call() -> None:
            is_over.clear()
            while not is_over:
                pause(20000)

        shares: List[float] = []
        while len(shares) < ATTEMPTS and min(shares, default=1.0) > 0.6:
            shares.append(self.share(call, lambda: is_over.append(True)))
        self.assertLess(min(shares), 0.6, shares)


if __name__ == "__main__":
    support.main()
