/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the proof that the list of needs is complete: all devices under filters made from it. */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "guests.h"
#include "many_script.h"
#include "sandbox.h"
#include "support.h"

static struct nestvirt_host *host;
static const char *const engines[] = { "threads", "io_uring" };

/* What a program does with a VM that is built, on a thread with a filter of its own. */
struct caller {
    struct many *many;
    int failed; /* the first code that was not 0 */
};

static void keep(struct caller *caller, int code)
{
    if (caller->failed == 0 && code < 0)
        caller->failed = code;
}

static void *call(void *argument)
{
    struct caller *c = argument;
    struct nestvirt_vm *vm = c->many->script.vm;
    struct nestvirt_event event;
    uint64_t value;

    sandbox_add_caller();
    keep(c, nestvirt_vm_start(vm, NULL));
    keep(c, nestvirt_vm_pause(vm, NULL));
    keep(c, nestvirt_vm_get_event_fd(vm, NULL));
    keep(c, nestvirt_vm_resume(vm, NULL));
    nestvirt_event_init(&event, sizeof(event));
    keep(c, nestvirt_vm_next_event(vm, &event, NULL));
    keep(c, nestvirt_device_set_u64(c->many->devices[1], "link", 1, NULL));
    keep(c, nestvirt_device_get_u64(c->many->devices[0], "reads", &value, NULL));
    return NULL;
}

static void *end(void *argument)
{
    struct caller *c = argument;

    sandbox_add_caller();
    keep(c, nestvirt_vm_wait(c->many->script.vm, 10000, NULL, NULL));
    keep(c, nestvirt_vm_stop(c->many->script.vm, -1, NULL));
    keep(c, nestvirt_vm_free(c->many->script.vm));
    return NULL;
}

static void on_thread(void *(*main)(void *), void *argument)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, main, argument), 0);
    pthread_join(thread, NULL);
}

START_TEST(test_misuse_18_list_is_complete)
{
    struct many many;
    struct caller caller = { .many = &many };

    sandbox_begin();
    many_make_folder(&many);
    many_begin(&many, host, engines[_i], false);
    ck_nv_ok(nestvirt_vm_build(many.script.vm, &error));
    ck_nv_ok(nestvirt_vm_remove_privileges(many.script.vm, &error));
    sandbox_add_vm(many.script.vm, 0, NULL);
    on_thread(call, &caller);
    many_feed(&many);
    many_check(&many);
    on_thread(end, &caller);
    ck_assert_int_eq(caller.failed, 0);
    ck_assert_uint_eq(sandbox_count(0), 0);
    many_close(&many);
    many_remove_folder(&many);
    sandbox_end();
}
END_TEST

static const struct {
    uint32_t role;
    const char *name;
} mutants[] = {
    { NESTVIRT_ROLE_VCPU, "KVM_RUN" },     { NESTVIRT_ROLE_LOOP, "epoll_wait" },
    { NESTVIRT_ROLE_LOOP, "getrandom" },   { NESTVIRT_ROLE_LOOP, "pwritev2" },
    { NESTVIRT_ROLE_LOOP, "preadv2" },     { NESTVIRT_ROLE_LOOP, "connect" },
    { NESTVIRT_ROLE_LOOP, "madvise" },     { NESTVIRT_ROLE_WORKER, "pwritev" },
    { NESTVIRT_ROLE_WORKER, "fdatasync" }, { NESTVIRT_ROLE_WORKER, "fallocate" },
    { NESTVIRT_ROLE_WORKER, "write" },
};

/* The proof is one: without an entry it fails. */
START_TEST(test_missing_entry_is_seen)
{
    struct many many;

    sandbox_begin();
    many_make_folder(&many);
    many_begin(&many, host, "threads", true);
    ck_nv_ok(nestvirt_vm_build(many.script.vm, &error));
    sandbox_add_vm(many.script.vm, mutants[_i].role, mutants[_i].name);
    ck_nv_ok(nestvirt_vm_start(many.script.vm, &error));
    many_feed(&many);
    many_check(&many);
    ck_assert_msg(sandbox_count(mutants[_i].role) > 0, "%s is not missed", mutants[_i].name);
    ck_assert_uint_eq(sandbox_count(0), sandbox_count(mutants[_i].role));
    many_end(&many);
    many_remove_folder(&many);
    sandbox_end();
}
END_TEST

/* --- Clones and observers --- */

struct extra {
    struct nestvirt_vm *vm;
    struct nestvirt_observer *observer;
    struct nestvirt_template *template;
    int code; /* the first that was negative */
};

static void note(struct extra *extra, int code)
{
    if (extra->code == 0 && code < 0)
        extra->code = code;
}

static void *live_and_end(void *argument)
{
    struct extra *extra = argument;

    sandbox_add_caller();
    note(extra, nestvirt_vm_start(extra->vm, NULL));
    usleep(50000);
    note(extra, nestvirt_vm_pause(extra->vm, NULL));
    note(extra, nestvirt_vm_resume(extra->vm, NULL));
    note(extra, nestvirt_vm_stop(extra->vm, -1, NULL));
    note(extra, nestvirt_vm_free(extra->vm));
    return NULL;
}

