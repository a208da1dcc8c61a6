# SPDX-License-Identifier: Apache-2.0
"""Owns the guest's serial lines and consoles as file objects, and its sockets (vsock)."""

import io
import os
import socket
from typing import Any, Optional

from . import _check
from ._device import Device
from ._errors import StateError

_ANSWER_MAX = 32  # Bytes of "OK PORT\n".


class Stream(io.BufferedRWPair):
    """
    The other end of a guest's console: a binary file object.

    read(), readline() and iteration give what the guest writes, and end when the VM is closed;
    write() is what somebody types, sent at once. settimeout() bounds how long they wait.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        super().__init__(socket.SocketIO(end, "rw"), socket.SocketIO(end, "rw"))

    def write(self, data: Any) -> int:
        """Sends bytes, all of them."""
        count = super().write(data)
        self.flush()
        return count

    def fileno(self) -> int:
        """The descriptor, for select and the like; data may wait in the object, too."""
        return self.socket.fileno()

    def settimeout(self, timeout: Optional[float]) -> None:
        """Seconds after which a read raises TimeoutError; None: for ever. A Stream is of no use after that."""
        self.socket.settimeout(timeout)

    def close(self) -> None:
        """Closes this end, which ends a read of another thread; the guest's output is dropped from then on."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is closed, or the VM is.
        try:
            super().close()
        finally:
            self.socket.close()


class StreamDevice(Device):
    """A device with streams of bytes: a serial line, or a console's ports."""

    def connect(self, port: int = 0) -> socket.socket:
        """
        Makes a socket that is the other end of the serial line, or of a console's port. State new.

        In place of the properties input and output.
        """
        suffix = str(port) if _check.integer("port", port, 0, 0 if self.kind == "serial" else 7) else ""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.set(f"input{suffix}", theirs)
                self.set(f"output{suffix}", theirs)
            except BaseException:
                ours.close()
                raise
        return ours

    def open(self, port: int = 0) -> Stream:
        """The same as a binary file object. State new."""
        return Stream(self.connect(port))


class SocketDevice(Device):
    """A vsock device: sockets between this program and the guest."""

    def host_path(self) -> str:
        """The socket's file that it was given. StateError if there is none."""
        path = self._texts.get("path")
        if path is None:
            raise StateError(-22, f"{self.kind} of {self._vm._handle.label}: has no path; give it one",
                             object=self.kind)
        return path

    def connect(self, port: int, timeout: Optional[float] = None) -> socket.socket:
        """
        Connects to a port on which the guest listens. The VM runs.

        timeout: seconds, also the socket's afterwards. ConnectionRefusedError if nobody listens;
        it may be a while until the guest's kernel has found the device.
        """
        port = _check.integer("port", port)
        _check.milliseconds("timeout", timeout)
        with self._vm._handle.gate():
            self._vm._handle.check()
            path = self.host_path()
        end = socket.socket(socket.AF_UNIX)
        try:
            end.settimeout(timeout)
            end.connect(path)
            end.sendall(b"CONNECT %d\n" % port)
            check_answer(_read_line(end), port)
        except BaseException:
            end.close()
            raise
        return end

    def listen(self, port: int, backlog: int = 16) -> socket.socket:
        """
        A socket that accepts the guest's connections to a port of the host (CID 2).

        Its file, path_PORT, is made here; remove it when the socket is closed. FileExistsError if
        it exists.
        """
        port = _check.integer("port", port)
        path = f"{self.host_path()}_{port}"
        end = socket.socket(socket.AF_UNIX)
        try:
            _bind(end, path)
            end.listen(backlog)
        except BaseException:
            end.close()
            raise
        return end


def _bind(end: socket.socket, path: str) -> None:
    try:
        end.bind(path)
    except OSError as error:
        if os.path.lexists(path):
            raise FileExistsError(error.errno, f"{path}: exists; remove it") from None
        raise


def _read_line(end: socket.socket) -> bytes:
    """The library's answer, and not a byte of what the guest sends behind it."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _ANSWER_MAX:
        byte = end.recv(1)
        if not byte:
            break
        line += byte
    return line


def check_answer(line: bytes, port: int) -> None:
    """Raises ConnectionRefusedError unless it is "OK PORT"."""
    if not line.startswith(b"OK "):
        raise ConnectionRefusedError(111, f"vsock port {port}: the guest does not listen there")
