# SPDX-License-Identifier: Apache-2.0
"""23: templates of Linux: each clone answers on its own console, from its own disk."""

import os
import random
import zlib
from typing import Tuple

import nestvirt
import support

BOOT = 400.0  # Seconds; other tests may run beside this one.
LONG = 180.0
MIB = 1 << 20
CLONES = 3


class Linux(support.Case):
    def console(self, device: nestvirt.Serial) -> support.LinuxConsole:
        stream = device.open()
        self.addCleanup(stream.close)
        return support.LinuxConsole(stream)

    def disk(self, number: int) -> Tuple[int, int]:
        """A disk of its own: its descriptor, and the sum of its content."""
        content = random.Random(number).randbytes(MIB)
        fd = os.memfd_create("disk", os.MFD_CLOEXEC)
        self.addCleanup(os.close, fd)
        self.assertEqual(os.write(fd, content), MIB)
        return fd, zlib.crc32(content)

    def boot(self) -> nestvirt.VM:
        """A VM that waits for orders, and is paused."""
        vm = nestvirt.VM(self.host, memory="64M", memory_backing="memfd", name="linux", fixups=True)
        self.addCleanup(vm.close)
        console = self.console(vm.add_serial())
        fd, total = self.disk(0)
        vm.add_blk(fd=fd)
        vm.add_vmgenid()
        support.linux_boot(vm, "obey")
        vm.build()
        vm.start()
        console.expect("nv: waiting order", BOOT)
        console.order("sum:/dev/vda:direct", f"sum {MIB} {total}", LONG)
        vm.pause()
        return vm

    def test_clones(self) -> None:
        vm = self.boot()
        ids = {vm.generation}
        with vm.make_template(consume=True) as template:
            vm.close()
            clones = [self.start(template, number) for number in range(1, CLONES + 1)]
        for clone, console, total in clones:
            console.order("sum:/dev/vda:direct", f"sum {MIB} {total}", LONG)
            console.order("hello", "hello ", LONG)
            ids.add(clone.generation)
        self.assertEqual(len(ids), CLONES + 1)
        for clone, console, _ in clones:
            console.type("quit\n")
            self.assertEqual(clone.wait(LONG).reason, nestvirt.ResultReason.GUEST_RESET)

    def start(self, template: nestvirt.Template, number: int) -> Tuple[nestvirt.VM, support.LinuxConsole, int]:
        clone = template.clone(f"clone{number}")
        self.addCleanup(clone.close)
        console = self.console(clone.get_device(0, nestvirt.Serial))
        fd, total = self.disk(number)
        clone.get_device(1, nestvirt.Blk).fd = fd
        clone.build()
        clone.start()
        return clone, console, total


if __name__ == "__main__":
    support.main()
