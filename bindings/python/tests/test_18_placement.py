# SPDX-License-Identifier: Apache-2.0
"""18: placement: threads, CPUs, control groups, nodes, KSM, and what is read back."""

import contextlib
import errno
import gc
import os
import re
import time
import unittest
from pathlib import Path
from typing import Any, Callable, List

import guests
import nestvirt
import support
from nestvirt import SchedPolicy, ThreadKind

ABSENT_CPU = "1000"
SYS_KSM = Path("/sys/kernel/mm/ksm")


def status_of(tid: int, field: str) -> str:
    """A line of /proc/self/task/TID/status."""
    text = Path(f"/proc/self/task/{tid}/status").read_text(encoding="utf-8")
    match = re.search(rf"^{field}:\s*(.*)$", text, re.M)
    assert match is not None
    return match[1]


def need_root() -> None:
    if os.geteuid():
        raise unittest.SkipTest("only root may do this")


class Threads(support.Case):
    def test_cpus(self) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        one = str(allowed[-1])
        vm = self.make(guests.SPIN, vcpus=2)
        self.assertEqual(vm.threads(), [])
        self.assertEqual(vm.set_threads("vcpu", cpus=one), 0)
        vm.build()
        vm.start()
        support.await_spin(vm)
        found = vm.threads()
        self.assertEqual([(thread.kind, thread.index) for thread in found if thread.kind is ThreadKind.VCPU],
                         [(ThreadKind.VCPU, 0), (ThreadKind.VCPU, 1)])
        for thread in found[:2]:
            self.assertEqual(thread.cpus, one)
            self.assertEqual(status_of(thread.tid, "Cpus_allowed_list"), one)
            self.assertEqual(status_of(thread.tid, "Name"), thread.name)
        self.assertEqual(vm.set_threads(ThreadKind.VCPU, 0, cpus=str(allowed[0])), 1)
        self.assertEqual(vm.get_thread_cpus("vcpu", 0), str(allowed[0]))
        self.assertEqual(vm.get_thread_cpus("vcpu", 1), one)
        error = self.refused(nestvirt.Error, -errno.EINVAL, vm.set_threads, "vcpu", cpus=ABSENT_CPU)
        self.assertIn(ABSENT_CPU, str(error))
        self.assertEqual(vm.get_thread_cpus("vcpu", 0), str(allowed[0]))
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, vm.set_threads, "vcpu", 2, cpus=one)
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, vm.get_thread_cpus, "worker", 0)

    def test_times_and_last_cpu(self) -> None:
        vm = self.started(guests.SPIN)
        support.await_spin(vm)
        before = vm.threads()[0]
        if before.cpu_time_ns is None or before.run_delay_ns is None:
            self.skipTest("this kernel does not count the times of threads")

        def more() -> bool:
            now = vm.threads()[0].cpu_time_ns
            return now is not None and before.cpu_time_ns is not None and now > before.cpu_time_ns

        support.await_true("the vCPU's time goes up", more)
        self.assertIn(before.last_cpu, os.sched_getaffinity(0))

    def test_policies(self) -> None:
        vm = self.started(guests.SPIN)
        vm.set_threads("vcpu", policy="batch", nice=5)
        thread = vm.threads()[0]
        self.assertEqual((thread.policy, thread.nice), (SchedPolicy.BATCH, 5))
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, thread.tid), 5)
        self.assertEqual(os.sched_getscheduler(thread.tid), os.SCHED_BATCH)
        vm.set_threads("vcpu", policy=SchedPolicy.IDLE)
        self.assertEqual(os.sched_getscheduler(thread.tid), os.SCHED_IDLE)
        vm.set_threads("vcpu", 0, policy="other")
        if os.geteuid() == 0:
            vm.set_threads("vcpu", policy="rr", priority=3)
            thread = vm.threads()[0]
            self.assertEqual((thread.policy, thread.priority), (SchedPolicy.RR, 3))
            vm.set_threads("vcpu", policy="other")
        self.refused(nestvirt.Error, -errno.EINVAL, vm.set_threads, "vcpu", policy="fifo", priority=0)

    def test_core_cookie(self) -> None:
        vm = self.started(guests.SPIN)
        try:
            self.assertEqual(vm.set_threads("vcpu", core_cookie=True), 1)
        except nestvirt.UnsupportedError as error:
            self.assertIn("core", str(error))
            return
        self.assertNotEqual(vm.threads()[0].core_cookie, 0)

    def test_loops_and_workers(self) -> None:
        with nestvirt.Loop() as loop, open("/dev/null", "wb") as null:
            vm = self.make(guests.SPIN)
            vm.set_loop(loop)
            vm.add_rng()
            vm.add_serial(output=null)
            vm.build()
            vm.set_threads("loop", nice=3)
            shared = [thread for thread in vm.threads() if thread.kind is ThreadKind.LOOP]
            self.assertEqual([(thread.is_shared, thread.nice) for thread in shared], [(True, 3)])
            self.assertFalse(vm.threads()[0].is_shared)
            vm.close()

    def test_by_hand(self) -> None:
        vm = self.make(guests.SPIN, manual_vcpus=True)
        vm.build()
        self.refused(nestvirt.UnsupportedError, -errno.ENOTSUP, vm.set_threads, "vcpu", cpus="0")

    def test_wrong_arguments(self) -> None:
        vm = self.make(guests.SPIN)
        self.wrong(ValueError, "kind: must be one of vcpu, loop, worker, not 'cpu'", vm.set_threads, "cpu")
        self.wrong(TypeError, "index: must be an int", vm.set_threads, "vcpu", "0")
        self.wrong(ValueError, "index: must be from 0", vm.set_threads, "vcpu", -1)
        self.wrong(TypeError, "cpus: must be a str", vm.set_threads, "vcpu", cpus=0)
        self.wrong(ValueError, "policy: must be one of", vm.set_threads, "vcpu", policy="fast")
        self.wrong(ValueError, "priority: must be from 0 to 99", vm.set_threads, "vcpu", priority=100)
        self.wrong(ValueError, "nice: must be from -20 to 19", vm.set_threads, "vcpu", nice=20)
        self.wrong(TypeError, "core_cookie: must be True or False", vm.set_threads, "vcpu", core_cookie=1)
        self.wrong(TypeError, "path: must be a path", vm.set_cgroup, 5)
        self.wrong(TypeError, "need_cpu: must be True or False", vm.set_cgroup, "/", need_cpu="yes")
        vm.close()
        calls: List[Callable[..., Any]] = [vm.threads, vm.cgroups, vm.cgroup_usage, vm.add_guest_node,
                                           vm.remove_privileges]
        for function in calls:
            self.refused(nestvirt.StateError, -errno.EBADF, function)


