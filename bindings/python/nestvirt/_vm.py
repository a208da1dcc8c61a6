# SPDX-License-Identifier: Apache-2.0
"""Owns the virtual machine: its making, its life, its result and its events."""

import ctypes
import errno
import select
import threading
import time
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type, TypeVar, overload

from . import _callbacks, _check
from ._abi import nestvirt_event, nestvirt_vm_config, nestvirt_vm_result
from ._boot import BootMixin
from ._bus import Answer, BusMixin
from ._callbacks import Slot
from ._constants import GENERATION_SIZE, VM_NAME_MAX, Backing, Chip, EventKind, LogLevel, State, VMFlag
from ._device import Device, OwnDevice, find_kind, prepare
from ._devices import CLASSES, DevicesMixin
from ._errors import NotFoundError, WaitTimeout, from_code
from ._handle import Closable, Handle, Owner
from ._host import Host, Loop
from ._library import call, check, lib, struct
from ._memory import Memory
from ._placement import PlacementMixin
from ._template import Template
from ._values import Event, Exit, Result
from ._vcpu import VCPU
from ._virtio import VirtioMixin

B = TypeVar("B", bound="BaseVM")
D = TypeVar("D", bound=Device)

# Python runs its signal handlers, and so Ctrl-C, between two such slices of a call that waits.
_SLICE_MS = 50


def _stop_for_close(pointer: int) -> None:
    """Ends what keeps calls from returning, in slices, so that Ctrl-C can end this."""
    while True:
        result = lib.nestvirt_vm_stop(pointer, _SLICE_MS, None)
        if result == -errno.EDEADLK:
            raise from_code(lib, result, "VM.close()")
        if result != -errno.ETIMEDOUT:
            return


