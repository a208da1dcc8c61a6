# SPDX-License-Identifier: Apache-2.0
"""02: the life of a VM, as its states and its events tell it."""

import asyncio
import io
import select
import threading
import time
from typing import Any, Callable, List

import guests
import nestvirt
import nestvirt.aio
import support
from nestvirt import EventKind, ResultReason, State


def told(events: Any) -> List[str]:
    return [str(event) for event in events]


class Life(support.Case):
    def test_states(self) -> None:
        vm = self.make(guests.SPIN, name="life")
        self.assertEqual(vm.name, "life")
        self.assertEqual(vm.state, State.NEW)
        vm.validate()
        vm.build()
        self.assertEqual(vm.state, State.BUILT)
        for _ in range(2):
            vm.start()
            self.assertEqual(vm.state, State.RUNNING)
            support.await_spin(vm)
            vm.pause()
            self.assertEqual(vm.state, State.PAUSED)
            frozen = support.spins(vm)
            self.assertEqual(support.spins(vm), frozen)
            vm.resume()
            self.assertEqual(vm.state, State.RUNNING)
            support.await_spin(vm)
            vm.stop()
            self.assertEqual(vm.state, State.STOPPED)
            self.assertEqual(vm.wait().reason, ResultReason.STOPPED)
        vm.stop()
        vm.close()
        vm.close()
        self.assertTrue(vm.closed)

    def test_events_tell_the_same(self) -> None:
        vm = self.make(guests.SPIN)
        self.assertIsNone(vm.next_event())
        vm.build()
        vm.start()
        vm.pause()
        vm.resume()
        vm.stop()
        events = list(vm.events())
        self.assertEqual(told(events), [
            "state: new to built", "state: built to running", "state: running to paused",
            "state: paused to running", "state: running to stopped", "stopped: stopped by caller"])
        self.assertEqual(events[0].new_state, State.BUILT)
        self.assertEqual(events[-1].reason, ResultReason.STOPPED)
        times = [event.time_ns for event in events]
        self.assertEqual(times, sorted(times))

    def test_event_descriptor(self) -> None:
        vm = self.make(guests.EXIT_CODE)
        poll = select.poll()
        poll.register(vm.event_fd(), select.POLLIN)
        self.assertEqual(poll.poll(0), [])
        vm.build()
        self.assertEqual(len(poll.poll(0)), 1)
        vm.start()
        kinds = [event.kind for event in vm.events()]
        self.assertEqual(kinds[-1], EventKind.STOPPED)
        self.assertEqual(poll.poll(0), [])
        self.assertIsNone(vm.next_event(0.05))

    def test_context_manager_ends_a_running_vm(self) -> None:
        with support.started(guests.SPIN, self.host) as vm:
            support.await_spin(vm)
        self.assertTrue(vm.closed)

    def test_no_host_is_needed(self) -> None:
        with support.started(guests.EXIT_CODE) as vm:
            self.assertEqual(vm.wait(support.SECONDS).exit_code, 7)

    def test_a_host_may_be_closed_first(self) -> None:
        vm = self.make(guests.EXIT_CODE)
        self.host.close()
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 7)

    def test_two_vms_share_a_loop(self) -> None:
        with nestvirt.Loop() as loop:
            vms = [self.make(guests.EXIT_CODE) for _ in range(2)]
            for vm in vms:
                vm.set_loop(loop)
                vm.add_rng()
        for vm in vms:
            vm.build()
            vm.start()
            self.assertEqual(vm.wait(support.SECONDS).exit_code, 7)

    def test_log(self) -> None:
        lines: List[Any] = []
        vm = self.make(guests.EXIT_CODE)
        vm.set_log(lambda level, text: lines.append((level, text)), "debug")
        vm.set_log(None)
        vm.set_log(lambda level, text: lines.append((level, text)), nestvirt.LogLevel.DEBUG)
        self.assertEqual(len(vm._slots), 1)
        vm.build()
        vm.start()
        vm.wait(support.SECONDS)
        for level, text in lines:
            self.assertIsInstance(level, nestvirt.LogLevel)
            self.assertIsInstance(text, str)

    def test_console(self) -> None:
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        self.addCleanup(console.close)
        vm.build()
        vm.start()
        console.write(b"hello\n")
        self.assertEqual(console.readline(), b"hello\n")
        console.write(b"q")
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 4)
        vm.close()
        self.assertEqual(console.read(), b"q")

    def test_console_that_nobody_reads_for_a_while(self) -> None:
        vm = self.make(guests.PRINT)
        serial = vm.add_serial()
        console = serial.open()
        self.addCleanup(console.close)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 3)
        self.assertEqual(serial.dropped, 0)
        vm.close()
        self.assertEqual(console.read(), guests.PRINTED)

    def test_console_closed_while_it_is_read(self) -> None:
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        got: List[bytes] = []
        thread = threading.Thread(target=lambda: got.append(console.read(1)))
        thread.start()
        time.sleep(0.05)
        console.close()
        thread.join(support.SECONDS)
        self.assertEqual(got, [b""])


    def test_console_of_which_too_much_is_asked(self) -> None:
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        self.addCleanup(console.close)
        console.settimeout(0.05)
        self.assertRaises(TimeoutError, console.write, bytes(1 << 20))
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        self.addCleanup(console.close)
        vm.build()
        vm.start()
        console.settimeout(0.1)
        self.assertRaises(TimeoutError, console.read1)
        console.write(bytearray(b"abcdef"))
        self.assertRaises(TimeoutError, console.readline)
        self.assertRaises(TimeoutError, console.read, 7)
        console.settimeout(None)
        console.write(b"gh\nij\n\nq")
        self.assertEqual(console.read(2), b"ab")  # Nothing was lost.
        self.assertEqual(console.readline(2), b"cd")
        self.assertEqual(console.readline(), b"efgh\n")
        self.assertEqual((console.read(0), console.read1(0), console.readline(0)), (b"", b"", b""))
        buffer = bytearray(2)
        self.assertEqual((console.readinto(buffer), buffer), (2, b"ij"))
        vm.wait(support.SECONDS)
        vm.close()
        self.assertEqual(list(console), [b"\n", b"\n", b"q"])
        self.assertEqual((console.read(), console.read1(), console.readline(), console.read(5)), (b"",) * 4)
        self.assertRaises(BrokenPipeError, console.write, b"x")
        console.close()
        console.close()
        calls: List[Callable[[], Any]] = [console.read, console.read1, console.readline, console.fileno,
                                          lambda: console.write(b"x")]
        for function in calls:
            self.assertRaises(ValueError, function)

    def test_console_as_text(self) -> None:
        vm = self.make(guests.ECHO)
        stream: Any = vm.add_serial().open()
        with io.TextIOWrapper(stream, "utf-8", line_buffering=True) as console:
            vm.build()
            vm.start()
            print("Grüße", file=console)
            self.assertEqual(console.readline(), "Grüße\n")

    def test_console_closed_while_it_is_written(self) -> None:
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        ended: List[str] = []

        def write() -> None:
            try:
                console.write(bytes(1 << 20))
            except ValueError as error:
                ended.append(str(error))

        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.05)
        console.close()
        thread.join(support.SECONDS)
        self.assertEqual(ended, ["the stream is closed"])

    def test_consoles_hold_nothing(self) -> None:
        vm = self.make(guests.ECHO)
        before = support.Holdings().descriptors
        serial, console = vm.add_serial(), vm.add_console(ports=2)
        for _ in range(20):
            for stream in (serial.open(), console.open(0), console.open(1)):
                stream.close()
        serial.open()  # Is collected.
        self.assertLessEqual(support.Holdings().descriptors, before + 6)


