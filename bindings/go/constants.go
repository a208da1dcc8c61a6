// SPDX-License-Identifier: Apache-2.0

// Code generated from include/nestvirt by bindings/generate/generate. DO NOT EDIT.

package nestvirt

const (
	// The version of these headers.
	VersionMajor = 0

	VersionMinor = 1
	VersionMicro = 0
)

// ErrorCode is NESTVIRT_E_*: Codes of the library's own, beside the negated errno values. Never
// renumbered.
type ErrorCode int32

const (
	// Something happened that the library holds to be impossible: a defect worth a report.
	EBUG ErrorCode = -4000

	// All 24 pins of the interrupt controller (IOAPIC) are in use.
	ENoInterruptPin ErrorCode = -4001

	// A vCPU could not be made to leave guest mode in time.
	EVCPUStuck ErrorCode = -4002

	// Several problems at once: see nestvirt_error_get_next().
	EInvalidVM ErrorCode = -4003

	// Saved state is cut off, damaged, of another kind, or from a newer release.
	EBadState ErrorCode = -4004
)

var namesErrorCode = []name{
	{-4000, "bug"},
	{-4001, "no interrupt pin"},
	{-4002, "vcpu stuck"},
	{-4003, "invalid vm"},
	{-4004, "bad state"},
}

// String gives the C constant's words in lower case.
func (v ErrorCode) String() string { return word(namesErrorCode, int64(v)) }

// HostFeature is NESTVIRT_HOST_*: Bits of nestvirt_host_info.features.
type HostFeature uint32

const (
	// local APIC in the kernel, IOAPIC in the library
	HostSplitIrqchip HostFeature = 1

	// interrupts by eventfd
	HostIrqfd HostFeature = 2

	// guest writes signal an eventfd
	HostIoeventfd HostFeature = 4

	// x2APIC in KVM's supported CPUID
	HostX2apic HostFeature = 8

	// TSC deadline timer
	HostTSCDeadline HostFeature = 16

	// paravirtual clock
	HostKvmclock HostFeature = 32

	// guests may use VMX
	HostNestedVMX HostFeature = 64

	// guests may use SVM
	HostNestedSVM HostFeature = 128

	// read-only memory slots
	HostReadonlyMemory HostFeature = 256

	// software KVM that interprets guest ring 0 (pvm)
	HostInterpreted HostFeature = 512
)

var namesHostFeature = []name{
	{1, "split irqchip"},
	{2, "irqfd"},
	{4, "ioeventfd"},
	{8, "x2apic"},
	{16, "tsc deadline"},
	{32, "kvmclock"},
	{64, "nested vmx"},
	{128, "nested svm"},
	{256, "readonly memory"},
	{512, "interpreted"},
}

// String gives the C constant's words in lower case.
func (v HostFeature) String() string { return bits(namesHostFeature, int64(v)) }

// State is NESTVIRT_STATE_*: States, in the order of a VM's life; see the drawing above.
type State uint32

const (
	StateNew     State = 1
	StateBuilt   State = 2
	StateRunning State = 3
	StatePaused  State = 4
	StateStopped State = 5
	StateFailed  State = 6
)

var namesState = []name{
	{1, "new"},
	{2, "built"},
	{3, "running"},
	{4, "paused"},
	{5, "stopped"},
	{6, "failed"},
}

// String gives the C constant's words in lower case.
func (v State) String() string { return word(namesState, int64(v)) }

// Chip is NESTVIRT_CHIP_*: nestvirt_vm_config.interrupt_chip
type Chip uint32

const (
	// local APICs in the kernel, IOAPIC in the library; no PIC, no PIT
	ChipSplit Chip = 0

	// nothing: HLT is an exit, interrupts are the caller's
	ChipNone Chip = 1

	// PIC, IOAPIC and local APICs in the kernel: slow to create
	ChipKernel Chip = 2
)

var namesChip = []name{
	{0, "split"},
	{1, "none"},
	{2, "kernel"},
}

// String gives the C constant's words in lower case.
func (v Chip) String() string { return word(namesChip, int64(v)) }

// VMFlag is NESTVIRT_VM_*: nestvirt_vm_config.flags
type VMFlag uint32

const (
	// No vCPU threads: the caller runs each vCPU with nestvirt_vcpu_run().
	VMManualVCPUs VMFlag = 1

	// Complete the few instructions that interpreted KVM hosts refuse (int3, fwait, clac, stac).
	VMFixups VMFlag = 2

	// A programmable interval timer; only with NESTVIRT_CHIP_KERNEL.
	VMPIT VMFlag = 4

	// The guest sees VMX or SVM and may run VMs of its own. Without it they are hidden, whatever a
	// CPUID mask says. Only where the host has NESTVIRT_HOST_NESTED_VMX or NESTVIRT_HOST_NESTED_SVM;
	// nestvirt_report_new() tells why it has not.
	VMNested VMFlag = 8
)

var namesVMFlag = []name{
	{1, "manual vcpus"},
	{2, "fixups"},
	{4, "pit"},
	{8, "nested"},
}