class BaseVM(Owner, BootMixin, BusMixin, DevicesMixin, VirtioMixin, PlacementMixin):
    """What VM and aio.VM have in common: all but the calls that wait."""

    def __init__(self, host: Optional[Host] = None, *, name: str = "vm", memory: _check.Size = 0,
                 memory_backing: Any = Backing.ANONYMOUS, vcpus: int = 1, chip: Any = Chip.SPLIT,
                 fixups: bool = False, nested: bool = False, pit: bool = False,
                 manual_vcpus: bool = False) -> None:
        config = struct(nestvirt_vm_config)
        config.name = _check.text("name", name, VM_NAME_MAX)
        config.memory_size = _check.size("memory", memory)
        config.memory_backing = _check.member("memory_backing", Backing, memory_backing)
        config.vcpus = _check.integer("vcpus", vcpus)
        config.interrupt_chip = _check.member("chip", Chip, chip)
        flags = [(fixups, "fixups", VMFlag.FIXUPS), (nested, "nested", VMFlag.NESTED), (pit, "pit", VMFlag.PIT),
                 (manual_vcpus, "manual_vcpus", VMFlag.MANUAL_VCPUS)]
        config.flags = sum(flag for value, word, flag in flags if _check.boolean(word, value))
        if host is None:
            with Host() as own:
                pointer = self._make(own, config)
        else:
            pointer = self._make(_check.instance("host", Host, host), config)
        self._adopt(pointer, name)

    def _adopt(self, pointer: Optional[int], name: str) -> None:
        """Becomes the object of a VM of the library."""
        self._slots: Dict[int, Slot] = {}
        self._kinds: Dict[int, str] = {}
        self._texts: Dict[int, Dict[str, str]] = {}
        self._failure: Optional[BaseException] = None
        self._name = name
        self._handle = Handle(pointer, f"vm {name}", "nestvirt_vm_free")
        self._handle.register()
        weakref.finalize(self, self._handle.close_later, _stop_for_close).atexit = False
        self._begin()

    def _begin(self) -> None:
        """For a subclass, to set its own."""

    @classmethod
    def from_template(cls: Type[B], template: Template, name: str = "vm") -> B:
        """Makes a VM from a template; see Template.clone()."""
        pointer = _check.instance("template", Template, template)._clone(name)
        vm = cls.__new__(cls)
        vm._adopt(pointer, name)
        return vm

    @staticmethod
    def _make(host: Host, config: Any) -> Optional[int]:
        pointer = ctypes.c_void_p()
        with host._handle.gate():
            call("nestvirt_vm_new", host._handle.pointer, ctypes.byref(config), ctypes.byref(pointer))
        return pointer.value

    @property
    def name(self) -> str:
        """The name it was made with."""
        return self._name

    @property
    def state(self) -> State:
        """The state now."""
        with self._handle.gate():
            return State(check(lib.nestvirt_vm_get_state(self._handle.pointer), self._handle.label))

    @property
    def memory(self) -> Memory:
        """Guest memory: regions, copies and views."""
        return Memory(self)

    def validate(self) -> None:
        """Raises what would make build() fail, without creating anything; InvalidVMError for several things."""
        self._call("nestvirt_vm_validate")

    def set_loop(self, loop: Loop) -> None:
        """Gives the VM an event loop to share. State new."""
        handle = _check.instance("loop", Loop, loop)._handle
        with handle.gate():
            self._call("nestvirt_vm_set_loop", handle.pointer)

    def set_log(self, sink: Optional[Callable[[LogLevel, str], Any]], level: Any = LogLevel.WARNING) -> None:
        """
        Gives the VM's log lines up to a level to a function, as logging.Logger.log would take them.

        sink: called on whichever thread a line arises; an exception in it stops the VM. None: silent
        again. level: LogLevel or its name. State new or built.
        """
        number = _check.member("level", LogLevel, level)
        if sink is None:
            self._call("nestvirt_vm_set_log", number, _callbacks.no_log, None, _callbacks.no_free)
            return
        function = _check.function("sink", sink)
        self._give("nestvirt_vm_set_log", (number,), _callbacks.on_log,
                   lambda level, text: function(LogLevel(level), text))

    def set_exit_handler(self, handler: Optional[Callable[[Exit], Answer]]) -> None:
        """
        Sets what is called for exits that nobody handles. State new or built; None removes it.

        handler: is given an Exit on the vCPU's thread, and may use the vCPU (get_vcpu(exit.vcpu)).
        It answers None (not mine), an Action, or for a read an int or bytes. An exception in it
        stops the VM; wait() raises HandlerError from it.
        """
        if handler is None:
            self._call("nestvirt_vm_set_exit_handler", _callbacks.no_exit, None, _callbacks.no_free)
        else:
            self._give("nestvirt_vm_set_exit_handler", (), _callbacks.on_exit, _check.function("handler", handler))

    def add_cpuid_mask(self, leaf: int, index: int = 0, *, register: str, clear: int = 0, set: int = 0) -> None:
        """
        Changes a CPUID leaf for all vCPUs: bits in clear become 0, those in set 1. State new.

        register: "eax", "ebx", "ecx" or "edx". NotFoundError for a leaf that the host does not offer.
        """
        names = ("eax", "ebx", "ecx", "edx")
        if register not in names:
            raise ValueError(f"register: must be one of {', '.join(names)}, not {register!r}")
        self._call("nestvirt_vm_add_cpuid_mask", _check.integer("leaf", leaf), _check.integer("index", index),
                   names.index(register), _check.integer("clear", clear), _check.integer("set", set))

    def get_vcpu(self, index: int = 0) -> VCPU:
        """A vCPU by its number. NotFoundError if the VM has fewer."""
        pointer = ctypes.c_void_p()
        self._call("nestvirt_vm_get_vcpu", _check.integer("index", index), ctypes.byref(pointer))
        assert pointer.value is not None
        return VCPU(self, pointer.value, index)

    def add_device(self, kind: str, **properties: Any) -> Device:
        """
        Adds a device of any kind that the library in use has. State new.

        properties: by their names; nestvirt.device_properties(kind) tells which. NotFoundError for
        an unknown kind or property. For the kinds that this package knows, add_blk() and the like
        do the same and are typed.
        """
        _check.text("kind", kind)
        prepared = [prepare(kind, name, value) for name, value in properties.items()]
        return self._add(CLASSES.get(kind, Device), kind, prepared)

    @property
    def devices(self) -> Tuple[Device, ...]:
        """Its devices, in the order in which they were added; a clone has those of its template's VM."""
        found: List[Device] = []
        while True:
            try:
                found.append(self.get_device(len(found)))
            except NotFoundError:
                return tuple(found)

    @overload
    def get_device(self, number: int) -> Device: ...
    @overload
    def get_device(self, number: int, kind: Type[D]) -> D: ...

    def get_device(self, number: int, kind: Type[Device] = Device) -> Device:
        """
        A device by its number (from 0), in the order in which they were added. Any state.

        kind: its class, such as nestvirt.Blk; ValueError if it is of another one. A virtio device of
        the program's own counts too, and has only counters here. NotFoundError behind the last one.
        """
        pointer = ctypes.c_void_p()
        self._call("nestvirt_device_get", _check.integer("number", number), ctypes.byref(pointer))
        assert pointer.value is not None
        name = self._kinds.get(pointer.value)
        if name is None:
            name = self._kinds[pointer.value] = find_kind(self, pointer.value)
        found: Type[Device] = CLASSES.get(name, Device)
        if name == OwnDevice.kind:
            found = OwnDevice
        if not (isinstance(kind, type) and issubclass(found, kind)):
            raise ValueError(f"kind: must be the class of device {number}, which is a {name}, not {kind!r}")
        return found(self, name, pointer.value)

    @property
    def generation(self) -> bytes:
        """
        The VM generation ID that the guest finds now: random at the first build, another one for each
        clone, and each time that a clone goes back to its template.

        NotFoundError for a VM without add_vmgenid(), BusyError before the first build.
        """
        buffer = ctypes.create_string_buffer(GENERATION_SIZE)
        self._call("nestvirt_vm_get_generation", buffer, GENERATION_SIZE)
        return buffer.raw

    def request_stop(self) -> None:
        """
        Asks the guest to shut down, by the power button; it may take its time, or not obey.

        State running. UnsupportedError, with the reason, if the guest cannot be asked.
        """
        self._call("nestvirt_vm_request_stop")

    def _build(self) -> None:
        self._failure = None
        self._call("nestvirt_vm_build")
        self._raise_failure()

    def _start(self) -> None:
        self._failure = None
        self._call("nestvirt_vm_start")

    def _stop(self, milliseconds: int) -> None:
        deadline = _deadline(milliseconds)
        while True:
            left = _left(deadline)
            try:
                self._call("nestvirt_vm_stop", left)
                return
            except WaitTimeout:
                if deadline is not None and left < _SLICE_MS:
                    raise

    def _poll_result(self, milliseconds: int) -> Optional[Result]:
        """The result, None if it has not stopped within the time."""
        raw = struct(nestvirt_vm_result)
        try:
            self._call("nestvirt_vm_wait", milliseconds, ctypes.byref(raw))
        except WaitTimeout:
            return None
        self._raise_failure()
        return Result.of(raw)

    def _timeout(self, what: str, seconds: Optional[float]) -> WaitTimeout:
        return WaitTimeout(-errno.ETIMEDOUT, f"{self._handle.label}: {what} within {seconds} s",
                           object=self._handle.label)

    def _next_event(self) -> Optional[Event]:
        raw = struct(nestvirt_event)
        return Event.of(raw) if self._call("nestvirt_vm_next_event", ctypes.byref(raw)) else None

    def event_fd(self) -> int:
        """
        A descriptor that polls readable while events wait.

        It belongs to the VM and closes with it: poll it, do not read or close it.
        """
        return self._call("nestvirt_vm_get_event_fd")


