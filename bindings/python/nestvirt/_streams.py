# SPDX-License-Identifier: Apache-2.0
"""Owns devices that are talked to: serial lines and consoles, and sockets (vsock)."""

import os
import socket
from contextlib import ExitStack
from typing import Optional, Tuple

from . import _check
from ._device import Device
from ._errors import StateError
from ._stream import Stream

_ANSWER_MAX = 32  # Bytes of "OK PORT\n".


class StreamDevice(Device):
    """A device with streams of bytes: a serial line, or a console's ports."""

    def open(self, port: int = 0) -> Stream:
        """
        Makes a file object that is the other end of the serial line, or of a console's port. State new.

        In place of the properties input and output.
        """
        return Stream(*self._open_pipes(port))

    def _open_pipes(self, port: int) -> Tuple[int, int]:
        """The ends to read from and to write to. The caller closes them."""
        suffix = str(port) if _check.integer("port", port, 0, 0 if self.kind == "serial" else 7) else ""
        with ExitStack() as ours, ExitStack() as theirs:
            reader, output = os.pipe()
            ours.callback(os.close, reader)
            theirs.callback(os.close, output)
            input, writer = os.pipe()
            ours.callback(os.close, writer)
            theirs.callback(os.close, input)
            self.set(f"input{suffix}", input)
            self.set(f"output{suffix}", output)
            ours.pop_all()
        return reader, writer


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