// String gives the C constant's words in lower case.
func (v VMFlag) String() string { return bits(namesVMFlag, int64(v)) }

const (
	// bytes of a VM's name
	VMNameMax = 63
)

// LogLevel is NESTVIRT_LOG_*: Levels of nestvirt_vm_set_log().
type LogLevel uint32

const (
	LogError   LogLevel = 1
	LogWarning LogLevel = 2
	LogInfo    LogLevel = 3
	LogDebug   LogLevel = 4
)

var namesLogLevel = []name{
	{1, "error"},
	{2, "warning"},
	{3, "info"},
	{4, "debug"},
}

// String gives the C constant's words in lower case.
func (v LogLevel) String() string { return word(namesLogLevel, int64(v)) }

// ResultReason is NESTVIRT_RESULT_*: nestvirt_vm_result.reason
type ResultReason uint32

const (
	// has not ended
	ResultNone ResultReason = 0

	// the guest asked for a reset
	ResultGuestReset ResultReason = 1

	// the guest powered itself off
	ResultGuestShutdown ResultReason = 2

	// also how some kernels reset
	ResultTripleFault ResultReason = 3

	// the guest wrote to the exit device: exit_code
	ResultGuestExit ResultReason = 4

	// the caller stopped it
	ResultStopped ResultReason = 5

	// KVM could not go on: rip, suberror, instruction
	ResultInternalError ResultReason = 6

	// every vCPU halted and nothing can wake it (CHIP_NONE)
	ResultGuestHalt ResultReason = 7
)

var namesResultReason = []name{
	{0, "none"},
	{1, "guest reset"},
	{2, "guest shutdown"},
	{3, "triple fault"},
	{4, "guest exit"},
	{5, "stopped"},
	{6, "internal error"},
	{7, "guest halt"},
}

// String gives the C constant's words in lower case.
func (v ResultReason) String() string { return word(namesResultReason, int64(v)) }

// EventKind is NESTVIRT_EVENT_*: nestvirt_event.kind
type EventKind uint32

const (
	// the state changed: values[0] old, values[1] new
	EventState EventKind = 1

	// the VM stopped: values[0] is the result's reason
	EventStopped EventKind = 2

	// an access nobody owns: values address, length, is_write; the first of each burst only
	EventUnhandledExit EventKind = 3

	// values[0] events were dropped: the queue was full
	EventLost EventKind = 4

	// a disk: values[0] the device's number, values[1] the errno of the host; the VM is paused if the
	// disk's policy says so
	EventIOError EventKind = 5

	// a network device: values[0] its number, values[1] 0, or the errno with which its tap went down
	EventLink EventKind = 6
)

var namesEventKind = []name{
	{1, "state"},
	{2, "stopped"},
	{3, "unhandled exit"},
	{4, "lost"},
	{5, "io error"},
	{6, "link"},
}

// String gives the C constant's words in lower case.
func (v EventKind) String() string { return word(namesEventKind, int64(v)) }

// Action is NESTVIRT_ACTION_*: What an exit callback or an access handler answers.
type Action uint32

const (
	// not mine: do what would be done without the callback
	ActionDefault Action = 0

	// dealt with: the vCPU goes on
	ActionResume Action = 1

	// stop the VM, result NESTVIRT_RESULT_STOPPED
	ActionStop Action = 2
)

var namesAction = []name{
	{0, "default"},
	{1, "resume"},
	{2, "stop"},
}

// String gives the C constant's words in lower case.
func (v Action) String() string { return word(namesAction, int64(v)) }

// KernelFormat is NESTVIRT_KERNEL_*: Kernel formats of nestvirt_boot_set_kernel().
type KernelFormat uint32

const (
	// bzImage or ELF, by what the file says
	KernelAuto KernelFormat = 0

	// Linux boot protocol 2.10 or later; unpacked on the host
	KernelBzImage KernelFormat = 1

	// vmlinux, entered by the Linux 64-bit boot protocol
	KernelELF KernelFormat = 2

	// ELF with a PVH entry note, entered there
	KernelPVH KernelFormat = 3

	// bzImage that unpacks itself in the guest
	KernelBzImageInGuest KernelFormat = 4
)

var namesKernelFormat = []name{
	{0, "auto"},
	{1, "bzimage"},
	{2, "elf"},
	{3, "pvh"},
	{4, "bzimage in guest"},
}

// String gives the C constant's words in lower case.
func (v KernelFormat) String() string { return word(namesKernelFormat, int64(v)) }

const (
	// bytes of a kernel command line
	CmdlineMax = 2047
)

// Discovery is NESTVIRT_DISCOVERY_*: Ways for the guest to find its hardware, of
// nestvirt_boot_set_discovery().
type Discovery uint32

const (
	// Intel MultiProcessor Specification 1.4
	DiscoveryMPTable Discovery = 1

	// ACPI 6.4, hardware-reduced
	DiscoveryACPI Discovery = 2

	// virtio devices as words of the kernel command line
	DiscoveryCmdline Discovery = 4
)

var namesDiscovery = []name{
	{1, "mptable"},
	{2, "acpi"},
	{4, "cmdline"},
}

