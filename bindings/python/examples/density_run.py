# SPDX-License-Identifier: Apache-2.0
"""
Owns the density experiment on one machine: run() makes the VMs, keeps them, and frees them; density.py is its program.

run(Options(count=20, memory=64 << 20, busy=10, hold=1)) may be called from any program and any thread; it leaves
the process as it was. It and Options can be pickled: density_dask.py has it called in other processes.
"""

import dataclasses
import json
import os
import resource
import socket
import statistics
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import nestvirt

PAGE = 4096
COUNTER, IDLE_BASE, BUSY_BASE = 0xff0, 0x1000, 0x10000
POINTS_MAX = 4096
RAN_SECONDS = 60  # For all to have run, where thousands spin.
VMS_MANY = 100000  # More than there is room for.
DESCRIPTORS, DESCRIPTORS_WITH_LOOP, DESCRIPTORS_OWN = 3, 6, 64

# The guests of examples/density_guest.S. Both count in the last bytes of their page: one once, then it halts; the
# other for ever, in ring 3.
#
# idle:   .code16                         # real mode, at 0x1000
#         xor %ax, %ax
#         mov %ax, %ds
#         incl 0x1ff0
# 1:      hlt
#         jmp 1b
#
# busy:   .code64                         # long mode, at 0x10000
#         mov %cr3, %rax                  # the library's page tables are for ring 0: these opens them for ring 3
#         mov $3, %ecx
# 1:      orq $4, (%rax)
#         mov (%rax), %rax
#         and $~0xfff, %rax
#         loop 1b
#         mov %cr3, %rax
#         mov %rax, %cr3
#         lgdt pointer(%rip)
#         pushq $0x1b                     # stack segment, stack, flags, code segment, entry
#         pushq $0x10ff0
#         pushq $2
#         pushq $0x13
#         lea 2f(%rip), %rax
#         push %rax
#         iretq
# 2:      incl 0x10ff0
#         jmp 2b
#         .balign 8
# table:  .quad 0
#         .quad 0x00af9b000000ffff        # 08: code of ring 0
#         .quad 0x00affb000000ffff        # 10: code of ring 3
#         .quad 0x00cff3000000ffff        # 18: data of ring 3
# pointer: .word pointer - table - 1
#         .quad table - busy + 0x10000
IDLE = bytes.fromhex("31c0 8ed8 66ff06f01f f4 ebfd")
BUSY = bytes.fromhex(
    "0f20d8 b903000000 48830804 488b00 482500f0ffff e2f1 0f20d8 0f22d8 0f011544000000 6a1b 68f00f0100 6a02 6a13"
    "488d0503000000 50 48cf ff0425f00f0100 ebf7 000000000000 0000000000000000 ffff0000009baf00 ffff000000fbaf00"
    "ffff000000f3cf00 1f00 4800010000000000")


@dataclasses.dataclass(frozen=True)
class Options:
    """What is asked for; the names are those of 10_density's options. Sizes are bytes, hold is seconds."""

    count: int = 0  # VMs; 0: as many as there is room for.
    memory: int = 1 << 30
    busy: int = 0  # Percent of the VMs.
    hold: int = 0
    reserve: int = 512 << 20
    step: int = 50
    ksm: bool = False
    shared_loop: bool = False
    template: bool = False


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far it is. Where `remark` is not empty it is all there is to say."""

    phase: str = ""
    seconds: float = 0.0
    vms: int = 0
    busy: int = 0
    taken: int = 0
    left: int = 0
    p50_ns: int = 0  # Of the waits; 0: not known.
    p99_ns: int = 0
    remark: str = ""

    def __str__(self) -> str:
        if self.remark:
            return self.remark
        rate = f", {self.vms / self.seconds:,.0f}/s" if self.phase == "started" and self.seconds else ""
        waits = f", waits p50 {self.p50_ns / 1e6:.3f} p99 {self.p99_ns / 1e6:.3f} ms" if self.p99_ns else ""
        return (f"{self.seconds:6.1f} s  {self.phase} {self.vms:,} VMs, {self.busy:,} busy{rate}{waits}, "
                f"{self.taken >> 20:,} MiB taken, {self.left >> 20:,} MiB left")


Tell = Callable[[Progress], Any]


def _field(path: str, key: str) -> int:
    """The number behind a key of one of the kernel's files, 0 if there is none."""
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(key):
                return int(line.split()[1])
    return 0


def available() -> int:
    """Bytes of the host's memory that can be had."""
    return _field("/proc/meminfo", "MemAvailable:") * 1024


