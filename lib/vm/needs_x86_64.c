/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of what threads need after build: system calls, ioctls and kinds of descriptors. */
#include <linux/kvm.h>
#include <sys/syscall.h>

#include "core/util.h"
#include "vm/vm.h"

/* Roles as bits. */
enum {
    V = 1 << NESTVIRT_ROLE_VCPU,
    L = 1 << NESTVIRT_ROLE_LOOP,
    W = 1 << NESTVIRT_ROLE_WORKER,
    C = 1 << NESTVIRT_ROLE_CALLER,
    ALL = V | L | W | C
};

struct need {
    uint32_t roles;
    uint32_t kind;
    uint64_t number;
    const char *name;
    const char *why;
};

#define CALL(NAME, ROLES, WHY)                                                                \
    {                                                                                         \
        .roles = (ROLES), .kind = NESTVIRT_NEED_SYSCALL, .number = SYS_##NAME, .name = #NAME, \
        .why = (WHY)                                                                          \
    }
#define CONTROL(NUMBER, NAME, ROLES, WHY)                                                  \
    {                                                                                      \
        .roles = (ROLES), .kind = NESTVIRT_NEED_IOCTL, .number = (NUMBER), .name = (NAME), \
        .why = (WHY)                                                                       \
    }
#define KVM(NAME, ROLES, WHY) CONTROL(KVM_##NAME, "KVM_" #NAME, ROLES, WHY)
#define DESCRIPTOR(NAME, ROLES, WHY)                                             \
    {                                                                            \
        .roles = (ROLES), .kind = NESTVIRT_NEED_FD, .name = (NAME), .why = (WHY) \
    }

/*
 * A test lets all devices and engines run under filters made of this, and a clone. Templates and
 * observers are not in it, as privilege.h says: they copy files, read /proc and talk to BPF.
 */
