/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bare guests of the kvm suite: flat images, each loaded at the address after its name. */

        .section .note.GNU-stack, "", @progbits
        .section .rodata

        .macro guest name
        .globl guest_\name
        .balign 16
guest_\name:
        .endm

        .macro guest_end name
        .globl guest_\name\()_end
guest_\name\()_end:
        .byte 0
        .endm

/* Real mode, at 0x1000: exit code 7. */
guest exit_code
        .code16
        mov $0x501, %dx
        mov $7, %al
        out %al, %dx
        hlt
guest_end exit_code

/* Real mode, at 0x1000: counts at 0x3000 for ever. */
guest spin
        .code16
        xor %ax, %ax
        mov %ax, %ds
1:      incl 0x3000
        jmp 1b
guest_end spin

/* Real mode, at 0x1000: halts with interrupts on, for ever. */
guest halt
        .code16
        sti
1:      hlt
        jmp 1b
guest_end halt

/* Real mode, at 0x1000: one HLT with interrupts off. */
guest halt_once
        .code16
        cli
        hlt
        hlt
guest_end halt_once

/* Protected mode, at 0x10000: an invalid opcode, and the interrupt table is empty. */
guest triple_fault
        .code32
        ud2
guest_end triple_fault

/* Protected mode, at 0x10000: writes a 32-bit word to MMIO 0xd0000000, reads it back to EBX. */
guest mmio
        .code32
        movl $0xd0000000, %esi
        movl $0x11223344, (%esi)
        movl 4(%esi), %ebx
        movb $0x55, 9(%esi)
        movw $0x501, %dx
        movb %bl, %al
        outb %al, %dx
1:      hlt
        jmp 1b
guest_end mmio

/* Real mode, at 0x1000: in and out of every width, then string forms of both. */
guest ports
        .code16
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        cld
        mov $0x700, %dx
        mov $0xa1, %al
        out %al, %dx
        mov $0xa2a3, %ax
        out %ax, %dx
        movl $0xa4a5a6a7, %eax
        outl %eax, %dx
        in %dx, %al
        mov %al, 0x3000
        in %dx, %ax
        mov %ax, 0x3002
        inl %dx, %eax
        movl %eax, 0x3004
        mov $(3f - guest_ports + 0x1000), %si
        mov $4, %cx
        rep outsb
        mov $0x3010, %di
        mov $4, %cx
        rep insb
        mov $0x501, %dx
        mov $9, %al
        out %al, %dx
        hlt
3:      .ascii "abcd"
guest_end ports

/* Real mode, at 0x1000: one access to an unclaimed port and one to a hole, then exit code. */
guest unclaimed
        .code16
        mov $0x999, %dx
        in %dx, %al
        mov $0x501, %dx
        out %al, %dx
        hlt
guest_end unclaimed

/* Real mode, at 0x1000: a storm of accesses to an unclaimed port, for ever. */
guest storm
        .code16
        mov $0x999, %dx
1:      in %dx, %al
        out %al, %dx
        jmp 1b
guest_end storm

/* Protected mode, at 0x10000: jumps to an address without memory. */
guest hole
        .code32
        movl $0xc8000000, %eax
        jmp *%eax
guest_end hole

/* Long mode, at 0x10000: int3 (its handler writes 3 to port 0x700), fwait, stac, clac, exit 6. */
guest fixups
        .code64
        leaq 8f(%rip), %rax             /* an interrupt gate for vector 3 at 0x20000 + 48 */
        movl $0x20030, %edi
        movw %ax, (%rdi)
        movw $0x10, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shrq $16, %rax
        movw %ax, 6(%rdi)
        movl $0, 8(%rdi)
        lidt 7f(%rip)
        int3
        fwait
        .byte 0x0f, 0x01, 0xcb          /* stac */
        .byte 0x0f, 0x01, 0xca          /* clac */
        movw $0x501, %dx
        movb $6, %al
        outb %al, %dx
1:      hlt
        jmp 1b
7:      .word 0xfff
        .quad 0x20000
8:      movw $0x700, %dx
        movb $3, %al
        outb %al, %dx
        iretq