class Look:
    """The host, and what this process has, at one moment."""

    def __init__(self) -> None:
        self.available = available()
        self.ksm_saved = 0
        with suppress(nestvirt.UnsupportedError):  # A kernel without KSM.
            self.ksm_saved = (nestvirt.ksm_stats().pages_sharing or 0) * PAGE
        self.descriptors = len(os.listdir("/proc/self/fd"))
        with open("/proc/self/maps", "rb") as maps:
            self.mappings = sum(1 for _ in maps)
        self.threads = _field("/proc/self/status", "Threads:")
        self.resident = _field("/proc/self/status", "VmRSS:") * 1024


def _raise(kind: int, needed: int) -> int:
    """Raises a limit of this process, as far as this user may; what it is now."""
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    try:
        resource.setrlimit(kind, (needed, hard if hard == resource.RLIM_INFINITY else max(hard, needed)))
    except (ValueError, OSError):  # Not allowed: as far as it goes.
        resource.setrlimit(kind, (hard, hard))
    return resource.getrlimit(kind)[0]


@contextmanager
def raised_limits(options: Options, tell: Tell) -> Iterator[None]:
    """This process's limits as so many VMs need them, until the end."""
    vms = options.count or VMS_MANY
    each = DESCRIPTORS_WITH_LOOP if options.shared_loop else DESCRIPTORS
    own = DESCRIPTORS_OWN + len(os.listdir("/proc/self/fd"))
    wanted = [("open files", resource.RLIMIT_NOFILE, vms * each + own), ("threads", resource.RLIMIT_NPROC, 2 * vms + own),
              ("queued signals", resource.RLIMIT_SIGPENDING, vms + own)]
    former = [(kind, resource.getrlimit(kind)) for _, kind, _ in wanted]
    try:
        for (name, kind, needed), (_, (soft, _)) in zip(wanted, former):
            now = _raise(kind, needed)
            if now != soft:
                tell(Progress(remark=f"limit on {name}: raised from {soft:,} to {now:,} while it runs"))
        yield
    finally:
        for kind, limits in former:
            resource.setrlimit(kind, limits)


@contextmanager
def considerate(options: Options) -> Iterator[None]:
    """
    If memory gets short all the same, this process goes before others. And this thread comes first for a CPU, as it
    is one among thousands. Without a right to either it is slower, that is all.
    """
    score = Path("/proc/self/oom_score_adj")
    former = score.read_text(encoding="ascii")
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        with suppress(PermissionError):
            score.write_text("1000", encoding="ascii")
        if options.busy:
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, -20)
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with suppress(PermissionError):
            score.write_text(former, encoding="ascii")


def tell_plan(options: Options, tell: Tell) -> None:
    """Says how many VMs fit, and what stops the next one."""
    with nestvirt.Report() as report:
        plan = report.plan(options.memory, options.count, files=1, devices=int(options.shared_loop))
        tell(Progress(remark=f"plan: {_many(plan.idle_vms)} idle VMs fit, "
                             f"{_many(plan.touched_vms)} with all their memory in use"))
        if plan.idle_limit:
            item = report.get(plan.idle_limit)
            remedy = f"; to go on: {item.remedy}" if item.remedy else ""
            tell(Progress(remark=f"plan: the next one is stopped by {item.title} ({item.value}){remedy}"))


def _many(number: Optional[int]) -> str:
    return "any number of" if number is None else f"{number:,}"


@contextmanager
def fast_ksm(tell: Tell) -> Iterator[None]:
    """KSM of the host as fast as makes sense here, until the end."""
    with ExitStack() as stack:
        try:
            nestvirt.remove_ksm_record()
            stack.enter_context(nestvirt.KSMToken(run="merge", pages_to_scan=10000, sleep_ms=10))
        except nestvirt.BusyError as error:  # Such as another worker of the same machine.
            tell(Progress(remark=f"KSM's settings are left as they are: {error}"))
        yield