def _deadline(milliseconds: int) -> Optional[int]:
    """When so many milliseconds will be over, on the clock of _left(); None: never. Not a moment earlier."""
    return None if milliseconds < 0 else -(-time.monotonic_ns() // 1000000) + milliseconds


def _left(deadline: Optional[int]) -> int:
    """Milliseconds of the next slice."""
    if deadline is None:
        return _SLICE_MS
    return max(0, min(_SLICE_MS, deadline - time.monotonic_ns() // 1000000))


class VM(BaseVM, Closable):
    """
    A virtual machine.

    host: what to make it on; None opens /dev/kvm for it.
    name: for messages and thread names, up to 63 bytes.
    memory: RAM in bytes or as "256M"; 0: regions are added by vm.memory.add().
    memory_backing: Backing.ANONYMOUS, MEMFD or HUGETLB, or the name, of that RAM.
    vcpus: 1 to Host.info.max_vcpus. chip: Chip or its name, the interrupt controllers.
    fixups: complete the few instructions that interpreted KVM hosts refuse. nested: the guest may
    run VMs of its own. pit: a timer, with Chip.KERNEL. manual_vcpus: the program runs each vCPU by
    VCPU.run().

    with nestvirt.VM(memory="1M") as vm: ... stops and frees it at the end. A VM to which nothing
    refers any more is stopped and freed too, some time later. Its states are State; a method that
    the state does not allow raises BusyError and changes nothing.
    """

    def close(self) -> None:
        """
        Stops the VM if it runs, and frees it. May be called again.

        BufferError while views of its memory exist; StateError from one of its own functions.
        """
        self._handle.close(_stop_for_close)

    def build(self) -> None:
        """
        Creates everything: memory, vCPUs, devices, and the kernel in its place. State new, stopped or failed.

        After it nothing is opened any more. What is wrong is raised as by validate().
        """
        self._build()

    def start(self) -> None:
        """Lets the guest run and returns at once. State built; or stopped or failed, which builds first."""
        self._start()

    def pause(self) -> None:
        """Stops all vCPUs at an instruction boundary. State running."""
        self._call("nestvirt_vm_pause")

    def resume(self) -> None:
        """Lets a paused VM run on."""
        self._call("nestvirt_vm_resume")

    def make_template(self, *, consume: bool = False) -> Template:
        """Makes a template of the VM, from which clones start. State built or paused; see Template."""
        return Template(self, consume=consume)

    def stop(self, timeout: Optional[float] = None) -> None:
        """
        Stops the VM whatever the guest does.

        timeout: seconds to wait for vCPUs that are inside of a function of the program, None for
        ever; WaitTimeout when it is over, and the VM stops as soon as the function returns.
        """
        self._stop(_check.milliseconds("timeout", timeout))

    def wait(self, timeout: Optional[float] = None) -> Result:
        """
        Waits until the VM has stopped. Any state but new and built.

        timeout: seconds, None for ever; WaitTimeout, a TimeoutError, when it is over. Ctrl-C ends
        it by KeyboardInterrupt, and the VM goes on. HandlerError if a function of the program
        raised an exception, which is its cause.
        """
        limit = _check.milliseconds("timeout", timeout)
        deadline = _deadline(limit)
        is_main = threading.current_thread() is threading.main_thread()
        while True:
            # Only the main thread's Python runs signal handlers: others may wait in one go.
            left = _left(deadline) if is_main else limit
            result = self._poll_result(left)
            if result is not None:
                return result
            if deadline is not None and time.monotonic_ns() // 1000000 >= deadline:
                raise self._timeout("has not stopped", timeout)

    def next_event(self, timeout: Optional[float] = 0) -> Optional[Event]:
        """Takes the oldest event. timeout: seconds to wait for one, None for ever; None if there is none."""
        limit = _check.milliseconds("timeout", timeout)
        event = self._next_event()
        if event is not None or limit == 0:
            return event
        deadline = _deadline(limit)
        poll = select.poll()
        poll.register(self.event_fd(), select.POLLIN)
        while True:
            left = _left(deadline)
            with self._handle.gate():  # In slices, so that close() by another thread need not wait for long.
                self._handle.check()
                poll.poll(left)
                event = self._next_event()
            if event is not None or (left == 0 and deadline is not None):
                return event

    def events(self) -> Iterator[Event]:
        """Events as they come, until the VM has stopped; that one is the last."""
        while True:
            event = self.next_event(None)
            assert event is not None
            yield event
            if event.kind is EventKind.STOPPED:
                return
