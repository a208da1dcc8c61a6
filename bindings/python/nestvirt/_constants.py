# SPDX-License-Identifier: Apache-2.0
"""
Constants of the library, by enumeration.

Made by bindings/generate/generate from include/nestvirt. Do not edit.
"""

from ._enums import Flags, Number

# The version of these headers.
VERSION_MAJOR = 0
VERSION_MINOR = 1
VERSION_MICRO = 0
# bytes of a VM's name
VM_NAME_MAX = 63
# bytes of a kernel command line
CMDLINE_MAX = 2047
# as an index: all of the kind
THREAD_EVERY = 2147483647
# nestvirt_irq_add(): let the library choose the pin
IRQ_ANY = 2147483647
# in place of a region's number: all of the VM
MEMORY_EVERY = 2147483647
# nodes of a guest: what Linux is usually built for
GUEST_NODES_MAX = 64
DISTANCE_LOCAL = 10
# between nodes, if not set
DISTANCE_DEFAULT = 20
DISTANCE_MAX = 254
# Buckets of a histogram: 125 ns wide up to 2 us, then eight for each power of two up to 134 s, and one for
# what is longer. Fixed for good.
WAIT_BUCKETS = 225
# supplementary groups, Linux's own limit
PRIVILEGE_GROUPS_MAX = 65536
# bytes of a VM generation ID
GENERATION_SIZE = 16
VIRTIO_QUEUES_MAX = 64
VIRTIO_QUEUE_SIZE_MAX = 1024
# bytes
VIRTIO_CONFIG_MAX = 256


class ErrorCode(Number):
    """NESTVIRT_E_*: Codes of the library's own, beside the negated errno values. Never renumbered."""

    # Something happened that the library holds to be impossible: a defect worth a report.
    BUG = -4000
    # All 24 pins of the interrupt controller (IOAPIC) are in use.
    NO_INTERRUPT_PIN = -4001
    # A vCPU could not be made to leave guest mode in time.
    VCPU_STUCK = -4002
    # Several problems at once: see nestvirt_error_get_next().
    INVALID_VM = -4003
    # Saved state is cut off, damaged, of another kind, or from a newer release.
    BAD_STATE = -4004


class HostFeature(Flags):
    """NESTVIRT_HOST_*: Bits of nestvirt_host_info.features."""

    # local APIC in the kernel, IOAPIC in the library
    SPLIT_IRQCHIP = 1
    # interrupts by eventfd
    IRQFD = 2
    # guest writes signal an eventfd
    IOEVENTFD = 4
    # x2APIC in KVM's supported CPUID
    X2APIC = 8
    # TSC deadline timer
    TSC_DEADLINE = 16
    # paravirtual clock
    KVMCLOCK = 32
    # guests may use VMX
    NESTED_VMX = 64
    # guests may use SVM
    NESTED_SVM = 128
    # read-only memory slots
    READONLY_MEMORY = 256
    # software KVM that interprets guest ring 0 (pvm)
    INTERPRETED = 512


class State(Number):
    """NESTVIRT_STATE_*: States, in the order of a VM's life; see the drawing above."""

    NEW = 1
    BUILT = 2
    RUNNING = 3
    PAUSED = 4
    STOPPED = 5
    FAILED = 6


class Chip(Number):
    """NESTVIRT_CHIP_*: nestvirt_vm_config.interrupt_chip."""

    # local APICs in the kernel, IOAPIC in the library; no PIC, no PIT
    SPLIT = 0
    # nothing: HLT is an exit, interrupts are the caller's
    NONE = 1
    # PIC, IOAPIC and local APICs in the kernel: slow to create
    KERNEL = 2


class VMFlag(Flags):
    """NESTVIRT_VM_*: nestvirt_vm_config.flags."""

    # No vCPU threads: the caller runs each vCPU with nestvirt_vcpu_run().
    MANUAL_VCPUS = 1
    # Complete the few instructions that interpreted KVM hosts refuse (int3, fwait, clac, stac).
    FIXUPS = 2
    # A programmable interval timer; only with NESTVIRT_CHIP_KERNEL.
    PIT = 4
    # The guest sees VMX or SVM and may run VMs of its own. Without it they are hidden, whatever a CPUID mask
    # says. Only where the host has NESTVIRT_HOST_NESTED_VMX or NESTVIRT_HOST_NESTED_SVM;
    # nestvirt_report_new() tells why it has not.
    NESTED = 8