// String gives the C constant's words in lower case.
func (v Discovery) String() string { return bits(namesDiscovery, int64(v)) }

// Mode is NESTVIRT_MODE_*: nestvirt_flat_config.mode
type Mode uint32

const (
	// 16-bit real mode; entry below 1 MiB
	ModeReal Mode = 0

	// 32-bit, flat segments, paging off
	ModeProtected Mode = 1

	// 64-bit, the first 4 GiB mapped one to one
	ModeLong Mode = 2
)

var namesMode = []name{
	{0, "real"},
	{1, "protected"},
	{2, "long"},
}

// String gives the C constant's words in lower case.
func (v Mode) String() string { return word(namesMode, int64(v)) }

// ThreadKind is NESTVIRT_THREAD_*: Kinds of threads.
type ThreadKind uint32

const (
	// one for each vCPU; its index is the vCPU's
	ThreadVCPU ThreadKind = 1

	// the event loop, index 0; none if no device needs one
	ThreadLoop ThreadKind = 2

	// Those that wait for files: some for each disk, one for each serial line or console port whose
	// output is a file; counted through in the order of the devices.
	ThreadWorker ThreadKind = 3
)

var namesThreadKind = []name{
	{1, "vcpu"},
	{2, "loop"},
	{3, "worker"},
}

// String gives the C constant's words in lower case.
func (v ThreadKind) String() string { return word(namesThreadKind, int64(v)) }

const (
	// as an index: all of the kind
	ThreadEvery = 2147483647
)

// SchedPolicy is NESTVIRT_SCHED_*: nestvirt_thread_config.policy, nestvirt_thread_info.policy; see
// sched(7).
type SchedPolicy uint32

const (
	// config: as it is; info: one that is not among these
	SchedLeave SchedPolicy = 0

	SchedOther SchedPolicy = 1
	SchedBatch SchedPolicy = 2
	SchedIdle  SchedPolicy = 3
	SchedFIFO  SchedPolicy = 4
	SchedRR    SchedPolicy = 5
)

var namesSchedPolicy = []name{
	{0, "leave"},
	{1, "other"},
	{2, "batch"},
	{3, "idle"},
	{4, "fifo"},
	{5, "rr"},
}

// String gives the C constant's words in lower case.
func (v SchedPolicy) String() string { return word(namesSchedPolicy, int64(v)) }

// ThreadFlag is NESTVIRT_THREAD_*: nestvirt_thread_config.flags
type ThreadFlag uint32

const (
	// nice is to be set
	ThreadSetNice ThreadFlag = 1

	// The threads named by this call get one new cookie of core scheduling: they share a core's
	// hardware threads with each other and with nobody else.
	ThreadCoreCookie ThreadFlag = 2
)

var namesThreadFlag = []name{
	{1, "set nice"},
	{2, "core cookie"},
}

// String gives the C constant's words in lower case.
func (v ThreadFlag) String() string { return bits(namesThreadFlag, int64(v)) }

// ThreadInfoFlag is NESTVIRT_THREAD_*: nestvirt_thread_info.flags
type ThreadInfoFlag uint32

const (
	// an event loop that was given to the VM
	ThreadShared ThreadInfoFlag = 1

	// cpu_time_ns and run_delay_ns are known
	ThreadHasTimes ThreadInfoFlag = 2

	// core_cookie is known
	ThreadHasCookie ThreadInfoFlag = 4

	// last_cpu is known
	ThreadHasCPU ThreadInfoFlag = 8
)

var namesThreadInfoFlag = []name{
	{1, "shared"},
	{2, "has times"},
	{4, "has cookie"},
	{8, "has cpu"},
}

// String gives the C constant's words in lower case.
func (v ThreadInfoFlag) String() string { return bits(namesThreadInfoFlag, int64(v)) }

// CgroupFlag is NESTVIRT_CGROUP_*: Flags of nestvirt_cgroup_set().
type CgroupFlag uint32

const (
	// those of NESTVIRT_THREAD_VCPU
	CgroupVCPU CgroupFlag = 1

	// the VM's own event loop
	CgroupLoop CgroupFlag = 2

	// those of NESTVIRT_THREAD_WORKER
	CgroupWorker CgroupFlag = 4

	// in addition, an event loop that was given to the VM
	CgroupSharedLoop CgroupFlag = 8

	// share and limit CPU time
	CgroupNeedCPU CgroupFlag = 16

	// say which CPUs
	CgroupNeedCpuset CgroupFlag = 32

	// count memory of the VM: never, see above
	CgroupNeedMemory CgroupFlag = 64
)

var namesCgroupFlag = []name{
	{1, "vcpu"},
	{2, "loop"},
	{4, "worker"},
	{8, "shared loop"},
	{16, "need cpu"},
	{32, "need cpuset"},
	{64, "need memory"},
}

// String gives the C constant's words in lower case.
func (v CgroupFlag) String() string { return bits(namesCgroupFlag, int64(v)) }

// CgroupUsageFlag is NESTVIRT_CGROUP_*: nestvirt_cgroup_usage.flags: which fields are known.
type CgroupUsageFlag uint32

