# SPDX-License-Identifier: Apache-2.0
"""Owns giving up the privileges of the process, and what threads need afterwards."""

import ctypes
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

from . import _check
from ._abi import nestvirt_need, nestvirt_privilege_config
from ._constants import PRIVILEGE_GROUPS_MAX, NeedKind, PrivilegeFlag, Role
from ._errors import NotFoundError
from ._library import call, struct

_ID_MAX = _check.U32_MAX - 1  # The last number means "as it is" to the kernel.


def remove_process_privileges(*, uid: Optional[int] = None, gid: Optional[int] = None,
                              groups: Optional[Sequence[int]] = None) -> None:
    """
    Gives up the privileges of the whole process: capabilities, and with these the user and the groups.

    uid, gid, groups (supplementary ones, [] for none): None leaves them. Build VMs before, call
    their remove_privileges() too, and start them afterwards. It looks at every thread at the end:
    AccessError if one has kept a capability, as threads do where the user does not change; end the
    process then, for what was done cannot be undone.
    """
    config = struct(nestvirt_privilege_config)
    if uid is not None:
        config.uid = _check.integer("uid", uid, 0, _ID_MAX)
        config.flags |= PrivilegeFlag.UID
    if gid is not None:
        config.gid = _check.integer("gid", gid, 0, _ID_MAX)
        config.flags |= PrivilegeFlag.GID
    if groups is not None:
        if isinstance(groups, (str, bytes)) or not hasattr(groups, "__len__"):
            raise TypeError(f"groups: must be a list of int, not {groups!r}")
        numbers = [_check.integer("groups", group, 0, _ID_MAX) for group in groups]
        if len(numbers) > PRIVILEGE_GROUPS_MAX:
            raise ValueError(f"groups: must have at most {PRIVILEGE_GROUPS_MAX} members, not {len(numbers)}")
        config.flags |= PrivilegeFlag.GROUPS
        config.group_count = len(numbers)
        config.groups = (ctypes.c_uint32 * max(1, len(numbers)))(*numbers)
    call("nestvirt_process_remove_privileges", ctypes.byref(config))


@dataclass(frozen=True)
class Need:
    """
    What a thread needs after build(): a system call, an ioctl request, or a kind of descriptor.

    number: of the system call on this architecture, or of the request; 0 for descriptors.
    """

    role: Role
    kind: NeedKind
    number: int
    name: str
    why: str


def privilege_needs() -> Iterator[Need]:
    """
    All that the library's threads need after build(), for a seccomp filter on each of them.

    Of the library and the C library: Python on these threads, a handler of yours, needs more.
    """
    position = 0
    while True:
        raw = struct(nestvirt_need)
        try:
            call("nestvirt_privilege_get_need", position, ctypes.byref(raw))
        except NotFoundError:
            return
        yield Need(Role(raw.role), NeedKind(raw.kind), raw.number, raw.name.decode(), raw.why.decode())
        position += 1