class LogLevel(Number):
    """NESTVIRT_LOG_*: Levels of nestvirt_vm_set_log()."""

    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 4


class ResultReason(Number):
    """NESTVIRT_RESULT_*: nestvirt_vm_result.reason."""

    # has not ended
    NONE = 0
    # the guest asked for a reset
    GUEST_RESET = 1
    # the guest powered itself off
    GUEST_SHUTDOWN = 2
    # also how some kernels reset
    TRIPLE_FAULT = 3
    # the guest wrote to the exit device: exit_code
    GUEST_EXIT = 4
    # the caller stopped it
    STOPPED = 5
    # KVM could not go on: rip, suberror, instruction
    INTERNAL_ERROR = 6
    # every vCPU halted and nothing can wake it (CHIP_NONE)
    GUEST_HALT = 7


class EventKind(Number):
    """NESTVIRT_EVENT_*: nestvirt_event.kind."""

    # the state changed: values[0] old, values[1] new
    STATE = 1
    # the VM stopped: values[0] is the result's reason
    STOPPED = 2
    # an access nobody owns: values address, length, is_write; the first of each burst only
    UNHANDLED_EXIT = 3
    # values[0] events were dropped: the queue was full
    LOST = 4
    # a disk: values[0] the device's number, values[1] the errno of the host; the VM is paused if the disk's
    # policy says so
    IO_ERROR = 5
    # a network device: values[0] its number, values[1] 0, or the errno with which its tap went down
    LINK = 6


class Action(Number):
    """NESTVIRT_ACTION_*: What an exit callback or an access handler answers."""

    # not mine: do what would be done without the callback
    DEFAULT = 0
    # dealt with: the vCPU goes on
    RESUME = 1
    # stop the VM, result NESTVIRT_RESULT_STOPPED
    STOP = 2


class KernelFormat(Number):
    """NESTVIRT_KERNEL_*: Kernel formats of nestvirt_boot_set_kernel()."""

    # bzImage or ELF, by what the file says
    AUTO = 0
    # Linux boot protocol 2.10 or later; unpacked on the host
    BZIMAGE = 1
    # vmlinux, entered by the Linux 64-bit boot protocol
    ELF = 2
    # ELF with a PVH entry note, entered there
    PVH = 3
    # bzImage that unpacks itself in the guest
    BZIMAGE_IN_GUEST = 4


class Discovery(Flags):
    """NESTVIRT_DISCOVERY_*: Ways for the guest to find its hardware, of nestvirt_boot_set_discovery()."""

    # Intel MultiProcessor Specification 1.4
    MPTABLE = 1
    # ACPI 6.4, hardware-reduced
    ACPI = 2
    # virtio devices as words of the kernel command line
    CMDLINE = 4


class Mode(Number):
    """NESTVIRT_MODE_*: nestvirt_flat_config.mode."""

    # 16-bit real mode; entry below 1 MiB
    REAL = 0
    # 32-bit, flat segments, paging off
    PROTECTED = 1
    # 64-bit, the first 4 GiB mapped one to one
    LONG = 2


class ThreadKind(Number):
    """NESTVIRT_THREAD_*: Kinds of threads."""

    # one for each vCPU; its index is the vCPU's
    VCPU = 1
    # the event loop, index 0; none if no device needs one
    LOOP = 2
    # Those that wait for files: some for each disk, one for each serial line or console port whose output is
    # a file; counted through in the order of the devices.
    WORKER = 3


class SchedPolicy(Number):
    """NESTVIRT_SCHED_*: nestvirt_thread_config.policy, nestvirt_thread_info.policy; see sched(7)."""

    # config: as it is; info: one that is not among these
    LEAVE = 0
    OTHER = 1
    BATCH = 2
    IDLE = 3
    FIFO = 4
    RR = 5


