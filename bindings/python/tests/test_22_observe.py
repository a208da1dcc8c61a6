# SPDX-License-Identifier: Apache-2.0
"""22: observers: how long threads of VMs waited for a CPU, by BPF and by the kernel's own sums."""

import asyncio
import errno
import gc
import json
import os
import threading
import time
from contextlib import suppress
from typing import Any, Callable, List, Tuple

import guests
import nestvirt
import nestvirt.aio
import support
from nestvirt import ObserveKind, Observer

SPINNERS = 6
RUN_SECONDS = 1.5
NOBODY = 65534


def kernel_sums(vm: Any) -> Tuple[int, int]:
    """What the kernel itself sums up for a VM's threads: nanoseconds and number of waits."""
    time_ns = count = 0
    for thread in vm.threads():
        with open(f"/proc/self/task/{thread.tid}/schedstat", encoding="ascii") as file:
            numbers = file.read().split()
        time_ns += int(numbers[1])
        count += int(numbers[2])
    return time_ns, count


def sleeps(tid: int) -> bool:
    """Whether a thread is off its CPU and wants none."""
    with open(f"/proc/self/task/{tid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def settle(vm: nestvirt.VM) -> None:
    """Waits until all threads of the VM sleep."""
    support.await_true("its threads sleep", lambda: all(sleeps(thread.tid) for thread in vm.threads()))


class Case(support.Case):
    def built(self, **config: Any) -> nestvirt.VM:
        """A VM whose thread waits to be let go."""
        vm = self.make(guests.SPIN, **config)
        vm.build()
        settle(vm)
        return vm

    def await_waits(self, observer: Observer, vm: nestvirt.VM, more_than: int = 0) -> None:
        support.await_true("more waits have ended", lambda: observer.read(vm).count > more_than)

    def run_spinners(self, observer: Observer) -> Tuple[List[nestvirt.VM], List[Tuple[int, int]]]:
        """More spinning vCPUs than CPUs, between two moments in which none of them can run; the kernel's figures."""
        vms = [self.built(name=f"spin{number}") for number in range(SPINNERS)]
        for vm in vms:
            observer.add(vm)
        before = [kernel_sums(vm) for vm in vms]
        for vm in vms:
            vm.start()
        time.sleep(RUN_SECONDS)
        for vm in vms:
            vm.pause()
            settle(vm)
        after = [kernel_sums(vm) for vm in vms]
        return vms, [(new[0] - old[0], new[1] - old[1]) for old, new in zip(before, after)]

    def close_to(self, ours: int, kernels: int) -> None:
        self.assertGreater(kernels, 0)
        self.assertLess(abs(ours - kernels), 0.03 * kernels + 2, f"{ours} is not {kernels}")


class Histograms(Case):
    def setUp(self) -> None:
        super().setUp()
        try:
            self.observer = Observer(need_bpf=True)
        except (nestvirt.AccessError, nestvirt.UnsupportedError) as error:
            self.skipTest(str(error))
        self.addCleanup(self.observer.close)

    def test_agrees_with_the_kernel(self) -> None:
        observer = self.observer
        self.assertEqual(observer.reason, "")
        vms, kernel = self.run_spinners(observer)
        found = [observer.read(vm) for vm in vms]
        for waits, (time_ns, count) in zip(found, kernel):
            self.close_to(waits.time_ns, time_ns)
            self.close_to(waits.count, count)
            self.check_histogram(waits)
            self.assertEqual((waits.lost, waits.threads, waits.vms, waits.is_incomplete), (0, 1, 1, False))
            self.assertGreater(waits.preempted or 0, waits.count // 2)
            self.assertGreater(waits.max_ns or 0, 1000000)
        total = observer.read()
        self.check_histogram(total)
        self.assertEqual((total.count, total.time_ns),
                         (sum(one.count for one in found), sum(one.time_ns for one in found)))
        self.assertEqual((total.vms, total.threads), (SPINNERS, SPINNERS))

    def check_histogram(self, waits: nestvirt.Waits) -> None:
        limits = nestvirt.wait_limits()
        assert waits.counts is not None and waits.times_ns is not None
        self.assertEqual(len(waits.counts), nestvirt.WAIT_BUCKETS)
        self.assertEqual(sum(waits.counts), waits.count)
        self.assertEqual(sum(waits.times_ns), waits.time_ns)
        for position, (count, time_ns) in enumerate(zip(waits.counts, waits.times_ns)):
            self.assertGreaterEqual(time_ns, count * limits[position])
            if count and position + 1 < len(limits):
                self.assertLess(time_ns, count * limits[position + 1])
        half = waits.percentile(50)
        self.assertLessEqual(half, waits.percentile(50, "time"))
        self.assertLessEqual(half, waits.percentile(99.9))
        self.assertEqual(waits.percentile(100), waits.max_ns)
        below = sum(count for count, limit in zip(waits.counts, limits[1:]) if limit <= half)
        self.assertLessEqual(below, (waits.count + 1) // 2)

    def test_limits(self) -> None:
        limits = nestvirt.wait_limits()
        self.assertEqual(len(limits), nestvirt.WAIT_BUCKETS)
        self.assertEqual((limits[0], limits[1], limits[16]), (0, 125, 2000))
        self.assertEqual(sorted(set(limits)), list(limits))

    def test_text_and_json(self) -> None:
        vms, _ = self.run_spinners(self.observer)
        text = self.observer.text(vms[0])
        self.assertTrue(text.startswith("vm = spin0\n"), text)
        self.assertIn("distribution", text)
        self.assertNotIn("spin0", self.observer.text())
        self.assertNotEqual(self.observer.text(weight="time"), self.observer.text(weight="count"))
        told, waits = json.loads(self.observer.json(vms[1])), self.observer.read(vms[1])
        self.assertEqual([told[name] for name in ("vm", "source", "reason", "incomplete")],
                         ["spin1", "bpf", None, False])
        self.assertEqual((told["count"], told["time_ns"], told["max_ns"]), (waits.count, waits.time_ns, waits.max_ns))
        self.assertEqual(sum(bucket["count"] for bucket in told["buckets"]), waits.count)
        self.assertEqual(told["percentiles"]["by_count"]["p50_ns"], waits.percentile(50))
        self.assertEqual(told["percentiles"]["by_time"]["p99_ns"], waits.percentile(99, "time"))
        self.assertIsNone(json.loads(self.observer.json())["vm"])

    def test_counts_anew(self) -> None:
        vm = self.built()
        self.observer.add(vm)
        vm.start()
        self.await_waits(self.observer, vm)
        vm.pause()
        settle(vm)
        self.observer.start()
        for waits in (self.observer.read(vm), self.observer.read()):
            self.assertEqual((waits.count, waits.time_ns, waits.max_ns, waits.percentile(50)), (0, 0, 0, 0))
        vm.resume()
        self.await_waits(self.observer, vm)

    def test_kinds_and_built_again(self) -> None:
        vm = self.make(guests.SPIN)
        vm.add_serial()  # It needs an event loop.
        self.observer.add(vm, ObserveKind.VCPU)
        self.assertEqual(self.observer.read(vm).threads, 0)
        vm.build()
        self.assertEqual(self.observer.read(vm).threads, 1)
        self.refused(nestvirt.StateError, -errno.EALREADY, self.observer.add, vm, ObserveKind.VCPU)
        self.observer.add(vm)
        self.assertEqual(self.observer.read(vm).threads, len(vm.threads()))
        self.assertGreater(len(vm.threads()), 1)
        for _ in range(2):
            vm.start()
            before = self.observer.read(vm).count
            self.await_waits(self.observer, vm, before)
            vm.stop()
        self.assertFalse(self.observer.read(vm).is_incomplete)

    def test_removed_and_closed_in_any_order(self) -> None:
        first, second, third = (self.built() for _ in range(3))
        with Observer() as other:
            for vm in (first, second, third):
                self.observer.add(vm)
                other.add(vm)
                vm.start()
                self.await_waits(self.observer, vm)
            first.close()
            self.refused(nestvirt.StateError, -errno.EBADF, other.read, first)
            self.assertEqual(self.observer.read().vms, 2)
            self.observer.remove(second)
            self.refused(nestvirt.NotFoundError, -errno.ENOENT, self.observer.remove, second)
            self.refused(nestvirt.NotFoundError, -errno.ENOENT, self.observer.read, second)
            self.assertEqual(other.read().vms, 2)
        total = self.observer.read()
        self.assertGreater(total.count, self.observer.read(third).count)  # It keeps what the others had.
        self.observer.close()
        support.await_spin(third)
        third.stop()
        third.start()  # A build looks for the observers.
        support.await_spin(third)

    def test_closed_and_built_at_once(self) -> None:
        """Observers come and go while their VM is built again and again."""
        vm = self.make(guests.SPIN)
        end = threading.Event()

        def rebuild() -> None:
            while not end.is_set():
                vm.start() if vm.state is nestvirt.State.BUILT else vm.build()
                if vm.state is nestvirt.State.RUNNING:
                    vm.stop()

        thread = threading.Thread(target=rebuild)
        thread.start()
        try:
            for _ in range(20):
                with Observer() as observer:
                    observer.add(vm)
                    observer.read(vm)
        finally:
            end.set()
            thread.join()

    def test_collection(self) -> None:
        """What nobody refers to any more is freed, and keeps no VM."""
        vm = self.built()
        holdings = support.Holdings()
        observer = Observer()
        observer.add(vm)
        self.assertGreater(support.Holdings().descriptors, holdings.descriptors)
        del observer
        support.await_true("its descriptors are closed",
                           lambda: support.Holdings().descriptors <= holdings.descriptors)
        self.observer.add(vm)
        vm = self.built()
        self.observer.add(vm)
        self.assertEqual(self.observer.read().vms, 2)
        other = support.make(guests.SPIN, self.host)
        self.observer.add(other)
        del other
        gc.collect()
        support.await_true("the VM is gone", lambda: self.observer.read().vms == 2)

    def test_given_threads(self) -> None:
        vm, other = self.make(guests.SPIN, manual_vcpus=True), self.built()
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, self.observer.add_thread, vm)
        self.observer.add(vm)
        self.observer.add(other)
        self.observer.add_thread(vm)
        self.refused(nestvirt.StateError, -errno.EALREADY, self.observer.add_thread, vm, threading.get_native_id())
        self.refused(nestvirt.BusyError, -errno.EBUSY, self.observer.add_thread, other)
        self.refused(nestvirt.Error, -errno.ESRCH, self.observer.add_thread, vm, 1)
        before = self.observer.read(vm).count
        for _ in range(10):
            time.sleep(0.001)
        self.assertGreaterEqual(self.observer.read(vm).count, before + 10)

    def test_asyncio(self) -> None:
        async def run() -> nestvirt.Waits:
            async with nestvirt.aio.VM(self.host, memory="1M") as vm:
                support.set_guest(vm, guests.SPIN)
                self.observer.add(vm)
                await vm.build()
                await vm.start()
                while self.observer.read(vm).count < 3:
                    await asyncio.sleep(0.01)
                return self.observer.read(vm)

        self.assertEqual(asyncio.run(run()).threads, 1)
        self.assertEqual(self.observer.read().vms, 0)


class Totals(Case):
    def test_agree_too(self) -> None:
        with Observer(schedstat=True) as observer:
            self.assertIn("totals", observer.reason)
            vms, kernel = self.run_spinners(observer)
            for vm, (time_ns, count) in zip(vms, kernel):
                waits = observer.read(vm)
                self.assertEqual((waits.time_ns, waits.count), (time_ns, count))
                for value in (waits.max_ns, waits.lost, waits.preempted, waits.inferred, waits.counts, waits.times_ns):
                    self.assertIsNone(value)
                self.refused(nestvirt.UnsupportedError, -errno.ENOTSUP, waits.percentile, 50)
            self.assertIn(observer.reason, observer.text())
            told = json.loads(observer.json())
            self.assertEqual((told["source"], told["buckets"], told["max_ns"]), ("schedstat", None, None))
            self.assertEqual(told["reason"], observer.reason)
            self.assertEqual(told["count"], sum(count for _, count in kernel))

    def in_child(self, text: str) -> None:
        """Runs a program that gives up root's rights at some point."""
        if os.geteuid():
            self.skipTest("needs root, to give its rights up")
        done = support.run_python(CHILD + text, is_checked=False)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)

    def test_without_the_capability(self) -> None:
        self.in_child(WITHOUT_RIGHTS)

    def test_the_capability_is_for_the_start(self) -> None:
        with suppress(nestvirt.AccessError, nestvirt.UnsupportedError), Observer(need_bpf=True):
            self.in_child(RIGHTS_FOR_THE_START)
            return
        self.skipTest("this host does not let us load the BPF program")

    def test_fork(self) -> None:
        support.run_python(FORKED)


CHILD = f"""
import os, time, guests, nestvirt, support

def become_nobody():
    os.setgroups([])
    os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
    os.setresuid({NOBODY}, {NOBODY}, {NOBODY})

def await_waits(observer, vm):
    support.await_true("there are waits", lambda: observer.read(vm).count > 0)

host = nestvirt.Host()
"""

WITHOUT_RIGHTS = """
become_nobody()
try:
    nestvirt.Observer(need_bpf=True)
except nestvirt.AccessError as error:
    assert "CAP_BPF and CAP_PERFMON" in str(error), error
else:
    raise AssertionError("no error")
with nestvirt.Observer() as observer, support.started(guests.SPIN, host) as vm:
    assert "CAP_BPF and CAP_PERFMON" in observer.reason, observer.reason
    observer.add(vm)
    await_waits(observer, vm)
    assert observer.read(vm).counts is None
print("done")
"""

RIGHTS_FOR_THE_START = """
with nestvirt.Observer() as observer:
    become_nobody()
    with support.make(guests.SPIN, host) as vm:
        vm.build()
        observer.add(vm)
        vm.start()
        await_waits(observer, vm)
        observer.start()
        await_waits(observer, vm)
        assert observer.reason == "" and sum(observer.read(vm).counts) > 0
print("done")
"""

FORKED = """
import errno, os, guests, nestvirt, support
vm = support.started(guests.SPIN)
observer = nestvirt.Observer()
observer.add(vm)
child = os.fork()
if child == 0:
    status = 1
    try:
        for function in (observer.read, observer.text, observer.json, observer.start, lambda: observer.add(vm),
                         lambda: observer.remove(vm), lambda: observer.reason):
            try:
                function()
            except nestvirt.StateError as error:
                assert error.code == -errno.ECHILD, error
            else:
                raise AssertionError(function)
        observer.close()
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
assert observer.read(vm).threads == 1
"""


class Misuse(Case):
    def test_wrong_arguments(self) -> None:
        self.wrong(TypeError, "need_bpf: must be True or False", Observer, need_bpf=1)
        self.wrong(TypeError, "schedstat: must be True or False", Observer, schedstat=None)
        self.wrong(ValueError, "schedstat: must be False", Observer, need_bpf=True, schedstat=True)
        vm = self.built()
        with Observer(schedstat=True) as observer:
            functions: List[Callable[..., Any]] = [observer.add, observer.add_thread, observer.remove, observer.read,
                                                   observer.text, observer.json]
            for function in functions:
                self.wrong(TypeError, "vm: must be a VM", function, self.host)
            self.wrong(TypeError, "kinds: must be an ObserveKind", observer.add, vm, "vcpu")
            self.wrong(TypeError, "kinds: must be an ObserveKind", observer.add, vm, True)
            self.refused(nestvirt.Error, -errno.EINVAL, observer.add, vm, ObserveKind(64))
            self.wrong(ValueError, "tid: must be from 1", observer.add_thread, vm, 0)
            self.wrong(TypeError, "tid: must be an int", observer.add_thread, vm, "1")
            self.wrong(ValueError, "weight: must be one of count, time", observer.text, weight="size")
            waits = observer.read()
            self.wrong(TypeError, "percent: must be a number", waits.percentile, "50")
            for percent in (-1, 100.1, float("nan")):
                self.wrong(ValueError, "percent: must be from 0 to 100", waits.percentile, percent)
            self.wrong(ValueError, "weight: must be one of count, time", waits.percentile, 50, "size")

    def test_use_after_close(self) -> None:
        vm = self.built()
        observer = Observer(schedstat=True)
        observer.add(vm)
        observer.close()
        observer.close()
        plain: List[Callable[..., Any]] = [observer.text, observer.json, observer.start, observer.__enter__]
        for function in plain:
            self.refused(nestvirt.StateError, -errno.EBADF, function)
        of_vm: List[Callable[..., Any]] = [observer.add, observer.add_thread, observer.remove, observer.read]
        for function in of_vm:
            self.refused(nestvirt.StateError, -errno.EBADF, function, vm)
        with self.assertRaises(nestvirt.StateError):
            print(observer.reason)

    def test_inside_of_a_handler(self) -> None:
        vm = self.make(guests.RELAY)
        codes: List[int] = []
        with Observer(schedstat=True) as observer:
            observer.add(vm)
            actions: List[Callable[..., Any]] = [observer.add, observer.remove, observer.read, observer.add_thread]

            def handler(access: nestvirt.Access) -> int:
                for action in actions:
                    with self.assertRaises(nestvirt.StateError) as caught:
                        action(vm)
                    codes.append(caught.exception.code)
                return 5

            vm.add_port_handler(0x700, 1, handler)
            vm.build()
            vm.start()
            self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)
            self.assertEqual(codes, [-errno.EDEADLK] * 4)
            self.assertEqual(observer.read(vm).vms, 1)


if __name__ == "__main__":
    support.main()