guest_end fixups

/*
 * Long mode, at 0x10000: enables the local APIC, lets IOAPIC pins 10 (edge) and 11 (level)
 * interrupt with vectors 0x40 and 0x41, writes 0xee to port 0x701 and halts. The handlers write
 * their vector to port 0x700 and end the interrupt.
 */
guest interrupts
        .code64
        leaq 4f(%rip), %rax
        movl $(0x20000 + 0x40 * 16), %edi
        call 6f
        leaq 5f(%rip), %rax
        movl $(0x20000 + 0x41 * 16), %edi
        call 6f
        lidt 7f(%rip)
        movl $0xfee00000, %ebx
        movl $0xfec00000, %ecx
        movl $0x1ff, 0xf0(%rbx)         /* software enable, spurious vector 0xff */
        movl $(0x10 + 20), (%rcx)       /* pin 10, low: vector 0x40, fixed, edge */
        movl $0x40, 0x10(%rcx)
        movl $(0x10 + 22), (%rcx)       /* pin 11, low: vector 0x41, fixed, level */
        movl $0x8041, 0x10(%rcx)
        movw $0x701, %dx
        movb $0xee, %al
        outb %al, %dx
        sti
1:      hlt
        jmp 1b
4:      pushq %rax
        movb $0x40, %al
        jmp 2f
5:      pushq %rax
        movb $0x41, %al
2:      movw $0x700, %dx
        outb %al, %dx
        movl $0, 0xb0(%rbx)             /* end of interrupt */
        popq %rax
        iretq
6:      movw %ax, (%rdi)                /* an interrupt gate to rax at rdi */
        movw $0x10, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shrq $16, %rax
        movw %ax, 6(%rdi)
        movl $0, 8(%rdi)
        ret
7:      .word 0xfff
        .quad 0x20000
guest_end interrupts

/*
 * Protected mode, at 0x10000: starts the second CPU by INIT and SIPI at 0x8000 (where it copies
 * real-mode code that writes 0x22 to port 0x700 and halts), writes 0x11 itself, and halts.
 */
guest second_cpu
        .code32
        movl $(2f - guest_second_cpu + 0x10000), %esi
        movl $0x8000, %edi
        movl $(3f - 2f), %ecx
        cld
        rep movsb
        movl $0x1ff, 0xfee000f0
        movl $0x01000000, 0xfee00310    /* to APIC id 1 */
        movl $0x00004500, 0xfee00300    /* INIT, assert */
        movl $0x00004608, 0xfee00300    /* start-up at 0x08000 */
        movw $0x700, %dx
        movb $0x11, %al
        outb %al, %dx
1:      hlt
        jmp 1b
        .code16
2:      mov $0x700, %dx
        mov $0x22, %al
        out %al, %dx
4:      hlt
        jmp 4b
3:
guest_end second_cpu

/* Real mode, at 0x1000: writes 1 to port 0x720 three times (an ioeventfd's), then exit code 1. */
guest notify
        .code16
        mov $0x720, %dx
        mov $1, %al
        out %al, %dx
        out %al, %dx
        out %al, %dx
        mov $0x501, %dx
        out %al, %dx
        hlt
guest_end notify

/* Real mode, at 0x1000: asks the keyboard controller for a reset. */
guest reset
        .code16
        mov $0xfe, %al
        out %al, $0x64
1:      jmp 1b
guest_end reset

/* Real mode, at 0x1000: ACPI power-off (sleep type 5, enable). */
guest power_off
        .code16
        mov $0x600, %dx
        mov $0x34, %al
        out %al, %dx
1:      jmp 1b
guest_end power_off

/* Real mode, at 0x1000: echoes what comes on the serial port until a 'q'; by polling. */
guest echo
        .code16
1:      mov $0x3fd, %dx
        in %dx, %al
        test $1, %al
        jz 1b
        mov $0x3f8, %dx
        in %dx, %al
        out %al, %dx
        cmp $'q', %al
        jne 1b
        mov $0x501, %dx
        mov $4, %al
        out %al, %dx
        hlt
