/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the floor's calls and their order. */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

enum { STACK_SIZE = 64 * 1024 };

static int make_memory(size_t size, uint8_t **ret_memory)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

/* The slot comes before the chip: behind it, it would wait for a grace period. */
static int make_vm(const struct floor_host *host, struct floor_vm *vm)
{
    struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { FLOOR_PINS } };
    struct kvm_userspace_memory_region slot = {
        .memory_size = vm->memory_size,
        .userspace_addr = (uintptr_t)vm->memory,
    };

    vm->fd = ioctl(host->fd, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        return -errno;
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        return -errno;
    if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
        return -errno;
    vm->vcpu_fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
    return vm->vcpu_fd < 0 ? -errno : 0;
}

static int make_vcpu(const struct floor_host *host, struct floor_vm *vm)
{
    const struct kvm_regs regs = { .rip = FLOOR_ENTRY, .rflags = 2 };

    vm->run = mmap(NULL, host->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_fd, 0);
    if (vm->run == MAP_FAILED) {
        vm->run = NULL;
        return -errno;
    }
    if (ioctl(vm->vcpu_fd, KVM_SET_CPUID2, host->cpuid) < 0)
        return -errno;
    if (ioctl(vm->vcpu_fd, KVM_SET_SREGS, &host->sregs) < 0)
        return -errno;
    return ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

int floor_create(const struct floor_host *host, size_t memory_size, const void *code,
                 size_t code_size, struct floor_vm *vm)
{
    int r;

    *vm = (struct floor_vm){ .fd = -1, .vcpu_fd = -1, .memory_size = memory_size };
    sem_init(&vm->exited, 0, 0);
    r = make_memory(memory_size, &vm->memory);
    if (r == 0) {
        memcpy(vm->memory + FLOOR_ENTRY, code, code_size);
        r = make_vm(host, vm);
    }
    if (r == 0)
        r = make_vcpu(host, vm);
    if (r < 0)
        floor_destroy(host, vm);
    return r;
}

static void *run_guest(void *argument)
{
    struct floor_vm *vm = argument;

    if (ioctl(vm->vcpu_fd, KVM_RUN, NULL) == 0 && vm->run->exit_reason == KVM_EXIT_IO)
        vm->first_exit_ns = bench_now_ns();
    sem_post(&vm->exited);
    while (ioctl(vm->vcpu_fd, KVM_RUN, NULL) == 0)
        ;
    return NULL;
}

int floor_start(const struct floor_host *host, struct floor_vm *vm)
{
    return -pthread_create(&vm->thread, &host->thread, run_guest, vm);
}

int floor_wait(struct floor_vm *vm)
{
    while (sem_wait(&vm->exited) < 0)
        ;
    return vm->first_exit_ns ? 0 : -EIO;
}

/* immediate_exit is for a signal that comes between two runs. */
void floor_stop(struct floor_vm *vm)
{
    vm->run->immediate_exit = 1;
    pthread_kill(vm->thread, SIGUSR1);
    pthread_join(vm->thread, NULL);
}

static void ignore(int signal)
{
}

/* Memory goes last: with the VM gone, nobody has to be told that its pages vanish. */
void floor_destroy(const struct floor_host *host, struct floor_vm *vm)
{
    if (vm->run)
        munmap(vm->run, host->run_size);
    if (vm->vcpu_fd >= 0)
        close(vm->vcpu_fd);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->memory)
        munmap(vm->memory, vm->memory_size);
}

/* The registers of a fresh vCPU, from one that is thrown away. */
static int fetch_sregs(struct floor_host *host)
{
    struct floor_vm vm = { .vcpu_fd = -1, .memory_size = 1 << 20 };
    int r = make_memory(vm.memory_size, &vm.memory);

    if (r < 0)
        return r;
    r = make_vm(host, &vm);
    if (r == 0 && ioctl(vm.vcpu_fd, KVM_GET_SREGS, &host->sregs) < 0)
        r = -errno;
    host->sregs.cs.base = 0;
    host->sregs.cs.selector = 0;
    floor_destroy(host, &vm);
    return r;
}

static int fetch_lists(struct floor_host *host)
{
    int size = ioctl(host->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (size < 0)
        return -errno;
    host->run_size = (size_t)size;
    host->cpuid->nent = FLOOR_CPUID_MAX;
    if (ioctl(host->fd, KVM_GET_SUPPORTED_CPUID, host->cpuid) < 0)
        return -errno;
    return fetch_sregs(host);
}

int floor_open(struct floor_host *host)
{
    const struct sigaction action = { .sa_handler = ignore };
    int r;

    *host = (struct floor_host){ .fd = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
    if (host->fd < 0)
        return -errno;
    sigaction(SIGUSR1, &action, NULL);
    pthread_attr_init(&host->thread);
    pthread_attr_setstacksize(&host->thread, STACK_SIZE);
    pthread_attr_setguardsize(&host->thread, 0); /* one call and one mapping less */
    host->cpuid =
        calloc(1, sizeof(*host->cpuid) + FLOOR_CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
    r = host->cpuid ? fetch_lists(host) : -ENOMEM;
    if (r < 0)
        floor_close(host);
    return r;
}

void floor_close(struct floor_host *host)
{
    pthread_attr_destroy(&host->thread);
    free(host->cpuid);
    close(host->fd);
}