class Cgroups(support.Case):
    def mount(self, controller: str) -> str:
        """Where a hierarchy of version 1 with the controller is mounted."""
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            _, path, kind, options = line.split()[:4]
            if kind == "cgroup" and controller in options.split(","):
                return path
        raise unittest.SkipTest(f"no cgroup file system of version 1 with the controller {controller}")

    def group(self, controller: str) -> str:
        """A new group, which is removed after the VMs of the test."""
        need_root()
        path = f"{self.mount(controller)}/nestvirt-{os.getpid()}-{time.monotonic_ns()}"
        os.mkdir(path)
        self.addCleanup(os.rmdir, path)
        return path

    def test_a_limit_and_its_figures(self) -> None:
        group = self.group("cpu")
        Path(f"{group}/cpu.cfs_period_us").write_text("20000", encoding="ascii")
        Path(f"{group}/cpu.cfs_quota_us").write_text("5000", encoding="ascii")
        vm = self.make(guests.SPIN)
        self.assertEqual(vm.set_cgroup(group, vcpus=True, need_cpu=True), 0)
        self.assertEqual(vm.cgroups(), [os.path.realpath(group)])
        vm.build()
        vm.start()
        support.await_spin(vm)
        tid = vm.threads()[0].tid
        # KVM's own thread for a VM, which it makes at the first run, inherits the group.
        self.assertIn(str(tid), Path(f"{group}/tasks").read_text(encoding="utf-8").split())
        found = vm.cgroups_of_thread("vcpu", 0)
        mine = [path for controllers, path in found.items() if "cpu" in controllers.split(",")]
        self.assertTrue(mine[0].endswith(os.path.basename(group)), found)
        support.await_true("the quota is used up", lambda: vm.cgroup_usage().throttled_periods)
        usage = vm.cgroup_usage()
        self.assertEqual((usage.quota_us, usage.period_us), (5000, 20000))
        vm.close()

    def test_a_running_vm_moves(self) -> None:
        group = self.group("cpu")
        vm = self.started(guests.SPIN)
        self.assertEqual(vm.set_cgroup(Path(group), vcpus=True), 1)
        self.assertNotEqual(Path(f"{group}/tasks").read_text(encoding="utf-8"), "")
        vm.stop()
        vm.close()

    def test_refused(self) -> None:
        vm = self.started(guests.SPIN)
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, vm.cgroup_usage)
        self.refused(nestvirt.Error, -errno.EINVAL, vm.set_cgroup, "not/absolute")
        self.refused(nestvirt.Error, -errno.EINVAL, vm.set_cgroup, "/proc")
        self.assertEqual(vm.cgroups(), [])
        group = self.group("cpu")
        error = self.refused(nestvirt.UnsupportedError, -errno.ENOTSUP, vm.set_cgroup, group, need_memory=True)
        self.assertIn("memory", str(error))
        vm.close()


