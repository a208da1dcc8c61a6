# SPDX-License-Identifier: Apache-2.0
"""Owns Python's side of bench_bindings.c, where its questions and answers are described."""

import os
import sys
import threading
import time
from typing import Callable, Dict, List, Optional

import nestvirt

MIB = 1 << 20
PORT = 0x10
MMIO_BASE = 0x20000
EXITS = 2000
EXIT_ONCE = bytes((0xe6, PORT, 0xf4, 0xeb, 0xfd))  # out %al, $PORT; again: hlt; jmp again
MMIO_ALWAYS = bytes((0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa2, 0x00, 0x00, 0xeb, 0xfb))  # As in bench_bindings.c.


def image(code: bytes) -> int:
    """A guest as a file in memory."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC)
    os.write(fd, code)
    return fd


class Bench:
    """What is measured, and what is kept between two questions."""

    def __init__(self) -> None:
        self.host = nestvirt.Host()
        self.once = image(EXIT_ONCE)
        self.exits_vm: Optional[nestvirt.VM] = None
        self.count = self.start = self.end = 0
        self.view: Optional[memoryview] = None
        self.buffer = memoryview(b"")

    def create(self) -> int:
        """From nothing to the guest's first exit."""
        exited = threading.Event()
        at: List[int] = []

        def note(_: nestvirt.Access) -> None:
            at.append(time.perf_counter_ns())
            exited.set()

        start = time.perf_counter_ns()
        with nestvirt.VM(self.host, memory=16 * MIB) as vm:
            vm.add_port_handler(PORT, 1, note)
            vm.set_flat(self.once)
            vm.build()
            vm.start()
            exited.wait()
        time.sleep(0.001)
        return at[0] - start

    def on_exit(self, _: nestvirt.Access) -> Optional[nestvirt.Action]:
        """The handler that is measured: it counts."""
        if self.count == 0:
            self.start = time.perf_counter_ns()
        self.count += 1
        if self.count <= EXITS:
            return None
        self.end = time.perf_counter_ns()
        return nestvirt.Action.STOP

    def exits(self) -> int:
        """EXITS writes of the guest."""
        if self.exits_vm is None:
            self.exits_vm = nestvirt.VM(self.host, memory=64 << 10)
            self.exits_vm.add_mmio_handler(MMIO_BASE, 4096, self.on_exit)
            self.exits_vm.set_flat(image(MMIO_ALWAYS))
            self.exits_vm.build()
        self.count = 0
        self.exits_vm.start()
        self.exits_vm.wait()
        return self.end - self.start

    def read(self) -> int:
        """64 MiB of guest memory."""
        if self.view is None:
            vm = nestvirt.VM(self.host, memory=64 * MIB)
            self.view = vm.memory.view(0, 64 * MIB)
            self.view[:] = b"\x5a" * (64 * MIB)
            self.buffer = memoryview(bytearray(b"\1" * (64 * MIB)))
        start = time.perf_counter_ns()
        self.buffer[:] = self.view
        return time.perf_counter_ns() - start


def main() -> None:
    """Answers until there are no more questions."""
    bench = Bench()
    works: Dict[str, Callable[[], int]] = {"create": bench.create, "exits": bench.exits, "read": bench.read}
    for line in sys.stdin:
        what, count = line.split()
        # Told at the end: each line would wake the other side in the middle of the next round.
        answers = [works[what]() for _ in range(int(count))]
        print(*answers, sep="\n", flush=True)


main()
