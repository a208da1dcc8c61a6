# SPDX-License-Identifier: Apache-2.0
"""`python -m nestvirt run`: consoles, the terminal's mode, how it ends, and what it tells meanwhile."""

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import zlib
from pathlib import Path
from typing import Any, List, Optional

import support

# As vmlinux, which KVM starts in long mode: says "r", then echoes the serial line; "q" ends with code 4.
#
#         mov $0x3f8, %dx
#         mov $'r', %al
#         out %al, %dx
# 1:      mov $0x3fd, %dx
#         in %dx, %al
#         test $1, %al
#         jz 1b
#         mov $0x3f8, %dx
#         in %dx, %al
#         out %al, %dx
#         cmp $'q', %al
#         jne 1b
#         mov $0x501, %dx
#         mov $4, %al
#         out %al, %dx
# 2:      jmp 2b
ECHO = bytes.fromhex("66ba f803 b072 ee 66ba fd03 ec a801 74f7 66ba f803 ec ee 3c71 75ed 66ba 0105 b004 ee ebfe")

# Says "x" 3000 times and ends with code 5.
#
#         mov $3000, %ecx
#         mov $0x3f8, %dx
#         mov $'x', %al
# 1:      out %al, %dx
#         loop 1b
#         mov $0x501, %dx
#         mov $5, %al
#         out %al, %dx
# 2:      jmp 2b
TALK = bytes.fromhex("b9 b80b0000 66ba f803 b078 ee e2fd 66ba 0105 b005 ee ebfe")

# 1:      jmp 1b
SPIN = bytes.fromhex("ebfe")

_LOAD = 0x1000000
ESCAPE = b"\x1d"


