# SPDX-License-Identifier: Apache-2.0
"""Owns where a VM's threads run: CPUs, policies, control groups; its privileges; and the nodes of the guest."""

import ctypes
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from . import _check
from ._abi import nestvirt_cgroup_usage, nestvirt_thread_config, nestvirt_thread_info
from ._base import VMBase
from ._constants import (DISTANCE_DEFAULT, DISTANCE_MAX, THREAD_EVERY, CgroupFlag, CgroupUsageFlag, SchedPolicy,
                         ThreadFlag, ThreadInfoFlag, ThreadKind)
from ._errors import NotFoundError
from ._library import struct
from ._texts import read_text


@dataclass(frozen=True)
class ThreadInfo:
    """
    A thread of the library as the kernel sees it; None is what this kernel does not tell.

    kind, index: as in set_threads(). tid: as in /proc/self/task. cpus: those it may run on, "0-3,8".
    cpu_time_ns: on a CPU since it began. run_delay_ns: ready to run, and waiting for one. last_cpu:
    where it runs, or ran last. core_cookie: equal for those that may share a core, 0 for none.
    is_shared: an event loop that was given to the VM.
    """

    kind: ThreadKind
    index: int
    name: str
    tid: int
    cpus: str
    policy: SchedPolicy
    priority: int
    nice: int
    cpu_time_ns: Optional[int]
    run_delay_ns: Optional[int]
    last_cpu: Optional[int]
    core_cookie: Optional[int]
    is_shared: bool


@dataclass(frozen=True)
class CgroupUsage:
    """
    CPU figures of a VM's control groups, of all that run in them and below; None where not known.

    periods: of the limit that have passed with something to run; throttled_periods: in how many the
    quota was used up. quota_us: CPU time in each period of period_us, 0 for no limit.
    """

    cpu_time_ns: Optional[int]
    user_time_ns: Optional[int]
    system_time_ns: Optional[int]
    periods: Optional[int]
    throttled_periods: Optional[int]
    throttled_ns: Optional[int]
    quota_us: Optional[int]
    period_us: Optional[int]


def _index(index: Optional[int]) -> int:
    return THREAD_EVERY if index is None else _check.integer("index", index, 0, THREAD_EVERY - 1)


