/* SPDX-License-Identifier: Apache-2.0 */
/*
 * M4.floor: a clone of a template to its first exit, against the least that a program has to do for
 * the same; at several sizes, and with many clones alive. M4.copy: against copying all memory. M5:
 * memory per clone against that of an idle VM of the floor (the guest writes nothing).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "guest.h"
#include "ours.h"
#include "usage.h"

enum {
    MIB = 1 << 20,
    ROUNDS = 200,
    ROUNDS_EXTRA = 60,
    ROUNDS_COPY = 30,
    ROUNDS_WARM = 10,
    CROWD = 300,
    MEMORY_ROUNDS = 4,
    MEMORY_VMS = 300,
    MSRS_MAX = 256,
    FDS_PER_VM = 8,
    MEMORY_SIZE = 128 * MIB
};

#define AVAILABLE (3ull << 30)

/* What the floor restores, in this order, from structures of its own. */
struct saved {
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    struct kvm_xcrs xcrs;
    struct kvm_xsave xsave;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_mp_state mp_state;
    struct kvm_clock_data clock;
    struct {
        struct kvm_msrs list;
        struct kvm_msr_entry entries[MSRS_MAX];
    } msrs;
};

struct contenders {
    struct nestvirt_host *host;
    struct floor_host floor;
    size_t size;
    struct nestvirt_template *template;
    int memory_fd; /* the floor's template */
    struct saved saved;
};

static void control(int fd, unsigned long request, void *argument, const char *what)
{
    bench_need(ioctl(fd, request, argument) < 0 ? -errno : 0, what);
}

/* --- Ours --- */

static void make_template(struct contenders *c)
{
    static uint8_t page[4096] = { 1 };
    struct nestvirt_error *error = NULL;
    struct ours_vm vm = { .action = NESTVIRT_ACTION_RESUME };
    int image = ours_make_image(guest_exit_always, sizeof(guest_exit_always));

    vm.vm = ours_new(c->host, c->size, image, ours_ignore, NULL);
    ours_need(nestvirt_vm_build(vm.vm, &error), &error);
    for (size_t at = 0; at < c->size; at += sizeof(page))
        if (at != FLOOR_ENTRY)
            ours_need(nestvirt_memory_write(vm.vm, at, page, sizeof(page), &error), &error);
    ours_need(nestvirt_vm_start(vm.vm, &error), &error);
    ours_need(nestvirt_vm_pause(vm.vm, &error), &error);
    ours_need(nestvirt_template_new(vm.vm, NESTVIRT_TEMPLATE_CONSUME, &c->template, &error),
              &error);
    nestvirt_vm_free(vm.vm);
    close(image);
}

static int32_t on_exit_of_clone(void *user_data, struct nestvirt_access *access)
{
    struct ours_vm *vm = user_data;

    if (vm->first_exit_ns == 0) {
        vm->first_exit_ns = bench_now_ns();
        sem_post(&vm->exited);
    }
    return NESTVIRT_ACTION_STOP;
}

static void run_clone(struct contenders *c, struct ours_vm *vm)
{
    struct nestvirt_error *error = NULL;

    vm->first_exit_ns = 0;
    sem_init(&vm->exited, 0, 0);
    ours_need(nestvirt_clone_new(c->template, NULL, &vm->vm, &error), &error);
    ours_need(nestvirt_handler_add(vm->vm, NESTVIRT_SPACE_PORT, GUEST_PORT, 1, on_exit_of_clone, vm,
                                   NULL, &error),
              &error);
    ours_start(vm->vm);
    sem_wait(&vm->exited);
}

static uint64_t measure_ours(struct contenders *c)
{
    struct ours_vm vm;
    uint64_t start = bench_now_ns();

    run_clone(c, &vm);
    ours_free(&vm);
    bench_settle();
    return vm.first_exit_ns - start;
}

/* --- The floor --- */

static void fetch_msrs(struct contenders *c, int vcpu_fd)
{
    struct {
        struct kvm_msr_list list;
        uint32_t indices[MSRS_MAX];
    } names = { .list.nmsrs = MSRS_MAX };
    struct {
        struct kvm_msrs list;
        struct kvm_msr_entry entry;
    } one = { 0 };

    control(c->floor.fd, KVM_GET_MSR_INDEX_LIST, &names, "MSR list");
    c->saved.msrs.list.nmsrs = 0;
    for (uint32_t i = 0; i < names.list.nmsrs; i++) {
        one.list.nmsrs = 1;
        one.entry.index = names.list.indices[i];
        if (ioctl(vcpu_fd, KVM_GET_MSRS, &one) != 1)
            continue;
        c->saved.msrs.entries[c->saved.msrs.list.nmsrs++] = one.entry;
    }
}

