/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the consumer that takes a VM through its life with every structure there is. */
#include "consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IMAGE_ADDRESS = 0x1000, HANDLED_PORT = 0xe8, FREE_PORT = 0xe9, EXTRA_MEMORY = 0x200000 };

/* Writes to the handled port once, then to the free one for ever. */
static const unsigned char guest[] = { 0xe6, HANDLED_PORT, 0xe6, FREE_PORT, 0xeb, 0xfc };

static struct {
    struct nestvirt_vm *vm;
    struct nestvirt_vcpu *vcpu;
    int image;
    int eventfd;
    uint32_t accesses;
} test = { .image = -1, .eventfd = -1 };

static void must(int r, struct nestvirt_error *error, const char *what)
{
    if (r < 0)
        fail(what, "%s", nestvirt_error_get_message(error));
}

/* The only structure that the library makes itself: it may be longer than ours, never shorter. */
static int32_t handle_access(void *user_data, struct nestvirt_access *access)
{
    (void)user_data;
    if (access->size < offsetof(struct nestvirt_access, data) + sizeof(access->data))
        fail("access", "size is %u", access->size);
    if (access->address != HANDLED_PORT || access->offset != 0 || access->length != 1)
        fail("access", "address, offset or length is wrong");
    test.accesses++;
    return NESTVIRT_ACTION_RESUME;
}

static int memory_add(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_memory_config *config = structure;
    struct nestvirt_error *error = NULL;
    int region;

    if (config->size >= FIRST_memory_config && config->size <= sizeof(*config)) {
        config->address = EXTRA_MEMORY;
        config->length = 4096;
    }
    region = nestvirt_memory_add(test.vm, config, ret_error);
    if (region >= 0)
        must(nestvirt_memory_remove(test.vm, (uint32_t)region, &error), error, "memory_remove");
    return region;
}

static int memory_get(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_memory_get(test.vm, 0, structure, ret_error);
}

static int get_ksm(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_memory_get_ksm(test.vm, NESTVIRT_MEMORY_EVERY, structure, ret_error);
}

static int ioeventfd_add(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_ioeventfd_config *config = structure;
    static uint64_t port = 0x600;

    if (config->size >= FIRST_ioeventfd_config && config->size <= sizeof(*config)) {
        config->space = NESTVIRT_SPACE_PORT;
        config->address = port++;
        config->length = 1;
        config->fd = test.eventfd;
    }
    return nestvirt_ioeventfd_add(test.vm, config, ret_error);
}

/* Needs no VM, but a field of its input. */
static int get_plan(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_plan_config config;
    struct nestvirt_report *report;
    int r;

    nestvirt_plan_config_init(&config, sizeof(config));
    config.memory_size = 1 << 20;
    must(nestvirt_report_new(NULL, &report, &error), error, "report_new");
    r = nestvirt_report_get_plan(report, &config, structure, ret_error);
    nestvirt_report_free(report);
    return r;
}

static int make_plan(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_plan_config *config = structure;
    struct nestvirt_error *error = NULL;
    struct nestvirt_report *report;
    struct nestvirt_plan plan;
    int r;

    if (config->size >= FIRST_plan_config && config->size <= sizeof(*config))
        config->memory_size = 1 << 20;
    nestvirt_plan_init(&plan, sizeof(plan));
    must(nestvirt_report_new(NULL, &report, &error), error, "report_new");
    r = nestvirt_report_get_plan(report, config, &plan, ret_error);
    nestvirt_report_free(report);
    return r;
}

static int set_flat(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_flat_config *config = structure;

    if (config->size >= FIRST_flat_config && config->size <= sizeof(*config))
        config->address = config->entry = IMAGE_ADDRESS;
    return nestvirt_boot_set_flat_fd(test.vm, test.image, config, ret_error);
}

static int thread_set(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_thread_set(test.vm, NESTVIRT_THREAD_LOOP, 0, structure, ret_error);
}

static int thread_get(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_thread_get(test.vm, 0, structure, ret_error);
}

static int get_regs(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_vcpu_get_regs(test.vcpu, structure, ret_error);
}

static int get_sregs(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_vcpu_get_sregs(test.vcpu, structure, ret_error);
}

static int set_regs(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_regs *regs = structure;

    if (regs->size >= FIRST_regs && regs->size <= sizeof(*regs)) {
        regs->rip = IMAGE_ADDRESS;
        regs->rflags = 2;
    }
    return nestvirt_vcpu_set_regs(test.vcpu, regs, ret_error);
}

