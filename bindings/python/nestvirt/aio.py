# SPDX-License-Identifier: Apache-2.0
"""
Virtual machines for asyncio: the calls that wait are coroutines, and so are consoles and sockets.

    async with nestvirt.aio.VM(memory="256M") as vm:
        serial = vm.add_serial()
        reader, writer = await nestvirt.aio.open_stream(serial)
        ...
        await vm.build()
        await vm.start()
        async for event in vm.events():
            print(event)
        print("ended by", await vm.wait())

A VM takes no thread of the program for waiting: the event loop watches its event descriptor. Calls
that only take a moment (build, start, pause, stop, close) run in the loop's default executor. Use a
VM in one event loop; functions given to it (handlers, log sink) still run on the library's threads.
nestvirt.Observer takes these VMs too. VM.from_template() makes a clone.
"""

import asyncio
from collections import deque
from contextlib import ExitStack, contextmanager
from typing import Any, AsyncIterator, Callable, Deque, Iterator, Optional, Set, Tuple, TypeVar

from . import _check
from ._constants import EventKind
from ._errors import StateError
from ._streams import SocketDevice, StreamDevice, check_answer
from ._template import Template
from ._values import Event, Result
from ._vm import BaseVM, _stop_for_close

_EVENTS_MAX = 1024  # That nobody has taken yet.

R = TypeVar("R")
V = TypeVar("V", bound="VM")
Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class VM(BaseVM):
    """nestvirt.VM with coroutines; see there for the parameters. `async with` closes it at the end."""

    def _begin(self) -> None:
        self._events: Deque[Event] = deque()
        self._lost = 0
        self._watchers = 0
        self._watched: Optional[Tuple[asyncio.AbstractEventLoop, int]] = None
        self._ticks: Set["asyncio.Future[None]"] = set()
        self._is_closing = False

    async def __aenter__(self: V) -> V:
        with self._handle.gate():
            self._handle.check()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def build(self) -> None:
        """As nestvirt.VM.build()."""
        await self._in_thread(self._build)

    async def start(self) -> None:
        """As nestvirt.VM.start()."""
        await self._in_thread(self._start)

    async def pause(self) -> None:
        """As nestvirt.VM.pause()."""
        await self._in_thread(self._call, "nestvirt_vm_pause")

    async def resume(self) -> None:
        """As nestvirt.VM.resume()."""
        await self._in_thread(self._call, "nestvirt_vm_resume")

    async def stop(self, timeout: Optional[float] = None) -> None:
        """As nestvirt.VM.stop(). A task that is cancelled here leaves the VM stopping."""
        await self._in_thread(self._stop, _check.milliseconds("timeout", timeout))

    async def make_template(self, *, consume: bool = False) -> Template:
        """As nestvirt.VM.make_template(). Clones: VM.from_template()."""
        return await self._in_thread(lambda: Template(self, consume=consume))

    async def close(self) -> None:
        """As nestvirt.VM.close(). Coroutines that wait for the VM get a StateError."""
        self._is_closing = True
        self._end_watch()
        try:
            await self._in_thread(self._handle.close, _stop_for_close)
        except BaseException:
            self._is_closing = self._handle.is_closed
            raise

    async def wait(self, timeout: Optional[float] = None) -> Result:
        """As nestvirt.VM.wait(). A task that is cancelled here leaves the VM as it is."""
        _check.milliseconds("timeout", timeout)
        try:
            return await asyncio.wait_for(self._wait(), timeout)
        except asyncio.TimeoutError:
            raise self._timeout("has not stopped", timeout) from None

    async def _wait(self) -> Result:
        with self._watch():
            while True:
                result = self._poll_result(0)
                if result is not None:
                    return result
                await self._tick()

    async def events(self) -> AsyncIterator[Event]:
        """Events as they come, until the VM has stopped; that one is the last. Each is given out once."""
        with self._watch():
            while True:
                event = self._take()
                if event is None:
                    await self._tick()
                    continue
                yield event
                if event.kind is EventKind.STOPPED:
                    return

    async def _in_thread(self, function: Callable[..., R], *arguments: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    def _take(self) -> Optional[Event]:
        """The oldest event, None if there is none."""
        if self._events:
            return self._events.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Event(EventKind.LOST, 0, 0, (lost, 0, 0, 0))
        return self._next_event()

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """The event loop looks at the descriptor for as long as somebody waits."""
        self._check_open()
        if self._watched is None:
            loop = asyncio.get_running_loop()
            self._watched = (loop, self.event_fd())
            loop.add_reader(self._watched[1], self._on_readable)
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                self._end_watch()

    def _end_watch(self) -> None:
        if self._watched is not None:
            loop, fd = self._watched
            self._watched = None
            loop.remove_reader(fd)
        self._wake()

    def _wake(self) -> None:
        for tick in self._ticks:
            if not tick.done():
                tick.set_result(None)
        self._ticks.clear()

    def _on_readable(self) -> None:
        """Takes all events, as the descriptor stays readable until then."""
        while True:
            event = self._next_event()
            if event is None:
                break
            if len(self._events) < _EVENTS_MAX:
                self._events.append(event)
            else:
                self._lost += 1
        self._wake()

    async def _tick(self) -> None:
        """Waits until there was an event."""
        tick = asyncio.get_running_loop().create_future()
        self._ticks.add(tick)
        try:
            await tick
        finally:
            self._ticks.discard(tick)
        self._check_open()

    def _check_open(self) -> None:
        if self._is_closing:
            raise StateError(-9, f"{self._handle.label}: is closed; make a new one", object=self._handle.label)


class _StreamWriter(asyncio.StreamWriter):
    """Writes to one pipe, and closes the one that is read, too."""

    def __init__(self, transport: asyncio.WriteTransport, protocol: asyncio.BaseProtocol,
                 other: asyncio.ReadTransport) -> None:
        super().__init__(transport, protocol, None, asyncio.get_running_loop())
        self._other = other

    def close(self) -> None:
        """Closes both."""
        super().close()
        self._other.close()


class _WriteProtocol(asyncio.StreamReaderProtocol):
    """What a StreamWriter needs of a protocol; nothing is read."""

    def __init__(self) -> None:
        self._nothing = asyncio.StreamReader()  # The base class has but a weak reference to it.
        super().__init__(self._nothing)


async def open_stream(device: StreamDevice, port: int = 0) -> Streams:
    """A reader and a writer for a serial line, or for a console's port. The VM's state is new."""
    loop = asyncio.get_running_loop()
    read_end, write_end = device._open_pipes(port)
    with ExitStack() as stack:
        source = stack.enter_context(open(read_end, "rb", 0))
        target = stack.enter_context(open(write_end, "wb", 0))
        reader = asyncio.StreamReader()
        other, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        stack.callback(other.close)
        transport, protocol = await loop.connect_write_pipe(_WriteProtocol, target)
        stack.pop_all()  # The transports close them.
    return reader, _StreamWriter(transport, protocol, other)


async def connect(device: SocketDevice, port: int) -> Streams:
    """Connects to a port on which the guest listens, by vsock. ConnectionRefusedError if nobody does."""
    port = _check.integer("port", port)
    reader, writer = await asyncio.open_unix_connection(device.host_path())
    try:
        writer.write(b"CONNECT %d\n" % port)
        check_answer(await reader.readline(), port)
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def listen(device: SocketDevice, port: int,
                 serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> asyncio.AbstractServer:
    """Serves the guest's connections to a port of the host, by vsock; see SocketDevice.listen()."""
    return await asyncio.start_unix_server(serve, sock=device.listen(port))


__all__ = ["VM", "connect", "listen", "open_stream"]
