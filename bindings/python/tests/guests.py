# SPDX-License-Identifier: Apache-2.0
"""Owns the bare guests of the tests: flat images, each with where it is loaded and its assembler."""

from typing import NamedTuple

from nestvirt import Mode


class Guest(NamedTuple):
    """An image, the address of its first byte and instruction, and the mode in which it starts."""

    image: bytes
    address: int
    mode: Mode


def _guest(mode: Mode, address: int, *parts: str) -> Guest:
    return Guest(bytes.fromhex("".join(parts)), address, mode)


# Real mode, at 0x1000: exit code 7.
#
#         .code16
#         mov $0x501, %dx
#         mov $7, %al
#         out %al, %dx
#         hlt
EXIT_CODE = _guest(
    Mode.REAL, 0x1000,
    "ba 01 05 b0 07 ee f4")

# Real mode, at 0x1000: counts at 0x3000 for ever.
#
#         .code16
#         xor %ax, %ax
#         mov %ax, %ds
# 1:      incl 0x3000
#         jmp 1b
SPIN = _guest(
    Mode.REAL, 0x1000,
    "31 c0 8e d8 66 ff 06 00 30 eb f9")

# Real mode, at 0x1000: halts with interrupts on, for ever.
#
#         .code16
#         sti
# 1:      hlt
#         jmp 1b
HALT = _guest(
    Mode.REAL, 0x1000,
    "fb f4 eb fd")

# Protected mode, at 0x10000: an invalid opcode, and the interrupt table is empty.
#
#         .code32
#         ud2
TRIPLE_FAULT = _guest(
    Mode.PROTECTED, 0x10000,
    "0f 0b")

# Real mode, at 0x1000: asks the keyboard controller for a reset.
#
#         .code16
#         mov $0xfe, %al
#         out %al, $0x64
# 1:      jmp 1b
RESET = _guest(
    Mode.REAL, 0x1000,
    "b0 fe e6 64 eb fe")

# Real mode, at 0x1000: ACPI power-off (sleep type 5, enable).
#
#         .code16
#         mov $0x600, %dx
#         mov $0x34, %al
#         out %al, %dx
# 1:      jmp 1b
POWER_OFF = _guest(
    Mode.REAL, 0x1000,
    "ba 00 06 b0 34 ee eb fe")

# Protected mode, at 0x10000: writes a 32-bit word to MMIO 0xd0000000, reads it back to EBX.
#
#         .code32
#         movl $0xd0000000, %esi
#         movl $0x11223344, (%esi)
#         movl 4(%esi), %ebx
#         movb $0x55, 9(%esi)
#         movw $0x501, %dx
#         movb %bl, %al
#         outb %al, %dx
# 1:      hlt
#         jmp 1b
MMIO = _guest(
    Mode.PROTECTED, 0x10000,
    "be 00 00 00 d0 c7 06 44 33 22 11 8b 5e 04 c6 46 09 55 66 ba 01 05 88 d8 ee f4 eb fd")

# Real mode, at 0x1000: in and out of every width, then string forms of both.
#
#         .code16
#         xor %ax, %ax
#         mov %ax, %ds
#         mov %ax, %es
#         cld
#         mov $0x700, %dx
#         mov $0xa1, %al
#         out %al, %dx
#         mov $0xa2a3, %ax
#         out %ax, %dx
#         movl $0xa4a5a6a7, %eax
#         outl %eax, %dx
#         in %dx, %al
#         mov %al, 0x3000
#         in %dx, %ax
#         mov %ax, 0x3002
#         inl %dx, %eax
#         movl %eax, 0x3004
#         mov $(3f - start + 0x1000), %si
#         mov $4, %cx
#         rep outsb
#         mov $0x3010, %di
#         mov $4, %cx
#         rep insb
#         mov $0x501, %dx
#         mov $9, %al
#         out %al, %dx
#         hlt
# 3:      .ascii "abcd"
PORTS = _guest(
    Mode.REAL, 0x1000,
    "31 c0 8e d8 8e c0 fc ba 00 07 b0 a1 ee b8 a3 a2 ef 66 b8 a7 a6 a5 a4 66 ef ec a2 00 30 ed a3 02",
    "30 66 ed 66 a3 04 30 be 3e 10 b9 04 00 f3 6e bf 10 30 b9 04 00 f3 6c ba 01 05 b0 09 ee f4 61 62",
    "63 64")

