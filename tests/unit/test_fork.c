/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a child of fork() is refused by every inherited handle, and the parent unharmed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"

static struct nestvirt_host *host;
static struct nestvirt_vm *vm;
static struct nestvirt_vcpu *vcpu;
static struct nestvirt_device *device;
static struct nestvirt_loop *loop;

/* What the test framework has open is not the library's. */
enum { FDS = 64 };
static bool was_there[FDS];

static bool stays_open(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static void setup(void)
{
    for (int fd = 0; fd < FDS; fd++)
        was_there[fd] = stays_open(fd);
    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 2);
    ck_nv_ok(nestvirt_vm_get_vcpu(vm, 0, &vcpu, &error));
    ck_nv_ok(nestvirt_device_add(vm, "exit", &device, &error));
    ck_nv_ok(nestvirt_loop_new(&loop, &error));
}

static void teardown(void)
{
    ck_assert_int_eq(nestvirt_loop_free(loop), 0);
    ck_assert_int_eq(nestvirt_vm_free(vm), 0);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

/* Runs a check in a child, which gives back 0 or the line that failed. No ck_ in there. */
static void in_child(int (*check)(void))
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        int line;

        alarm(20);
        line = check();
        _exit(line ? 1 + line % 254 : 0); /* never 0 for a line */
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: line %d mod 254",
                  status, WEXITSTATUS(status) - 1);
}

#define REFUSED(call)                                                         \
    do {                                                                      \
        struct nestvirt_error *error = NULL;                                  \
        if ((call) != -ECHILD || nestvirt_error_get_code(error) != -ECHILD || \
            !strstr(nestvirt_error_get_message(error), "parent"))             \
            return __LINE__;                                                  \
        nestvirt_error_free(error);                                           \
    } while (0)

static int32_t handle(void *user_data, struct nestvirt_access *access)
{
    return NESTVIRT_ACTION_RESUME;
}

static int vm_is_refused(void)
{
    struct nestvirt_event event = { .size = sizeof(event) };
    struct nestvirt_memory_config memory = { .size = sizeof(memory), .length = 4096 };
    struct nestvirt_vcpu *out;
    void *pointer;
    char byte;

    if (nestvirt_vm_get_state(vm) != -ECHILD)
        return __LINE__;
    REFUSED(nestvirt_vm_validate(vm, &error));
    REFUSED(nestvirt_vm_build(vm, &error));
    REFUSED(nestvirt_vm_start(vm, &error));
    REFUSED(nestvirt_vm_pause(vm, &error));
    REFUSED(nestvirt_vm_resume(vm, &error));
    REFUSED(nestvirt_vm_stop(vm, -1, &error));
    REFUSED(nestvirt_vm_wait(vm, -1, NULL, &error));
    REFUSED(nestvirt_vm_request_stop(vm, &error));
    REFUSED(nestvirt_vm_set_loop(vm, loop, &error));
    REFUSED(nestvirt_vm_set_log(vm, 0, NULL, NULL, NULL, &error));
    REFUSED(nestvirt_vm_set_exit_handler(vm, NULL, NULL, NULL, &error));
    REFUSED(nestvirt_vm_get_event_fd(vm, &error));
    REFUSED(nestvirt_vm_next_event(vm, &event, &error));
    REFUSED(nestvirt_vm_get_vcpu(vm, 0, &out, &error));
    REFUSED(nestvirt_memory_add(vm, &memory, &error));
    REFUSED(nestvirt_memory_remove(vm, 0, &error));
    REFUSED(nestvirt_memory_get(vm, 0, &memory, &error));
    REFUSED(nestvirt_memory_read(vm, 0, &byte, 1, &error));
    REFUSED(nestvirt_memory_write(vm, 0, "", 1, &error));
    REFUSED(nestvirt_memory_get_pointer(vm, 0, 1, &pointer, &error));
    REFUSED(nestvirt_device_add(vm, "exit", NULL, &error));
    REFUSED(nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, 1, 1, handle, NULL, NULL, &error));
    REFUSED(nestvirt_irq_add(vm, 7, 0, &error));
    REFUSED(nestvirt_irq_set(vm, 7, 1, &error));
    REFUSED(nestvirt_msi_send(vm, 0xfee00000, 1, &error));
    REFUSED(nestvirt_boot_set_cmdline(vm, "", &error));
    REFUSED(nestvirt_boot_set_kernel(vm, "/proc/self/exe", 0, &error));
    return 0;
}