const (
	// cpu_time_ns
	CgroupHasTime CgroupUsageFlag = 1

	// user_time_ns, system_time_ns
	CgroupHasSplit CgroupUsageFlag = 2

	// periods, throttled_periods, throttled_ns
	CgroupHasThrottling CgroupUsageFlag = 4

	// quota_us, period_us
	CgroupHasLimit CgroupUsageFlag = 8
)

var namesCgroupUsageFlag = []name{
	{1, "has time"},
	{2, "has split"},
	{4, "has throttling"},
	{8, "has limit"},
}

// String gives the C constant's words in lower case.
func (v CgroupUsageFlag) String() string { return bits(namesCgroupUsageFlag, int64(v)) }

// PropertyType is NESTVIRT_PROPERTY_*: nestvirt_device_property.type
type PropertyType uint32

const (
	// a number; nestvirt_device_set_u64()
	PropertyU64 PropertyType = 1

	// 0 or 1; nestvirt_device_set_u64()
	PropertyBool PropertyType = 2

	// a file descriptor, duplicated; nestvirt_device_set_fd()
	PropertyFD PropertyType = 3

	// text, copied; nestvirt_device_set_string()
	PropertyString PropertyType = 4
)

var namesPropertyType = []name{
	{1, "u64"},
	{2, "bool"},
	{3, "fd"},
	{4, "string"},
}

// String gives the C constant's words in lower case.
func (v PropertyType) String() string { return word(namesPropertyType, int64(v)) }

// PropertyFlag is NESTVIRT_PROPERTY_*: nestvirt_device_property.flags
type PropertyFlag uint32

const (
	// may be set in any state
	PropertyLive PropertyFlag = 1

	// a counter or state, only to be read
	PropertyReadOnly PropertyFlag = 2

	// names what one VM has for itself: a clone has its own
	PropertyIdentity PropertyFlag = 4
)

var namesPropertyFlag = []name{
	{1, "live"},
	{2, "read only"},
	{4, "identity"},
}

// String gives the C constant's words in lower case.
func (v PropertyFlag) String() string { return bits(namesPropertyFlag, int64(v)) }

// Space is NESTVIRT_SPACE_*: Address spaces of handlers and notifications.
type Space uint32

const (
	// addresses 0 to 0xffff
	SpacePort Space = 1

	// guest physical addresses
	SpaceMMIO Space = 2
)

var namesSpace = []name{
	{1, "port"},
	{2, "mmio"},
}

// String gives the C constant's words in lower case.
func (v Space) String() string { return word(namesSpace, int64(v)) }

// IoeventfdFlag is NESTVIRT_IOEVENTFD_*: nestvirt_ioeventfd_config.flags
type IoeventfdFlag uint32

const (
	// only writes of value
	IoeventfdDatamatch IoeventfdFlag = 1
)

var namesIoeventfdFlag = []name{
	{1, "datamatch"},
}

// String gives the C constant's words in lower case.
func (v IoeventfdFlag) String() string { return bits(namesIoeventfdFlag, int64(v)) }

const (
	// nestvirt_irq_add(): let the library choose the pin
	IRQAny = 2147483647
)

// IRQFlag is NESTVIRT_IRQ_*: nestvirt_irq_add() flags
type IRQFlag uint32

const (
	// level-triggered: fires again at EOI while raised; else edge
	IRQLevel IRQFlag = 1
)

var namesIRQFlag = []name{
	{1, "level"},
}

// String gives the C constant's words in lower case.
func (v IRQFlag) String() string { return bits(namesIRQFlag, int64(v)) }

// KSMSetting is NESTVIRT_KSM_*: nestvirt_ksm_settings.flags: which fields count, or are known to
// this kernel.
type KSMSetting uint32

const (
	KSMRun              KSMSetting = 1
	KSMPagesToScan      KSMSetting = 2
	KSMSleepMs          KSMSetting = 4
	KSMMergeAcrossNodes KSMSetting = 8
	KSMUseZeroPages     KSMSetting = 16
	KSMMaxPageSharing   KSMSetting = 32
	KSMSmartScan        KSMSetting = 64
	KSMAdvisorMode      KSMSetting = 128
	KSMAdvisorMaxCPU    KSMSetting = 256
	KSMAdvisorMinPages  KSMSetting = 512
	KSMAdvisorMaxPages  KSMSetting = 1024
	KSMAdvisorTargetS   KSMSetting = 2048
)

var namesKSMSetting = []name{
	{1, "run"},
	{2, "pages to scan"},
	{4, "sleep ms"},
	{8, "merge across nodes"},
	{16, "use zero pages"},
	{32, "max page sharing"},
	{64, "smart scan"},
	{128, "advisor mode"},
	{256, "advisor max cpu"},
	{512, "advisor min pages"},
	{1024, "advisor max pages"},
	{2048, "advisor target s"},
}

// String gives the C constant's words in lower case.
func (v KSMSetting) String() string { return bits(namesKSMSetting, int64(v)) }

// KSMRunMode is NESTVIRT_KSM_*: nestvirt_ksm_settings.run
type KSMRunMode uint32

