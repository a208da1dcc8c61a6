/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does on real KVM what a binding does, through the shared library: handles made and freed by
 * different threads, callbacks that are released once, misuse, and forks. Built with the address
 * sanitizer it stands in for interpreters, which cannot load such a library.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nestvirt/nestvirt.h>

enum {
    SKIP = 77,
    MIB = 1 << 20,
    ENTRY = 0x1000,
    CROWD = 1000,
    THREADS = 4,
    ROUNDS = 50,
    PORT = 0x10,
    WAIT_MS = 30000
};

#define CHECK(condition)                                                 \
    do {                                                                 \
        if (!(condition)) {                                              \
            printf("FAIL: %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                     \
        }                                                                \
    } while (0)

/* Fails unless a call returns code, with an error object just if it failed. */
#define EXPECT(code, call)                                                                         \
    do {                                                                                           \
        struct nestvirt_error *error = NULL;                                                       \
        int r = (call);                                                                            \
        if (r != (code) || (error != NULL) != (r < 0)) {                                           \
            printf("FAIL: %s:%d: %s: %d, not %d: %s\n", __FILE__, __LINE__, #call, r, (int)(code), \
                   nestvirt_error_get_message(error));                                             \
            exit(1);                                                                               \
        }                                                                                          \
        nestvirt_error_free(error);                                                                \
    } while (0)

/* Writes a byte to PORT, then ends with exit code 7. */
static const uint8_t guest_call[] = {
    0xe6, PORT,       /* out %al, $PORT */
    0xba, 0x01, 0x05, /* mov $0x501, %dx */
    0xb0, 0x07,       /* mov $7, %al */
    0xee,             /* out %al, %dx */
};

static const uint8_t guest_spin[] = { 0xeb, 0xfe }; /* jmp . */

/* What a binding keeps for a callback: how often it ran, and was released. */
struct keeper {
    atomic_int calls;
    atomic_int released;
    int32_t action;
};

static struct nestvirt_host *host;

static int32_t on_access(void *user_data, struct nestvirt_access *access)
{
    struct keeper *keeper = user_data;

    CHECK(access->address == PORT && access->is_write == 1);
    atomic_fetch_add(&keeper->calls, 1);
    return keeper->action;
}

static void release(void *user_data)
{
    struct keeper *keeper = user_data;

    atomic_fetch_add(&keeper->released, 1);
}

static struct nestvirt_vm *make(const uint8_t *code, size_t size, struct keeper *keeper)
{
    struct nestvirt_vm_config config;
    struct nestvirt_flat_config flat;
    struct nestvirt_vm *vm = NULL;
    int fd = memfd_create("guest", MFD_CLOEXEC);

    CHECK(fd >= 0 && write(fd, code, size) == (ssize_t)size);
    nestvirt_vm_config_init(&config, sizeof(config));
    config.memory_size = MIB;
    EXPECT(0, nestvirt_vm_new(host, &config, &vm, &error));
    EXPECT(0, nestvirt_device_add(vm, "exit", NULL, &error));
    EXPECT(0, nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 1, on_access, keeper, release,
                                   &error));
    nestvirt_flat_config_init(&flat, sizeof(flat));
    flat.address = flat.entry = ENTRY;
    flat.mode = NESTVIRT_MODE_REAL;
    EXPECT(0, nestvirt_boot_set_flat_fd(vm, fd, &flat, &error));
    close(fd);
    return vm;
}

static struct nestvirt_vm_result run(struct nestvirt_vm *vm)
{
    struct nestvirt_vm_result result;

    nestvirt_vm_result_init(&result, sizeof(result));
    EXPECT(0, nestvirt_vm_build(vm, &error));
    EXPECT(0, nestvirt_vm_start(vm, &error));
    EXPECT(0, nestvirt_vm_wait(vm, WAIT_MS, &result, &error));
    return result;
}

/* Scenario 01. */
static void test_thousand(void)
{
    for (int i = 0; i < CROWD; i++) {
        struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
        struct nestvirt_vm *vm = make(guest_call, sizeof(guest_call), &keeper);
        struct nestvirt_vm_result result = run(vm);

        CHECK(result.reason == NESTVIRT_RESULT_GUEST_EXIT && result.exit_code == 7);
        CHECK(keeper.calls == 1 && keeper.released == 0);
        CHECK(nestvirt_vm_free(vm) == 0);
        CHECK(keeper.released == 1);
    }
}

/* Scenario 02: all states and back, twice, with the events read. */
static void test_life(void)
{
    struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
    struct nestvirt_vm *vm = make(guest_spin, sizeof(guest_spin), &keeper);
    struct nestvirt_event event;
    int events = 0;

    EXPECT(0, nestvirt_vm_build(vm, &error));
    for (int i = 0; i < 2; i++) {
        EXPECT(0, nestvirt_vm_start(vm, &error));
        EXPECT(-EALREADY, nestvirt_vm_start(vm, &error));
        EXPECT(0, nestvirt_vm_pause(vm, &error));
        EXPECT(-ETIMEDOUT, nestvirt_vm_wait(vm, 1, NULL, &error));
        EXPECT(0, nestvirt_vm_resume(vm, &error));
        EXPECT(0, nestvirt_vm_stop(vm, -1, &error));
        EXPECT(0, nestvirt_vm_wait(vm, 0, NULL, &error));
    }
    nestvirt_event_init(&event, sizeof(event));
    while (nestvirt_vm_next_event(vm, &event, NULL) == 1)
        events++;
    CHECK(events >= 8);
    CHECK(nestvirt_vm_free(vm) == 0);
    CHECK(keeper.released == 1);
}

/* Scenario 04: what a careless caller does leaves everything as it was. */
static void test_misuse(void)
{
    struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
    struct nestvirt_vm *vm = make(guest_call, sizeof(guest_call), &keeper);
    struct nestvirt_vm *other = (struct nestvirt_vm *)host;
    struct nestvirt_vm_config config;
    struct nestvirt_device *device = (struct nestvirt_device *)vm;
    uint8_t byte;

    EXPECT(-EFAULT, nestvirt_vm_start(NULL, &error));
    EXPECT(-EBADF, nestvirt_vm_start(other, &error));
    EXPECT(-EBADF, nestvirt_device_set_u64(device, "port", 1, &error));
    EXPECT(-EBUSY, nestvirt_vm_wait(vm, 0, NULL, &error));
    EXPECT(-ENOENT, nestvirt_device_add(vm, "toaster", NULL, &error));
    EXPECT(-EFAULT, nestvirt_memory_read(vm, MIB, &byte, 1, &error));
    EXPECT(-EFAULT, nestvirt_memory_read(vm, UINT64_MAX, &byte, 2, &error));
    EXPECT(-EEXIST, nestvirt_handler_add(vm, NESTVIRT_SPACE_PORT, PORT, 1, on_access, &keeper,
                                         release, &error));
    nestvirt_vm_config_init(&config, sizeof(config));
    config.vcpus = 0;
    EXPECT(-EINVAL, nestvirt_vm_new(host, &config, &other, &error));
    CHECK(other == NULL);
    config.size = 3;
    EXPECT(-EINVAL, nestvirt_vm_new(host, &config, &other, &error));
    CHECK(nestvirt_vm_free(NULL) == 0 && keeper.released == 0);
    CHECK(run(vm).exit_code == 7);
    CHECK(nestvirt_vm_free(vm) == 0);
    CHECK(keeper.released == 1);
}

/* Scenario 05: what a binding answers for a handler that raised. */
static void test_handler_stops(void)
{
    struct keeper keeper = { .action = NESTVIRT_ACTION_STOP };
    struct nestvirt_vm *vm = make(guest_call, sizeof(guest_call), &keeper);

    CHECK(run(vm).reason == NESTVIRT_RESULT_STOPPED && keeper.calls == 1);
    CHECK(nestvirt_vm_free(vm) == 0);
}

static void *free_vm(void *vm)
{
    CHECK(nestvirt_vm_free(vm) == 0);
    return NULL;
}

/* Scenario 07: another thread, a finalizer's, frees a VM that runs. */
static void test_freed_elsewhere(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
        struct nestvirt_vm *vm = make(guest_spin, sizeof(guest_spin), &keeper);
        pthread_t thread;

        EXPECT(0, nestvirt_vm_build(vm, &error));
        EXPECT(0, nestvirt_vm_start(vm, &error));
        CHECK(pthread_create(&thread, NULL, free_vm, vm) == 0);
        CHECK(pthread_join(thread, NULL) == 0 && keeper.released == 1);
    }
}

/* Scenario 08: in the child every call but free is refused, the parent's guest goes on. */
static void test_fork(void)
{
    struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
    struct nestvirt_vm *vm = make(guest_spin, sizeof(guest_spin), &keeper);
    int status;
    pid_t pid;

    EXPECT(0, nestvirt_vm_build(vm, &error));
    EXPECT(0, nestvirt_vm_start(vm, &error));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int bad = nestvirt_vm_pause(vm, NULL) != -ECHILD ||
                  nestvirt_vm_stop(vm, -1, NULL) != -ECHILD || nestvirt_vm_free(vm) != 0;

        _exit(bad);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(nestvirt_vm_get_state(vm) == NESTVIRT_STATE_RUNNING && keeper.released == 0);
    CHECK(nestvirt_vm_free(vm) == 0 && keeper.released == 1);
}

/* Calls whatever comes on one VM; what is refused depends on the others. */
static void *disturb(void *argument)
{
    struct nestvirt_vm *vm = argument;
    uint32_t word = 0;

    for (int i = 0; i < ROUNDS; i++) {
        nestvirt_vm_start(vm, NULL);
        nestvirt_vm_pause(vm, NULL);
        CHECK(nestvirt_memory_write(vm, 0x2000, &word, sizeof(word), NULL) == 0);
        nestvirt_vm_resume(vm, NULL);
        nestvirt_vm_stop(vm, 0, NULL);
        nestvirt_vm_wait(vm, 1, NULL, NULL);
    }
    return NULL;
}

/* Scenario 09. */
static void test_threads(void)
{
    struct keeper keeper = { .action = NESTVIRT_ACTION_RESUME };
    struct nestvirt_vm *vm = make(guest_spin, sizeof(guest_spin), &keeper);
    pthread_t threads[THREADS];

    EXPECT(0, nestvirt_vm_build(vm, &error));
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, disturb, vm) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(nestvirt_vm_free(vm) == 0 && keeper.released == 1);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        { "01 a thousand VMs", test_thousand },
        { "02 life", test_life },
        { "04 misuse", test_misuse },
        { "05 a handler that fails", test_handler_stops },
        { "07 freed elsewhere", test_freed_elsewhere },
        { "08 fork", test_fork },
        { "09 threads", test_threads },
    };
    struct nestvirt_error *error = NULL;

    if (access("/dev/kvm", F_OK) < 0) {
        printf("SKIP: there is no /dev/kvm on this machine\n");
        return SKIP;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (nestvirt_host_open(NULL, &host, &error) < 0) {
        printf("FAIL: %s\n", nestvirt_error_get_message(error));
        return 1;
    }
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tests[i].fn();
        printf("ok %s\n", tests[i].name);
    }
    CHECK(nestvirt_host_free(host) == 0);
    return 0;
}