static const struct need needs[] = {
    /* Every thread, mostly by the C library. */
    CALL(futex, ALL, "locks and conditions"),
    CALL(mmap, ALL, "malloc"),
    CALL(munmap, ALL, "malloc"),
    CALL(mprotect, ALL, "malloc"),
    CALL(brk, ALL, "malloc"),
    CALL(madvise, ALL, "malloc, stacks of ended threads; pages that a balloon or a disk drops"),
    CALL(clock_gettime, ALL, "the time, where the vDSO cannot tell it"),
    CALL(clock_nanosleep, ALL, "waits for a disk that is busy, and for room for a signal"),
    CALL(restart_syscall, ALL, "waits that SIGSTOP and SIGCONT interrupted"),
    CALL(rt_sigprocmask, ALL, "ends of threads; callers: signals that the library keeps to itself"),
    CALL(getpid, ALL, "kicks of vCPUs; callers: forked children are refused"),
    CALL(tgkill, ALL, "kicks of vCPUs, by whatever pauses or ends a VM"),
    CALL(write, ALL, "eventfds of interrupts, queues and events; output of consoles"),
    CALL(exit, V | L | W, "ends of threads"),

    /* What several do. */
    CALL(ioctl, V | L | C, "see the requests"),
    CALL(read, ALL, "eventfds; input of consoles"),
    CALL(close, V | L | C, "connections of a vsock; callers: all that a VM has"),
    CALL(epoll_ctl, V | L | C, "descriptors to wait for or no more"),
    CALL(poll, V | L | C, "consoles and taps that may block"),
    CALL(newfstatat, ALL, "how long a disk is, what a console is (fstat)"),
    CALL(fstat, ALL, "the same in older C libraries"),
    CALL(sendto, V | L | C, "consoles that are sockets, a vsock's connections"),
    CALL(recvfrom, V | L | C, "consoles that are sockets, a vsock's connections"),
    CALL(shutdown, V | L | C, "a vsock's connections"),
    CALL(getrandom, V | L | C, "the rng device, a vsock's hash"),
    CALL(rt_sigtimedwait, V | C, "takes kicks; callers: and SIGPIPE, SIGXFSZ"),

    /* Event loops. */
    CALL(epoll_wait, L, "the loop's wait"),
    CALL(preadv2, L | W, "packets; what of a disk is cached"),
    CALL(pwritev2, L, "packets"),
    CALL(readv, L, "packets, before Linux 6.0"),
    CALL(writev, L, "packets, before Linux 6.0"),
    CALL(socket, L, "a vsock's connections to the host"),
    CALL(connect, L, "a vsock's connections to the host"),
    CALL(accept4, L, "a vsock's connections from the host"),
    CALL(sendmsg, L, "a vsock's connections"),
    CALL(recvmsg, L, "a vsock's connections"),
    CALL(sysinfo, L, "qsort() of a balloon's pages, in C libraries before 2.37"),
    CALL(io_uring_enter, L | C, "disks with the engine io_uring"),

    /* Workers of disks. */
    CALL(preadv, W, "a disk"),
    CALL(pwritev, W, "a disk"),
    CALL(pread64, W, "a disk past the page cache, odd pieces"),
    CALL(pwrite64, W, "a disk past the page cache, odd pieces; zeroes"),
    CALL(fdatasync, W, "flushes of a disk"),
    CALL(fallocate, W, "discards and zeroes of a disk"),

    /* Callers. */
    CALL(rt_sigpending, C, "signals that the library keeps to itself"),
    CALL(eventfd2, C, "nestvirt_vm_get_event_fd()"),
    CALL(lseek, C, "a disk's capacity that is set anew"),
    CALL(fcntl, C, "frees the lock of a disk"),
    CALL(unlink, V | C, "the socket of a vsock, when its guest ends"),

    KVM(RUN, V | C, "the guest; callers: vCPUs run by hand"),
    KVM(GET_REGS, V | C, "exits that end a run, instructions to complete"),
    KVM(SET_REGS, V | C, "instructions to complete"),
    KVM(GET_SREGS, V | C, "exits that end a run"),
    KVM(TRANSLATE, V | C, "exits that end a run"),
    KVM(GET_VCPU_EVENTS, V | C, "instructions to complete"),
    KVM(SET_VCPU_EVENTS, V | C, "instructions to complete"),
    KVM(SIGNAL_MSI, V | L | C, "interrupts by message"),
    KVM(IRQ_LINE, V | L | C, "interrupts, with NESTVIRT_CHIP_KERNEL"),
    KVM(SET_GSI_ROUTING, V | L | C, "what the guest writes to the IOAPIC"),
    KVM(SET_SREGS, C, "nestvirt_vcpu_set_sregs()"),
    KVM(GET_MSRS, C, "nestvirt_vcpu_get_msr()"),
    KVM(SET_MSRS, C, "nestvirt_vcpu_set_msr()"),
    KVM(SET_SIGNAL_MASK, C, "vCPUs run by hand"),
    KVM(KVMCLOCK_CTRL, C, "nestvirt_vm_resume()"),
    KVM(SET_CLOCK, C, "nestvirt_vm_start() of a clone"),
    KVM(IRQFD, C, "frees interrupts"),
    CONTROL(0x400454d0, "TUNSETOFFLOAD", V | L | C, "what the guest's network driver can do"),
    CONTROL(0x400454d9, "TUNSETQUEUE", V | L | C, "the pairs of queues that the guest uses"),

    DESCRIPTOR("KVM vCPU", V | C, "ioctl"),
    DESCRIPTOR("KVM VM", V | L | C, "ioctl"),
    DESCRIPTOR("eventfd", ALL, "read, write: interrupts, queues, events"),
    DESCRIPTOR("epoll", V | L | C, "epoll_wait, epoll_ctl"),
    DESCRIPTOR("tap", V | L | C, "packets, ioctl"),
    DESCRIPTOR("disk", L | W | C, "the image, or the block device"),
    DESCRIPTOR("io_uring", L | C, "disks with this engine"),
    DESCRIPTOR("console", V | L | C, "input and output of serial and console devices"),
    DESCRIPTOR("unix socket", V | L | C, "a vsock's connections; made and accepted while it runs"),
};

bool nv_vm_get_need(uint32_t position, struct nestvirt_need *ret_need)
{
    for (uint32_t role = NESTVIRT_ROLE_VCPU; role <= NESTVIRT_ROLE_CALLER; role++) {
        for (size_t i = 0; i < NV_ARRAY_SIZE(needs); i++) {
            if (!(needs[i].roles & 1u << role) || position-- > 0)
                continue;
            *ret_need = (struct nestvirt_need){
                .size = sizeof(*ret_need),
                .role = role,
                .kind = needs[i].kind,
                .number = needs[i].number,
                .name = needs[i].name,
                .why = needs[i].why,
            };
            return true;
        }
    }
    return false;
}