const (
	// nothing more is merged; what is merged stays so
	KSMStop KSMRunMode = 0

	// the thread runs
	KSMMerge KSMRunMode = 1

	// nothing more is merged, and every merged page becomes its own
	KSMUnmerge KSMRunMode = 2
)

var namesKSMRunMode = []name{
	{0, "stop"},
	{1, "merge"},
	{2, "unmerge"},
}

// String gives the C constant's words in lower case.
func (v KSMRunMode) String() string { return word(namesKSMRunMode, int64(v)) }

// KSMAdvisor is NESTVIRT_KSM_ADVISOR_*: nestvirt_ksm_settings.advisor_mode
type KSMAdvisor uint32

const (
	KSMAdvisorNone KSMAdvisor = 0
	// the kernel chooses pages_to_scan itself
	KSMAdvisorScanTime KSMAdvisor = 1
)

var namesKSMAdvisor = []name{
	{0, "none"},
	{1, "scan time"},
}

// String gives the C constant's words in lower case.
func (v KSMAdvisor) String() string { return word(namesKSMAdvisor, int64(v)) }

// KSMStatsFlag is NESTVIRT_KSM_*: nestvirt_ksm_stats.flags: which this kernel counts.
type KSMStatsFlag uint32

const (
	KSMHasPagesShared   KSMStatsFlag = 1
	KSMHasPagesSharing  KSMStatsFlag = 2
	KSMHasPagesUnshared KSMStatsFlag = 4
	KSMHasPagesVolatile KSMStatsFlag = 8
	KSMHasFullScans     KSMStatsFlag = 16
	KSMHasPagesScanned  KSMStatsFlag = 32
	KSMHasPagesSkipped  KSMStatsFlag = 64
	KSMHasZeroPages     KSMStatsFlag = 128
	KSMHasGeneralProfit KSMStatsFlag = 256
)

var namesKSMStatsFlag = []name{
	{1, "has pages shared"},
	{2, "has pages sharing"},
	{4, "has pages unshared"},
	{8, "has pages volatile"},
	{16, "has full scans"},
	{32, "has pages scanned"},
	{64, "has pages skipped"},
	{128, "has zero pages"},
	{256, "has general profit"},
}

// String gives the C constant's words in lower case.
func (v KSMStatsFlag) String() string { return bits(namesKSMStatsFlag, int64(v)) }

// Backing is NESTVIRT_BACKING_*: nestvirt_memory_config.backing A guest can never end this process
// by touching memory: huge pages are taken from their pool when the region is added, and a file is
// mapped only where it cannot shrink or the caller answers for it (NESTVIRT_MEMORY_ALLOW_UNSEALED).
// at a new start (vm.h) a page the guest gives back (balloon) ANONYMOUS zeroed to the host MEMFD
// zeroed to the host HUGETLB zeroed stays with the VM FD left as it is a hole in the caller's file
// FILE the file's bytes again stays; to the host where the file was copied Whatever the backing, a
// page that was given back reads as zero.
type Backing uint32

const (
	// private memory of this process
	BackingAnonymous Backing = 0

	// a memfd of the library's, sealed against change of size
	BackingMemfd Backing = 1

	// Huge pages of the host's pool, private, zeroed when added; see page_size.
	BackingHugetlb Backing = 2

	// The caller's memfd or file, open for reading and writing, shared: writes go there.
	BackingFD Backing = 3

	// The caller's file, private: writes stay here. A memfd sealed with F_SEAL_SHRINK, or any file
	// with NESTVIRT_MEMORY_ALLOW_UNSEALED, is mapped copy on write, sharing untouched pages with its
	// other users. Others are copied, now and at each new start.
	BackingFile Backing = 4
)

var namesBacking = []name{
	{0, "anonymous"},
	{1, "memfd"},
	{2, "hugetlb"},
	{3, "fd"},
	{4, "file"},
}

// String gives the C constant's words in lower case.
func (v Backing) String() string { return word(namesBacking, int64(v)) }

// MemoryFlag is NESTVIRT_MEMORY_*: nestvirt_memory_config.flags
type MemoryFlag uint32

const (
	// Place the region by the default layout; address must be 0.
	MemoryDefaultLayout MemoryFlag = 1

	// Touch every page in each nestvirt_vm_build(), on several threads, so that the guest never waits.
	// Pages of a file that is mapped copy on write stay shared until they are written. Needs Linux
	// 5.14.
	MemoryPrefault MemoryFlag = 2

	// Lock pages in memory from their first touch on (mlock2(2)); with PREFAULT all from build on. The
	// whole region counts against RLIMIT_MEMLOCK when it is added. Huge pages of a pool are always
	// locked and do not count.
	MemoryLock MemoryFlag = 4

	// The guest and its devices can only read it; the caller writes it by nestvirt_memory_write(). A
	// guest's write is an exit that nobody handles and changes nothing; a virtio device that is told
	// to write there needs a reset. It is no RAM in the tables that a kernel is given. Hosts without
	// NESTVIRT_HOST_READONLY_MEMORY: nestvirt_vm_validate() and _build() say -ENOTSUP.
	MemoryReadOnly MemoryFlag = 8

	// Leave it out of core dumps of this process.
	MemoryNoDump MemoryFlag = 16

	// Let KSM merge its pages, as nestvirt_memory_set_mergeable() does.
	MemoryMergeable MemoryFlag = 32

	// Of BACKING_FD and _FILE: map a file that can shrink. Whoever may truncate it can then end this
	// process with SIGBUS.
	MemoryAllowUnsealed MemoryFlag = 64

	// The policy for nodes is kept to, and checked, or the call fails; without it, best effort.
	MemoryNUMAStrict MemoryFlag = 128
)