static void fetch_state(struct contenders *c, const struct floor_vm *vm)
{
    control(vm->vcpu_fd, KVM_GET_SREGS, &c->saved.sregs, "sregs");
    control(vm->vcpu_fd, KVM_GET_REGS, &c->saved.regs, "regs");
    control(vm->vcpu_fd, KVM_GET_XCRS, &c->saved.xcrs, "xcrs");
    control(vm->vcpu_fd, KVM_GET_XSAVE, &c->saved.xsave, "xsave");
    control(vm->vcpu_fd, KVM_GET_LAPIC, &c->saved.lapic, "lapic");
    control(vm->vcpu_fd, KVM_GET_VCPU_EVENTS, &c->saved.events, "events");
    control(vm->vcpu_fd, KVM_GET_DEBUGREGS, &c->saved.debugregs, "debugregs");
    control(vm->vcpu_fd, KVM_GET_MP_STATE, &c->saved.mp_state, "mp_state");
    control(vm->fd, KVM_GET_CLOCK, &c->saved.clock, "clock");
    fetch_msrs(c, vm->vcpu_fd);
}

static void make_floor_template(struct contenders *c)
{
    struct floor_vm vm;
    uint8_t *memory;

    bench_need(floor_create(&c->floor, MIB, guest_exit_always, sizeof(guest_exit_always), &vm),
               "floor");
    if (ioctl(vm.vcpu_fd, KVM_RUN, NULL) < 0 || vm.run->exit_reason != KVM_EXIT_IO)
        bench_need(-EIO, "floor guest");
    vm.run->immediate_exit = 1;
    ioctl(vm.vcpu_fd, KVM_RUN, NULL); /* completes the access */
    fetch_state(c, &vm);
    floor_destroy(&c->floor, &vm);
    c->memory_fd = memfd_create("floor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bench_need(ftruncate(c->memory_fd, (off_t)c->size) < 0 ? -errno : 0, "memfd");
    memory = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory_fd, 0);
    bench_need(memory == MAP_FAILED ? -errno : 0, "mmap");
    for (size_t at = 0; at < c->size; at += 4096)
        memory[at] = 1;
    memcpy(memory + FLOOR_ENTRY, guest_exit_always, sizeof(guest_exit_always));
    munmap(memory, c->size);
    fcntl(c->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

static void restore_vcpu(struct contenders *c, struct floor_vm *vm)
{
    control(vm->vcpu_fd, KVM_SET_CPUID2, c->floor.cpuid, "cpuid");
    control(vm->vcpu_fd, KVM_SET_SREGS, &c->saved.sregs, "sregs");
    control(vm->vcpu_fd, KVM_SET_REGS, &c->saved.regs, "regs");
    control(vm->vcpu_fd, KVM_SET_XCRS, &c->saved.xcrs, "xcrs");
    control(vm->vcpu_fd, KVM_SET_XSAVE, &c->saved.xsave, "xsave");
    control(vm->vcpu_fd, KVM_SET_MSRS, &c->saved.msrs, "msrs");
    control(vm->vcpu_fd, KVM_SET_LAPIC, &c->saved.lapic, "lapic");
    control(vm->vcpu_fd, KVM_SET_VCPU_EVENTS, &c->saved.events, "events");
    control(vm->vcpu_fd, KVM_SET_DEBUGREGS, &c->saved.debugregs, "debugregs");
    control(vm->vcpu_fd, KVM_SET_MP_STATE, &c->saved.mp_state, "mp_state");
    c->saved.clock.flags = 0;
    control(vm->fd, KVM_SET_CLOCK, &c->saved.clock, "clock");
}

/* is_copy: all memory is copied instead of shared. */
static void map_memory(struct contenders *c, bool is_copy, struct floor_vm *vm)
{
    void *from;

    vm->memory_size = c->size;
    from =
        mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, c->memory_fd, 0);
    vm->memory = from;
    if (is_copy && from != MAP_FAILED) {
        vm->memory = mmap(NULL, c->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (vm->memory != MAP_FAILED)
            memcpy(vm->memory, from, c->size);
        munmap(from, c->size);
    }
    bench_need(vm->memory == MAP_FAILED ? -ENOMEM : 0, "mmap");
}

static void run_floor(struct contenders *c, bool is_copy, struct floor_vm *vm)
{
    struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { FLOOR_PINS } };
    struct kvm_userspace_memory_region slot = { .memory_size = c->size };

    *vm = (struct floor_vm){ .fd = -1, .vcpu_fd = -1 };
    sem_init(&vm->exited, 0, 0);
    map_memory(c, is_copy, vm);
    slot.userspace_addr = (uintptr_t)vm->memory;
    vm->fd = ioctl(c->floor.fd, KVM_CREATE_VM, 0);
    control(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot, "slot");
    control(vm->fd, KVM_ENABLE_CAP, &split, "chip");
    vm->vcpu_fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
    vm->run = mmap(NULL, c->floor.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_fd, 0);
    bench_need(vm->run == MAP_FAILED ? -errno : 0, "vcpu");
    restore_vcpu(c, vm);
    bench_need(floor_start(&c->floor, vm), "floor thread");
    bench_need(floor_wait(vm), "floor guest");
}

static void end_floor(struct contenders *c, struct floor_vm *vm)
{
    floor_stop(vm);
    floor_destroy(&c->floor, vm);
}

static uint64_t measure_floor(struct contenders *c, bool is_copy)
{
    struct floor_vm vm;
    uint64_t start = bench_now_ns();

    run_floor(c, is_copy, &vm);
    end_floor(c, &vm);
    bench_settle();
    return vm.first_exit_ns - start;
}

/* --- Lines --- */

static void open_size(struct contenders *c, size_t size)
{
    c->size = size;
    make_template(c);
    make_floor_template(c);
}

static void close_size(struct contenders *c)
{
    nestvirt_template_free(c->template);
    close(c->memory_fd);
}

static void compare(struct bench_report *report, struct contenders *c, size_t rounds, bool is_copy,
                    struct bench_line line)
{
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };

    for (int i = 0; i < ROUNDS_WARM; i++) {
        measure_ours(c);
        measure_floor(c, false);
    }
    for (size_t i = 0; i < rounds; i++) {
        bench_add(&ours, measure_ours(c));
        bench_add(&base, measure_floor(c, is_copy));
    }
    line.ours = &ours;
    line.base = &base;
    bench_print(report, &line);
    bench_clear(&ours);
    bench_clear(&base);
}

