# SPDX-License-Identifier: Apache-2.0
"""Owns what the tests share: VMs of bare guests, Linux, counting what a process holds, and skipping."""

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import time
import unittest
from typing import Any, Callable, Dict, Iterator, List, Optional, Type

import guests
import nestvirt

SECONDS = 30.0  # For what takes a moment: other tests may run beside this one.


def main(needs_kvm: bool = True) -> None:
    """Runs the tests of the program; status 77 if none of them could run."""
    if needs_kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip_all("/dev/kvm cannot be opened for reading and writing")
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.skipped and len(result.skipped) == result.testsRun:
        skip_all(result.skipped[0][1])
    for test, reason in result.skipped:
        print(f"SKIP: {test}: {reason}")
    sys.exit(0 if result.wasSuccessful() else 1)


def skip_all(reason: str) -> None:
    """Ends the program as one that lacks what it needs."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def variable(name: str) -> str:
    """A path that the caller of the tests gives in the environment."""
    value = os.environ.get(name)
    if not value:
        raise unittest.SkipTest(f"{name} is not set; tests/run sets it")
    return value


@contextlib.contextmanager
def image(data: bytes) -> Iterator[int]:
    """A file in memory with these bytes; its descriptor."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def set_guest(vm: Any, guest: guests.Guest) -> None:
    """Gives a VM of any kind a bare guest, with "exit" and "reset" as devices 0 and 1."""
    vm.add_exit()
    vm.add_reset()
    with image(guest.image) as fd:
        vm.set_flat(fd, guest.address, mode=guest.mode)


def make(guest: guests.Guest, host: Optional[nestvirt.Host] = None, **config: Any) -> nestvirt.VM:
    """A VM in state new."""
    config.setdefault("memory", "1M")
    vm = nestvirt.VM(host, **config)
    set_guest(vm, guest)
    return vm


def started(guest: guests.Guest, host: Optional[nestvirt.Host] = None, **config: Any) -> nestvirt.VM:
    """A VM that runs."""
    vm = make(guest, host, **config)
    vm.build()
    vm.start()
    return vm