static int others_are_refused(void)
{
    struct nestvirt_regs regs = { .size = sizeof(regs) };
    struct nestvirt_exit exit = { .size = sizeof(exit) };
    struct nestvirt_host_info info = { .size = sizeof(info) };
    struct nestvirt_cpuid_entry entry = { .size = sizeof(entry) };
    struct nestvirt_vm *made;
    uint64_t value;

    REFUSED(nestvirt_host_get_info(host, &info, &error));
    REFUSED(nestvirt_host_get_cpuid(host, 0, &entry, &error));
    REFUSED(nestvirt_vm_new(host, NULL, &made, &error));
    REFUSED(nestvirt_vcpu_get_regs(vcpu, &regs, &error));
    REFUSED(nestvirt_vcpu_set_regs(vcpu, &regs, &error));
    REFUSED(nestvirt_vcpu_run(vcpu, &exit, &error));
    REFUSED(nestvirt_vcpu_cancel(vcpu, &error));
    REFUSED(nestvirt_vcpu_skip(vcpu, 1, &error));
    REFUSED(nestvirt_device_set_u64(device, "port", 1, &error));
    REFUSED(nestvirt_device_get_u64(device, "port", &value, &error));
    return made ? __LINE__ : 0;
}

/* Freeing is allowed there, and touches nothing. */
static int all_can_be_freed(void)
{
    if (nestvirt_vm_free(vm) != 0 || nestvirt_loop_free(loop) != 0 || nestvirt_host_free(host) != 0)
        return __LINE__;
    return 0;
}

/* The thread sanitizer knows no new threads in a child of a program that has some. */
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { CHILD_MAY_HAVE_THREADS = 0 };
#else
enum { CHILD_MAY_HAVE_THREADS = 1 };
#endif

/* A child may have VMs of its own, but not on a loop whose thread is the parent's. */
static int own_vm_works(void)
{
    struct nestvirt_host *own = NULL;
    struct nestvirt_vm *own_vm = NULL;
    struct nestvirt_vm_config config;

    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = 4096;
    if (nv_host_open(&fake_kvm_ops, "fake", -1, &own, NULL) != 0)
        return __LINE__;
    if (nestvirt_vm_new(own, &config, &own_vm, NULL) != 0)
        return __LINE__;
    REFUSED(nestvirt_vm_set_loop(own_vm, loop, &error));
    if (nestvirt_device_add(own_vm, "serial", NULL, NULL) != 0)
        return __LINE__;
    if (nestvirt_vm_build(own_vm, NULL) != 0 || nestvirt_vm_start(own_vm, NULL) != 0)
        return __LINE__;
    if (nestvirt_vm_free(own_vm) != 0 || nestvirt_host_free(own) != 0)
        return __LINE__;
    return 0;
}

static void all_in_children(void)
{
    in_child(vm_is_refused);
    in_child(others_are_refused);
    in_child(all_can_be_freed);
    if (CHILD_MAY_HAVE_THREADS)
        in_child(own_vm_works);
    else
        printf("skip: VMs in a child, under the thread sanitizer\n");
}

START_TEST(test_misuse_07_new)
{
    all_in_children();
    ck_nv_ok(nestvirt_vm_build(vm, &error));
}
END_TEST

START_TEST(test_misuse_07_running)
{
    uint32_t word = 0x12345678;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, 0x1000, &word, 4, &error));
    ck_assert(fake_kvm_wait_idle(0, 0)); /* nobody holds a lock that the child would inherit */
    all_in_children();
    ck_assert_int_eq(nestvirt_vm_get_state(vm), NESTVIRT_STATE_RUNNING);
    word = 0;
    ck_nv_ok(nestvirt_memory_read(vm, 0x1000, &word, 4, &error));
    ck_assert_uint_eq(word, 0x12345678);
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_vm_resume(vm, &error));
    ck_nv_ok(nestvirt_vm_stop(vm, 20000, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
}
END_TEST

/* Every descriptor is closed in a program that a child starts. */
START_TEST(test_fault_15_descriptors_close_on_exec)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_assert_int_ge(nestvirt_vm_get_event_fd(vm, NULL), 0);
    for (int fd = 3; fd < FDS; fd++)
        ck_assert_msg(!stays_open(fd) || was_there[fd], "descriptor %d", fd);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("fork");
    TCase *tcase = support_case(suite, "fork", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_misuse_07_new);
    tcase_add_test(tcase, test_misuse_07_running);
    tcase_add_test(tcase, test_fault_15_descriptors_close_on_exec);
    return suite;
}