# Real mode, at 0x1000: one access to an unclaimed port and one to a hole, then exit code.
#
#         .code16
#         mov $0x999, %dx
#         in %dx, %al
#         mov $0x501, %dx
#         out %al, %dx
#         hlt
UNCLAIMED = _guest(
    Mode.REAL, 0x1000,
    "ba 99 09 ec ba 01 05 ee f4")

# Real mode, at 0x1000: writes 1 to port 0x720 three times (an ioeventfd's), then exit code 1.
#
#         .code16
#         mov $0x720, %dx
#         mov $1, %al
#         out %al, %dx
#         out %al, %dx
#         out %al, %dx
#         mov $0x501, %dx
#         out %al, %dx
#         hlt
NOTIFY = _guest(
    Mode.REAL, 0x1000,
    "ba 20 07 b0 01 ee ee ee ba 01 05 ee f4")

# Real mode, at 0x1000: echoes what comes on the serial port until a 'q'; by polling.
#
#         .code16
# 1:      mov $0x3fd, %dx
#         in %dx, %al
#         test $1, %al
#         jz 1b
#         mov $0x3f8, %dx
#         in %dx, %al
#         out %al, %dx
#         cmp $'q', %al
#         jne 1b
#         mov $0x501, %dx
#         mov $4, %al
#         out %al, %dx
#         hlt
ECHO = _guest(
    Mode.REAL, 0x1000,
    "ba fd 03 ec a8 01 74 f8 ba f8 03 ec ee 3c 71 75 ef ba 01 05 b0 04 ee f4")

# Real mode, at 0x1000: writes 20,000 bytes to the serial port, the low byte of a counter that falls to 1, whenever
# the port takes one, then exit code 3.
#
#         .code16
#         mov $20000, %cx
# 1:      mov $0x3fd, %dx
# 2:      in %dx, %al
#         test $0x20, %al
#         jz 2b
#         mov $0x3f8, %dx
#         mov %cl, %al
#         out %al, %dx
#         loop 1b
#         mov $0x501, %dx
#         mov $3, %al
#         out %al, %dx
#         hlt
PRINT = _guest(
    Mode.REAL, 0x1000,
    "b9 20 4e ba fd 03 ec a8 20 74 fb ba f8 03 88 c8 ee e2 f0 ba 01 05 b0 03 ee f4")
PRINTED = bytes(count & 0xff for count in range(20000, 0, -1))

# Long mode, at 0x10000: enables the local APIC, lets IOAPIC pins 10 (edge) and 11 (level) interrupt with
# vectors 0x40 and 0x41, writes 0xee to port 0x701 and halts. The handlers write their vector to port 0x700
# and end the interrupt.
#
#         .code64
#         leaq 4f(%rip), %rax
#         movl $(0x20000 + 0x40 * 16), %edi
#         call 6f
#         leaq 5f(%rip), %rax
#         movl $(0x20000 + 0x41 * 16), %edi
#         call 6f
#         lidt 7f(%rip)
#         movl $0xfee00000, %ebx
#         movl $0xfec00000, %ecx
#         movl $0x1ff, 0xf0(%rbx)
#         movl $(0x10 + 20), (%rcx)
#         movl $0x40, 0x10(%rcx)
#         movl $(0x10 + 22), (%rcx)
#         movl $0x8041, 0x10(%rcx)
#         movw $0x701, %dx
#         movb $0xee, %al
#         outb %al, %dx
#         sti
# 1:      hlt
#         jmp 1b
# 4:      pushq %rax
#         movb $0x40, %al
#         jmp 2f
# 5:      pushq %rax
#         movb $0x41, %al
# 2:      movw $0x700, %dx
#         outb %al, %dx
#         movl $0, 0xb0(%rbx)
#         popq %rax
#         iretq
# 6:      movw %ax, (%rdi)
#         movw $0x10, 2(%rdi)
#         movw $0x8e00, 4(%rdi)
#         shrq $16, %rax
#         movw %ax, 6(%rdi)
#         movl $0, 8(%rdi)
#         ret
# 7:      .word 0xfff
#         .quad 0x20000
INTERRUPTS = _guest(
    Mode.LONG, 0x10000,
    "48 8d 05 5b 00 00 00 bf 00 04 02 00 e8 6b 00 00 00 48 8d 05 4f 00 00 00 bf 10 04 02 00 e8 5a 00",
    "00 00 0f 01 1d 72 00 00 00 bb 00 00 e0 fe b9 00 00 c0 fe c7 83 f0 00 00 00 ff 01 00 00 c7 01 24",
    "00 00 00 c7 41 10 40 00 00 00 c7 01 26 00 00 00 c7 41 10 41 80 00 00 66 ba 01 07 b0 ee ee fb f4",
    "eb fd 50 b0 40 eb 03 50 b0 41 66 ba 00 07 ee c7 83 b0 00 00 00 00 00 00 00 58 48 cf 66 89 07 66",
    "c7 47 02 10 00 66 c7 47 04 00 8e 48 c1 e8 10 66 89 47 06 c7 47 08 00 00 00 00 c3 ff 0f 00 00 02",
    "00 00 00 00 00")