class Fleet:
    """The VMs, and what each took to make."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.vms: List[nestvirt.VM] = []
        self.creations_ns: List[int] = []  # From nothing to started, of each.
        self.busy = 0
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._host = stack.enter_context(nestvirt.Host())
            self._images = [self._image(stack, code) for code in (IDLE, BUSY)]
            self._loop = stack.enter_context(nestvirt.Loop()) if options.shared_loop else None
            self._templates = [self._template(stack, is_busy) for is_busy in (False, True)] if options.template else []
            stack.callback(self._free)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stops and frees all of them. May be called again."""
        self._stack.close()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _free(self) -> None:
        for vm in self.vms:  # All are told first, so that those that spin come out together, each when it has a CPU.
            with suppress(nestvirt.WaitTimeout):
                vm.stop(0)
        while self.vms:
            self.vms[-1].close()
            self.vms.pop()

    @staticmethod
    def _image(stack: ExitStack, code: bytes) -> int:
        fd = os.memfd_create("guest", os.MFD_CLOEXEC)
        stack.callback(os.close, fd)
        os.write(fd, code.ljust(PAGE, b"\0"))
        return fd

    def _configure(self, vm: nestvirt.VM, is_busy: bool) -> None:
        """All but what a clone gets again."""
        vm.memory.add(self.options.memory, mergeable=self.options.ksm)
        if self.options.shared_loop:
            vm.add_rng()
        vm.set_flat(self._images[is_busy], BUSY_BASE if is_busy else IDLE_BASE, mode="long" if is_busy else "real")

    def _template(self, stack: ExitStack, is_busy: bool) -> nestvirt.Template:
        """Of a VM that was built and has not started: its clones run from the first instruction."""
        with nestvirt.VM(self._host) as vm:
            self._configure(vm, is_busy)
            if self._loop:
                vm.set_loop(self._loop)
            vm.build()
            return stack.enter_context(vm.make_template(consume=True))

    def add(self, observer: Optional[nestvirt.Observer]) -> None:
        """Makes and starts one more. If that fails, the others are as they were."""
        # Spread evenly: after any number of VMs so many percent are busy.
        is_busy = (len(self.vms) + 1) * self.options.busy // 100 > self.busy
        start = time.monotonic_ns()
        name = f"vm{len(self.vms)}"
        vm = self._templates[is_busy].clone(name) if self._templates else nestvirt.VM(self._host, name=name)
        try:
            if not self._templates:
                self._configure(vm, is_busy)
            if self._loop:
                vm.set_loop(self._loop)
            if self.options.busy:
                vm.set_threads("vcpu", nice=0)  # This program hurries, its guests do not.
            vm.build()
            if observer:
                observer.add(vm, nestvirt.ObserveKind.VCPU)
            vm.start()
        except BaseException:
            vm.close()
            raise
        self.creations_ns.append(time.monotonic_ns() - start)
        self.vms.append(vm)
        self.busy += is_busy

    def count_ran(self) -> int:
        """How many of them have run code by now."""
        places = (IDLE_BASE + COUNTER, BUSY_BASE + COUNTER)
        return sum(any(any(vm.memory.read(place, 4)) for place in places) for vm in self.vms)


