# SPDX-License-Identifier: Apache-2.0
"""
Owns the library's handles: who may use one, when it is freed, and what happens after that.

Each thread that makes a call with a handle holds a gate of its own meanwhile, a lock that it shares
only with whoever closes the handle. Closing first refuses new calls, then waits until no gate is
held. A lock of C, taken by `with`, is given back whenever a signal's handler raises an exception.
"""

import _thread
import atexit
import contextlib
import errno
import os
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Set, TypeVar

from ._errors import BusyError, StateError, from_code
from ._library import lib

_EXIT_SECONDS = 5.0  # For all VMs together to end when the program does.
_FREE_VM = "nestvirt_vm_free"
_NAP_SECONDS = 0.001  # Between two looks at the calls under way.

_generation = 0  # Of forks: a handle of another one belongs to the parent process.
_open: Set["Handle"] = set()  # Those that need an end before the interpreter has its own.


class Handle:
    """
    A pointer of the library. A call with it is made so:

        with handle.gate():
            call("nestvirt_...", handle.pointer, ...)
    """

    def __init__(self, pointer: Optional[int], label: str, free: str) -> None:
        self._pointer = pointer
        self.label = label
        self._free = free
        self._gates: Dict[int, Any] = {}  # By thread.
        self._is_closed = False
        self._closer = _thread.allocate_lock()
        self._generation = _generation
        self.leases: Set[int] = set()  # Exported views; see Lease.
        self._barriers: Set[object] = set()  # Calls that no view may outlive; see without_views().
        self.chains: Set[int] = set()  # Requests of the guest that are not completed; see Chain.

    def gate(self) -> Any:
        """This thread's lock, to be held around a call."""
        if self._generation != _generation:
            raise from_code(lib, -errno.ECHILD, self.label)
        thread = _thread.get_ident()
        gate = self._gates.get(thread)
        if gate is None:
            gate = self._gates[thread] = threading.RLock()
        return gate

    @property
    def pointer(self) -> Optional[int]:
        """The pointer; StateError when it is closed. Only with the gate held."""
        if self._is_closed:
            raise StateError(-errno.EBADF, f"{self.label}: is closed; make a new one", object=self.label)
        return self._pointer

    def check(self) -> None:
        """StateError when it is closed."""
        _ = self.pointer

    def _is_in_call(self) -> bool:
        """Whether this thread is inside of a call, which has called a function of the program."""
        gate = self._gates.get(_thread.get_ident())
        return gate is not None and bool(gate._is_owned())

    def _is_in_use(self) -> bool:
        """Whether another thread is inside of a call. Only after new ones are refused."""
        for gate in list(self._gates.values()):
            if not gate.acquire(False):
                return True
            gate.release()
        return False

    @property
    def is_closed(self) -> bool:
        """Whether it is, or is about to be."""
        return self._is_closed

    @property
    def is_inherited(self) -> bool:
        """Whether it belongs to the parent process."""
        return self._generation != _generation

    def close(self, stop: Optional[Callable[[int], None]] = None) -> bool:
        """
        Frees the handle; False if it was closed before, or another thread is at it.

        stop: ends what keeps calls from returning; it is given the pointer.
        """
        if self.is_inherited:
            self._is_closed = True
            return False
        if self._pointer is None or not self._closer.acquire(False):
            return False
        try:
            self.check_views()
            if self._is_in_call():
                raise StateError(-errno.EDEADLK, f"{self.label}: cannot be closed inside of a call or callback "
                                 "of its own", object=self.label)
            self._is_closed = True
            try:
                self._end(stop)
            except BaseException:
                self._is_closed = self._pointer is None
                raise
            return True
        finally:
            self._closer.release()

    def check_views(self) -> None:
        """BufferError while views of its memory exist."""
        if self.leases:
            raise BufferError(f"{self.label}: {len(self.leases)} views of its memory exist; release() them first")

    @contextlib.contextmanager
    def without_views(self) -> Iterator[None]:
        """For a call that takes memory away: BufferError if there are views of it; none are made meanwhile."""
        barrier = object()
        self._barriers.add(barrier)  # First: a view that is being made is either seen here, or sees this.
        try:
            self.check_views()
            yield
        finally:
            self._barriers.discard(barrier)

    def check_barriers(self) -> None:
        """BusyError during such a call. Only with a lease in hand."""
        if self._barriers:
            raise BusyError(-errno.EBUSY, f"{self.label}: memory is being taken away; take no view of it meanwhile",
                            object=self.label)

    def _end(self, stop: Optional[Callable[[int], None]]) -> None:
        assert self._pointer is not None
        if stop is not None:
            stop(self._pointer)
        while self._is_in_use():
            time.sleep(_NAP_SECONDS)
        self.check_views()  # A call that was under way may have made one.
        while self.chains:
            lib.nestvirt_chain_complete(self.chains.pop(), None)
        pointer, self._pointer = self._pointer, None  # First: an exception may come right behind the call.
        result = getattr(lib, self._free)(pointer)
        if result < 0:
            self._pointer = pointer
            raise from_code(lib, result, self.label)
        _open.discard(self)

    def close_later(self, stop: Optional[Callable[[int], None]]) -> None:
        """
        Frees a handle that nobody has any more, on a thread of its own.

        Called by the garbage collector, on any thread and in the middle of anything: even a
        callback of the same VM, or where a lock is held that a callback waits for.
        """
        if self._pointer is None or self.is_inherited:
            return
        try:
            _thread.start_new_thread(self._close_quietly, (stop,))
        except RuntimeError:  # No more threads, or the interpreter ends: at_exit() is next.
            _open.add(self)

    def _close_quietly(self, stop: Optional[Callable[[int], None]]) -> None:
        try:
            self.close(stop)
        except Exception:  # pylint: disable=broad-except
            _open.add(self)  # Nobody is there to be told; once more at exit.

    def register(self) -> None:
        """Ends it at exit, if it is open then."""
        _open.add(self)

    def end_at_exit(self, deadline: float) -> None:
        """Stops a VM that runs. Frees the object too, if nobody can notice that."""
        if self.is_inherited or not self._closer.acquire(True, max(0.0, deadline - time.monotonic())):
            return
        if self._pointer is None:
            return
        self._is_closed = True
        is_stopped = self._free != _FREE_VM or self._stop_at_exit(deadline)
        if is_stopped and not self._is_in_use() and not self.leases and not self.chains:
            getattr(lib, self._free)(self._pointer)
            self._pointer = None

    def _stop_at_exit(self, deadline: float) -> bool:
        """Stops a VM, and waits for the threads that are inside of calls; False if it has not stopped."""
        left = max(0, int((deadline - time.monotonic()) * 1000))
        lib.nestvirt_vm_stop(self._pointer, left, None)
        while self._is_in_use() and time.monotonic() < deadline:
            time.sleep(_NAP_SECONDS)
        result: int = lib.nestvirt_vm_stop(self._pointer, 0, None)
        return result != -errno.ETIMEDOUT


class Lease:
    """What a view of guest memory holds: it keeps the owner, and the owner's handle cannot be closed."""

    def __init__(self, handle: Handle, owner: object) -> None:
        self._handle = handle
        self._owner = owner
        handle.leases.add(id(self))

    def __del__(self) -> None:
        self._handle.leases.discard(id(self))


class Owner:
    """An object with a handle of its own."""

    _handle: Handle

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle.is_closed

    def __repr__(self) -> str:
        return f"<nestvirt.{type(self).__name__} {self._handle.label}{', closed' if self.closed else ''}>"


T = TypeVar("T", bound="Closable")


class Closable(Owner):
    """One that is closed by a plain call."""

    def close(self) -> None:
        """Frees the object. What it was needed for keeps its own hold. May be called again."""
        self._handle.close()

    def __enter__(self: T) -> T:
        with self._handle.gate():
            self._handle.check()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _after_fork() -> None:
    global _generation
    _generation += 1
    _open.clear()


def _at_exit() -> None:
    deadline = time.monotonic() + _EXIT_SECONDS
    for handle in list(_open):
        handle.end_at_exit(deadline)


def open_handles() -> Iterator[Handle]:
    """Those that are ended at exit; for tests."""
    return iter(list(_open))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