var namesMemoryFlag = []name{
	{1, "default layout"},
	{2, "prefault"},
	{4, "lock"},
	{8, "read only"},
	{16, "no dump"},
	{32, "mergeable"},
	{64, "allow unsealed"},
	{128, "numa strict"},
}

// String gives the C constant's words in lower case.
func (v MemoryFlag) String() string { return bits(namesMemoryFlag, int64(v)) }

// HugePages is NESTVIRT_HUGE_PAGES_*: nestvirt_memory_config.huge_pages: transparent huge pages
// (madvise(2))
type HugePages uint32

const (
	// as the host is set
	HugePagesDefault HugePages = 0

	// MADV_HUGEPAGE: where the host's setting is madvise or always
	HugePagesAlways HugePages = 1

	// MADV_NOHUGEPAGE
	HugePagesNever HugePages = 2
)

var namesHugePages = []name{
	{0, "default"},
	{1, "always"},
	{2, "never"},
}

// String gives the C constant's words in lower case.
func (v HugePages) String() string { return word(namesHugePages, int64(v)) }

// NUMAPolicy is NESTVIRT_NUMA_*: nestvirt_memory_config.numa_policy (set_mempolicy(2))
type NUMAPolicy uint32

const (
	// that of the thread which touches a page first
	NUMADefault NUMAPolicy = 0

	// the node of the CPU that touches a page first
	NUMALocal NUMAPolicy = 1

	// numa_nodes and no other
	NUMABind NUMAPolicy = 2

	// the one node of numa_nodes, else another
	NUMAPreferred NUMAPolicy = 3

	// those of numa_nodes, else another (Linux 5.15)
	NUMAPreferredMany NUMAPolicy = 4

	// page by page over numa_nodes
	NUMAInterleave NUMAPolicy = 5
)

var namesNUMAPolicy = []name{
	{0, "default"},
	{1, "local"},
	{2, "bind"},
	{3, "preferred"},
	{4, "preferred many"},
	{5, "interleave"},
}

// String gives the C constant's words in lower case.
func (v NUMAPolicy) String() string { return word(namesNUMAPolicy, int64(v)) }

// NUMAFlag is NESTVIRT_NUMA_*: flags of nestvirt_memory_set_numa()
type NUMAFlag uint32

const (
	// fail if a page is, or stays, on another node
	NUMAStrict NUMAFlag = 1

	// move the pages that are on other nodes
	NUMAMove NUMAFlag = 2
)

var namesNUMAFlag = []name{
	{1, "strict"},
	{2, "move"},
}

// String gives the C constant's words in lower case.
func (v NUMAFlag) String() string { return bits(namesNUMAFlag, int64(v)) }

const (
	// in place of a region's number: all of the VM
	MemoryEvery = 2147483647
)

// MemoryKSMFlag is NESTVIRT_MEMORY_KSM_*: nestvirt_memory_ksm.flags: which figures this kernel
// gave; the others are 0 and mean nothing.
type MemoryKSMFlag uint32

const (
	// merged_bytes: Linux 6.8
	MemoryKSMMerged MemoryKSMFlag = 1

	// process_merging_pages: Linux 6.4
	MemoryKSMMergingPages MemoryKSMFlag = 2

	// process_zero_pages: Linux 6.6
	MemoryKSMZeroPages MemoryKSMFlag = 4

	// process_rmap_items: Linux 6.1
	MemoryKSMRmapItems MemoryKSMFlag = 8

	// process_profit: Linux 6.4
	MemoryKSMProfit MemoryKSMFlag = 16

	// host_run
	MemoryKSMHostRun MemoryKSMFlag = 32
)

var namesMemoryKSMFlag = []name{
	{1, "merged"},
	{2, "merging pages"},
	{4, "zero pages"},
	{8, "rmap items"},
	{16, "profit"},
	{32, "host run"},
}

// String gives the C constant's words in lower case.
func (v MemoryKSMFlag) String() string { return bits(namesMemoryKSMFlag, int64(v)) }

// NUMANodeFlag is NESTVIRT_NUMA_NODE_*: nestvirt_numa_node.flags
type NUMANodeFlag uint32

const (
	// the thread's cpuset lets it have memory of the node
	NUMANodeAllowed NUMANodeFlag = 1
)

var namesNUMANodeFlag = []name{
	{1, "allowed"},
}

// String gives the C constant's words in lower case.
func (v NUMANodeFlag) String() string { return bits(namesNUMANodeFlag, int64(v)) }

