# SPDX-License-Identifier: Apache-2.0
"""Owns `python -m nestvirt run`: a Linux guest with its console on this terminal."""

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from typing import IO, Any, Callable, List, Optional, Tuple

from ._cli_words import device, size
from ._console import Console
from ._constants import HostFeature, LogLevel, ResultReason, State
from ._devices import Console as ConsoleDevice
from ._errors import Error
from ._host import Host
from ._run_stats import Stats
from ._streams import StreamDevice
from ._terminal import Progress, raw_mode
from ._values import Result
from ._vm import VM

_TIMED_OUT = 124  # As timeout(1) tells of it.
_STOP_SECONDS = 5.0
# What a KVM that interprets guests cannot do is kept from the kernel. The numbers are SMAP, SMEP, UMIP, POPCNT, CX16,
# FSGSBASE, RDRAND, RDSEED, INVPCID, PCID, RDPID.
_INTERPRETED_WORDS = ("nokaslr mitigations=off noxsave rodata=off no_timer_check lpj=1000000 "
                      "clearcpuid=308,295,514,151,141,288,158,306,298,145,534")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH)


def add_parser(commands: Any) -> None:
    """Adds the command's own arguments."""
    parser = commands.add_parser(
        "run", help="boot Linux with its console on this terminal",
        description="Boots Linux in a virtual machine. Its console is this terminal: every key goes to the guest "
        "but Ctrl-], which presses its power button, and stops it when pressed again. So do SIGINT and SIGTERM.",
        epilog="DEVICE properties: more words may follow, as in --disk data.img,read_only,serial=abc; "
        "python3 -m nestvirt probe --devices lists them. "
        "Status: 0 if the guest reset or powered off, its own code if it wrote one to port 0x501, 124 if the time "
        "was over, 1 if it failed or was stopped, 2 for a wrong command line.")
    _add_machine(parser)
    _add_devices(parser)
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="stop the guest after so many seconds")
    parser.add_argument("--stats", action="store_true", help="print a table of times, memory and threads at the end")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the console and errors")
    parser.set_defaults(main=_main)


def _add_machine(parser: Any) -> None:
    machine = parser.add_argument_group("machine")
    machine.add_argument("--kernel", metavar="FILE", required=True, help="a bzImage or vmlinux")
    machine.add_argument("--initrd", metavar="FILE", help="the initial RAM disk")
    machine.add_argument("--cmdline", metavar="TEXT", help='the kernel\'s command line (default: "console=ttyS0 '
                         'reboot=k panic=-1", with --console console=hvc0, and more words where KVM interprets guests)')
    machine.add_argument("--memory", metavar="SIZE", type=size, default="256M", help="RAM, as 256M (the default)")
    machine.add_argument("--cpus", metavar="N", type=int, default=1, help="virtual CPUs (default: 1)")
    machine.add_argument("--cpu-list", metavar="LIST", help="CPUs of this host that they may run on, as 0-1,4")
    machine.add_argument("--name", default="linux", help="for messages and thread names (default: linux)")


def _add_devices(parser: Any) -> None:
    devices = parser.add_argument_group("devices")

    def add(option: str, kind: str, first: str, metavar: str, text: str, **more: Any) -> None:
        devices.add_argument(option, dest="devices", action="append", type=device(kind, first), default=[],
                             metavar=metavar, help=text, **more)

    add("--disk", "blk", "path", "PATH", "a disk, of this raw file or block device; may be repeated")
    add("--tap", "net", "tap", "NAME", "a network interface on this tap; may be repeated")
    add("--vsock", "vsock", "path", "PATH,cid=N", "sockets: port X of the guest is the file PATH_X here")
    add("--rng", "rng", "", "WORDS", "random numbers of the host", nargs="?", const=("rng", {}))
    add("--balloon", "balloon", "target", "SIZE", "a balloon that takes SIZE of the guest's memory back", nargs="?",
        const=("balloon", {}))
    devices.add_argument("--console", action="store_true",
                         help="the terminal is a virtio console; what goes to the serial port is still shown")


def _main(options: argparse.Namespace) -> int:
    if options.timeout is not None and not 0 < options.timeout < 1e6:
        raise ValueError(f"--timeout: must be more than 0 seconds, not {options.timeout}")
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(is_quiet=options.quiet))
        signals = stack.enter_context(Signals())
        vm, streams = _make(stack, options, signals)
        keys, outputs = _connect(stack, streams)
        runner = Runner(vm, Console(keys, outputs, progress), signals, options)
        result = runner.run(progress)
    status = _tell(result, runner, options)
    if options.stats:
        for line in runner.stats.lines(result):
            print(line, file=sys.stderr)
    return status


def _make(stack: ExitStack, options: argparse.Namespace, signals: "Signals") -> Any:
    """The VM in state new, and its consoles, the one that gets the keys first."""
    host = stack.enter_context(Host())
    is_interpreted = bool(host.info.features & HostFeature.INTERPRETED)
    vm = stack.enter_context(VM(host, name=options.name, memory=options.memory, vcpus=options.cpus,
                                fixups=is_interpreted))
    vm.set_log(lambda level, text: print(f"nestvirt: {text}\r", file=sys.stderr), LogLevel.WARNING)
    streams: List[StreamDevice] = [vm.add_serial()]
    if options.console:
        console = vm.add_console()
        _show_size(console)
        signals.on_resize = lambda: _show_size(console)
        streams.insert(0, console)
    for kind, properties in options.devices:
        vm.add_device(kind, **properties)
    vm.add_reset()
    vm.add_exit()
    if options.cpu_list:
        vm.set_threads("vcpu", cpus=options.cpu_list)
    vm.set_kernel(options.kernel, initrd=options.initrd, cmdline=_cmdline(options, is_interpreted))
    return vm, streams


