# SPDX-License-Identifier: Apache-2.0
"""Owns the bytes between this program's terminal and a guest's consoles."""

import os
import select
import sys
import time
from typing import List, Optional, Sequence

from ._terminal import Progress

_ESCAPE = b"\x1d"  # Ctrl-], as in telnet.
_CHUNK = 65536


class Console:
    """
    The terminal of the guest: descriptors to which the keys go, and from which comes what is shown.

    escapes: how often Ctrl-] was pressed. first_output: when something came, as time.monotonic().
    """

    def __init__(self, keys: int, ends: Sequence[int], progress: Progress) -> None:
        self._keys = keys
        self._ends: List[int] = list(ends)
        self._progress = progress
        self._pending = b""
        self.input: Optional[int] = None if sys.stdin is None or sys.stdin.closed else sys.stdin.fileno()
        self._output = sys.stdout.fileno()
        self.escapes = 0
        self.bytes = 0
        self.first_output: Optional[float] = None
        for end in (keys, *ends):
            os.set_blocking(end, False)

    def turn(self, others: Sequence[int], seconds: Optional[float], is_raw: bool) -> None:
        """Waits until there is something to do, or one of the other descriptors is readable, and does it."""
        poll = select.poll()
        for end in self._ends:
            poll.register(end, select.POLLIN)
        for other in others:
            poll.register(other, select.POLLIN)
        if self._pending:
            poll.register(self._keys, select.POLLOUT)
        elif self.input is not None:
            poll.register(self.input, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(1000 if seconds is None else min(1000, int(seconds * 1000) + 1))}
        for end in list(self._ends):
            if end in ready:
                self._show(end)
        if self.input in ready and not self._pending:
            self._read_keys(is_raw)
        self._send()

    def drain(self) -> None:
        """Shows what is left once the VM is closed."""
        for end in list(self._ends):
            while end in self._ends:
                self._show(end)

    def _show(self, end: int) -> None:
        try:
            data = os.read(end, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._ends.remove(end)
            return
        if self.first_output is None:
            self.first_output = time.monotonic()
            self._progress.end()
        self.bytes += len(data)
        while data:
            data = data[os.write(self._output, data):]

    def _read_keys(self, is_raw: bool) -> None:
        assert self.input is not None
        data = os.read(self.input, 4096)
        if not data:
            self.input = None  # The end of a file or a pipe: the guest goes on.
        if is_raw and _ESCAPE in data:
            self.escapes += data.count(_ESCAPE)
            data = data.replace(_ESCAPE, b"")
        self._pending = data

    def _send(self) -> None:
        if self._pending:
            try:
                self._pending = self._pending[os.write(self._keys, self._pending):]
            except (BlockingIOError, InterruptedError):
                pass
            except ConnectionError:
                self._pending = b""
