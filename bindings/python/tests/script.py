# SPDX-License-Identifier: Apache-2.0
"""Owns a guest that drives a virtio device step by step, as a test wrote down."""

import struct
from typing import Any

import guests
import support

WINDOW = 0xd0002000  # Registers of device 2, behind "exit" and "reset".
TABLE, AVAILABLE, USED, BUFFER = 0x40000, 0x41000, 0x42000, 0x50000
SIZE = 8  # Descriptors of the queue.
EXIT_CODE = 77
VERSION_1 = 1 << 32

NEXT, WRITE = 1, 2  # Flags of a descriptor.

# Registers (virtio 1.2, 4.2.2).
DEVICE_ID, DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x008, 0x020, 0x024
QUEUE_SEL, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x030, 0x038, 0x044, 0x050
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS, CONFIG = 0x060, 0x064, 0x070, 0x100
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x080, 0x090, 0x0a0

_STEPS = 0x20000
_END, _WRITE32, _READ32, _WAIT16, _WAIT_BITS, _WRITE16 = range(6)


class Script:
    """Steps for the guest "script", and what it found."""

    def __init__(self, vm: Any) -> None:
        self.vm = vm
        self._count = 0
        support.set_guest(vm, guests.SCRIPT)

    def _add(self, operation: int, value: int, address: int) -> int:
        number = self._count
        self._count += 1
        self.vm.memory.write(_STEPS + 16 * number, struct.pack("<IIQ", operation, value, address))
        return number

    def put(self, register: int, value: int) -> None:
        """Writes a register."""
        self._add(_WRITE32, value, WINDOW + register)

    def read(self, register: int) -> int:
        """Reads a register; gives the step's number, for value()."""
        return self._add(_READ32, 0, WINDOW + register)

    def wait16(self, address: int, value: int) -> None:
        """Waits until memory has this value."""
        self._add(_WAIT16, value, address)

    def wait_bits(self, register: int, bits: int) -> None:
        """Waits until a register has these bits."""
        self._add(_WAIT_BITS, bits, WINDOW + register)

    def make_available(self, index: int) -> None:
        """Sets the available ring's index and notifies."""
        self._add(_WRITE16, index, AVAILABLE + 2)
        self.put(QUEUE_NOTIFY, 0)

    def wait_used(self, index: int) -> None:
        """Waits until the used ring's index is this."""
        self.wait16(USED + 2, index)

    def drive(self, features: int) -> None:
        """The driver's way to DRIVER_OK (virtio 1.2, 3.1.1), with queue 0."""
        for status in (0, 1, 3):
            self.put(STATUS, status)
        for half in range(2):
            self.put(DRIVER_FEATURES_SEL, half)
            self.put(DRIVER_FEATURES, (features | VERSION_1) >> 32 * half & 0xffffffff)
        self.put(STATUS, 11)
        self.put(QUEUE_SEL, 0)
        self.put(QUEUE_NUM, SIZE)
        for register, address in ((QUEUE_DESC, TABLE), (QUEUE_DRIVER, AVAILABLE), (QUEUE_DEVICE, USED)):
            self.put(register, address)
            self.put(register + 4, 0)
        self.put(QUEUE_READY, 1)
        self.put(STATUS, 15)

    def descriptor(self, index: int, address: int, length: int, flags: int, following: int = 0) -> None:
        """Writes a descriptor."""
        self.vm.memory.write(TABLE + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def end(self) -> None:
        """Adds the end."""
        self._add(_END, EXIT_CODE, 0)

    def value(self, step: int) -> int:
        """What a read found."""
        return int.from_bytes(self.vm.memory.read(_STEPS + 16 * step + 4, 4), "little")