class Nodes(support.Case):
    def test_as_the_kernel_tells_it(self) -> None:
        with nestvirt.NUMA() as numa:
            nodes = list(numa.nodes())
            self.assertGreaterEqual(len(nodes), 1)
            first = nodes[0].node
            self.assertEqual(sum(node.cpus for node in nodes), os.sysconf("SC_NPROCESSORS_ONLN"))
            self.assertEqual(numa.get_distance(first, first), nestvirt.DISTANCE_LOCAL)
            self.assertGreater(nodes[0].memory_total, nodes[0].memory_available)
            folder = Path(f"/sys/devices/system/node/node{first}")
            if folder.exists():
                self.assertEqual(numa.get_cpus(first), (folder / "cpulist").read_text(encoding="utf-8").strip())
                self.assertEqual(len(nodes[0].pools), len(list((folder / "hugepages").iterdir())))
            place = numa.get_place("16M", 1)
            self.assertIn(place, [node.node for node in nodes])
            error = self.refused(nestvirt.Error, -errno.ENOSPC, numa.get_place, "8191T")
            self.assertIn(f"node {first}", str(error))
            self.refused(nestvirt.NotFoundError, -errno.ENOENT, numa.get_cpus, 999)
            self.refused(nestvirt.Error, -errno.EINVAL, numa.get_place)
            self.wrong(TypeError, "node: must be an int", numa.get_cpus, "0")
        self.refused(nestvirt.StateError, -errno.EBADF, numa.get_distance, 0, 0)
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, nestvirt.NUMA, "/nowhere")

    def test_what_a_thread_is_allowed(self) -> None:
        allowed = os.sched_getaffinity(0)
        if len(allowed) == 1:
            self.skipTest("this process may use one CPU only")
        self.addCleanup(os.sched_setaffinity, 0, allowed)
        one = min(allowed)
        os.sched_setaffinity(0, [one])
        with nestvirt.NUMA() as numa:
            node = next(node for node in numa.nodes() if node.cpus_allowed)
            self.assertEqual(node.cpus_allowed, 1)
            self.assertEqual(numa.get_cpus(node.node, allowed=True), str(one))
            self.assertGreater(sum(node.cpus for node in numa.nodes()), 1)

    def test_memory_is_where_it_was_put(self) -> None:
        with nestvirt.NUMA() as numa:
            place = numa.get_place("16M", 1)
            cpus = numa.get_cpus(place, allowed=True)
        vm = nestvirt.VM(self.host)
        self.addCleanup(vm.close)
        region = vm.memory.add("2M", numa_policy="bind", numa_nodes=str(place), numa_strict=True, prefault=True)
        support.set_guest(vm, guests.SPIN)
        vm.set_threads("vcpu", cpus=cpus)
        vm.build()
        found = vm.memory.get_placement(region)
        self.assertEqual(found.policy, nestvirt.NUMAPolicy.BIND)
        self.assertEqual((found.nodes[place], found.resident, found.absent), (512, 512, 0))

    def test_nodes_of_the_guest(self) -> None:
        folder = support.variable("NESTVIRT_TEST_KERNEL_FULL")
        vm = nestvirt.VM(self.host, vcpus=2)
        self.addCleanup(vm.close)
        vm.set_kernel(f"{folder}/vmlinux", cmdline="console=ttyS0")
        self.assertEqual(vm.add_guest_node("0"), 0)
        self.assertEqual(vm.add_guest_node("1"), 1)
        vm.set_guest_distance(0, 1, 40)
        for node in range(2):
            vm.memory.add("64M", node * (64 << 20), guest_node=node)
        vm.validate()
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, vm.set_guest_distance, 0, 2, 40)
        self.refused(nestvirt.Error, -errno.EINVAL, vm.set_guest_distance, 0, 1, 10)
        self.refused(nestvirt.Error, -errno.EINVAL, vm.add_guest_node, "2")
        self.wrong(ValueError, "distance: must be from 0 to 254", vm.set_guest_distance, 0, 1, 255)
        self.assertEqual(vm.add_guest_node(), 2)
        error = self.refused(nestvirt.Error, -errno.EINVAL, vm.validate)
        self.assertIn("2", str(error))


def token(**settings: Any) -> nestvirt.KSMToken:
    """Settings of the host. Waits for other tests that hold them."""
    deadline = time.monotonic() + 4 * support.SECONDS
    while True:
        try:
            return nestvirt.KSMToken(**settings)
        except nestvirt.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def wanted_scan() -> int:
    """Another number of pages than the present one."""
    pages = nestvirt.ksm_settings().pages_to_scan
    assert pages is not None
    return pages + 123


