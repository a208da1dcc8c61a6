# SPDX-License-Identifier: Apache-2.0
"""
Owns the names that enumerations have in other languages: in C they have none.

Keyed by the first constant of each. What is not here stays a plain constant.
"""

from dataclasses import dataclass
from typing import Dict, List

from headers import Api, Constant


@dataclass(frozen=True)
class Group:
    """An enumeration: its type in other languages, and how the names of its constants begin in C."""

    type: str
    prefix: str


def _table(rows: str) -> Dict[str, Group]:
    found = {}
    for row in rows.split("\n"):
        if row.strip():
            first, kind, prefix = row.split()
            found[f"NESTVIRT_{first}"] = Group(kind, f"NESTVIRT_{prefix}")
    return found


GROUPS = _table("""
    E_BUG                  ErrorCode        E_
    HOST_SPLIT_IRQCHIP     HostFeature      HOST_
    STATE_NEW              State            STATE_
    CHIP_SPLIT             Chip             CHIP_
    VM_MANUAL_VCPUS        VMFlag           VM_
    LOG_ERROR              LogLevel         LOG_
    RESULT_NONE            ResultReason     RESULT_
    EVENT_STATE            EventKind        EVENT_
    ACTION_DEFAULT         Action           ACTION_
    KERNEL_AUTO            KernelFormat     KERNEL_
    DISCOVERY_MPTABLE      Discovery        DISCOVERY_
    MODE_REAL              Mode             MODE_
    THREAD_VCPU            ThreadKind       THREAD_
    SCHED_LEAVE            SchedPolicy      SCHED_
    THREAD_SET_NICE        ThreadFlag       THREAD_
    THREAD_SHARED          ThreadInfoFlag   THREAD_
    CGROUP_VCPU            CgroupFlag       CGROUP_
    CGROUP_HAS_TIME        CgroupUsageFlag  CGROUP_
    PROPERTY_U64           PropertyType     PROPERTY_
    PROPERTY_LIVE          PropertyFlag     PROPERTY_
    SPACE_PORT             Space            SPACE_
    IOEVENTFD_DATAMATCH    IoeventfdFlag    IOEVENTFD_
    IRQ_LEVEL              IRQFlag          IRQ_
    KSM_RUN                KSMSetting       KSM_
    KSM_STOP               KSMRunMode       KSM_
    KSM_ADVISOR_NONE       KSMAdvisor       KSM_ADVISOR_
    KSM_HAS_PAGES_SHARED   KSMStatsFlag     KSM_
    BACKING_ANONYMOUS      Backing          BACKING_
    MEMORY_DEFAULT_LAYOUT  MemoryFlag       MEMORY_
    HUGE_PAGES_DEFAULT     HugePages        HUGE_PAGES_
    NUMA_DEFAULT           NUMAPolicy       NUMA_
    NUMA_STRICT            NUMAFlag         NUMA_
    MEMORY_KSM_MERGED      MemoryKSMFlag    MEMORY_KSM_
    NUMA_NODE_ALLOWED      NUMANodeFlag     NUMA_NODE_
    PRIVILEGE_UID          PrivilegeFlag    PRIVILEGE_
    ROLE_VCPU              Role             ROLE_
    NEED_SYSCALL           NeedKind         NEED_
    ANSWER_UNKNOWN         Answer           ANSWER_
    GROUP_HOST             ReportGroup      GROUP_
    KIND_UNKNOWN           HostKind         KIND_
    EXIT_PORT              ExitReason       EXIT_
    OBSERVER_NEED_BPF      ObserverFlag     OBSERVER_
    OBSERVE_VCPU           ObserveKind      OBSERVE_
    WAITS_TOTALS_ONLY      WaitsFlag        WAITS_
    WEIGHT_COUNT           WaitsWeight      WEIGHT_
    TEMPLATE_CONSUME       TemplateFlag     TEMPLATE_
    REFLINK_OR_COPY        ReflinkFlag      REFLINK_
""")

# Enumerations of limits and of single numbers, which stay plain constants.
PLAIN = {f"NESTVIRT_{name}" for name in (
    "VERSION_MAJOR", "VM_NAME_MAX", "CMDLINE_MAX", "THREAD_EVERY", "IRQ_ANY", "MEMORY_EVERY",
    "GUEST_NODES_MAX", "PRIVILEGE_GROUPS_MAX", "VIRTIO_QUEUES_MAX", "WAIT_BUCKETS", "GENERATION_SIZE")}


class Unnamed(Exception):
    """An enumeration of the headers that has no row above, or a row without an enumeration."""


def split(api: Api) -> Dict[str, List[Constant]]:
    """The constants of each enumeration, by its first one's name."""
    found: Dict[str, List[Constant]] = {}
    for constant in api.constants.values():
        found.setdefault(constant.group, []).append(constant)
    for first in found:
        if (first in GROUPS) == (first in PLAIN):
            raise Unnamed(f"{first}: give its enumeration a name in bindings/generate/groups.py")
    for first in {**GROUPS, **dict.fromkeys(PLAIN)}:
        if first not in found:
            raise Unnamed(f"{first}: in bindings/generate/groups.py, but begins no enumeration")
    return found


def is_flags(constants: List[Constant]) -> bool:
    """Whether the constants are bits of a word."""
    return all(constant.is_bit for constant in constants)


def short(constant: Constant) -> str:
    """A constant's name without what its enumeration's begin with, or without NESTVIRT_."""
    group = GROUPS.get(constant.group)
    name = constant.name[len(group.prefix if group else "NESTVIRT_"):]
    if not name.isidentifier():
        raise Unnamed(f"{constant.name}: {name} is no name")
    return name
