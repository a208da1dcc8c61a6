# SPDX-License-Identifier: Apache-2.0
"""Owns templates: a VM's whole state, from which clones start; and the same in files."""

import ctypes
import errno
import os
import weakref
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, Optional, Union

from . import _check
from ._abi import nestvirt_clone_config, nestvirt_template_info
from ._base import VMBase
from ._constants import VM_NAME_MAX, ReflinkFlag, TemplateFlag
from ._errors import Error, from_code
from ._handle import Closable, Handle
from ._host import Host
from ._library import call, lib, struct

if TYPE_CHECKING:
    from ._vm import VM

File = Union[_check.Path, _check.Descriptor]


@dataclass(frozen=True)
class TemplateInfo:
    """
    What a template holds.

    memory_size: bytes of guest memory. data_size: bytes of it that the template holds; the others are
    zeroes. state_size: bytes of vCPUs, interrupt controllers and devices.
    """

    memory_size: int
    data_size: int
    state_size: int
    vcpus: int
    devices: int


class Template(Closable):
    """
    A VM's whole state, from which any number of clones start at once, sharing its memory copy-on-write.

    vm: state built or paused; the same as vm.make_template(). Its pages with data are copied once,
    and it may go on. Of a VM that was built and never started, clones start from its first
    instruction. consume: the VM is used up instead: it is stopped, its memory is gone, and it can
    only be closed. Memory of Backing.MEMFD becomes the template's without a copy. BufferError while
    views of its memory exist.
    BusyError in other states, and while a disk does not finish its requests; UnsupportedError for a
    VM with devices of the program's own (add_virtio) or nested=True. A failed call leaves the VM as it was.

    A template may be closed while clones live.
    """

    def __init__(self, vm: VMBase, *, consume: bool = False) -> None:
        if not isinstance(vm, VMBase):
            raise TypeError(f"vm: must be a VM, not {vm!r}")
        pointer = ctypes.c_void_p()
        with ExitStack() as held:
            flags = 0
            if _check.boolean("consume", consume):
                flags = int(TemplateFlag.CONSUME)
                held.enter_context(vm._handle.without_views())
            vm._call("nestvirt_template_new", flags, ctypes.byref(pointer))
        self._own(pointer.value)

    def _own(self, pointer: Optional[int]) -> None:
        self._handle = Handle(pointer, "template", "nestvirt_template_free")
        weakref.finalize(self, self._handle.close_later, None).atexit = False

    @classmethod
    def open(cls, file: File, host: Optional[Host] = None, *, trust_file: bool = False,
             base: Optional["Template"] = None) -> "Template":
        """
        Reads a template from a file that write() made, in this process or another.

        file: a path, a descriptor open for reading, or an object with fileno(). host: as for a VM; it
        has to be of the same kind as the one on which the file was made.
        trust_file: nobody will change or shorten the file while the template or a clone is there. Its
        memory is then mapped and read when it is used, unchecked; if the file does get shorter, this
        process ends by SIGBUS.
        base: of a file of changes, the template that it was written against.
        Error with code ErrorCode.BAD_STATE and the reason for a file that is cut off, damaged or
        something else; Error with errno EINVAL for a base that does not fit.
        """
        flags = TemplateFlag.TRUST_FILE if _check.boolean("trust_file", trust_file) else 0
        pointer = ctypes.c_void_p()
        with ExitStack() as held:
            before = _base(base, held)
            fd = held.enter_context(_opened(file))
            place = held.enter_context(Host()) if host is None else _check.instance("host", Host, host)
            held.enter_context(place._handle.gate())
            call("nestvirt_template_open", place._handle.pointer, fd, int(flags), before, ctypes.byref(pointer))
        template = cls.__new__(cls)
        template._own(pointer.value)
        return template

    @property
    def info(self) -> TemplateInfo:
        """What it holds."""
        raw = struct(nestvirt_template_info)
        with self._handle.gate():
            call("nestvirt_template_get_info", self._handle.pointer, ctypes.byref(raw))
        return TemplateInfo(raw.memory_size, raw.data_size, raw.state_size, raw.vcpus, raw.devices)

    def clone(self, name: str = "vm") -> "VM":
        """
        Makes a VM from the template, in state new. It goes on where the template stood.

        It has the template's vCPUs, memory and devices with their properties, but for those that name
        what one VM has for itself (PropertyInfo.is_identity): a disk's file, a tap and its MAC,
        descriptors of consoles, a CID. Set these by vm.devices or vm.get_device() before build(). A
        disk's file has to hold what the template's held when it was made. Handlers, ioeventfds,
        interrupt pins, functions and the event loop are added again, pins in the same order. More
        devices, memory and a kernel cannot be added.

        For asyncio: nestvirt.aio.VM.from_template(template).
        """
        from ._vm import VM  # That module makes templates.

        return VM.from_template(self, name)

    def _clone(self, name: str) -> Optional[int]:
        """A VM of the library."""
        config = struct(nestvirt_clone_config)
        config.name = _check.text("name", name, VM_NAME_MAX)
        pointer = ctypes.c_void_p()
        with self._handle.gate():
            call("nestvirt_clone_new", self._handle.pointer, ctypes.byref(config), ctypes.byref(pointer))
        return pointer.value

    def write(self, file: File, base: Optional["Template"] = None) -> None:
        """
        Writes it to a file, with holes where memory has no data.

        file: a path; a file that is there is replaced once all is written, and stays as it is if
        something fails. Only the owner may read it, as it holds the guest's memory. Or a descriptor
        open for writing, or an object with fileno(): a regular file or a memfd, written from its start
        on, what it held is lost, and after a failure it is empty. It is not brought to the disk (fsync).
        base: a template of the same memory, of which only the pages that differ are written; it is
        needed to open the file.
        """
        with ExitStack() as held:
            before = _base(base, held)
            fd = held.enter_context(_replaced(file))
            held.enter_context(self._handle.gate())
            call("nestvirt_template_write", self._handle.pointer, before, fd)