class ThreadFlag(Flags):
    """NESTVIRT_THREAD_*: nestvirt_thread_config.flags."""

    # nice is to be set
    SET_NICE = 1
    # The threads named by this call get one new cookie of core scheduling: they share a core's hardware
    # threads with each other and with nobody else.
    CORE_COOKIE = 2


class ThreadInfoFlag(Flags):
    """NESTVIRT_THREAD_*: nestvirt_thread_info.flags."""

    # an event loop that was given to the VM
    SHARED = 1
    # cpu_time_ns and run_delay_ns are known
    HAS_TIMES = 2
    # core_cookie is known
    HAS_COOKIE = 4
    # last_cpu is known
    HAS_CPU = 8


class CgroupFlag(Flags):
    """NESTVIRT_CGROUP_*: Flags of nestvirt_cgroup_set()."""

    # those of NESTVIRT_THREAD_VCPU
    VCPU = 1
    # the VM's own event loop
    LOOP = 2
    # those of NESTVIRT_THREAD_WORKER
    WORKER = 4
    # in addition, an event loop that was given to the VM
    SHARED_LOOP = 8
    # share and limit CPU time
    NEED_CPU = 16
    # say which CPUs
    NEED_CPUSET = 32
    # count memory of the VM: never, see above
    NEED_MEMORY = 64


class CgroupUsageFlag(Flags):
    """NESTVIRT_CGROUP_*: nestvirt_cgroup_usage.flags: which fields are known."""

    # cpu_time_ns
    HAS_TIME = 1
    # user_time_ns, system_time_ns
    HAS_SPLIT = 2
    # periods, throttled_periods, throttled_ns
    HAS_THROTTLING = 4
    # quota_us, period_us
    HAS_LIMIT = 8


class PropertyType(Number):
    """NESTVIRT_PROPERTY_*: nestvirt_device_property.type."""

    # a number; nestvirt_device_set_u64()
    U64 = 1
    # 0 or 1; nestvirt_device_set_u64()
    BOOL = 2
    # a file descriptor, duplicated; nestvirt_device_set_fd()
    FD = 3
    # text, copied; nestvirt_device_set_string()
    STRING = 4


class PropertyFlag(Flags):
    """NESTVIRT_PROPERTY_*: nestvirt_device_property.flags."""

    # may be set in any state
    LIVE = 1
    # a counter or state, only to be read
    READ_ONLY = 2
    # names what one VM has for itself: a clone has its own
    IDENTITY = 4


class Space(Number):
    """NESTVIRT_SPACE_*: Address spaces of handlers and notifications."""

    # addresses 0 to 0xffff
    PORT = 1
    # guest physical addresses
    MMIO = 2


class IoeventfdFlag(Flags):
    """NESTVIRT_IOEVENTFD_*: nestvirt_ioeventfd_config.flags."""

    # only writes of value
    DATAMATCH = 1


class IRQFlag(Flags):
    """NESTVIRT_IRQ_*: nestvirt_irq_add() flags."""

    # level-triggered: fires again at EOI while raised; else edge
    LEVEL = 1


class KSMSetting(Flags):
    """NESTVIRT_KSM_*: nestvirt_ksm_settings.flags: which fields count, or are known to this kernel."""

    RUN = 1
    PAGES_TO_SCAN = 2
    SLEEP_MS = 4
    MERGE_ACROSS_NODES = 8
    USE_ZERO_PAGES = 16
    MAX_PAGE_SHARING = 32
    SMART_SCAN = 64
    ADVISOR_MODE = 128
    ADVISOR_MAX_CPU = 256
    ADVISOR_MIN_PAGES = 512
    ADVISOR_MAX_PAGES = 1024
    ADVISOR_TARGET_S = 2048


class KSMRunMode(Number):
    """NESTVIRT_KSM_*: nestvirt_ksm_settings.run."""

    # nothing more is merged; what is merged stays so
    STOP = 0
    # the thread runs
    MERGE = 1
    # nothing more is merged, and every merged page becomes its own
    UNMERGE = 2


