/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests of 10_density, and byte by byte of 10_density_qemu. Both count in the last bytes of
 * their page: one once, then it halts; the other for ever, in ring 3.
 */
        .set COUNTER, 0xff0             /* density.h has it too */
        .section .note.GNU-stack, "", @progbits
        .section .rodata

/* Real mode, at 0x1000. */
        .globl density_idle, density_idle_end
density_idle:
        .code16
        xor %ax, %ax
        mov %ax, %ds
        incl 0x1000 + COUNTER
1:      hlt
        jmp 1b
density_idle_end:

/* Long mode, at 0x10000. The library's page tables are for ring 0: these opens them for ring 3. */
        .globl density_busy, density_busy_end
        .balign 16
density_busy:
        .code64
        mov %cr3, %rax
        mov $3, %ecx
1:      orq $4, (%rax)                  /* user */
        mov (%rax), %rax
        and $~0xfff, %rax
        loop 1b
        mov %cr3, %rax
        mov %rax, %cr3
        lgdt gdt_pointer(%rip)
        pushq $0x1b                     /* stack segment, stack, flags, code segment, entry */
        pushq $0x10ff0
        pushq $2
        pushq $0x13
        lea 2f(%rip), %rax
        push %rax
        iretq
2:      incl 0x10000 + COUNTER
        jmp 2b
        .balign 8
gdt:    .quad 0
        .quad 0x00af9b000000ffff        /* 08: code of ring 0 */
        .quad 0x00affb000000ffff        /* 10: code of ring 3 */
        .quad 0x00cff3000000ffff        /* 18: data of ring 3 */
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .quad gdt - density_busy + 0x10000
density_busy_end:
