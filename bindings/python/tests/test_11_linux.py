# SPDX-License-Identifier: Apache-2.0
"""11: Linux boots: console, disk, network and socket are used from the program."""

import os
import random
import shutil
import socket
import tempfile
import zlib
from typing import Tuple

import nestvirt
import network
import support

BOOT = 400.0  # Seconds; other tests may run beside this one.
LONG = 180.0
MIB = 1 << 20
CID = 77


class Linux(support.Case):
    def setUp(self) -> None:
        super().setUp()
        support.variable("NESTVIRT_TEST_KERNEL_FAST")
        self.folder = tempfile.mkdtemp(prefix="nestvirt-")
        self.addCleanup(shutil.rmtree, self.folder)

    def new(self, memory: str) -> Tuple[nestvirt.VM, support.LinuxConsole]:
        vm = nestvirt.VM(self.host, memory=memory, name="linux", fixups=True)
        self.addCleanup(vm.close)
        stream = vm.add_serial().open()
        self.addCleanup(stream.close)
        return vm, support.LinuxConsole(stream)

    def make_disk(self) -> bytes:
        content = random.Random(11).randbytes(2 * MIB)
        with open(os.path.join(self.folder, "disk.img"), "wb") as file:
            file.write(content)
        return content

    def use_disk(self, console: support.LinuxConsole, disk: nestvirt.Blk, content: bytes) -> None:
        console.order("sum:/dev/vda", f"sum {2 * MIB} {zlib.crc32(content)}", LONG)
        console.order("fill:/dev/vda:1:5:1", "fill ", LONG)
        with open(os.path.join(self.folder, "disk.img"), "rb") as file:
            now = file.read()
        self.assertEqual(now[:MIB], content[:MIB])
        self.assertNotEqual(now[MIB:], content[MIB:])
        self.assertIn(f"nv: fill {zlib.crc32(now[MIB:])}", console.text)
        self.assertGreaterEqual(disk.bytes_read, 2 * MIB)
        self.assertGreaterEqual(disk.bytes_written, MIB)
        self.assertEqual(disk.capacity, 4096)

    def use_network(self, console: support.LinuxConsole, net: nestvirt.Net) -> None:
        console.order("cat:/sys/class/net/eth0/address", "cat 02:00:00:00:07:07", LONG)
        console.type("reply:tcp:5001\n")
        console.expect("nv: waiting reply", LONG)
        with socket.create_connection((network.GUEST, 5001), LONG) as connection:
            connection.sendall(b"over the network")
            self.assertEqual(connection.recv(16, socket.MSG_WAITALL), b"over the network")
        console.expect("nv: done", LONG)
        self.assertGreater(net.rx_packets, 2)
        self.assertGreater(net.tx_bytes, 16)
        net.link = False
        console.order("await:/sys/class/net/eth0/carrier:0", "await ok", LONG)
        net.link = True
        console.order("await:/sys/class/net/eth0/carrier:1", "await ok", LONG)

    def use_port(self, console: support.LinuxConsole, port: nestvirt.Stream) -> None:
        """A console of virtio, as a file object."""
        console.type("talk:/dev/hvc0\n")
        console.expect("nv: waiting talk", LONG)
        port.write(b"a line for the guest\n")
        console.expect("nv: talk a line for the guest", LONG)
        while b"heard a line for the guest" not in port.readline():
            pass
        port.write(b"quit\n")
        console.expect("nv: done", LONG)

    def use_socket(self, console: support.LinuxConsole, vsock: nestvirt.Vsock) -> None:
        with vsock.listen(5000) as listener:
            listener.settimeout(LONG)
            console.type("call:5000:good day\n")
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LONG)
                self.assertEqual(connection.recv(8, socket.MSG_WAITALL), b"good day")
                connection.sendall(b"good day from the host")
            console.expect("nv: call good day from the host", LONG)
            console.expect("nv: done", LONG)

    def test_devices(self) -> None:
        network.enter(self)
        content = self.make_disk()
        vm, console = self.new("64M")
        net = vm.add_net(tap=network.TAP, mac="02:00:00:00:07:07")
        disk = vm.add_blk(path=os.path.join(self.folder, "disk.img"))
        port = vm.add_console(cols=80, rows=24).open()
        self.addCleanup(port.close)
        vsock = vm.add_vsock(cid=CID, path=os.path.join(self.folder, "vsock"))
        support.linux_boot(vm, "obey", f"ip={network.GUEST}::{network.HOST}:255.255.255.0::eth0:off")
        vm.build()
        vm.start()
        console.expect("nv: waiting order", BOOT)
        self.use_disk(console, disk, content)
        self.use_port(console, port)
        self.use_socket(console, vsock)
        self.use_network(console, net)
        console.type("quit\n")
        self.assertEqual(vm.wait(LONG).reason, nestvirt.ResultReason.GUEST_RESET)
        for device in (net, disk, vsock):
            self.assertEqual(device.get("faults"), 0)

    def test_ten_lines(self) -> None:
        """The program at the head of the package's documentation."""
        kernel = support.variable("NESTVIRT_TEST_KERNEL_FAST") + "/vmlinux"
        with open(os.path.join(self.folder, "console"), "wb+") as output:
            words = support.LINUX_WORDS + " nv.do=hello"
            initrd = support.variable("NESTVIRT_TEST_INITRD")
            with nestvirt.VM(memory="64M", fixups=True) as vm:
                vm.add_serial(output=output)
                vm.add_reset()
                vm.set_kernel(kernel, initrd=initrd, cmdline=words)
                vm.build()
                vm.start()
                self.assertEqual(str(vm.wait(BOOT)), "guest reset")
            output.seek(0)
            self.assertIn(b"nv: hello 6.1", output.read())


if __name__ == "__main__":
    support.main()