static void compare_in_crowd(struct bench_report *report, struct contenders *c)
{
    struct ours_vm *crowd = calloc(CROWD, sizeof(*crowd));

    bench_need(crowd ? 0 : -ENOMEM, "crowd");
    for (size_t i = 0; i < CROWD; i++)
        run_clone(c, &crowd[i]);
    compare(report, c, ROUNDS_EXTRA, false,
            (struct bench_line){ .name = "M4.floor.clones", .at = "300 alive" });
    for (size_t i = 0; i < CROWD; i++)
        ours_free(&crowd[i]);
    free(crowd);
}

/* In a process of their own: the template is there before and does not count. */
static struct contenders of_memory;

static void prepare_clones(void)
{
    of_memory.host = ours_open();
    of_memory.size = MEMORY_SIZE;
    make_template(&of_memory);
}

static void fill_clones(uint64_t count)
{
    struct ours_vm *vms = calloc(count, sizeof(*vms));

    for (uint64_t i = 0; vms && i < count; i++)
        run_clone(&of_memory, &vms[i]);
}

static void prepare_floor(void)
{
    bench_need(floor_open(&of_memory.floor), "floor");
}

static void fill_floor(uint64_t count)
{
    struct floor_vm *vms = calloc(count, sizeof(*vms));

    for (uint64_t i = 0; vms && i < count; i++) {
        bench_need(floor_create(&of_memory.floor, MEMORY_SIZE, guest_exit_once,
                                sizeof(guest_exit_once), &vms[i]),
                   "floor");
        bench_need(floor_start(&of_memory.floor, &vms[i]), "floor thread");
        bench_need(floor_wait(&vms[i]), "floor guest");
    }
}

/* Bytes stand where times do. */
static void compare_memory(struct bench_report *report)
{
    const struct usage_contender clones = { prepare_clones, fill_clones, MEMORY_VMS };
    const struct usage_contender floor = { prepare_floor, fill_floor, MEMORY_VMS };
    struct bench_series ours = { 0 };
    struct bench_series base = { 0 };

    usage_begin();
    usage_measure(&clones);
    usage_measure(&floor);
    for (int i = 0; i < MEMORY_ROUNDS; i++) {
        bench_add(&ours, usage_measure(&clones));
        bench_add(&base, usage_measure(&floor));
    }
    bench_print(report, &(struct bench_line){ .name = "M5",
                                              .target = 1.1,
                                              .unit = "bytes",
                                              .extra = usage_extra(),
                                              .ours = &ours,
                                              .base = &base });
    bench_clear(&ours);
    bench_clear(&base);
}

int main(int argc, char **argv)
{
    struct bench_report report;
    static struct contenders c;

    bench_begin(&report, &argc, argv);
    bench_need_kvm();
    if (bench_available() < AVAILABLE)
        bench_skip("M4 and M5 need 3 GiB of available memory: end other programs");
    bench_need_files(CROWD * FDS_PER_VM);
    compare_memory(&report); /* first: its processes inherit nothing */
    c.host = ours_open();
    bench_need(floor_open(&c.floor), "floor");
    open_size(&c, MEMORY_SIZE);
    compare(&report, &c, ROUNDS, false, (struct bench_line){ .name = "M4.floor", .target = 1.2 });
    compare(&report, &c, ROUNDS_COPY, true,
            (struct bench_line){
                .name = "M4.copy", .kind = BENCH_SPEED, .target = 100, .nonsense = 20 });
    compare_in_crowd(&report, &c);
    close_size(&c);
    open_size(&c, 512 * (size_t)MIB);
    compare(&report, &c, ROUNDS_EXTRA, false,
            (struct bench_line){ .name = "M4.floor.size", .at = "512 MiB" });
    close_size(&c);
    floor_close(&c.floor);
    nestvirt_host_free(c.host);
    return bench_end(&report);
}