# Long mode, at 0x10000: does the steps of a table at 0x20000, of 16 bytes each: operation, value (32 bits
# each), address (64 bits).
#
#         .code64
#         mov $0x20000, %esi
#         lea 9f(%rip), %rbx
# 1:      mov (%rsi), %eax
#         mov 4(%rsi), %ecx
#         mov 8(%rsi), %rdi
#         movslq (%rbx,%rax,4), %rax
#         add %rbx, %rax
#         jmp *%rax
# 9:      .long script_end - 9b, script_write32 - 9b, script_read32 - 9b, script_wait16 - 9b
#         .long script_wait_bits - 9b, script_write16 - 9b, script_add32 - 9b
#         .long script_wait_same - 9b, script_jump - 9b, script_out32 - 9b
#         .long script_write8 - 9b
# script_end:
#         mov $0x501, %edx
#         mov %ecx, %eax
#         out %al, %dx
#         hlt
# script_write32:
#         mov %ecx, (%rdi)
#         jmp 7f
# script_read32:
#         mov (%rdi), %eax
#         mov %eax, 4(%rsi)
#         jmp 7f
# script_wait16:
#         mov (%rdi), %ax
#         cmp %ax, %cx
#         jne script_wait16
#         jmp 7f
# script_wait_bits:
#         mov (%rdi), %eax
#         and %ecx, %eax
#         cmp %ecx, %eax
#         jne script_wait_bits
#         jmp 7f
# script_write16:
#         mov %cx, (%rdi)
#         jmp 7f
# script_add32:
#         add %ecx, (%rdi)
#         jmp 7f
# script_wait_same:
#         mov (%rdi), %ax
#         cmp (%rcx), %ax
#         jne script_wait_same
#         jmp 7f
# script_jump:
#         shl $4, %ecx
#         lea 0x20000(%rcx), %rsi
#         jmp 1b
# script_out32:
#         mov (%rdi), %eax
#         mov %ecx, %edx
#         out %eax, %dx
#         jmp 7f
# script_write8:
#         mov %cl, (%rdi)
# 7:      add $16, %rsi
#         jmp 1b
SCRIPT = _guest(
    Mode.LONG, 0x10000,
    "be 00 00 02 00 48 8d 1d 12 00 00 00 8b 06 8b 4e 04 48 8b 7e 08 48 63 04 83 48 01 d8 ff e0 2c 00",
    "00 00 35 00 00 00 39 00 00 00 40 00 00 00 4a 00 00 00 54 00 00 00 59 00 00 00 5d 00 00 00 67 00",
    "00 00 76 00 00 00 7d 00 00 00 ba 01 05 00 00 89 c8 ee f4 89 0f eb 46 8b 07 89 46 04 eb 3f 66 8b",
    "07 66 39 c1 75 f8 eb 35 8b 07 21 c8 39 c8 75 f8 eb 2b 66 89 0f eb 26 01 0f eb 22 66 8b 07 66 3b",
    "01 75 f8 eb 18 c1 e1 04 48 8d b1 00 00 02 00 e9 78 ff ff ff 8b 07 89 ca ef eb 02 88 0f 48 83 c6",
    "10 e9 66 ff ff ff")

# Real mode, at 0x1000: reads a byte from port 0x700, writes it to port 0x701, then exit code 5.
#
#         .code16
#         mov $0x700, %dx
#         in %dx, %al
#         mov $0x701, %dx
#         out %al, %dx
#         mov $0x501, %dx
#         mov $5, %al
#         out %al, %dx
#         hlt
RELAY = _guest(
    Mode.REAL, 0x1000,
    "ba 00 07 ec ba 01 07 ee ba 01 05 b0 05 ee f4")

# Protected mode, at 0x10000: reads a 32-bit word at MMIO 0xd0000000 and counts at 0x20000, for ever.
#
#         .code32
#         movl $0xd0000000, %esi
# 1:      movl (%esi), %eax
#         incl 0x20000
#         jmp 1b
MMIO_READS = _guest(
    Mode.PROTECTED, 0x10000,
    "be 00 00 00 d0 8b 06 ff 05 00 00 02 00 eb f6")
