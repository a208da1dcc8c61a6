# SPDX-License-Identifier: Apache-2.0
"""21: sockets between guest and program (vsock), in both ways of calling, and Linux under asyncio."""

import asyncio
import os
import random
import shutil
import socket
import tempfile
from typing import List

import nestvirt
import nestvirt.aio
import support

BOOT = 400.0  # Seconds; other tests may run beside this one.
LONG = 180.0
CID = 42
BULK = random.Random(21).randbytes(256 * 1024)


class Console:
    """The guest's serial line, by asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.text = ""

    async def expect(self, text: str, seconds: float = LONG) -> None:
        try:
            await asyncio.wait_for(self._expect(text), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f'"{text}" did not come; the console ends with:\n{self.text[-1500:]}') from None

    async def _expect(self, text: str) -> None:
        while text not in self.text:
            data = await self.reader.read(65536)
            assert data, f'the console ended before "{text}":\n{self.text[-1500:]}'
            self.text += data.decode("utf-8", "replace")
        self.text = self.text[self.text.index(text) + len(text):]

    def type(self, text: str) -> None:
        self.writer.write(text.encode() + b"\n")


class Vsock(support.Case):
    def setUp(self) -> None:
        super().setUp()
        support.variable("NESTVIRT_TEST_KERNEL_FAST")
        self.folder = tempfile.mkdtemp(prefix="nestvirt-")
        self.addCleanup(shutil.rmtree, self.folder)

    async def guest_calls(self, console: Console, vsock: nestvirt.Vsock) -> None:
        """The guest connects to a server of the program; where there is none it is refused."""
        heard: List[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readexactly(8))
            writer.write(b"good day from the host")
            await writer.drain()
            writer.close()

        server = await nestvirt.aio.listen(vsock, 5000, serve)
        with self.assertRaises(FileExistsError):
            vsock.listen(5000)
        console.type("call:5000:good day")
        await console.expect("nv: call good day from the host")
        await console.expect("nv: done")
        server.close()
        await server.wait_closed()
        self.assertEqual(heard, [b"good day"])
        console.type("call:5001:nobody listens")
        await console.expect("nv: call error")
        await console.expect("nv: done")

    async def program_calls(self, console: Console, vsock: nestvirt.Vsock) -> None:
        """The program connects to a server of the guest, by asyncio."""
        with self.assertRaises(ConnectionRefusedError):
            await nestvirt.aio.connect(vsock, 6999)
        console.type("reply:vsock:6000")
        await console.expect("nv: waiting reply")
        reader, writer = await nestvirt.aio.connect(vsock, 6000)
        writer.write(BULK)
        self.assertEqual(await asyncio.wait_for(reader.readexactly(len(BULK)), LONG), BULK)
        writer.close()
        await console.expect(f"nv: reply {len(BULK)}")
        await console.expect("nv: done")

    async def plain_sockets(self, console: Console, vsock: nestvirt.Vsock) -> None:
        """The same with plain sockets, on another thread."""
        with self.assertRaises(ConnectionRefusedError):
            await asyncio.get_running_loop().run_in_executor(None, vsock.connect, 6999, LONG)
        console.type("reply:vsock:6001")
        await console.expect("nv: waiting reply")
        got = await asyncio.get_running_loop().run_in_executor(None, self.exchange, vsock)
        self.assertEqual(got, b"by a plain socket")
        await console.expect("nv: reply 17")
        await console.expect("nv: done")

    @staticmethod
    def exchange(vsock: nestvirt.Vsock) -> bytes:
        with vsock.connect(6001, LONG) as connection:
            assert isinstance(connection, socket.socket)
            connection.sendall(b"by a plain socket")
            return connection.recv(17, socket.MSG_WAITALL)

    async def run_all(self) -> None:
        async with nestvirt.aio.VM(self.host, memory="64M", name="linux", fixups=True) as vm:
            console = Console(*await nestvirt.aio.open_stream(vm.add_serial()))
            vsock = vm.add_vsock(cid=CID, path=os.path.join(self.folder, "vsock"))
            support.linux_boot(vm, "obey")
            await vm.build()
            await vm.start()
            await console.expect("nv: waiting order", BOOT)
            await self.guest_calls(console, vsock)
            await self.program_calls(console, vsock)
            await self.plain_sockets(console, vsock)
            for _ in range(200):
                if vsock.connections_open == 0:
                    break
                await asyncio.sleep(0.1)
            self.assertEqual((vsock.connections_open, vsock.faults), (0, 0))
            self.assertGreater(vsock.rx_bytes, len(BULK))
            console.type("quit")
            self.assertEqual((await vm.wait(LONG)).reason, nestvirt.ResultReason.GUEST_RESET)
            self.assertEqual([event.kind async for event in vm.events()][-1], nestvirt.EventKind.STOPPED)
            console.writer.close()

    def test_sockets(self) -> None:
        asyncio.run(self.run_all())


if __name__ == "__main__":
    support.main()