class PlacementMixin(VMBase):
    """What a VM can say about its threads, and the nodes that its guest sees."""

    def set_threads(self, kind: Any, index: Optional[int] = None, *, cpus: Optional[str] = None,
                    policy: Any = SchedPolicy.LEAVE, priority: int = 0, nice: Optional[int] = None,
                    core_cookie: bool = False) -> int:
        """
        Sets where and how urgently threads run: those there are at once, and those of later builds.

        kind: ThreadKind or its name, "vcpu", "loop" or "worker". index: of one thread, None for all
        of the kind. cpus: "0-3,8", None leaves them. policy: SchedPolicy or its name; priority: of
        "fifo" and "rr", 1 to 99. nice: -20 to 19. core_cookie: these threads share a core's hardware
        threads with each other only.
        Returns how many threads were changed, 0 in state new. All is read back: Error with errno
        EINVAL for CPUs that are absent or not allowed. NotFoundError if there is no such thread,
        AccessError without the right, UnsupportedError for vCPUs driven by hand. Any state.
        """
        config = struct(nestvirt_thread_config)
        number = _check.member("kind", ThreadKind, kind)
        if cpus is not None:
            config.cpus = _check.text("cpus", cpus)
        config.policy = _check.member("policy", SchedPolicy, policy)
        config.priority = _check.integer("priority", priority, 0, 99)
        if nice is not None:
            config.nice = _check.integer("nice", nice, -20, 19)
            config.flags |= ThreadFlag.SET_NICE
        if _check.boolean("core_cookie", core_cookie):
            config.flags |= ThreadFlag.CORE_COOKIE
        return self._call("nestvirt_thread_set", number, _index(index), ctypes.byref(config))

    def threads(self) -> List[ThreadInfo]:
        """The VM's threads: vCPUs, the event loop, workers. None in state new."""
        found: List[ThreadInfo] = []
        position = 0
        while True:
            raw = struct(nestvirt_thread_info)
            try:
                self._call("nestvirt_thread_get", position, ctypes.byref(raw))
            except NotFoundError:
                return found
            position += 1
            try:
                found.append(self._thread(raw))
            except NotFoundError:
                continue  # The VM has stopped between the two calls.

    def _thread(self, raw: Any) -> ThreadInfo:
        flags = ThreadInfoFlag(raw.flags)
        times = bool(flags & ThreadInfoFlag.HAS_TIMES)
        cpus = self._of_thread("nestvirt_thread_get_cpus", raw.kind, raw.index)
        return ThreadInfo(ThreadKind(raw.kind), raw.index, bytes(raw.name).split(b"\0")[0].decode("utf-8", "replace"),
                          raw.tid, cpus, SchedPolicy(raw.policy), raw.priority, raw.nice,
                          raw.cpu_time_ns if times else None, raw.run_delay_ns if times else None,
                          raw.last_cpu if flags & ThreadInfoFlag.HAS_CPU else None,
                          raw.core_cookie if flags & ThreadInfoFlag.HAS_COOKIE else None,
                          bool(flags & ThreadInfoFlag.SHARED))

    def _of_thread(self, function: str, kind: int, index: int) -> str:
        """A text about one thread."""
        return read_text(lambda buffer, size: self._call(function, int(kind), index, buffer, size))

    def get_thread_cpus(self, kind: Any, index: int) -> str:
        """The CPUs that a thread may run on, read from the kernel, as "0-3,8"."""
        number = _check.member("kind", ThreadKind, kind)
        return self._of_thread("nestvirt_thread_get_cpus", number, _check.integer("index", index))

    def set_cgroup(self, path: _check.Path, *, vcpus: bool = False, loop: bool = False, workers: bool = False,
                   shared_loop: bool = False, need_cpu: bool = False, need_cpuset: bool = False,
                   need_memory: bool = False) -> int:
        """
        Puts threads of the VM into a control group that you have made: those there are, and those of later builds.

        path: an absolute folder of a cgroup file system, version 1 or 2. vcpus, loop, workers: which
        threads, none of the three for all; shared_loop: also a loop that was given to the VM.
        need_cpu, need_cpuset: fail if the group cannot share CPU time, or say which CPUs.
        need_memory: always fails and says why: memory counts for the process, not for a thread.
        Returns how many threads were moved, 0 in state new. UnsupportedError for a group that cannot
        take threads, AccessError without the right. Any state.
        """
        words = [(vcpus, "vcpus", CgroupFlag.VCPU), (loop, "loop", CgroupFlag.LOOP),
                 (workers, "workers", CgroupFlag.WORKER), (shared_loop, "shared_loop", CgroupFlag.SHARED_LOOP),
                 (need_cpu, "need_cpu", CgroupFlag.NEED_CPU), (need_cpuset, "need_cpuset", CgroupFlag.NEED_CPUSET),
                 (need_memory, "need_memory", CgroupFlag.NEED_MEMORY)]
        flags = sum(flag for value, name, flag in words if _check.boolean(name, value))
        return self._call("nestvirt_cgroup_set", _check.path("path", path), flags)

    def cgroups(self) -> List[str]:
        """The paths of the groups that were set; links are resolved."""
        found: List[str] = []
        while True:
            position = len(found)
            try:
                found.append(read_text(
                    lambda buffer, size: self._call("nestvirt_cgroup_get", position, buffer, size)))
            except NotFoundError:
                return found

    def cgroup_usage(self) -> CgroupUsage:
        """
        The CPU figures of the groups that were set, added up; the smallest limit counts.

        NotFoundError if no group was set, or one was removed; UnsupportedError if none has figures.
        """
        raw = struct(nestvirt_cgroup_usage)
        self._call("nestvirt_cgroup_get_usage", ctypes.byref(raw))
        known = CgroupUsageFlag(raw.flags)

        def only(flag: CgroupUsageFlag, *names: str) -> List[Optional[int]]:
            return [getattr(raw, name) if known & flag else None for name in names]

        return CgroupUsage(*only(CgroupUsageFlag.HAS_TIME, "cpu_time_ns"),
                           *only(CgroupUsageFlag.HAS_SPLIT, "user_time_ns", "system_time_ns"),
                           *only(CgroupUsageFlag.HAS_THROTTLING, "periods", "throttled_periods", "throttled_ns"),
                           *only(CgroupUsageFlag.HAS_LIMIT, "quota_us", "period_us"))

    def cgroups_of_thread(self, kind: Any, index: int) -> Dict[str, str]:
        """The groups that a thread is in now: path by controllers, "cpu,cpuacct"; version 2 is ""."""
        number = _check.member("kind", ThreadKind, kind)
        text = self._of_thread("nestvirt_cgroup_get_of_thread", number, _check.integer("index", index))
        found = {}
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            found[controllers] = path
        return found

    def remove_privileges(self) -> None:
        """
        Lets every library thread of the VM give up all its capabilities, now and at later starts.

        State built, before the first start. Threads of the program keep theirs: see
        nestvirt.remove_process_privileges().
        """
        self._call("nestvirt_vm_remove_privileges")

    def add_guest_node(self, vcpus: Optional[str] = None) -> int:
        """
        Adds a NUMA node to the guest and returns its number. State new.

        vcpus: their numbers, "0-1,4"; None: a node of memory only. Memory belongs to it by
        vm.memory.add(guest_node=...). The guest sees nodes through ACPI alone.
        """
        return self._call("nestvirt_numa_add_guest_node", None if vcpus is None else _check.text("vcpus", vcpus))

    def set_guest_distance(self, from_node: int, to_node: int, distance: int = DISTANCE_DEFAULT) -> None:
        """
        Sets how far memory of to_node is from vCPUs of from_node, 11 to 254; the way back too, unless set.

        State new. NotFoundError for an unknown node.
        """
        self._call("nestvirt_numa_set_guest_distance", _check.integer("from_node", from_node),
                   _check.integer("to_node", to_node), _check.integer("distance", distance, 0, DISTANCE_MAX))