const (
	// nodes of a guest: what Linux is usually built for
	GuestNodesMax = 64

	DistanceLocal = 10
	// between nodes, if not set
	DistanceDefault = 20

	DistanceMax = 254
)

// ObserverFlag is NESTVIRT_OBSERVER_*: nestvirt_observer_config.flags
type ObserverFlag uint32

const (
	// without a histogram there is to be no observer
	ObserverNeedBPF ObserverFlag = 1

	// totals are enough; not together with the other
	ObserverSchedstat ObserverFlag = 2
)

var namesObserverFlag = []name{
	{1, "need bpf"},
	{2, "schedstat"},
}

// String gives the C constant's words in lower case.
func (v ObserverFlag) String() string { return bits(namesObserverFlag, int64(v)) }

// ObserveKind is NESTVIRT_OBSERVE_*: kinds of nestvirt_observer_add()
type ObserveKind uint32

const (
	// vCPU threads
	ObserveVCPU ObserveKind = 1

	// the event loop, unless it was given to the VM
	ObserveLoop ObserveKind = 2

	// threads that wait for files
	ObserveWorker ObserveKind = 4
)

var namesObserveKind = []name{
	{1, "vcpu"},
	{2, "loop"},
	{4, "worker"},
}

// String gives the C constant's words in lower case.
func (v ObserveKind) String() string { return bits(namesObserveKind, int64(v)) }

// WaitsFlag is NESTVIRT_WAITS_*: nestvirt_waits.flags
type WaitsFlag uint32

const (
	// no histogram, max_ns, lost, preempted, inferred: these are 0
	WaitsTotalsOnly WaitsFlag = 1

	// A thread that a later build made could not be observed; nestvirt_observer_add() says why.
	WaitsIncomplete WaitsFlag = 2
)

var namesWaitsFlag = []name{
	{1, "totals only"},
	{2, "incomplete"},
}

// String gives the C constant's words in lower case.
func (v WaitsFlag) String() string { return bits(namesWaitsFlag, int64(v)) }

const (
	// Buckets of a histogram: 125 ns wide up to 2 us, then eight for each power of two up to 134 s,
	// and one for what is longer. Fixed for good.
	WaitBuckets = 225
)

// WaitsWeight is NESTVIRT_WEIGHT_*: What rows of nestvirt_observer_get_text() count.
type WaitsWeight uint32

const (
	// waits
	WeightCount WaitsWeight = 1

	// microseconds spent in such waits
	WeightTime WaitsWeight = 2
)

var namesWaitsWeight = []name{
	{1, "count"},
	{2, "time"},
}

// String gives the C constant's words in lower case.
func (v WaitsWeight) String() string { return word(namesWaitsWeight, int64(v)) }

// PrivilegeFlag is NESTVIRT_PRIVILEGE_*: nestvirt_privilege_config.flags: which fields count.
type PrivilegeFlag uint32

const (
	PrivilegeUID    PrivilegeFlag = 1
	PrivilegeGID    PrivilegeFlag = 2
	PrivilegeGroups PrivilegeFlag = 4
)

var namesPrivilegeFlag = []name{
	{1, "uid"},
	{2, "gid"},
	{4, "groups"},
}

// String gives the C constant's words in lower case.
func (v PrivilegeFlag) String() string { return bits(namesPrivilegeFlag, int64(v)) }

const (
	// supplementary groups, Linux's own limit
	PrivilegeGroupsMax = 65536
)

// Role is NESTVIRT_ROLE_*: nestvirt_need.role: whose need.
type Role uint32

const (
	// a vCPU's thread
	RoleVCPU Role = 1

	// an event loop's
	RoleLoop Role = 2

	// a disk's workers; who writes a console's output to a file
	RoleWorker Role = 3

	// program threads in calls of a VM that is built: start to free
	RoleCaller Role = 4
)

var namesRole = []name{
	{1, "vcpu"},
	{2, "loop"},
	{3, "worker"},
	{4, "caller"},
}

// String gives the C constant's words in lower case.
func (v Role) String() string { return word(namesRole, int64(v)) }

// NeedKind is NESTVIRT_NEED_*: nestvirt_need.kind
type NeedKind uint32

const (
	// number: of the system call on this architecture
	NeedSyscall NeedKind = 1

	// number: of the request; the role needs ioctl() for these alone
	NeedIoctl NeedKind = 2

	// number: 0; what the role's descriptors are
	NeedFD NeedKind = 3
)

var namesNeedKind = []name{
	{1, "syscall"},
	{2, "ioctl"},
	{3, "fd"},
}

// String gives the C constant's words in lower case.
func (v NeedKind) String() string { return word(namesNeedKind, int64(v)) }

// Answer is NESTVIRT_ANSWER_*: nestvirt_report_item.answer
type Answer uint32

const (
	// could not be found out; reason says why
	AnswerUnknown Answer = 0

	AnswerNo  Answer = 1
	AnswerYes Answer = 2
)

var namesAnswer = []name{
	{0, "unknown"},
	{1, "no"},
	{2, "yes"},
}

