# SPDX-License-Identifier: Apache-2.0
"""15: wrong types and values are refused before the call, naming the parameter."""

import io
import math
import os
from functools import partial
from typing import Any, Callable, Tuple

import guests
import nestvirt
import nestvirt.aio
import support

MANY = 1 << 64
BAD_INTS: Tuple[Any, ...] = ("x", None, 1.5, [], True, b"1")


class Arguments(support.Case):
    def setUp(self) -> None:
        super().setUp()
        self.vm = self.make(guests.SPIN)

    def bad_int(self, name: str, function: Callable[[Any], Any], low: int = 0, high: int = (1 << 32) - 1) -> None:
        """An integer parameter of this range."""
        for value in BAD_INTS:
            self.wrong(TypeError, f"{name}: must be an int", function, value)
        for value in (low - 1, high + 1, MANY):
            self.wrong(ValueError, f"{name}: must be from {low} to {high}, not {value}", function, value)

    def bad_text(self, name: str, function: Callable[[Any], Any]) -> None:
        values: Tuple[Any, ...] = (1, None, b"bytes", [])
        for value in values:
            self.wrong(TypeError, f"{name}: must be a str", function, value)
        self.wrong(ValueError, f"{name}: must have no null character", function, "a\0b")
        self.wrong(ValueError, f"{name}: must be a text that UTF-8 can encode", function, "\ud800")

    def test_the_issue_says_so(self) -> None:
        self.wrong(TypeError, "vcpus: must be an int from 0 to 4294967295, not 'x'",
                   lambda: nestvirt.VM(self.host, vcpus="x"))  # type: ignore[arg-type]

    def test_vm(self) -> None:
        new: Any = partial(nestvirt.VM, self.host)
        self.bad_int("vcpus", lambda value: new(vcpus=value))
        self.bad_text("name", lambda value: new(name=value))
        self.wrong(ValueError, "name: must have at most 63 bytes", new, name="x" * 64)
        for size in ("256 X", "", "-1", "1.5M", "M"):
            self.wrong(ValueError, "memory: must be bytes or a text such as", new, memory=size)
        for other in (None, 1.5, True, b"1M"):
            self.wrong(TypeError, 'memory: must be an int or a text such as "256M"', new, memory=other)
        self.wrong(ValueError, "memory: must be from 0", new, memory=-1)
        self.wrong(ValueError, "memory: must be from 0", new, memory="99999999999T")
        for flag in ("fixups", "nested", "pit", "manual_vcpus"):
            for value in (1, 0, "yes", None):
                self.wrong(TypeError, f"{flag}: must be True or False", new, **{flag: value})
        self.wrong(ValueError, "chip: must be one of split, none, kernel, not 'pic'", new, chip="pic")
        self.wrong(ValueError, "chip: must be one of", new, chip=9)
        self.wrong(TypeError, "chip: must be a Chip", new, chip=None)
        self.wrong(TypeError, "host: must be a Host", nestvirt.VM, "/dev/kvm")
        self.wrong(TypeError, "host: must be a Host", nestvirt.aio.VM, 5)
        self.assertRaises(TypeError, new, colour=1)

    def test_good_values(self) -> None:
        for memory, size in (("1M", 1 << 20), ("1024k", 1 << 20), (" 1 MiB ", 1 << 20), ("4096", 4096)):
            with nestvirt.VM(self.host, memory=memory, chip="none", memory_backing="memfd") as vm:
                self.assertEqual(vm.memory.get(0).length, size)
                self.assertEqual(vm.memory.get(0).backing, nestvirt.Backing.MEMFD)

        class Index:
            def __index__(self) -> int:
                return 2

        with nestvirt.VM(self.host, vcpus=Index()) as vm:  # type: ignore[arg-type]
            self.assertEqual(vm.get_vcpu(1).index, 1)

    def test_times(self) -> None:
        for function in (self.vm.wait, self.vm.stop, self.vm.next_event):
            call: Any = function
            for value in ("1", b"", [], True):
                self.wrong(TypeError, "timeout: must be seconds as a number, or None", call, value)
            for value in (-1, -0.001, 1e10, math.nan, math.inf):
                self.wrong(ValueError, "timeout: must be from 0 to", call, value)

    def test_memory(self) -> None:
        memory: Any = self.vm.memory
        for name, function in (("address", lambda value: memory.add(4096, value) if value is not None
                                else memory.read(None, 1)),
                               ("address", lambda value: memory.read(value, 1)),
                               ("address", lambda value: memory.write(value, b"")),
                               ("address", lambda value: memory.view(value, 1))):
            self.bad_int(name, function, 0, MANY - 1)
        self.bad_int("length", lambda value: memory.view(0, value), 1, (1 << 63) - 1)
        self.bad_int("region", memory.remove)
        self.bad_int("region", memory.get)
        for value in ("text", 5, None, ["x"]):
            self.wrong(TypeError, "data: must be bytes-like", memory.write, 0, value)
        self.wrong(ValueError, "data: must be contiguous", memory.write, 0, memoryview(b"abcd")[::2])
        self.wrong(TypeError, "buffer: must be writable", memory.read_into, 0, b"1234")
        self.wrong(TypeError, "prefault: must be True or False", memory.add, 4096, prefault=1)
        self.wrong(ValueError, "backing: must be one of", memory.add, 4096, backing="disk")
        self.wrong(TypeError, "fd: must be a file descriptor or have fileno()", memory.add, 4096, fd="x")
        self.wrong(TypeError, "on: must be True or False", memory.set_mergeable, 0, 1)
        self.wrong(ValueError, "policy: must be one of", memory.set_numa, 0, "near")

    def test_bus(self) -> None:
        vm: Any = self.vm
        self.bad_int("address", lambda value: vm.add_port_handler(value, 1, print), 0, MANY - 1)
        self.bad_int("length", lambda value: vm.add_mmio_handler(0, value, print), 0, MANY - 1)
        self.wrong(TypeError, "handler: must be callable", vm.add_port_handler, 1, 1, None)
        self.wrong(ValueError, "space: must be one of port, mmio", vm.add_handler, "memory", 1, 1, print)
        self.bad_int("handler", vm.remove_handler)
        self.bad_int("pin", lambda value: vm.add_irqfd(value, 0))
        self.wrong(TypeError, "level: must be True or False", vm.add_irq, level=1)
        self.wrong(TypeError, "level: must be True or False", vm.set_irq, 1, 1)
        self.wrong(TypeError, "fd: must be a file descriptor", vm.add_irqfd, 1, None)
        self.bad_int("data", lambda value: vm.send_msi(0, value))
        self.wrong(TypeError, "sink: must be callable", vm.set_log, 5)
        self.wrong(ValueError, "level: must be one of error, warning, info, debug", vm.set_log, print, "loud")
        self.wrong(TypeError, "loop: must be a Loop", vm.set_loop, self.host)
        self.wrong(ValueError, "register: must be one of eax, ebx, ecx, edx", vm.add_cpuid_mask, 1, register="rax")
        self.assertEqual(nestvirt._callbacks.count(), 0)

    def test_devices(self) -> None:
        vm: Any = self.vm
        for kind in (None, 5, b"blk"):
            self.wrong(TypeError, "kind: must be a str", vm.add_device, kind)
        self.wrong(TypeError, "blk.queues: must be an int or a text", vm.add_blk, queues=1.5)
        self.wrong(ValueError, "blk.queues: must be from 0", vm.add_blk, queues=-1)
        self.wrong(TypeError, "blk.read_only: must be True or False", vm.add_blk, read_only=1)
        self.wrong(TypeError, "blk.path: must be a str", vm.add_blk, path=5)
        self.wrong(ValueError, "blk.path: must have no null character", vm.add_device, "blk", path="a\0")
        self.wrong(TypeError, "blk.fd: must be a file descriptor", vm.add_blk, fd="name")
        self.assertRaises(TypeError, vm.add_blk, colour="red")
        vm.validate()  # No disk without an image was added by the calls that failed.
        blk = vm.add_blk(queues=2)
        with self.assertRaises(TypeError) as caught:
            blk.read_only = "yes"
        self.assertTrue(str(caught.exception).startswith("blk.read_only: "))
        with self.assertRaises(AttributeError):
            print(blk.fd)

    def test_what_only_looks_right(self) -> None:
        """Classes with the right attributes, closed files, texts that cannot be encoded."""
        class Wrong:
            def __index__(self) -> str:
                return "x"

            def fileno(self) -> str:
                return "x"

        vm: Any = self.vm
        blk = vm.add_blk()
        for value in (Wrong(), int):
            self.wrong(TypeError, "region: must be an int", vm.memory.get, value)
            self.wrong(TypeError, "length: must be an int or a text", vm.memory.add, value)
        with open(os.devnull, "rb") as closed:
            pass
        self.wrong(ValueError, "fd: must be an open file", vm.add_irqfd, 1, closed)
        self.wrong(ValueError, "fd: must be an open file", vm.add_irqfd, 1, type(closed))
        self.wrong(ValueError, "image: must be an open file", vm.set_flat, io.BytesIO())
        self.wrong(TypeError, "fd: must be a file descriptor", vm.add_irqfd, 1, Wrong())
        self.wrong(ValueError, "fd: must be from 0 to", vm.add_irqfd, 1, -1)
        self.wrong(ValueError, "kernel: must be a path that can be encoded", vm.set_kernel, "\ud800")
        self.wrong(ValueError, "blk.resize: must be bytes or a text", blk.set, "resize", "9" * 5000)
        self.wrong(TypeError, "name: must be a str", blk.get, 5)
        self.wrong(TypeError, "name: must be a str", blk.set, b"queues", 1)
        self.refused(nestvirt.NotFoundError, -2, blk.get, "\udcff")
        self.refused(nestvirt.NotFoundError, -2, blk.set, "\udcff", 1)
        self.refused(nestvirt.NotFoundError, -2, nestvirt.Host, "\udcff")

    def test_boot(self) -> None:
        vm: Any = self.vm
        self.wrong(TypeError, "kernel: must be a path", vm.set_kernel, None)
        self.wrong(ValueError, "kernel: must have no null character", vm.set_kernel, "a\0")
        self.wrong(TypeError, "initrd: must be a path", vm.set_initrd, [])
        self.bad_text("cmdline", vm.set_cmdline)
        self.wrong(ValueError, "cmdline: must have at most 2047 bytes, not 2048", vm.set_cmdline, "x" * 2048)
        self.wrong(ValueError, "format: must be one of", vm.set_kernel, "/dev/null", format="zip")
        self.wrong(ValueError, "mode: must be one of real, protected, long", vm.set_flat, "/dev/null", mode="v86")
        self.wrong(TypeError, "discovery: must be a Discovery", vm.set_discovery, "acpi")

    def test_vcpu(self) -> None:
        vcpu: Any = self.vm.get_vcpu()
        self.bad_int("index", self.vm.get_vcpu)
        self.bad_int("index", vcpu.get_msr)
        self.bad_int("value", lambda value: vcpu.set_msr(0, value), 0, MANY - 1)
        self.bad_int("length", vcpu.skip)
        self.bad_int("vector", vcpu.inject_exception)
        self.wrong(TypeError, "regs: must be a Regs", vcpu.set_regs, {})
        self.wrong(ValueError, "regs.rip: must be from 0", vcpu.set_regs, nestvirt.Regs(rip=-1))
        self.wrong(ValueError, "answer: the last exit was no read", vcpu.run, 5)

    def test_own_device(self) -> None:
        add: Any = self.vm.add_virtio
        self.bad_int("device_id", lambda value: add(value, print))
        self.bad_int("queues", lambda value: add(1, print, queues=value))
        self.wrong(TypeError, "on_queue: must be callable", add, 1, None)
        self.wrong(TypeError, "on_drop: must be callable", add, 1, print, on_drop=5)
        self.wrong(TypeError, "config: must be bytes-like", add, 1, print, config="text")

    def test_sockets(self) -> None:
        vsock: Any = self.vm.add_vsock(cid=3)
        self.bad_int("port", vsock.connect)
        self.bad_int("port", vsock.listen)
        self.assertRaises(nestvirt.StateError, vsock.connect, 5)
        serial: Any = self.vm.add_serial()
        self.bad_int("port", serial.open, 0, 0)
        console = serial.open()
        self.addCleanup(console.close)
        self.bad_int("size", console.read1, -1, MANY - 1)
        bad: Tuple[Any, ...] = ("1", 1.5, [])
        for value in bad:
            self.wrong(TypeError, "size: must be an int", console.read, value)
            self.wrong(TypeError, "size: must be an int", console.readline, value)
        bad = ("text", None, 5)
        for value in bad:
            self.wrong(TypeError, "data: must be bytes-like", console.write, value)
        self.wrong(ValueError, "timeout: must be from 0 to", console.settimeout, -1)


if __name__ == "__main__":
    support.main()