def percentile(times: List[int], percent: int) -> int:
    """The value that so many percent of the times do not exceed, 0 of none."""
    return sorted(times)[(len(times) - 1) * percent // 100] if times else 0


class Experiment:
    """One run, with what is needed all along."""

    def __init__(self, options: Options, fleet: Fleet, observer: Optional[nestvirt.Observer],
                 is_over: Callable[[], bool], tell: Tell) -> None:
        self.options, self.fleet, self.observer, self.is_over, self.tell = options, fleet, observer, is_over, tell
        self.points: List[Dict[str, Any]] = []
        self.before = Look()
        self.start = time.monotonic()
        self._told = self.start

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def taken(self, now: int) -> int:
        """Bytes taken from the host so far."""
        return max(self.before.available - now, 0)

    def note_point(self) -> None:
        """A point of the curves over the count of VMs."""
        last = self.points[-1]["vms"] if self.points else 0
        if len(self.points) < POINTS_MAX and len(self.fleet.vms) > last:
            self.points.append({"vms": len(self.fleet.vms), "seconds": round(self.seconds(), 3),
                                "create_ns": int(statistics.median(self.fleet.creations_ns[last:])),
                                "memory": self.taken(available())})

    def show(self, phase: str) -> None:
        """Tells how far it is."""
        left = available()
        p50 = p99 = 0
        if self.observer and not self.observer.reason:
            waits = self.observer.read()
            p50, p99 = waits.percentile(50), waits.percentile(99)
        self.tell(Progress(phase, self.seconds(), len(self.fleet.vms), self.fleet.busy, self.taken(left), left, p50, p99))
        self._told = time.monotonic()

    def fill(self) -> str:
        """Makes VMs until there are enough, or no more; what stopped it, or ""."""
        limit = ""
        while not self.is_over() and not limit and (not self.options.count or len(self.fleet.vms) < self.options.count):
            if available() < self.options.reserve:
                limit = f"{self.options.reserve >> 20} MiB of the host's memory are kept (--reserve)"
                break
            try:
                self.fleet.add(self.observer)
            except nestvirt.Error as error:
                limit = str(error)
                break
            if len(self.fleet.vms) % self.options.step == 0:
                self.note_point()
            if time.monotonic() - self._told > 1:
                self.show("started")
        self.note_point()
        self.show("started")
        return limit

    def wait_for_all(self) -> int:
        """Waits until all have run; how many have."""
        deadline = time.monotonic() + RAN_SECONDS
        ran = self.fleet.count_ran()
        while ran < len(self.fleet.vms) and time.monotonic() < deadline and not self.is_over():
            time.sleep(0.1)
            ran = self.fleet.count_ran()
        return ran

    def hold(self) -> None:
        """Keeps all of them for as long as was asked."""
        if self.options.hold and self.observer and not self.is_over():
            self.observer.start()  # Counts from here on.
        end = time.monotonic() + self.options.hold
        while time.monotonic() < end and not self.is_over():
            time.sleep(max(0.0, min(0.1, end - time.monotonic())))
            if time.monotonic() - self._told > 1:
                self.show("holding")

    def result(self, limit: str, ran: int, seconds: float) -> Dict[str, Any]:
        """The members that 10_density has, in its order, without the last ones."""
        full = Look()
        vms, times = len(self.fleet.vms), self.fleet.creations_ns
        return {
            "program": "density.py", "vms": vms, "asked": self.options.count, "ran": ran, "busy": self.fleet.busy,
            "memory_size": self.options.memory, "template": self.options.template,
            "shared_loop": self.options.shared_loop, "ksm": self.options.ksm,
            "interrupted": self.is_over(), "limit": limit,
            "seconds": round(seconds, 3), "create_p50_ns": percentile(times, 50),
            "create_p99_ns": percentile(times, 99), "memory": self.taken(full.available),
            "memory_per_vm": self.taken(full.available) // max(vms, 1), "resident": full.resident,
            "ksm_saved": max(full.ksm_saved - self.before.ksm_saved, 0),
            "descriptors": full.descriptors - self.before.descriptors,
            "mappings": full.mappings - self.before.mappings, "threads": full.threads - self.before.threads,
            "points": self.points,
        }


def _observer(stack: ExitStack, tell: Tell) -> Optional[nestvirt.Observer]:
    """Says what cannot be observed."""
    try:
        observer = stack.enter_context(nestvirt.Observer())
    except nestvirt.Error as error:
        tell(Progress(remark=f"waits are not observed: {error}"))
        return None
    if observer.reason:
        tell(Progress(remark=f"waits are summed up only: {observer.reason}"))
    return observer


def machine() -> str:
    """The same for all programs of a machine, until it boots again."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def run(options: Options, is_over: Callable[[], bool] = lambda: False, tell: Tell = lambda _: None) -> Dict[str, Any]:
    """
    Does all of one machine's work; the result has the members of 10_density's, and some more.

    is_over: asked several times a second; True ends it early, and the result says "interrupted". tell: called about
    once a second, on this thread. More members: "host" and "machine", where it ran; "creations_ns", the time that
    each VM took. nestvirt.Error, an OSError, if there cannot even be a first VM. Whatever happens, no VM is left, and
    limits, priorities and KSM are as they were.
    """
    with ExitStack() as stack:
        stack.enter_context(raised_limits(options, tell))
        tell_plan(options, tell)
        stack.enter_context(considerate(options))
        if options.ksm:
            nestvirt.Host().close()  # Without KVM, KSM is not touched.
            stack.enter_context(fast_ksm(tell))
        fleet = stack.enter_context(Fleet(options))
        observer = _observer(stack, tell)
        experiment = Experiment(options, fleet, observer, is_over, tell)
        limit = experiment.fill()
        seconds = experiment.seconds()
        ran = experiment.wait_for_all()
        experiment.hold()
        result = experiment.result(limit, ran, seconds)
        result["runqueue"] = json.loads(observer.json()) if observer else {"source": None, "buckets": None}
        experiment.show("freeing")
        start = time.monotonic()
        fleet.close()
        result["free_seconds"] = round(time.monotonic() - start, 3)
        result.update(host=socket.gethostname(), machine=machine(), creations_ns=fleet.creations_ns)
    return result
