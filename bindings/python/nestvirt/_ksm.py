# SPDX-License-Identifier: Apache-2.0
"""Owns KSM of the host: its settings, changed for as long as a token is held, and its figures."""

import atexit
import ctypes
import weakref
from dataclasses import dataclass, fields
from typing import Any, Optional, Set

from . import _check
from ._abi import nestvirt_ksm_settings, nestvirt_ksm_stats
from ._constants import KSMAdvisor, KSMRunMode, KSMSetting, KSMStatsFlag
from ._errors import Error
from ._handle import Closable, Handle
from ._library import call, struct


@dataclass(frozen=True)
class KSMSettings:
    """The host's settings, by the kernel's names; None is what this kernel does not have."""

    run: Optional[KSMRunMode] = None
    pages_to_scan: Optional[int] = None
    sleep_ms: Optional[int] = None
    merge_across_nodes: Optional[bool] = None
    use_zero_pages: Optional[bool] = None
    max_page_sharing: Optional[int] = None
    smart_scan: Optional[bool] = None
    advisor_mode: Optional[KSMAdvisor] = None
    advisor_max_cpu: Optional[int] = None
    advisor_min_pages: Optional[int] = None
    advisor_max_pages: Optional[int] = None
    advisor_target_s: Optional[int] = None


_KINDS = {"run": KSMRunMode, "advisor_mode": KSMAdvisor, "merge_across_nodes": bool, "use_zero_pages": bool,
          "smart_scan": bool}


@dataclass(frozen=True)
class KSMStats:
    """
    Figures of the whole host, in pages of 4096 bytes; None is what this kernel does not count.

    pages_shared: merged pages that exist. pages_sharing: places more that use them, which is what
    is saved. general_profit: bytes saved less those that KSM itself takes.
    """

    pages_shared: Optional[int]
    pages_sharing: Optional[int]
    pages_unshared: Optional[int]
    pages_volatile: Optional[int]
    full_scans: Optional[int]
    pages_scanned: Optional[int]
    pages_skipped: Optional[int]
    zero_pages: Optional[int]
    general_profit: Optional[int]


def ksm_settings() -> KSMSettings:
    """Reads the host's settings. UnsupportedError for a kernel without KSM."""
    raw = struct(nestvirt_ksm_settings)
    call("nestvirt_ksm_get_settings", ctypes.byref(raw))
    known = KSMSetting(raw.flags)
    values = {}
    for field in fields(KSMSettings):
        if known & KSMSetting[field.name.upper()]:
            values[field.name] = _KINDS.get(field.name, int)(getattr(raw, field.name))
    return KSMSettings(**values)


def ksm_stats() -> KSMStats:
    """Reads the host's figures. UnsupportedError for a kernel without KSM."""
    raw = struct(nestvirt_ksm_stats)
    call("nestvirt_ksm_get_stats", ctypes.byref(raw))
    known = KSMStatsFlag(raw.flags)
    return KSMStats(*(getattr(raw, field.name) if known & KSMStatsFlag[f"HAS_{field.name.upper()}"] else None
                      for field in fields(KSMStats)))


def _number(name: str, value: Any) -> int:
    """A setting as the library takes it, checked."""
    kind = _KINDS.get(name)
    if kind is bool:
        return int(_check.boolean(name, value))
    if kind is None:
        return _check.integer(name, value)
    return int(_check.member(name, kind, value))


class KSMToken(Closable):
    """
    Settings of KSM for the whole host, for as long as this is open; close() puts the former ones back.

        with nestvirt.KSMToken(run="merge", pages_to_scan=1000):
            ...

    Settings are as in KSMSettings, at least one; those left out stay. record: where the former ones
    are kept on the disk, so that remove_ksm_record() can put them back if this program dies; None is
    /run/nestvirt-ksm, as all programs of a host should use the same. run="unmerge" returns when all
    is unmerged, which may take seconds.
    BusyError if another program holds the record; StateError with errno ESTALE if one that died has
    left it; AccessError if not permitted (only root is); UnsupportedError for a kernel without KSM or
    without that setting.

    WARNING: merged pages are a side channel between guests, see include/nestvirt/ksm.h.
    """

    def __init__(self, *, record: Optional[_check.Path] = None, run: Any = None, pages_to_scan: Optional[int] = None,
                 sleep_ms: Optional[int] = None, merge_across_nodes: Optional[bool] = None,
                 use_zero_pages: Optional[bool] = None, max_page_sharing: Optional[int] = None,
                 smart_scan: Optional[bool] = None, advisor_mode: Any = None, advisor_max_cpu: Optional[int] = None,
                 advisor_min_pages: Optional[int] = None, advisor_max_pages: Optional[int] = None,
                 advisor_target_s: Optional[int] = None) -> None:
        wanted = KSMSettings(run, pages_to_scan, sleep_ms, merge_across_nodes, use_zero_pages, max_page_sharing,
                             smart_scan, advisor_mode, advisor_max_cpu, advisor_min_pages, advisor_max_pages,
                             advisor_target_s)
        raw = struct(nestvirt_ksm_settings)
        for field in fields(KSMSettings):
            value = getattr(wanted, field.name)
            if value is not None:
                setattr(raw, field.name, _number(field.name, value))
                raw.flags |= KSMSetting[field.name.upper()]
        pointer = ctypes.c_void_p()
        call("nestvirt_ksm_set_settings", ctypes.byref(raw), None if record is None else _check.path("record", record),
             ctypes.byref(pointer))
        self._handle = Handle(pointer.value, "KSM settings", "nestvirt_ksm_token_free")
        _held.add(self._handle)
        # On a thread of its own: putting settings back may take a while, and collection must not.
        weakref.finalize(self, self._handle.close_later, None).atexit = False

    def close(self) -> None:
        """Puts the former settings back. May be called again, also when the kernel refused one of them."""
        self._handle.close()
        _held.discard(self._handle)


def remove_ksm_record(record: Optional[_check.Path] = None) -> bool:
    """
    Puts back what a program changed that died before it could; False if there was nothing to do.

    record: as in KSMToken. BusyError if its owner lives.
    """
    return call("nestvirt_ksm_remove_record", None if record is None else _check.path("record", record)) > 0


_held: Set[Handle] = set()  # Whose settings are to be put back when the program ends.


@atexit.register
def _put_back() -> None:
    failures = []
    for handle in list(_held):
        try:
            handle.close()
        except Error as error:  # The other settings are put back all the same.
            failures.append(error)
    if failures:
        raise failures[0]
