/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the guest of the virtio benchmarks: the last 64 KiB below 1 MiB, with the reset vector, so that
 * the same bytes are QEMU's firmware. It goes to long mode, sets up the first virtio-mmio disk it
 * finds, and reads from it in ring 3 for ever; or only writes to a doorbell. See payload.h for
 * what it shares with the host.
 */
        .set BASE, 0xf0000
        .set SHARED, 0x8000
        .set TABLES, 0x10000            /* of pages: six of them */
        .set DESCRIPTORS, 0x20000
        .set AVAILABLE, 0x23000
        .set USED, 0x24000
        .set HEADERS, 0x28000
        .set STATUSES, 0x2a000
        .set DATA, 0x40000
        .set QUEUE_SIZE, 512
        .set CHAINS, 128

        .section .note.GNU-stack, "", @progbits
        .section .rodata
        .globl bench_payload
        .balign 16
bench_payload:
        .code16
start16:
        cli
        lgdtl %cs:(gdt_pointer - bench_payload)
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $(start32 - bench_payload + BASE)

        .code32
start32:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $0x7000, %esp
        cld
        mov $TABLES, %edi               /* 4 GiB one to one, for ring 3 too */
        xor %eax, %eax
        mov $(6 * 1024), %ecx
        rep stosl
        movl $(TABLES + 0x1007), TABLES
        mov $4, %ecx
        mov $(TABLES + 0x2007), %eax
        mov $(TABLES + 0x1000), %edi
1:      mov %eax, (%edi)
        add $0x1000, %eax
        add $8, %edi
        loop 1b
        mov $2048, %ecx
        mov $0x87, %eax
        mov $(TABLES + 0x2000), %edi
1:      mov %eax, (%edi)
        add $0x200000, %eax
        add $8, %edi
        loop 1b
        mov %cr4, %eax
        or $0x20, %eax
        mov %eax, %cr4
        mov $TABLES, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        ljmpl $0x18, $(start64 - bench_payload + BASE)

        .code64
start64:
        mov $SHARED, %ebx
        lea doorbells(%rip), %rax
        cmpq $0, 0x10(%rbx)
        jne to_user
        lea places(%rip), %rsi          /* look for a disk */
2:      mov (%rsi), %edi
        mov 4(%rsi), %edx               /* stride */
        mov 8(%rsi), %ecx               /* how many */
        add $12, %rsi
        test %edi, %edi
        jz none
3:      cmpl $0x74726976, (%rdi)
        jne 4f
        cmpl $2, 8(%rdi)
        je found
4:      add %rdx, %rdi
        loop 3b
        jmp 2b
none:   movl $2, 0x20(%rbx)
        hlt

found:  movl $0, 0x70(%rdi)             /* status: reset, acknowledge, driver */
        movl $1, 0x70(%rdi)
        movl $3, 0x70(%rdi)
        movl $0, 0x24(%rdi)
        movl $0, 0x20(%rdi)
        movl $1, 0x24(%rdi)
        movl $1, 0x20(%rdi)             /* VERSION_1 */
        movl $11, 0x70(%rdi)
        movl $0, 0x30(%rdi)
        movl $QUEUE_SIZE, 0x38(%rdi)
        movl $DESCRIPTORS, 0x80(%rdi)
        movl $0, 0x84(%rdi)
        movl $AVAILABLE, 0x90(%rdi)
        movl $0, 0x94(%rdi)
        movl $USED, 0xa0(%rdi)
        movl $0, 0xa4(%rdi)
        movl $1, 0x44(%rdi)
        movl $15, 0x70(%rdi)
        mov 0x70(%rdi), %eax
        cmp $15, %eax
        jne none
        add $0x50, %rdi
        mov %rdi, 0x10(%rbx)
        lea reads(%rip), %rax

to_user:
        pushq $0x23
        pushq $0x6000
        pushq $2
        pushq $0x2b
        push %rax
        iretq

        /* Ring 3: chains of header, 4 KiB, status. */
reads:  xor %ecx, %ecx
        mov $DESCRIPTORS, %edi
        mov $HEADERS, %r8d
        mov $DATA, %r9d
        mov $STATUSES, %r10d
5:      mov %r8, (%rdi)
        movl $16, 8(%rdi)
        movw $1, 12(%rdi)
        lea 1(%ecx, %ecx, 2), %eax
        mov %ax, 14(%rdi)
        mov %r9, 16(%rdi)
        movl $4096, 24(%rdi)
        movw $3, 28(%rdi)
        inc %eax
        mov %ax, 30(%rdi)
        mov %r10, 32(%rdi)
        movl $1, 40(%rdi)
        movl $2, 44(%rdi)
        add $48, %rdi
        add $16, %r8
        add $4096, %r9
        inc %r10
        inc %ecx
        cmp $CHAINS, %ecx
        jne 5b
        movw $1, AVAILABLE              /* no interrupts: it polls */
        mov 0x10(%rbx), %rdi            /* the doorbell */
        xor %r11d, %r11d                /* sector */
        xor %r12d, %r12d                /* available index */
        movl $1, 0x20(%rbx)

batch:  mov 8(%rbx), %ebp
        test %ebp, %ebp
        jz batch
        xor %ecx, %ecx
        mov $HEADERS, %esi
6:      mov %r11, 8(%rsi)
        add $16, %rsi
        add 0x38(%rbx), %r11
        and 0x28(%rbx), %r11
        mov %r12d, %eax
        and $(QUEUE_SIZE - 1), %eax
        lea (%rcx, %rcx, 2), %edx
        mov %dx, AVAILABLE + 4(, %rax, 2)
        inc %r12d
        inc %ecx
        cmp %ebp, %ecx
        jne 6b
        mov %r12w, AVAILABLE + 2
        mfence
        movl $0, (%rdi)
7:      pause
        cmp %r12w, USED + 2
        jne 7b
        mov $STATUSES, %esi
        mov %ebp, %ecx
8:      movzbl (%rsi), %eax
        or %eax, 0x30(%rbx)             /* all must be 0 */
        inc %rsi
        dec %ecx
        jnz 8b
        add %rbp, (%rbx)
        jmp batch

doorbells:
        mov $SHARED, %ebx
        mov 0x10(%rbx), %rdi
        movl $1, 0x20(%rbx)
9:      mov 0x18(%rbx), %eax
        mov %eax, (%rdi)
        incq (%rbx)
        jmp 9b

        .balign 8
places: .long 0xd0000000, 0x1000, 8     /* the library's windows */
        .long 0xfeb00000, 0x200, 24     /* those of QEMU's microvm */
        .long 0, 0, 0
        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff        /* 08: 32-bit code */
        .quad 0x00cf93000000ffff        /* 10: data */
        .quad 0x00af9b000000ffff        /* 18: 64-bit code */
        .quad 0x00cff3000000ffff        /* 20: data of ring 3 */
        .quad 0x00affb000000ffff        /* 28: 64-bit code of ring 3 */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt - bench_payload + BASE

        .fill 0xfff0 - (. - bench_payload), 1, 0xf4
        .code16
        ljmp $(BASE >> 4), $0           /* the reset vector */
        .fill 0x10000 - (. - bench_payload), 1, 0xf4