static struct nestvirt_vm *paused_spinner(void)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    return vm;
}

START_TEST(test_clone_under_filters)
{
    struct nestvirt_vm *origin = paused_spinner();
    struct extra extra = { .code = 0 };

    ck_nv_ok(nestvirt_template_new(origin, 0, &extra.template, &error));
    ck_nv_ok(nestvirt_clone_new(extra.template, NULL, &extra.vm, &error));
    ck_nv_ok(nestvirt_vm_build(extra.vm, &error));
    ck_nv_ok(nestvirt_vm_remove_privileges(extra.vm, &error));
    sandbox_begin();
    sandbox_add_vm(extra.vm, 0, NULL);
    on_thread(live_and_end, &extra);
    ck_assert_int_eq(extra.code, 0);
    ck_assert_uint_eq(sandbox_count(0), 0);
    sandbox_end();
    ck_assert_int_eq(nestvirt_template_free(extra.template), 0);
    ck_assert_int_eq(nestvirt_vm_free(origin), 0);
}
END_TEST

static void *make_template(void *argument)
{
    struct extra *extra = argument;

    sandbox_add_caller();
    note(extra, nestvirt_template_new(extra->vm, 0, &extra->template, NULL));
    return NULL;
}

static void *read_waits(void *argument)
{
    struct extra *extra = argument;
    struct nestvirt_waits waits;

    sandbox_add_caller();
    nestvirt_waits_init(&waits, sizeof(waits));
    note(extra, nestvirt_observer_read(extra->observer, extra->vm, &waits, NULL, NULL, 0, NULL));
    return NULL;
}

/* What the header leaves out is not in the list: whoever filters a caller of these has to know. */
static void expect_uncovered(void *(*main)(void *), struct extra *extra)
{
    sandbox_begin();
    on_thread(main, extra);
    ck_assert_int_eq(extra->code, 0);
    ck_assert_uint_gt(sandbox_count(NESTVIRT_ROLE_CALLER), 0);
    sandbox_end();
}

START_TEST(test_what_is_left_out)
{
    struct extra extra = { .vm = paused_spinner() };
    struct nestvirt_observer_config config;

    nestvirt_observer_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_OBSERVER_SCHEDSTAT;
    ck_nv_ok(nestvirt_observer_new(&config, &extra.observer, &error));
    ck_nv_ok(nestvirt_observer_add(extra.observer, extra.vm, 0, &error));
    expect_uncovered(make_template, &extra);
    expect_uncovered(read_waits, &extra);
    ck_assert_int_eq(nestvirt_template_free(extra.template), 0);
    ck_assert_int_eq(nestvirt_vm_free(extra.vm), 0);
    ck_assert_int_eq(nestvirt_observer_free(extra.observer), 0);
}
END_TEST

/* The numbers are this architecture's and this kernel's. */
START_TEST(test_numbers)
{
    struct nestvirt_need need;
    unsigned seen = 0;
    uint32_t count = 0;

    nestvirt_need_init(&need, sizeof(need));
    for (; nestvirt_privilege_get_need(count, &need, NULL) == 0; count++) {
        ck_assert_uint_ge(need.role, NESTVIRT_ROLE_VCPU);
        ck_assert_uint_le(need.role, NESTVIRT_ROLE_CALLER);
        ck_assert_uint_gt(strlen(need.name), 2);
        ck_assert_uint_gt(strlen(need.why), 3);
        if (strcmp(need.name, "TUNSETOFFLOAD") == 0) {
            ck_assert_uint_eq(need.number, TUNSETOFFLOAD);
            seen |= 1;
        }
        if (strcmp(need.name, "TUNSETQUEUE") == 0) {
            ck_assert_uint_eq(need.number, TUNSETQUEUE);
            seen |= 2;
        }
        if (strcmp(need.name, "KVM_RUN") == 0) {
            ck_assert_uint_eq(need.number, KVM_RUN);
            seen |= 4;
        }
    }
    ck_assert_uint_eq(seen, 7);
    ck_assert_uint_gt(count, 100);
    ck_nv_fails(nestvirt_privilege_get_need(count, &need, &error), -ENOENT);
    ck_nv_fails(nestvirt_privilege_get_need(UINT32_MAX, &need, &error), -ENOENT);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_sandbox");
    TCase *tcase = support_case(suite, "sandbox", 60);

    host = support_host();
    tcase_add_loop_test(tcase, test_misuse_18_list_is_complete, 0, NV_ARRAY_SIZE(engines));
    tcase_add_loop_test(tcase, test_missing_entry_is_seen, 0, NV_ARRAY_SIZE(mutants));
    tcase_add_test(tcase, test_clone_under_filters);
    tcase_add_test(tcase, test_what_is_left_out);
    tcase_add_test(tcase, test_numbers);
    return suite;
}
