# SPDX-License-Identifier: Apache-2.0
"""
Owns the other end of a guest's console, as a file object over two pipes.

Pipes, because a guest prints byte by byte: a pipe holds 64 KiB of these, a socket some hundred.
"""

import errno
import io
import os
import select
import threading
import time
from typing import Any, Optional

from . import _check

_CHUNK = 65536


class Stream(io.BufferedIOBase):
    """
    The other end of a guest's console: a binary file object.

    read(), readline() and iteration give what the guest prints, and end when the VM is closed;
    read1() gives what there is, and waits only for the first byte. write() is what somebody types,
    sent at once. settimeout() bounds how long they wait.
    Guests wait for a reader for a moment only: what is printed while nobody reads for long is lost.
    """

    def __init__(self, reader: int, writer: int) -> None:
        super().__init__()
        self._reader, self._writer = reader, writer
        self._waker = os.pipe()  # Its second end closes first, which ends the waits.
        self._buffer = bytearray()  # Read, and not yet taken by anybody.
        self._timeout: Optional[int] = None
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._closing = threading.Lock()
        for end in (reader, writer):
            os.set_blocking(end, False)

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def fileno(self) -> int:
        """The descriptor that is read, for select and the like; data may wait in the object, too."""
        self._check_open()
        return self._reader

    def settimeout(self, timeout: Optional[float]) -> None:
        """
        Seconds after which a call raises TimeoutError, None for never.

        What was read until then is not lost: the next call begins with it.
        """
        limit = _check.milliseconds("timeout", timeout)
        self._timeout = None if limit < 0 else limit

    def read(self, size: Optional[int] = -1) -> bytes:
        """As many bytes; fewer at the end. None or -1: all up to the end."""
        wanted = None if size is None or size == -1 else _check.integer("size", size, 0, _check.U64_MAX)
        return self._take(lambda start: None if wanted is None or len(self._buffer) < wanted else wanted)

    def read1(self, size: int = -1) -> bytes:
        """What there is, at most as many bytes; waits for the first. b"" at the end."""
        wanted = _check.integer("size", size, -1, _check.U64_MAX)
        if wanted == 0:
            return b""
        return self._take(lambda start: (len(self._buffer) if wanted < 0 else wanted) if self._buffer else None)

    def readline(self, size: Optional[int] = -1) -> bytes:
        """Up to the next end of a line, at most as many bytes; what is left at the end."""
        wanted = None if size is None or size == -1 else _check.integer("size", size, 0, _check.U64_MAX)

        def find(start: int) -> Optional[int]:
            end = self._buffer.find(b"\n", start) + 1
            if wanted is not None and (end > wanted or not end and len(self._buffer) >= wanted):
                return wanted
            return end or None

        return self._take(find)

    def _take(self, find: Any) -> bytes:
        """
        The first bytes of the buffer, at its end all of them.

        find: given from where on the buffer is new, tells how many; None: more has to come.
        """
        with self._reading:
            self._check_open()
            deadline = self._deadline()
            seen = 0
            while True:
                count = find(seen)
                seen = len(self._buffer)
                if count is not None or not self._fill(deadline):
                    break
            data = bytes(memoryview(self._buffer)[:count])
            del self._buffer[:count]
            return data

    def _fill(self, deadline: Optional[float]) -> bool:
        """Reads more into the buffer; False at the end."""
        while not self.closed:
            try:
                data = os.read(self._reader, _CHUNK)
            except BlockingIOError:
                self._await(self._reader, select.POLLIN, deadline)
                continue
            self._buffer += data
            return bool(data)
        return False

    def write(self, data: Any) -> int:
        """Sends bytes, all of them. BrokenPipeError when the VM is closed."""
        view = left = _check.contents("data", data)
        with self._writing:
            self._check_open()
            deadline = self._deadline()
            while len(left):
                try:
                    left = left[os.write(self._writer, left):]
                except BlockingIOError:
                    self._await(self._writer, select.POLLOUT, deadline)
                    self._check_open()
        return len(view)

    def _deadline(self) -> Optional[float]:
        return None if self._timeout is None else time.monotonic() + self._timeout / 1000

    def _await(self, end: int, events: int, deadline: Optional[float]) -> None:
        """Waits until an end is ready, or this is closed."""
        poll = select.poll()
        poll.register(end, events)
        poll.register(self._waker[0], select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not poll.poll(None if left is None else left * 1000) and not self.closed:
            raise TimeoutError(errno.ETIMEDOUT, "the guest's console: the time is over")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the stream is closed")

    def close(self) -> None:
        """Closes this end, which ends a read of another thread; the guest's output is dropped from then on."""
        if not self._closing.acquire(False):
            return
        super().close()
        os.close(self._waker[1])
        with self._reading, self._writing:
            for end in (self._reader, self._writer, self._waker[0]):
                os.close(end)