class KSMAdvisor(Number):
    """NESTVIRT_KSM_ADVISOR_*: nestvirt_ksm_settings.advisor_mode."""

    NONE = 0
    # the kernel chooses pages_to_scan itself
    SCAN_TIME = 1


class KSMStatsFlag(Flags):
    """NESTVIRT_KSM_*: nestvirt_ksm_stats.flags: which this kernel counts."""

    HAS_PAGES_SHARED = 1
    HAS_PAGES_SHARING = 2
    HAS_PAGES_UNSHARED = 4
    HAS_PAGES_VOLATILE = 8
    HAS_FULL_SCANS = 16
    HAS_PAGES_SCANNED = 32
    HAS_PAGES_SKIPPED = 64
    HAS_ZERO_PAGES = 128
    HAS_GENERAL_PROFIT = 256


class Backing(Number):
    """NESTVIRT_BACKING_*: nestvirt_memory_config.backing A guest can never end this process by touching
    memory: huge pages are taken from their pool when the region is added, and a file is mapped only where
    it cannot shrink or the caller answers for it (NESTVIRT_MEMORY_ALLOW_UNSEALED). at a new start (vm.h)
    a page the guest gives back (balloon) ANONYMOUS zeroed to the host MEMFD zeroed to the host HUGETLB
    zeroed stays with the VM FD left as it is a hole in the caller's file FILE the file's bytes again
    stays; to the host where the file was copied Whatever the backing, a page that was given back reads as
    zero."""

    # private memory of this process
    ANONYMOUS = 0
    # a memfd of the library's, sealed against change of size
    MEMFD = 1
    # Huge pages of the host's pool, private, zeroed when added; see page_size.
    HUGETLB = 2
    # The caller's memfd or file, open for reading and writing, shared: writes go there.
    FD = 3
    # The caller's file, private: writes stay here. A memfd sealed with F_SEAL_SHRINK, or any file with
    # NESTVIRT_MEMORY_ALLOW_UNSEALED, is mapped copy on write, sharing untouched pages with its other users.
    # Others are copied, now and at each new start.
    FILE = 4


class MemoryFlag(Flags):
    """NESTVIRT_MEMORY_*: nestvirt_memory_config.flags."""

    # Place the region by the default layout; address must be 0.
    DEFAULT_LAYOUT = 1
    # Touch every page in each nestvirt_vm_build(), on several threads, so that the guest never waits. Pages
    # of a file that is mapped copy on write stay shared until they are written. Needs Linux 5.14.
    PREFAULT = 2
    # Lock pages in memory from their first touch on (mlock2(2)); with PREFAULT all from build on. The whole
    # region counts against RLIMIT_MEMLOCK when it is added. Huge pages of a pool are always locked and do not
    # count.
    LOCK = 4
    # The guest and its devices can only read it; the caller writes it by nestvirt_memory_write(). A guest's
    # write is an exit that nobody handles and changes nothing; a virtio device that is told to write there
    # needs a reset. It is no RAM in the tables that a kernel is given. Hosts without
    # NESTVIRT_HOST_READONLY_MEMORY: nestvirt_vm_validate() and _build() say -ENOTSUP.
    READ_ONLY = 8
    # Leave it out of core dumps of this process.
    NO_DUMP = 16
    # Let KSM merge its pages, as nestvirt_memory_set_mergeable() does.
    MERGEABLE = 32
    # Of BACKING_FD and _FILE: map a file that can shrink. Whoever may truncate it can then end this process
    # with SIGBUS.
    ALLOW_UNSEALED = 64
    # The policy for nodes is kept to, and checked, or the call fails; without it, best effort.
    NUMA_STRICT = 128


class HugePages(Number):
    """NESTVIRT_HUGE_PAGES_*: nestvirt_memory_config.huge_pages: transparent huge pages (madvise(2))."""

    # as the host is set
    DEFAULT = 0
    # MADV_HUGEPAGE: where the host's setting is madvise or always
    ALWAYS = 1
    # MADV_NOHUGEPAGE
    NEVER = 2