/* Sets what is there already; the other segment fields must be valid. */
static int set_sregs(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_sregs *sregs = structure, now;
    struct nestvirt_error *error = NULL;

    if (sregs->size < FIRST_sregs || sregs->size > sizeof(*sregs))
        return nestvirt_vcpu_set_sregs(test.vcpu, sregs, ret_error);
    nestvirt_sregs_init(&now, sizeof(now));
    must(nestvirt_vcpu_get_sregs(test.vcpu, &now, &error), error, "vcpu_get_sregs");
    ((unsigned char *)&now)[sizeof(now) - 1] |= ((unsigned char *)sregs)[sizeof(now) - 1];
    return nestvirt_vcpu_set_sregs(test.vcpu, &now, ret_error);
}

static int vcpu_run(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_exit *exit = structure;
    int r = nestvirt_vcpu_run(test.vcpu, exit, ret_error);

    if (r == 0 && (exit->reason != NESTVIRT_EXIT_PORT || exit->address != FREE_PORT))
        fail("vcpu_run", "reason %u, address 0x%llx", exit->reason,
             (unsigned long long)exit->address);
    return r;
}

static int next_event(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_event *event = structure;
    int r = nestvirt_vm_next_event(test.vm, event, ret_error);

    if (r == 0 || (r > 0 && event->kind == 0))
        fail("next_event", "gave none");
    return r;
}

static int vm_wait(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm_result *result = structure;
    int r = nestvirt_vm_wait(test.vm, 0, result, ret_error);

    if (r == 0 && result->reason != NESTVIRT_RESULT_STOPPED)
        fail("vm_wait", "reason %u", result->reason);
    return r;
}

static const struct call new_calls[] = {
    CALL(memory_add, memory_config, true), CALL(memory_get, memory_config, false),
    CALL(get_plan, plan, false),           CALL(make_plan, plan_config, true),
    CALL(get_ksm, memory_ksm, false),      CALL(ioeventfd_add, ioeventfd_config, true),
    CALL(set_flat, flat_config, true),     CALL(thread_set, thread_config, true),
};

static const struct call built_calls[] = {
    CALL(get_regs, regs, false),          CALL(set_regs, regs, true),
    CALL(get_sregs, sregs, false),        CALL(set_sregs, sregs, true),
    CALL(thread_get, thread_info, false),
};

static const struct call running_calls[] = {
    CALL(vcpu_run, exit, true),
    CALL(next_event, event, false),
};

static const struct call stopped_calls[] = {
    CALL(vm_wait, vm_result, false),
};

#define CHECK_CALLS(calls, relation)                            \
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) \
    check_call(&calls[i], relation)

static struct nestvirt_host *open_vm(void)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host;
    struct nestvirt_loop *loop;
    struct nestvirt_vm_config config;

    must(nestvirt_host_open(NULL, &host, &error), error, "host_open");
    nestvirt_vm_config_init(&config, sizeof(config));
    if (config.vcpus != 1)
        fail("vm_config_init", "vcpus is %u", config.vcpus);
    config.flags = NESTVIRT_VM_MANUAL_VCPUS;
    config.interrupt_chip = NESTVIRT_CHIP_NONE;
    config.memory_size = 1 << 20;
    must(nestvirt_vm_new(host, &config, &test.vm, &error), error, "vm_new");
    must(nestvirt_loop_new(&loop, &error), error, "loop_new");
    must(nestvirt_vm_set_loop(test.vm, loop, &error), error, "vm_set_loop");
    nestvirt_loop_free(loop);
    must(nestvirt_handler_add(test.vm, NESTVIRT_SPACE_PORT, HANDLED_PORT, 1, handle_access, NULL,
                              NULL, &error),
         error, "handler_add");
    return host;
}

int main(int argc, char **argv)
{
    enum relation relation = get_relation(argc, argv);
    struct nestvirt_error *error = NULL;
    struct nestvirt_host *host = open_vm();

    test.image = memfd_create("guest", MFD_CLOEXEC);
    test.eventfd = eventfd(0, EFD_CLOEXEC);
    if (test.image < 0 || write(test.image, guest, sizeof(guest)) != (ssize_t)sizeof(guest))
        fail("memfd", "cannot be written");
    CHECK_CALLS(new_calls, relation);
    must(nestvirt_vm_build(test.vm, &error), error, "vm_build");
    must(nestvirt_vm_get_vcpu(test.vm, 0, &test.vcpu, &error), error, "vm_get_vcpu");
    CHECK_CALLS(built_calls, relation);
    must(nestvirt_vm_start(test.vm, &error), error, "vm_start");
    CHECK_CALLS(running_calls, relation);
    if (test.accesses != 1)
        fail("handler", "was called %u times", test.accesses);
    must(nestvirt_vm_stop(test.vm, 1000, &error), error, "vm_stop");
    CHECK_CALLS(stopped_calls, relation);
    nestvirt_vm_free(test.vm);
    nestvirt_host_free(host);
    close(test.image);
    close(test.eventfd);
    return 0;
}