def reflink(source: _check.Descriptor, target: _check.Descriptor, *, or_copy: bool = False) -> bool:
    """
    Makes a clone's disk: the target gets what the source holds and shares its blocks until one of them is written.

    source: the template's disk, open for reading, which no VM that runs is writing. target: an empty file
    of the same file system, open for writing, such as tempfile.TemporaryFile(dir=...) makes. Both are
    descriptors or objects with fileno(), of regular files.
    or_copy: where blocks cannot be shared, all data is copied, which takes its time and its room. Returns
    whether they are shared. UnsupportedError where the file system cannot share (XFS and Btrfs can, ext4
    and tmpfs cannot); Error with errno EXDEV for files on two file systems.
    """
    flags = ReflinkFlag.OR_COPY if _check.boolean("or_copy", or_copy) else 0
    one, other = _check.descriptor("source", source), _check.descriptor("target", target)
    return call("nestvirt_reflink_new", one, other, int(flags)) == 0


def _base(base: Optional[Template], held: ExitStack) -> Optional[int]:
    """The pointer of a base, which cannot be closed meanwhile."""
    if base is None:
        return None
    handle = _check.instance("base", Template, base)._handle
    held.enter_context(handle.gate())
    pointer: Optional[int] = handle.pointer
    return pointer


@contextmanager
def _opened(file: File) -> Iterator[int]:
    """A descriptor to read from."""
    if _check.is_descriptor(file):
        yield _check.descriptor("file", file)
        return
    path = _check.path("file", file)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_code(lib, -(error.errno or errno.EIO), os.fsdecode(path)) from None
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _replaced(file: File) -> Iterator[int]:
    """A descriptor to write to; a file of that path is replaced at the end, if all went well."""
    if _check.is_descriptor(file):
        yield _check.descriptor("file", file)
        return
    path = os.path.realpath(_check.path("file", file))  # What a link leads to is replaced, not the link.
    name = os.fsdecode(path)
    if os.path.lexists(path) and not os.path.isfile(path):
        raise Error(-errno.EINVAL, f"{name}: is no regular file; name another one", object=name)
    import tempfile  # Not for those who write no template: it takes milliseconds.

    try:
        fd, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + b".", dir=os.path.dirname(path))
    except OSError as error:
        raise from_code(lib, -(error.errno or errno.EIO), name) from None
    try:
        yield fd
        os.replace(temporary, path)
    finally:
        os.close(fd)
        with suppress(FileNotFoundError):
            os.unlink(temporary)
