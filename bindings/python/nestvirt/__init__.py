# SPDX-License-Identifier: Apache-2.0
"""
Virtual machines inside of this program: libnestvirt over Linux KVM.

    import nestvirt

    with nestvirt.VM(memory="256M") as vm:
        vm.add_serial(output=1)
        vm.add_reset()
        vm.set_kernel("vmlinuz", initrd="initrd", cmdline="console=ttyS0 reboot=k panic=-1")
        vm.build()
        vm.start()
        print("ended by", vm.wait())

VM is a virtual machine, with memory, vCPUs, devices and functions of yours; Host is what they run
on. nestvirt.aio has the same for asyncio. Sizes are bytes or texts such as "256M", times are
seconds, addresses are guest physical ones. Whatever fails raises Error or one of its subclasses,
which are OSErrors; a wrong type or value of a parameter raises TypeError or ValueError.

Any thread may use any object. A call on a VM that waits lets the other threads run.
"""

from ._bus import Answer as HandlerAnswer
from ._bus import Handler
from ._constants import *  # noqa: F403
from ._constants import __all__ as _constants
from ._device import Device, PropertyInfo, device_kinds, device_properties
from ._devices import *  # noqa: F403
from ._devices import __all__ as _devices
from ._errors import (AccessError, BusyError, Error, ExistsError, HandlerError, InvalidVMError, LibraryError,
                      NotFoundError, StateError, UnsupportedError, WaitTimeout)
from ._host import Host, Loop
from ._ksm import KSMSettings, KSMStats, KSMToken, ksm_settings, ksm_stats, remove_ksm_record
from ._library import version
from ._memory import Memory, MemoryKSM, Placement, Region
from ._numa import NUMA, NUMANode, NUMAPool
from ._observe import Observer, Waits, wait_limits
from ._placement import CgroupUsage, ThreadInfo
from ._privilege import Need, privilege_needs, remove_process_privileges
from ._report import Plan, Report, ReportItem
from ._stream import Stream
from ._streams import SocketDevice, StreamDevice
from ._template import Template, TemplateInfo, reflink
from ._values import Access, CPUIDEntry, Event, Exit, HostInfo, Result
from ._vcpu import VCPU, Regs, Segment, Sregs
from ._virtio import Chain, VirtioDevice
from ._vm import VM

__all__ = [
    "Access", "AccessError", "BusyError", "CPUIDEntry", "CgroupUsage", "Chain", "Device", "Error",
    "Event", "ExistsError", "Exit", "Handler", "HandlerAnswer", "HandlerError", "Host", "HostInfo", "InvalidVMError",
    "KSMSettings", "KSMStats", "KSMToken", "LibraryError", "Loop", "Memory", "MemoryKSM", "NUMA",
    "NUMANode", "NUMAPool", "Need", "NotFoundError", "Observer", "Placement", "Plan", "PropertyInfo", "Region", "Regs",
    "Report", "ReportItem", "Result", "Segment", "SocketDevice", "Sregs", "StateError", "Stream",
    "StreamDevice", "Template", "TemplateInfo", "ThreadInfo", "UnsupportedError", "VCPU", "VM", "VirtioDevice",
    "WaitTimeout", "Waits",
    "device_kinds", "device_properties", "ksm_settings", "ksm_stats", "privilege_needs", "reflink",
    "remove_ksm_record", "remove_process_privileges", "version", "wait_limits",
]
__all__ += _constants
__all__ += _devices