def await_true(what: str, is_there: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Waits until something is so; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s not yet: {what}")
        time.sleep(0.002)


def eventfd() -> int:
    """What os.eventfd() makes, which is there from Python 3.10 on."""
    fd: int = ctypes.CDLL(None, use_errno=True).eventfd(0, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "eventfd")
    return fd


def spins(vm: Any) -> int:
    """How far the guest SPIN has counted."""
    return int.from_bytes(vm.memory.read(0x3000, 4), "little")


def await_spin(vm: nestvirt.VM) -> None:
    """Waits until it counts, or counts on."""
    before = spins(vm)
    await_true("the guest counts", lambda: spins(vm) != before)


class Holdings:
    """What this process holds."""

    def __init__(self) -> None:
        gc.collect()
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.threads = len(self.thread_names())
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
            self.mappings = sum(1 for _ in maps)
        with open("/proc/self/statm", encoding="ascii") as statm:
            self.resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    @staticmethod
    def thread_names() -> List[str]:
        """Of all threads but those that KVM adds to the process."""
        names = []
        for task in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{task}/comm", encoding="ascii") as comm:
                    names.append(comm.read().strip())
            except OSError:
                continue  # It has ended meanwhile.
        return [name for name in names if not name.startswith("kvm-")]


def run_python(text: str, *arguments: str, seconds: float = 60, is_checked: bool = True,
               environment: Optional[Dict[str, str]] = None) -> "subprocess.CompletedProcess[str]":
    """Runs a program in a process of its own, with this folder in its path."""
    folder = os.path.dirname(os.path.abspath(__file__))
    extended = {**os.environ, **(environment or {})}
    extended["PYTHONPATH"] = os.pathsep.join([folder, extended.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", text, *arguments], env=extended, text=True,
                          capture_output=True, timeout=seconds, check=False)
    if is_checked and done.returncode:
        raise AssertionError(f"status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


class Case(unittest.TestCase):
    """A test with a host at hand, and checks of errors."""

    host: nestvirt.Host

    def setUp(self) -> None:
        self.host = nestvirt.Host()
        self.addCleanup(self.host.close)

    def make(self, guest: guests.Guest, **config: Any) -> nestvirt.VM:
        """A VM in state new, which is closed at the end of the test."""
        vm = make(guest, self.host, **config)
        self.addCleanup(vm.close)
        return vm

    def started(self, guest: guests.Guest, **config: Any) -> nestvirt.VM:
        """A VM that runs, which is closed at the end of the test."""
        vm = self.make(guest, **config)
        vm.build()
        vm.start()
        return vm

    def refused(self, kind: Type[BaseException], code: int, function: Callable[..., Any], *arguments: Any,
                **keywords: Any) -> Any:
        """Checks that a call raises an Error of a class with a code and a text; returns it."""
        with self.assertRaises(kind) as caught:
            function(*arguments, **keywords)
        error = caught.exception
        assert isinstance(error, nestvirt.Error), repr(error)
        self.assertEqual(error.code, code, error)
        self.assertTrue(str(error))
        return error

    def wrong(self, kind: Type[BaseException], text: str, function: Callable[..., Any], *arguments: Any,
              **keywords: Any) -> None:
        """Checks that a call raises exactly TypeError or ValueError, and that its text begins so."""
        with self.assertRaises(kind) as caught:
            function(*arguments, **keywords)
        self.assertIs(type(caught.exception), kind)
        self.assertTrue(str(caught.exception).startswith(text), str(caught.exception))


# Kernel words for hosts that interpret ring 0; harmless elsewhere.
LINUX_WORDS = ("console=ttyS0 reboot=k panic=-1 nokaslr mitigations=off noxsave "
          "clearcpuid=308,295,514,151,141,288,158,306,298,145,534 no_timer_check lpj=1000000 rodata=off "
          "rcupdate.rcu_cpu_stall_suppress=1")


def linux_boot(vm: Any, steps: str, words: str = "") -> None:
    """Gives a VM of any kind the fast test kernel and steps for its init."""
    folder = variable("NESTVIRT_TEST_KERNEL_FAST")
    vm.add_reset()
    vm.add_exit()
    vm.set_kernel(f"{folder}/vmlinux", initrd=variable("NESTVIRT_TEST_INITRD"),
                  cmdline=f"{LINUX_WORDS} {words} nv.do={steps}")


class LinuxConsole:
    """The serial line of a Linux guest, for a test."""

    def __init__(self, stream: nestvirt.Stream) -> None:
        self.stream = stream
        self.text = ""
        self._mark = 0

    def expect(self, text: str, seconds: float) -> None:
        """Reads until a text comes, behind what was expected before."""
        deadline = time.monotonic() + seconds
        self.stream.settimeout(1)
        while True:
            found = self.text.find(text, self._mark)
            if found >= 0:
                self._mark = found + len(text)
                return
            if time.monotonic() > deadline:
                raise AssertionError(f'"{text}" did not come in {seconds} s; '
                                     f"the console ends with:\n{self.text[-1500:]}")
            self._read(text)

    def _read(self, text: str) -> None:
        try:
            data = self.stream.read1()
        except TimeoutError:
            return
        if not data:
            raise AssertionError(f'the console ended before "{text}" came:\n{self.text[-1500:]}')
        if os.environ.get("NESTVIRT_TEST_CONSOLE"):
            sys.stderr.write(data.decode("utf-8", "replace"))
        self.text += data.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        """Types."""
        self.stream.write(text.encode())

    def order(self, steps: str, expected: str, seconds: float) -> None:
        """Has the step "obey" do something, and checks its answer."""
        self.type(steps + "\n")
        start = self._mark
        self.expect("nv: done", seconds)
        if f"nv: {expected}" not in self.text[start:]:
            raise AssertionError(f'"{steps}" was not answered by "{expected}":\n{self.text[-1500:]}')