class NUMAPolicy(Number):
    """NESTVIRT_NUMA_*: nestvirt_memory_config.numa_policy (set_mempolicy(2))."""

    # that of the thread which touches a page first
    DEFAULT = 0
    # the node of the CPU that touches a page first
    LOCAL = 1
    # numa_nodes and no other
    BIND = 2
    # the one node of numa_nodes, else another
    PREFERRED = 3
    # those of numa_nodes, else another (Linux 5.15)
    PREFERRED_MANY = 4
    # page by page over numa_nodes
    INTERLEAVE = 5


class NUMAFlag(Flags):
    """NESTVIRT_NUMA_*: flags of nestvirt_memory_set_numa()."""

    # fail if a page is, or stays, on another node
    STRICT = 1
    # move the pages that are on other nodes
    MOVE = 2


class MemoryKSMFlag(Flags):
    """NESTVIRT_MEMORY_KSM_*: nestvirt_memory_ksm.flags: which figures this kernel gave; the others are 0
    and mean nothing."""

    # merged_bytes: Linux 6.8
    MERGED = 1
    # process_merging_pages: Linux 6.4
    MERGING_PAGES = 2
    # process_zero_pages: Linux 6.6
    ZERO_PAGES = 4
    # process_rmap_items: Linux 6.1
    RMAP_ITEMS = 8
    # process_profit: Linux 6.4
    PROFIT = 16
    # host_run
    HOST_RUN = 32


class NUMANodeFlag(Flags):
    """NESTVIRT_NUMA_NODE_*: nestvirt_numa_node.flags."""

    # the thread's cpuset lets it have memory of the node
    ALLOWED = 1


class ObserverFlag(Flags):
    """NESTVIRT_OBSERVER_*: nestvirt_observer_config.flags."""

    # without a histogram there is to be no observer
    NEED_BPF = 1
    # totals are enough; not together with the other
    SCHEDSTAT = 2


class ObserveKind(Flags):
    """NESTVIRT_OBSERVE_*: kinds of nestvirt_observer_add()."""

    # vCPU threads
    VCPU = 1
    # the event loop, unless it was given to the VM
    LOOP = 2
    # threads that wait for files
    WORKER = 4


class WaitsFlag(Flags):
    """NESTVIRT_WAITS_*: nestvirt_waits.flags."""

    # no histogram, max_ns, lost, preempted, inferred: these are 0
    TOTALS_ONLY = 1
    # A thread that a later build made could not be observed; nestvirt_observer_add() says why.
    INCOMPLETE = 2


class WaitsWeight(Number):
    """NESTVIRT_WEIGHT_*: What rows of nestvirt_observer_get_text() count."""

    # waits
    COUNT = 1
    # microseconds spent in such waits
    TIME = 2


class PrivilegeFlag(Flags):
    """NESTVIRT_PRIVILEGE_*: nestvirt_privilege_config.flags: which fields count."""

    UID = 1
    GID = 2
    GROUPS = 4


class Role(Number):
    """NESTVIRT_ROLE_*: nestvirt_need.role: whose need."""

    # a vCPU's thread
    VCPU = 1
    # an event loop's
    LOOP = 2
    # a disk's workers; who writes a console's output to a file
    WORKER = 3
    # program threads in calls of a VM that is built: start to free
    CALLER = 4


class NeedKind(Number):
    """NESTVIRT_NEED_*: nestvirt_need.kind."""

    # number: of the system call on this architecture
    SYSCALL = 1
    # number: of the request; the role needs ioctl() for these alone
    IOCTL = 2
    # number: 0; what the role's descriptors are
    FD = 3


class Answer(Number):
    """NESTVIRT_ANSWER_*: nestvirt_report_item.answer."""

    # could not be found out; reason says why
    UNKNOWN = 0
    NO = 1
    YES = 2


class ReportGroup(Number):
    """NESTVIRT_GROUP_*: nestvirt_report_item.group; items of a group follow each other."""

    # what this machine is
    HOST = 1
    # may guests run VMs of their own?
    NESTED = 2
    # what the processor has
    CPU = 3
    # what KVM uses of it: the parameters of its module
    KVM = 4
    # kernel modules: yes means loaded or built in
    MODULE = 5
    # device files: yes means that this process may use it
    DEVICE = 6
    # number in bytes or as the title says
    MEMORY = 7
    # yes means that there is a limit, which is in number
    LIMIT = 8