class Asyncio(support.Case):
    async def life(self) -> None:
        async with nestvirt.aio.VM(self.host, memory="1M") as vm:
            support.set_guest(vm, guests.ECHO)
            reader, writer = await nestvirt.aio.open_stream(vm.add_serial())
            await vm.build()
            await vm.start()
            waiter = asyncio.ensure_future(vm.wait())
            with self.assertRaises(nestvirt.WaitTimeout):
                await vm.wait(0.05)
            await vm.pause()
            await vm.resume()
            writer.write(b"line\n")
            self.assertEqual(await reader.readline(), b"line\n")
            writer.write(b"q")
            self.assertEqual((await waiter).exit_code, 4)
            self.assertEqual(told([event async for event in vm.events()])[-1], "stopped: guest exit")
            await vm.start()
            await vm.stop()
            self.assertEqual((await vm.wait()).reason, ResultReason.STOPPED)
            writer.close()
        self.assertTrue(vm.closed)
        await vm.close()

    def test_life(self) -> None:
        asyncio.run(self.life())

    async def printing(self) -> None:
        async with nestvirt.aio.VM(self.host, memory="1M") as vm:
            support.set_guest(vm, guests.PRINT)
            reader, writer = await nestvirt.aio.open_stream(vm.add_serial())
            await vm.build()
            await vm.start()
            support.await_true("it has stopped", lambda: vm.state is State.STOPPED)  # The loop is busy with this.
            self.assertEqual((await vm.wait(support.SECONDS)).exit_code, 3)
        self.assertEqual(await reader.read(), guests.PRINTED)
        writer.close()

    def test_console_of_a_busy_loop(self) -> None:
        asyncio.run(self.printing())

    async def many(self) -> None:
        """More VMs than the default executor has threads; each is waited for at the same time."""
        vms = []
        for _ in range(40):
            vm = nestvirt.aio.VM(self.host, memory="1M")
            support.set_guest(vm, guests.EXIT_CODE)
            vms.append(vm)

        async def run(vm: nestvirt.aio.VM) -> int:
            await vm.build()
            await vm.start()
            events = [event async for event in vm.events()]
            self.assertEqual(events[-1].kind, EventKind.STOPPED)
            return (await vm.wait(support.SECONDS)).exit_code

        before = len(support.Holdings.thread_names())
        self.assertEqual(await asyncio.gather(*map(run, vms)), [7] * len(vms))
        self.assertLess(len(support.Holdings.thread_names()), before + 3 * len(vms))
        await asyncio.gather(*(vm.close() for vm in vms))

    def test_many(self) -> None:
        asyncio.run(self.many())

    async def closing(self) -> None:
        vm = nestvirt.aio.VM(self.host, memory="1M")
        support.set_guest(vm, guests.SPIN)
        await vm.build()
        await vm.start()
        waiter = asyncio.ensure_future(vm.wait())
        await asyncio.sleep(0.05)
        await vm.close()
        with self.assertRaises(nestvirt.StateError):
            await waiter
        with self.assertRaises(nestvirt.StateError):
            await vm.wait()

    def test_close_ends_a_wait(self) -> None:
        asyncio.run(self.closing())

    async def cancelling(self) -> None:
        async with nestvirt.aio.VM(self.host, memory="1M") as vm:
            support.set_guest(vm, guests.SPIN)
            await vm.build()
            await vm.start()
            waiter = asyncio.ensure_future(vm.wait())
            await asyncio.sleep(0.05)
            waiter.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiter
            self.assertEqual(vm.state, State.RUNNING)
            await vm.stop()

    def test_cancelled_wait_leaves_the_vm(self) -> None:
        asyncio.run(self.cancelling())


if __name__ == "__main__":
    support.main()
