/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that nothing of a paused vCPU is lost when it is made ready to be saved. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"
#include "vm/vm.h"

enum { ADDRESS = 0xe0000000, SIZE = 64, EACH = 8, VCPUS = 2, TRIES = 10000, SHORT_NS = 100000000 };

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_template *template;

/* A device of the library that is busy while its disk is. */
static atomic_bool is_busy;
static atomic_uint asked; /* a bit for each vCPU: the first EACH bytes are vCPU 0's, and so on */
static atomic_uint done;
static _Atomic uint64_t last_offset;

static int32_t serve(void *user_data, struct nestvirt_access *access)
{
    atomic_fetch_or(&asked, 1u << access->offset / EACH);
    if (atomic_load(&is_busy)) {
        usleep(1000);
        return NV_ACTION_AGAIN;
    }
    atomic_store(&last_offset, access->offset);
    atomic_fetch_add(&done, 1);
    return NESTVIRT_ACTION_RESUME;
}

static void setup(void)
{
    fake_kvm_reset();
    host = fake_kvm_host();
    template = NULL;
    atomic_store(&is_busy, false);
    atomic_store(&asked, 0);
    atomic_store(&done, 0);
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_template_free(template), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static void make(uint32_t flags, uint32_t vcpus)
{
    const struct nv_range range = { .address = ADDRESS, .length = SIZE, .fn = serve };

    vm = fake_kvm_vm(host, flags, NESTVIRT_CHIP_SPLIT, vcpus);
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nv_bus_add(&vm->bus, NESTVIRT_SPACE_MMIO, &range, true, &error));
}

static void push_write(uint32_t vcpu, uint64_t address, bool is_further)
{
    const struct fake_exit exit = { .reason = KVM_EXIT_MMIO,
                                    .address = address,
                                    .length = 4,
                                    .is_write = true,
                                    .is_further = is_further };

    fake_kvm_push(0, vcpu, &exit);
}

/* Paused in the middle of an access. */
static void pause_amid(uint32_t vcpus)
{
    atomic_store(&is_busy, true);
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    for (int i = 0; i < TRIES && atomic_load(&asked) != (1u << vcpus) - 1; i++)
        usleep(1000);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    for (uint32_t i = 0; i < vcpus; i++)
        ck_assert(vm->group.vcpus[i].has_again);
    ck_assert_uint_eq(atomic_load(&done), 0);
}

static void resume_until_idle(void)
{
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_assert(fake_kvm_wait_idle(0, 0));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
}

START_TEST(test_access_is_finished)
{
    make(0, 1);
    push_write(0, ADDRESS, false);
    push_write(0, ADDRESS + 4, false);
    pause_amid(1);
    atomic_store(&is_busy, false);
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    ck_assert_uint_eq(atomic_load(&done), 1);
    ck_assert_uint_eq(atomic_load(&last_offset), 0);
    resume_until_idle();
    ck_assert_uint_eq(atomic_load(&done), 2);
}
END_TEST

/* As of "rep stosl": what comes next of the same instruction is served by the vCPU, once. */
START_TEST(test_further_access_is_kept)
{
    make(0, 1);
    push_write(0, ADDRESS, false);
    push_write(0, ADDRESS + 4, true);
    pause_amid(1);
    atomic_store(&is_busy, false);
    ck_nv_fails_with(nestvirt_template_new(vm, 0, &template, &error), -EBUSY, "resume the VM");
    ck_assert_uint_eq(atomic_load(&done), 1);
    resume_until_idle();
    ck_assert_uint_eq(atomic_load(&done), 2);
    ck_assert_uint_eq(atomic_load(&last_offset), 4);
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
}
END_TEST

/* All vCPUs have the same deadline, and go on afterwards. */
START_TEST(test_deadline)
{
    uint64_t start_ns;

    make(0, VCPUS);
    for (uint32_t i = 0; i < VCPUS; i++)
        push_write(i, ADDRESS + i * EACH, false);
    pause_amid(VCPUS);
    start_ns = nv_now_ns();
    for (uint32_t i = 0; i < VCPUS; i++)
        ck_nv_fails_with(nv_vcpu_settle(&vm->group.vcpus[i], start_ns + SHORT_NS, &error), -EBUSY,
                         "when its disk is idle");
    ck_assert_uint_ge(nv_now_ns() - start_ns, SHORT_NS);
    ck_assert_uint_lt(nv_now_ns() - start_ns, 50ull * SHORT_NS);
    atomic_store(&is_busy, false);
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    for (uint32_t i = 0; i < VCPUS; i++)
        ck_assert(fake_kvm_wait_idle(0, i));
    ck_assert_uint_eq(atomic_load(&done), VCPUS);
}
END_TEST

/* Given before the pause; without it the run would never end. */
START_TEST(test_cancel_stays)
{
    struct nestvirt_exit exit;

    make(NESTVIRT_VM_MANUAL_VCPUS, 1);
    nestvirt_exit_init(&exit, sizeof(exit));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vcpu_cancel(&vm->group.vcpus[0], &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_nv_ok(nestvirt_vcpu_run(&vm->group.vcpus[0], &exit, &error));
    ck_assert_uint_eq(exit.reason, NESTVIRT_EXIT_CANCELED);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("vcpu_settle");
    TCase *tcase = support_case(suite, "settle", 30);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_access_is_finished);
    tcase_add_test(tcase, test_further_access_is_kept);
    tcase_add_test(tcase, test_deadline);
    tcase_add_test(tcase, test_cancel_stays);
    return suite;
}