class HostKind(Number):
    """NESTVIRT_KIND_*: nestvirt_report_item.number of 'host.kind'."""

    UNKNOWN = 0
    BARE_METAL = 1
    # this and the following: a guest of it
    KVM = 2
    XEN = 3
    HYPERV = 4
    VMWARE = 5
    OTHER = 6


class TemplateFlag(Flags):
    """NESTVIRT_TEMPLATE_*: Flags of nestvirt_template_new() and nestvirt_template_open()."""

    # new: the VM is used up. It is stopped (result NESTVIRT_RESULT_STOPPED) and can only be freed. Pointers
    # into its memory stay valid, but what is there is no longer the guest's. One region with
    # NESTVIRT_BACKING_MEMFD becomes the template's memory without a copy.
    CONSUME = 1
    # open: nobody will change or shorten the file while the template or a clone is there. Its memory is then
    # mapped and read only when it is used, unchecked; if the file does get shorter, this process ends by
    # SIGBUS.
    TRUST_FILE = 2


class ReflinkFlag(Flags):
    """NESTVIRT_REFLINK_*: Flags of nestvirt_reflink_new()."""

    # Where blocks cannot be shared, all data is copied, which takes its time and its room.
    OR_COPY = 1


class ExitReason(Number):
    """NESTVIRT_EXIT_*: nestvirt_exit.reason."""

    # port access: address, length, is_write, data
    PORT = 1
    # access outside memory: the same
    MMIO = 2
    # HLT, with NESTVIRT_CHIP_NONE
    HALT = 3
    # triple fault
    SHUTDOWN = 4
    # debug exit: code is the exception
    DEBUG = 5
    # KVM cannot go on: code is the suberror
    INTERNAL_ERROR = 6
    # nestvirt_vcpu_cancel(), pause, or a signal handler ran
    CANCELED = 7
    # the guest ended its VM: see nestvirt_vm_wait()
    STOPPED = 8
    # the hardware refused the state: code is its reason
    ENTRY_FAILED = 9
    # code is KVM's own exit reason
    UNKNOWN = 10


__all__ = [
    "Action",
    "Answer",
    "Backing",
    "CMDLINE_MAX",
    "CgroupFlag",
    "CgroupUsageFlag",
    "Chip",
    "DISTANCE_DEFAULT",
    "DISTANCE_LOCAL",
    "DISTANCE_MAX",
    "Discovery",
    "ErrorCode",
    "EventKind",
    "ExitReason",
    "GENERATION_SIZE",
    "GUEST_NODES_MAX",
    "HostFeature",
    "HostKind",
    "HugePages",
    "IRQFlag",
    "IRQ_ANY",
    "IoeventfdFlag",
    "KSMAdvisor",
    "KSMRunMode",
    "KSMSetting",
    "KSMStatsFlag",
    "KernelFormat",
    "LogLevel",
    "MEMORY_EVERY",
    "MemoryFlag",
    "MemoryKSMFlag",
    "Mode",
    "NUMAFlag",
    "NUMANodeFlag",
    "NUMAPolicy",
    "NeedKind",
    "ObserveKind",
    "ObserverFlag",
    "PRIVILEGE_GROUPS_MAX",
    "PrivilegeFlag",
    "PropertyFlag",
    "PropertyType",
    "ReflinkFlag",
    "ReportGroup",
    "ResultReason",
    "Role",
    "SchedPolicy",
    "Space",
    "State",
    "THREAD_EVERY",
    "TemplateFlag",
    "ThreadFlag",
    "ThreadInfoFlag",
    "ThreadKind",
    "VERSION_MAJOR",
    "VERSION_MICRO",
    "VERSION_MINOR",
    "VIRTIO_CONFIG_MAX",
    "VIRTIO_QUEUES_MAX",
    "VIRTIO_QUEUE_SIZE_MAX",
    "VMFlag",
    "VM_NAME_MAX",
    "WAIT_BUCKETS",
    "WaitsFlag",
    "WaitsWeight",
]
