# SPDX-License-Identifier: Apache-2.0
"""Owns what a VM starts with: a kernel, or a flat image."""

import ctypes
from typing import Any, Optional, Union

from . import _check
from ._abi import nestvirt_flat_config
from ._base import VMBase
from ._constants import CMDLINE_MAX, Discovery, KernelFormat, Mode
from ._library import struct

File = Union[_check.Path, _check.Descriptor]


class BootMixin(VMBase):
    """Kernel, initrd, command line, flat images. Files are paths, descriptors, or have fileno()."""

    def _set_file(self, name: str, file: Any, by_path: str, by_fd: str, *arguments: Any) -> None:
        """Calls one function or the other."""
        if _check.is_descriptor(file):
            self._call(by_fd, _check.descriptor(name, file), *arguments)
        else:
            self._call(by_path, _check.path(name, file), *arguments)

    def set_kernel(self, kernel: File, *, initrd: Optional[File] = None, cmdline: Optional[str] = None,
                   format: Any = KernelFormat.AUTO) -> None:
        """
        Sets the kernel, a bzImage or vmlinux, and what goes with it. State new.

        format: KernelFormat or its name. Content is judged by build(): Error with errno ENOEXEC for
        a file that is no kernel, E2BIG when memory is too small.
        """
        self._set_file("kernel", kernel, "nestvirt_boot_set_kernel", "nestvirt_boot_set_kernel_fd",
                       _check.member("format", KernelFormat, format))
        if initrd is not None:
            self.set_initrd(initrd)
        if cmdline is not None:
            self.set_cmdline(cmdline)

    def set_initrd(self, initrd: File) -> None:
        """Sets the initrd. State new."""
        self._set_file("initrd", initrd, "nestvirt_boot_set_initrd", "nestvirt_boot_set_initrd_fd")

    def set_cmdline(self, cmdline: str) -> None:
        """Sets the kernel's command line, at most CMDLINE_MAX bytes. State new."""
        self._call("nestvirt_boot_set_cmdline", _check.text("cmdline", cmdline, CMDLINE_MAX))

    def set_discovery(self, discovery: Discovery) -> None:
        """Chooses how the guest finds processors and devices; Discovery(0) for no way. State new."""
        if isinstance(discovery, bool) or not isinstance(discovery, int):
            raise TypeError(f"discovery: must be a Discovery, not {discovery!r}")
        self._call("nestvirt_boot_set_discovery", _check.integer("discovery", int(discovery)))

    def set_flat(self, image: File, address: int = 0x1000, *, entry: Optional[int] = None,
                 stack: int = 0, mode: Any = Mode.REAL) -> None:
        """
        Sets a flat image, which is copied to memory as it is. State new.

        image: a file. address: where its first byte goes. entry: the first instruction; None: the
        first byte. stack: the first stack pointer; 0: the page below. mode: Mode or its name.
        """
        config = struct(nestvirt_flat_config)
        config.address = _check.u64("address", address)
        config.entry = config.address if entry is None else _check.u64("entry", entry)
        config.stack = _check.u64("stack", stack)
        config.mode = _check.member("mode", Mode, mode)
        self._set_file("image", image, "nestvirt_boot_set_flat", "nestvirt_boot_set_flat_fd", ctypes.byref(config))