class KSM(support.Case):
    def setUp(self) -> None:
        super().setUp()
        if not SYS_KSM.exists():
            self.skipTest("a kernel without KSM")

    @staticmethod
    def scan() -> int:
        return int((SYS_KSM / "pages_to_scan").read_text(encoding="utf-8"))

    @staticmethod
    def remove_record() -> None:
        """Whatever went wrong before."""
        with contextlib.suppress(nestvirt.BusyError):
            nestvirt.remove_ksm_record()

    def test_what_is_read(self) -> None:
        settings = nestvirt.ksm_settings()
        self.assertEqual(settings.pages_to_scan, self.scan())
        self.assertIsInstance(settings.run, nestvirt.KSMRunMode)
        self.assertIsInstance(settings.merge_across_nodes, bool)
        self.assertIsNotNone(nestvirt.ksm_stats().full_scans)
        self.assertEqual(settings.smart_scan is None, not (SYS_KSM / "smart_scan").exists())

    def test_settings_are_put_back(self) -> None:
        need_root()
        before = self.scan()
        sleep = nestvirt.ksm_settings().sleep_ms
        assert sleep is not None
        with token(pages_to_scan=wanted_scan(), sleep_ms=sleep + 1) as held:
            self.assertEqual(self.scan(), before + 123)
            self.assertEqual(nestvirt.ksm_settings().sleep_ms, sleep + 1)
            self.refused(nestvirt.BusyError, -errno.EBUSY, nestvirt.KSMToken, pages_to_scan=1)
            self.refused(nestvirt.BusyError, -errno.EBUSY, nestvirt.remove_ksm_record)
        self.assertTrue(held.closed)
        self.assertEqual(self.scan(), before)
        self.assertFalse(nestvirt.remove_ksm_record())

    def test_collection_puts_them_back(self) -> None:
        need_root()
        before = self.scan()
        held = token(pages_to_scan=wanted_scan())
        self.assertNotEqual(self.scan(), before)
        del held
        gc.collect()
        support.await_true("the settings are as before", lambda: self.scan() == before)

    def run_holder(self, end: str) -> None:
        support.run_python("import nestvirt, os, test_18_placement as test\n"
                           f"held = test.token(pages_to_scan=test.wanted_scan())\n{end}")

    def test_the_end_of_the_program_puts_them_back(self) -> None:
        need_root()
        before = self.scan()
        self.run_holder("")
        self.assertEqual(self.scan(), before)

    def test_a_program_that_died(self) -> None:
        need_root()
        before = self.scan()
        self.addCleanup(self.remove_record)
        self.run_holder("os._exit(0)")
        self.assertEqual(self.scan(), before + 123)
        error = self.refused(nestvirt.StateError, -errno.ESTALE, nestvirt.KSMToken, pages_to_scan=1)
        self.assertIn("nestvirt_ksm_remove_record", str(error))
        self.assertTrue(nestvirt.remove_ksm_record())
        self.assertEqual(self.scan(), before)

    def test_guests_that_are_alike_share(self) -> None:
        need_root()
        with contextlib.ExitStack() as stack:
            stack.enter_context(token(run="merge", pages_to_scan=2000, sleep_ms=10))
            vms: List[nestvirt.VM] = []
            for _ in range(2):
                vm = stack.enter_context(nestvirt.VM(self.host))
                region = vm.memory.add("4M", mergeable=True)
                support.set_guest(vm, guests.SPIN)
                vm.build()
                vm.memory.write(1 << 20, os.urandom(4096) * 512 if not vms else vms[0].memory.read(1 << 20, 2 << 20))
                vms.append(vm)
            self.assertTrue(vms[0].memory.get(region).flags & nestvirt.MemoryFlag.MERGEABLE)
            support.await_true("pages are merged", lambda: (nestvirt.ksm_stats().pages_sharing or 0) > 500, 60)
            self.assertEqual(vms[1].memory.read(1 << 20, 4096), vms[0].memory.read(1 << 20, 4096))
            vms[1].memory.write(1 << 20, b"its own")
            self.assertNotEqual(vms[0].memory.read(1 << 20, 7), b"its own")
            vms[0].memory.set_mergeable(region, False)

    def test_wrong_arguments(self) -> None:
        self.wrong(ValueError, "run: must be one of stop, merge, unmerge", nestvirt.KSMToken, run="go")
        self.wrong(TypeError, "pages_to_scan: must be an int", nestvirt.KSMToken, pages_to_scan="1")
        self.wrong(TypeError, "use_zero_pages: must be True or False", nestvirt.KSMToken, use_zero_pages=1)
        self.wrong(TypeError, "record: must be a path", nestvirt.KSMToken, run="stop", record=1)
        self.refused(nestvirt.Error, -errno.EINVAL, nestvirt.KSMToken)


if __name__ == "__main__":
    support.main()