def elf(code: bytes) -> bytes:
    """An executable of one segment."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, _LOAD, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 4096, _LOAD, _LOAD, len(code), len(code), 4096)
    return (head + segment).ljust(4096, b"\0") + code


class Base(support.Case):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name, code in (("echo", ECHO), ("talk", TALK), ("spin", SPIN)):
            (self.folder / name).write_bytes(elf(code))

    def words(self, kernel: str, *arguments: str) -> List[str]:
        return [sys.executable, "-m", "nestvirt", "run", "--memory", "32M", "--kernel", str(self.folder / kernel),
                *arguments]

    def run_it(self, kernel: str, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.words(kernel, *arguments), input=given, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=support.SECONDS * 4, check=False)


class Run(Base):
    def test_console_on_pipes(self) -> None:
        done = self.run_it("echo", given="hello q")
        self.assertEqual((done.returncode, done.stdout), (4, "rhello q"), done.stderr)
        self.assertEqual(done.stderr, "nestvirt: reading and unpacking echo\n"
                         "nestvirt: waiting for the guest's first output\n"
                         "nestvirt: the guest ended: guest exit, code 4\n")

    def test_the_end_of_the_input_is_not_that_of_the_guest(self) -> None:
        done = self.run_it("echo", "--timeout", "1", given="abc")
        self.assertEqual((done.returncode, done.stdout), (124, "rabc"), done.stderr)
        self.assertIn("the guest ended: stopped, for it ran 1 s\n", done.stderr)

    def test_nothing_is_lost_at_the_end(self) -> None:
        for _ in range(5):
            done = self.run_it("talk", "--quiet")
            self.assertEqual((done.returncode, done.stdout), (5, "x" * 3000))

    def test_quiet(self) -> None:
        done = self.run_it("echo", "--quiet", given="q")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, "rq", ""))

    def test_stats(self) -> None:
        done = self.run_it("spin", "--timeout", "1", "--stats", "--rng", "--cpus", "2", "--cpu-list", "0")
        self.assertEqual(done.returncode, 124, done.stderr)
        for line in (r"^ended by +stopped by caller$", r"^build +\d+\.\d+ s$", r"^run +[1-9]\.\d+ s$",
                     r"^memory in use +[\d.]+ .?i?B$",
                     r"^nv0:linux +vcpu 0 +0 +other +\d\.\d+ s", r"^nv-loop +loop 0 "):
            self.assertRegex(done.stderr, f"(?m){line}")

    def test_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with subprocess.Popen(self.words("echo"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                self.assertEqual(process.stdout.read(1), b"r")
                process.send_signal(number)
                deadline = time.monotonic() + support.SECONDS
                while process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                    if process.poll() is None:  # A power button that nobody heeds comes first.
                        process.send_signal(number)
                _, errors = process.communicate(timeout=support.SECONDS)
            self.assertEqual(process.returncode, 1, errors)
            self.assertIn(b"the guest ended: stopped by caller\n", errors)

    def test_errors_are_one_sentence(self) -> None:
        (self.folder / "text").write_bytes(b"this is no kernel\n" * 300)
        for arguments, status, text in (
                (["nothing"], 1, "nothing"), (["text"], 1, "neither a bzImage nor"),
                (["echo", "--disk", str(self.folder / "no.img")], 1, "no.img"),
                (["echo", "--tap", "no/such"], 1, "no/such"),
                (["echo", "--cpu-list", "1000"], 1, "1000"),
                (["echo", "--timeout", "0"], 2, "--timeout"),
                (["echo", "--cpus", "-1"], 2, "vcpus")):
            done = self.run_it(*arguments)
            lines = [line for line in done.stderr.splitlines() if "unpacking" not in line]
            self.assertEqual((done.returncode, len(lines), done.stdout), (status, 1, ""), done.stderr)
            self.assertIn(text, lines[0])

    def test_wrong_words(self) -> None:
        for words in (["--disk", "x,nope"], ["--disk", "x,read_only=perhaps"], ["--disk", "x,path=y"],
                      ["--vsock", "cid=3,cid=4"], ["--memory", "much"], ["--tap", "t,mac"], ["--nope"]):
            done = self.run_it("echo", *words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn("usage:", done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_linux_with_devices(self) -> None:
        folder = support.variable("NESTVIRT_TEST_KERNEL_FAST")
        content = os.urandom(1 << 20)
        (self.folder / "disk.img").write_bytes(content)
        words = [sys.executable, "-m", "nestvirt", "run", "--kernel", f"{folder}/vmlinux", "--memory", "128M",
                 "--initrd", support.variable("NESTVIRT_TEST_INITRD"), "--rng", "--balloon", "8M",
                 "--disk", f"{self.folder / 'disk.img'},read_only", "--vsock", f"{self.folder / 'vsock'},cid=5",
                 "--cmdline", f"{support.LINUX_WORDS} nv.do=sum:/dev/vda,exit:9", "--timeout", "400"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=450, check=False)
        self.assertEqual(done.returncode, 9, done.stderr + done.stdout[-1500:])
        self.assertIn(f"nv: sum {1 << 20} {zlib.crc32(content)}", done.stdout)


class Terminal(Base):
    """The same on a terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.master, self.slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.slave)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process: Optional[subprocess.Popen[bytes]] = None

    def begin(self, kernel: str, *arguments: str) -> None:
        self.process = subprocess.Popen(self.words(kernel, *arguments), stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave)
        self.addCleanup(self.process.kill)

    def await_text(self, text: bytes) -> None:
        deadline = time.monotonic() + support.SECONDS
        while text not in self.seen:
            self.assertLess(time.monotonic(), deadline, self.seen)
            self.read(0.1)

    def read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.master, 4096)
        return True

    def end(self) -> int:
        assert self.process is not None
        deadline = time.monotonic() + support.SECONDS
        while self.process.poll() is None:
            self.assertLess(time.monotonic(), deadline, self.seen)
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.returncode

    def mode(self) -> Any:
        return termios.tcgetattr(self.slave)

    def test_raw_and_back(self) -> None:
        self.begin("echo")
        self.await_text(b"r")
        support.await_true("the terminal is raw", lambda: not self.mode()[3] & (termios.ECHO | termios.ICANON))
        os.write(self.master, b"\x03x")
        self.await_text(b"\x03x")  # Ctrl-C is the guest's.
        os.write(self.master, b"q")
        self.assertEqual(self.end(), 4)
        self.assertEqual(self.mode(), self.before)

    def test_the_escape_key(self) -> None:
        self.begin("echo")
        self.await_text(b"r")
        support.await_true("the terminal is raw", lambda: not self.mode()[3] & termios.ICANON)
        os.write(self.master, ESCAPE)
        time.sleep(0.3)
        os.write(self.master, ESCAPE)
        self.assertEqual(self.end(), 1)
        self.assertIn(b"the guest ended: stopped by caller", self.seen)
        self.assertEqual(self.mode(), self.before)

    def test_signals_put_the_mode_back(self) -> None:
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
            self.seen = b""
            self.begin("spin")
            support.await_true("the terminal is raw", lambda: not self.mode()[3] & termios.ICANON)
            assert self.process is not None
            self.process.send_signal(number)
            try:  # A second one only where it is waited for: it would meet what was before the program's own.
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.send_signal(number)
            self.assertEqual(self.end(), 1, self.seen)
            self.assertEqual(self.mode(), self.before)

    def test_a_new_size_is_no_reason_to_end(self) -> None:
        self.begin("echo", "--console")
        self.await_text(b"r")
        assert self.process is not None
        for _ in range(3):
            self.process.send_signal(signal.SIGWINCH)
            time.sleep(0.1)
        self.assertIsNone(self.process.poll())
        self.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.end(), 1)

    def test_an_error_leaves_the_mode(self) -> None:
        self.begin("nothing")
        self.assertEqual(self.end(), 1)
        self.assertEqual(self.mode(), self.before)

    def test_progress_is_shown_and_taken_away(self) -> None:
        self.begin("spin", "--timeout", "2")
        self.assertEqual(self.end(), 124)
        self.assertRegex(self.seen, rb"\r\x1b\[K[|/\\-] waiting for the guest's first output  \d\.\d s")
        last = self.seen.rindex(b"waiting for")
        self.assertRegex(self.seen[last:], rb"(?s)s\r\x1b\[K.*the guest ended: stopped, for it ran 2 s")


if __name__ == "__main__":
    support.main()