def _cmdline(options: argparse.Namespace, is_interpreted: bool) -> str:
    """The command line that was given, or one with which most kernels boot here."""
    if options.cmdline is not None:
        return str(options.cmdline)
    words = f"console={'hvc0' if options.console else 'ttyS0'} reboot=k panic=-1"
    return f"{words} {_INTERPRETED_WORDS}" if is_interpreted else words


def _pipe(stack: ExitStack) -> List[IO[bytes]]:
    """Both ends of a pipe. It holds many bytes that come one by one; a socket drops them where this is slow."""
    return [stack.enter_context(os.fdopen(end, mode, 0)) for end, mode in zip(os.pipe2(os.O_CLOEXEC), ("rb", "wb"))]


def _connect(stack: ExitStack, streams: List[StreamDevice]) -> Tuple[int, List[int]]:
    """Where to write what is typed, and where to read what consoles print."""
    outputs = []
    for stream in streams:
        reader, writer = _pipe(stack)
        with writer:  # The library has its own.
            stream.set("output", writer)
        outputs.append(reader.fileno())
    reader, writer = _pipe(stack)
    with reader:
        streams[0].set("input", reader)
    return writer.fileno(), outputs


def _show_size(console: ConsoleDevice) -> None:
    """Tells the guest the size of this terminal."""
    console.cols, console.rows = shutil.get_terminal_size()


class Signals:
    """
    Counts the signals that ask to stop, and wakes a poll by them; what they did before is put back.

    on_resize: what to do when the terminal has another size.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_resized = False
        self.on_resize: Callable[[], None] = lambda: None
        self.fd, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._writer)

    def _on_signal(self, number: int, _: Any) -> None:
        if number == signal.SIGWINCH:
            self.is_resized = True
            return
        # Whoever hangs up or quits does not wait for a power button.
        self.count += 1 if number in (signal.SIGINT, signal.SIGTERM) else 2


class Runner:
    """Runs a VM to its end."""

    def __init__(self, vm: VM, console: Console, signals: Signals, options: argparse.Namespace) -> None:
        self._vm = vm
        self._console = console
        self._signals = signals
        self._deadline: Optional[float] = None
        self._options = options
        self._asked = 0
        self.stats = Stats(vm)
        self.is_timed_out = False

    def run(self, progress: Progress) -> Result:
        """Builds, starts, serves the console until the guest has ended, and closes the VM."""
        progress.begin(f"reading and unpacking {os.path.basename(self._options.kernel)}")
        with self.stats.phase("build"):
            self._vm.build()
        if self._signals.count:
            progress.end()
            raise KeyboardInterrupt
        progress.begin("waiting for the guest's first output")
        with raw_mode(self._console.input) as is_raw:
            self.stats.start()
            self._vm.start()
            if self._options.timeout is not None:
                self._deadline = time.monotonic() + self._options.timeout
            self._serve(is_raw, progress)
            result = self._vm.wait()
            self.stats.end(self._console)
            self._vm.close()
            self._console.drain()
        return result

    def _serve(self, is_raw: bool, progress: Progress) -> None:
        """Until the VM has stopped."""
        while self._vm.state not in (State.STOPPED, State.FAILED):
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                self.is_timed_out = True
                self._vm.stop(_STOP_SECONDS)
                return
            self._console.turn([self._vm.event_fd(), self._signals.fd], left, is_raw)
            while self._vm.next_event():
                pass
            self._drop_wake_ups()
            if self._signals.is_resized:
                self._signals.is_resized = False
                self._signals.on_resize()
            self.stats.look()
            asked = self._signals.count + self._console.escapes
            if asked > self._asked:
                self._asked = asked
                self._end_guest(progress)

    def _drop_wake_ups(self) -> None:
        try:
            os.read(self._signals.fd, 64)
        except BlockingIOError:
            pass

    def _end_guest(self, progress: Progress) -> None:
        """The power button first; when that is not possible, or was not enough, force."""
        if self._asked == 1:
            try:
                self._vm.request_stop()
                progress.note("power button pressed; once more to stop at once")
                return
            except Error:
                pass
        self._vm.stop(_STOP_SECONDS)


def _tell(result: Result, runner: Runner, options: argparse.Namespace) -> int:
    """Says how the guest ended; the exit status."""
    good = result.reason in (ResultReason.GUEST_RESET, ResultReason.GUEST_SHUTDOWN)
    text = str(result)
    if result.reason in (ResultReason.INTERNAL_ERROR, ResultReason.TRIPLE_FAULT) and result.instruction:
        text += f" at {result.rip:#x}, where the code is {result.instruction.hex(' ')}"
    if runner.is_timed_out:
        text = f"stopped, for it ran {options.timeout:g} s"
    if not options.quiet or not (good or result.reason is ResultReason.GUEST_EXIT):
        print(f"nestvirt: the guest ended: {text}", file=sys.stderr)
    if runner.is_timed_out:
        return _TIMED_OUT
    if result.reason is ResultReason.GUEST_EXIT:
        return result.exit_code
    return 0 if good else 1
