# SPDX-License-Identifier: Apache-2.0
"""Owns this program's terminal while a guest has it: raw mode, and the way back; and telling of long work."""

import contextlib
import os
import sys
import termios
import threading
import time
import tty
from typing import Any, Iterator, Optional, TextIO

_FRAME_SECONDS = 0.2


@contextlib.contextmanager
def raw_mode(fd: Optional[int]) -> Iterator[bool]:
    """Gives every key to the reader as it is, if fd is a terminal; puts its mode back in every case."""
    if fd is None or not os.isatty(fd):
        yield False
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSANOW)
        yield True
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Progress:
    """
    Tells of long work on stderr: on a terminal one line that counts seconds, and is taken away at
    the end; elsewhere one plain line when something begins.
    """

    def __init__(self, stream: Optional[TextIO] = None, *, is_quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._is_quiet = is_quiet
        self._is_terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._text = ""
        self._since = 0.0
        self._end = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def begin(self, text: str) -> None:
        """Tells what is done now."""
        with self._lock:
            self._text, self._since = text, time.monotonic()
        if self._is_quiet:
            return
        if not self._is_terminal:
            self.note(text)
        elif self._thread is None:
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self._is_quiet:
            with self._lock:
                self._clear()
                # A terminal in raw mode does not go to the first column by itself.
                self._write(f"nestvirt: {text}{chr(13) if self._is_terminal else ''}\n")

    def end(self) -> None:
        """Takes the line away. May be called again."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            self._clear()
            self._text = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def _run(self) -> None:
        frames = "|/-\\"
        count = 0
        while not self._end.wait(_FRAME_SECONDS):
            with self._lock:
                if self._text:
                    elapsed = time.monotonic() - self._since
                    self._write(f"\r\033[K{frames[count % len(frames)]} {self._text}  {elapsed:.1f} s")
            count += 1

    def _clear(self) -> None:
        if self._is_terminal and self._text and not self._is_quiet:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