// String gives the C constant's words in lower case.
func (v Answer) String() string { return word(namesAnswer, int64(v)) }

// ReportGroup is NESTVIRT_GROUP_*: nestvirt_report_item.group; items of a group follow each other.
type ReportGroup uint32

const (
	// what this machine is
	GroupHost ReportGroup = 1

	// may guests run VMs of their own?
	GroupNested ReportGroup = 2

	// what the processor has
	GroupCPU ReportGroup = 3

	// what KVM uses of it: the parameters of its module
	GroupKVM ReportGroup = 4

	// kernel modules: yes means loaded or built in
	GroupModule ReportGroup = 5

	// device files: yes means that this process may use it
	GroupDevice ReportGroup = 6

	// number in bytes or as the title says
	GroupMemory ReportGroup = 7

	// yes means that there is a limit, which is in number
	GroupLimit ReportGroup = 8
)

var namesReportGroup = []name{
	{1, "host"},
	{2, "nested"},
	{3, "cpu"},
	{4, "kvm"},
	{5, "module"},
	{6, "device"},
	{7, "memory"},
	{8, "limit"},
}

// String gives the C constant's words in lower case.
func (v ReportGroup) String() string { return word(namesReportGroup, int64(v)) }

// HostKind is NESTVIRT_KIND_*: nestvirt_report_item.number of "host.kind"
type HostKind uint32

const (
	KindUnknown   HostKind = 0
	KindBareMetal HostKind = 1
	// this and the following: a guest of it
	KindKVM HostKind = 2

	KindXen    HostKind = 3
	KindHyperV HostKind = 4
	KindVMware HostKind = 5
	KindOther  HostKind = 6
)

var namesHostKind = []name{
	{0, "unknown"},
	{1, "bare metal"},
	{2, "kvm"},
	{3, "xen"},
	{4, "hyperv"},
	{5, "vmware"},
	{6, "other"},
}

// String gives the C constant's words in lower case.
func (v HostKind) String() string { return word(namesHostKind, int64(v)) }

// TemplateFlag is NESTVIRT_TEMPLATE_*: Flags of nestvirt_template_new() and
// nestvirt_template_open().
type TemplateFlag uint32

const (
	// new: the VM is used up. It is stopped (result NESTVIRT_RESULT_STOPPED) and can only be freed.
	// Pointers into its memory stay valid, but what is there is no longer the guest's. One region with
	// NESTVIRT_BACKING_MEMFD becomes the template's memory without a copy.
	TemplateConsume TemplateFlag = 1

	// open: nobody will change or shorten the file while the template or a clone is there. Its memory
	// is then mapped and read only when it is used, unchecked; if the file does get shorter, this
	// process ends by SIGBUS.
	TemplateTrustFile TemplateFlag = 2
)

var namesTemplateFlag = []name{
	{1, "consume"},
	{2, "trust file"},
}

// String gives the C constant's words in lower case.
func (v TemplateFlag) String() string { return bits(namesTemplateFlag, int64(v)) }

// ReflinkFlag is NESTVIRT_REFLINK_*: Flags of nestvirt_reflink_new().
type ReflinkFlag uint32

const (
	// Where blocks cannot be shared, all data is copied, which takes its time and its room.
	ReflinkOrCopy ReflinkFlag = 1
)

var namesReflinkFlag = []name{
	{1, "or copy"},
}

// String gives the C constant's words in lower case.
func (v ReflinkFlag) String() string { return bits(namesReflinkFlag, int64(v)) }

const (
	// bytes of a VM generation ID
	GenerationSize = 16
)

// ExitReason is NESTVIRT_EXIT_*: nestvirt_exit.reason
type ExitReason uint32

const (
	// port access: address, length, is_write, data
	ExitPort ExitReason = 1

	// access outside memory: the same
	ExitMMIO ExitReason = 2

	// HLT, with NESTVIRT_CHIP_NONE
	ExitHalt ExitReason = 3

	// triple fault
	ExitShutdown ExitReason = 4

	// debug exit: code is the exception
	ExitDebug ExitReason = 5

	// KVM cannot go on: code is the suberror
	ExitInternalError ExitReason = 6

	// nestvirt_vcpu_cancel(), pause, or a signal handler ran
	ExitCanceled ExitReason = 7

	// the guest ended its VM: see nestvirt_vm_wait()
	ExitStopped ExitReason = 8

	// the hardware refused the state: code is its reason
	ExitEntryFailed ExitReason = 9

	// code is KVM's own exit reason
	ExitUnknown ExitReason = 10
)

var namesExitReason = []name{
	{1, "port"},
	{2, "mmio"},
	{3, "halt"},
	{4, "shutdown"},
	{5, "debug"},
	{6, "internal error"},
	{7, "canceled"},
	{8, "stopped"},
	{9, "entry failed"},
	{10, "unknown"},
}

// String gives the C constant's words in lower case.
func (v ExitReason) String() string { return word(namesExitReason, int64(v)) }

const (
	VirtioQueuesMax    = 64
	VirtioQueueSizeMax = 1024
	// bytes
	VirtioConfigMax = 256
)