guest_end echo

/*
 * Long mode, at 0x10000: does the steps of a table at 0x20000, of 16 bytes each: operation, value
 * (32 bits each), address (64 bits).
 */
guest script
        .code64
        mov $0x20000, %esi
        lea 9f(%rip), %rbx
1:      mov (%rsi), %eax
        mov 4(%rsi), %ecx
        mov 8(%rsi), %rdi
        movslq (%rbx,%rax,4), %rax
        add %rbx, %rax
        jmp *%rax
9:      .long script_end - 9b, script_write32 - 9b, script_read32 - 9b, script_wait16 - 9b
        .long script_wait_bits - 9b, script_write16 - 9b, script_add32 - 9b
        .long script_wait_same - 9b, script_jump - 9b, script_out32 - 9b
        .long script_write8 - 9b
script_end:                     /* 0: ends with the value as exit code */
        mov $0x501, %edx
        mov %ecx, %eax
        out %al, %dx
        hlt
script_write32:                 /* 1: writes 32 bits */
        mov %ecx, (%rdi)
        jmp 7f
script_read32:                  /* 2: reads 32 bits into the table's value */
        mov (%rdi), %eax
        mov %eax, 4(%rsi)
        jmp 7f
script_wait16:                  /* 3: waits until 16 bits of memory have the value */
        mov (%rdi), %ax
        cmp %ax, %cx
        jne script_wait16
        jmp 7f
script_wait_bits:               /* 4: waits until 32 bits have all bits of the value */
        mov (%rdi), %eax
        and %ecx, %eax
        cmp %ecx, %eax
        jne script_wait_bits
        jmp 7f
script_write16:                 /* 5: writes 16 bits */
        mov %cx, (%rdi)
        jmp 7f
script_add32:                   /* 6: adds the value to 32 bits of memory */
        add %ecx, (%rdi)
        jmp 7f
script_wait_same:               /* 7: waits until 16 bits are those at the address in the value */
        mov (%rdi), %ax
        cmp (%rcx), %ax
        jne script_wait_same
        jmp 7f
script_jump:                    /* 8: goes on at the step of this number */
        shl $4, %ecx
        lea 0x20000(%rcx), %rsi
        jmp 1b
script_out32:                   /* 9: writes 32 bits of memory to the port in the value */
        mov (%rdi), %eax
        mov %ecx, %edx
        out %eax, %dx
        jmp 7f
script_write8:                  /* 10: writes a byte */
        mov %cl, (%rdi)
7:      add $16, %rsi
        jmp 1b
guest_end script

/*
 * Long mode, at 0x10000: counts at 0x40000 the interrupts of the local APIC's timer in TSC deadline
 * mode, for which it waits halted; about five of them a second.
 */
guest deadline
        .code64
        leaq 2f(%rip), %rax
        movl $(0x20000 + 0x40 * 16), %edi
        movw %ax, (%rdi)
        movw $0x10, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shrq $16, %rax
        movw %ax, 6(%rdi)
        movl $0, 8(%rdi)
        lidt 3f(%rip)
        movl $0xfee00000, %ebx
        movl $0x1ff, 0xf0(%rbx)
        movl $0x40040, 0x320(%rbx)      /* timer: TSC deadline, vector 0x40 */
1:      rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        addq $0x20000000, %rax
        movq %rax, %rdx
        shrq $32, %rdx
        movl $0x6e0, %ecx
        wrmsr
        sti
        hlt
        cli
        jmp 1b
2:      incl 0x40000
        movl $0, 0xb0(%rbx)             /* end of interrupt */
        iretq
3:      .word 0xfff
        .quad 0x20000
guest_end deadline

/*
 * Long mode, at 0x10000: has kvm-clock's page at 0x41000, and puts its time stamp counter at 0x40010
 * for ever, counting at 0x40000.
 */
guest clock
        .code64
        movl $0x4b564d01, %ecx
        movl $0x41001, %eax
        xorl %edx, %edx
        wrmsr
1:      rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        movq %rax, 0x40010
        incl 0x40000
        jmp 1b
guest_end clock
