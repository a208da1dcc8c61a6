/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot tests of templates: real Linux cloned, and saved and restored elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console.h"
#include "network.h"
#include "support.h"
#include "tools.h"

enum {
    BOOT_SECONDS = 420,
    LONG = 180,
    CLONES = 3,
    CID = 100,
    PORT = 5000,
    DISK_MIB = 2,
    NOBODY_MS = 3000, /* between the template and its clones */
    LEAP_MS = 1500,   /* that a guest's clock goes on while it is saved and put back */
    SEED = 7          /* of the template's disk; clones have those that follow */
};

/* Set for the process that restores: the file, and the uptime when it was saved. */
static const char state_variable[] = "NESTVIRT_TEST_STATE";
static const char uptime_variable[] = "NESTVIRT_TEST_UPTIME";

static struct nestvirt_host *host;
static struct linux_vm source, clones[CLONES];
static int consoles[CLONES + 1][2]; /* pipes that each VM's virtio console writes to */

/* Devices in the order of linux_start() and add(). */
enum { SERIAL, RESET, EXIT, DISK, VSOCK, VMGENID, RNG, BALLOON, CONSOLE };

static int make_disk(unsigned number)
{
    char name[32];

    snprintf(name, sizeof(name), "disk%u", number);
    return tools_make_file(tools_path(name), DISK_MIB, SEED + number);
}

static const char *socket_path(unsigned number)
{
    char name[32];

    snprintf(name, sizeof(name), "vsock%u", number);
    return tools_path(name);
}

static void add(struct nestvirt_vm *vm, void *data)
{
    struct nestvirt_device *device;
    int fd = make_disk(0);

    ck_nv_ok(nestvirt_device_add(vm, "blk", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "fd", fd, &error));
    close(fd);
    ck_nv_ok(nestvirt_device_add(vm, "vsock", &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "cid", CID, &error));
    ck_nv_ok(nestvirt_device_set_string(device, "path", socket_path(0), &error));
    ck_nv_ok(nestvirt_device_add(vm, "vmgenid", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "rng", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "balloon", &device, &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "stats_interval_ms", 500, &error));
    ck_nv_ok(nestvirt_device_add(vm, "console", NULL, &error));
}

static struct nestvirt_device *device_of(struct nestvirt_vm *vm, uint32_t number)
{
    struct nestvirt_device *device;

    ck_nv_ok(nestvirt_device_get(vm, number, &device, &error));
    return device;
}

/* Everything that one VM has for itself; number is from 1 on. */
static void give_identity(struct linux_vm *l, unsigned number)
{
    int fd = make_disk(number);

    ck_assert_int_eq(pipe2(l->input, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(l->output, O_CLOEXEC), 0);
    ck_nv_ok(nestvirt_device_set_fd(device_of(l->vm, SERIAL), "input", l->input[0], &error));
    ck_nv_ok(nestvirt_device_set_fd(device_of(l->vm, SERIAL), "output", l->output[1], &error));
    ck_nv_ok(nestvirt_device_set_fd(device_of(l->vm, DISK), "fd", fd, &error));
    close(fd);
    ck_assert_int_eq(pipe2(consoles[number], O_CLOEXEC), 0);
    ck_nv_ok(
        nestvirt_device_set_fd(device_of(l->vm, CONSOLE), "output", consoles[number][1], &error));
    ck_nv_ok(nestvirt_device_set_u64(device_of(l->vm, VSOCK), "cid", CID + number, &error));
    ck_nv_ok(
        nestvirt_device_set_string(device_of(l->vm, VSOCK), "path", socket_path(number), &error));
}

static void start_clone(struct linux_vm *l, struct nestvirt_template *template, unsigned number)
{
    struct nestvirt_clone_config config;
    char name[32];

    linux_forget(l);
    nestvirt_clone_config_init(&config, sizeof(config));
    snprintf(name, sizeof(name), "clone%u", number);
    config.name = name;
    ck_nv_ok(nestvirt_clone_new(template, &config, &l->vm, &error));
    give_identity(l, number);
    ck_nv_ok(nestvirt_vm_build(l->vm, &error));
    ck_nv_ok(nestvirt_vm_start(l->vm, &error));
}

/* Seconds on the guest's clock. */
static double uptime(struct linux_vm *l)
{
    linux_order(l, "cat:/proc/uptime", "cat ", LONG);
    return strtod(linux_answer(l, "cat"), NULL);
}

/* The guest calls the host, which answers: a connection with the CID that is the clone's. */
static void use_vsock(struct linux_vm *l, unsigned number)
{
    char path[512], bytes[16];
    int listener, fd;

    snprintf(path, sizeof(path), "%s_%d", socket_path(number), PORT);
    listener = network_listen_unix(path);
    linux_type(l, "call:5000:ahoy\n");
    network_wait(listener, LONG);
    fd = network_accept(listener);
    ck_assert_int_eq(read(fd, bytes, sizeof(bytes)), 4);
    ck_assert_int_eq(memcmp(bytes, "ahoy", 4), 0);
    snprintf(bytes, sizeof(bytes), "back%u", number);
    ck_assert_int_eq(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    close(fd);
    close(listener);
    snprintf(path, sizeof(path), "nv: call back%u", number);
    linux_expect(l, path, LONG);
    linux_expect(l, "nv: done", LONG);
}

static void use_disk(struct linux_vm *l, unsigned number)
{
    char answer[64];

    snprintf(answer, sizeof(answer), "sum %d %u", DISK_MIB * MIB,
             tools_sum_pattern(DISK_MIB, SEED + number));
    linux_order(l, "sum:/dev/vda:direct", answer, LONG);
}

/* A terminal's bytes come out where the clone's go; a balloon asks for statistics as before. */
static void use_others(struct linux_vm *l, unsigned number)
{
    struct nestvirt_device *balloon = device_of(l->vm, BALLOON);
    char bytes[2048];
    uint64_t updates = 0;
    ssize_t done = 0;

    linux_order(l, "flood:/dev/hvc0:1", "flood end", LONG);
    network_wait(consoles[number][0], LONG);
    while (done < 1024) {
        ssize_t more = read(consoles[number][0], bytes, sizeof(bytes));

        ck_assert_int_gt(more, 0);
        done += more;
    }
    for (int i = 0; updates < 2; i++) {
        ck_assert_int_lt(i, LONG * 10);
        linux_listen(l, 100);
        ck_nv_ok(nestvirt_device_get_u64(balloon, "stats_updates", &updates, &error));
    }
}

static void free_clone(struct linux_vm *l, unsigned number)
{
    linux_free(l);
    close(consoles[number][0]);
    close(consoles[number][1]);
}

static void boot(const char *kernel, const char *words, uint32_t vcpus, uint32_t backing)
{
    const struct linux_options options = {
        .kernel = kernel,
        .steps = "obey",
        .words = words,
        .vcpus = vcpus,
        .backing = backing,
        .memory = 64 * MIB,
        .add = add,
    };

    linux_start(&source, host, &options);
    linux_expect(&source, "nv: waiting order", BOOT_SECONDS);
    if (!strstr(source.text, "crng init done")) /* before, there is nothing to be seeded anew */
        linux_expect(&source, "crng init done", LONG);
    linux_note(&source, "boot");
    linux_listen(&source, 300);
}

/* The clock goes on and does not leap: no more than real time since the first look, and a little.
 */
static void check_clock(double before, double after, double slack)
{
    printf("uptime %.2f, then %.2f\n", before, after);
    ck_assert_msg(after >= before, "the clock went back from %.2f to %.2f", before, after);
    ck_assert_msg(after < before + slack, "the clock leapt from %.2f to %.2f", before, after);
}

/* Lets the guest look at its clock all the time, beyond the moment that is saved. */
static void watch_clock(void)
{
    linux_type(&source, "clock:2\n");
    linux_listen(&source, 500);
}

/* It never went back, and no further at once than from..to milliseconds. */
static void check_watched(struct linux_vm *l, uint64_t from, uint64_t to)
{
    uint64_t step;

    l->order = l->mark;
    linux_expect(l, "nv: done", LONG);
    step = linux_second_number(l, "clock");
    printf("the clock's largest step is %llu ms\n", (unsigned long long)step);
    ck_assert_uint_eq(linux_number(l, "clock"), 0);
    ck_assert_uint_ge(step, from);
    ck_assert_uint_le(step, to);
}

/* Numbers of /dev/urandom's kind: no two VMs have the same, nor one twice. */
static void use_random(struct linux_vm *l)
{
    static uint64_t seen[CLONES + 1];
    static unsigned count;

    linux_order(l, "entropy", "entropy ", LONG);
    seen[count] = linux_number(l, "entropy");
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_ne(seen[i], seen[count]);
    count++;
}

/* Each clone answers with what is its own; the source goes on, and has noticed nothing. */
static void clone_three(const char *reseeded)
{
    struct nestvirt_template *template;
    uint8_t ids[CLONES + 1][NESTVIRT_GENERATION_SIZE];
    double saved = uptime(&source);

    watch_clock();
    ck_nv_ok(nestvirt_vm_get_generation(source.vm, ids[CLONES], sizeof(ids[0]), &error));
    ck_nv_ok(nestvirt_vm_pause(source.vm, &error));
    ck_nv_ok(nestvirt_template_new(source.vm, 0, &template, &error));
    linux_note(&source, "template");
    usleep(NOBODY_MS * 1000); /* which is nobody's time but the source's */
    for (unsigned i = 0; i < CLONES; i++)
        start_clone(&clones[i], template, i + 1);
    ck_assert_int_eq(nestvirt_template_free(template), 0);
    for (unsigned i = 0; i < CLONES; i++) {
        struct linux_vm *l = &clones[i];

        if (reseeded)
            linux_expect(l, reseeded, LONG);
        check_watched(l, 1, LEAP_MS);
        if (i == 0)
            check_clock(saved, uptime(l), 3 + 2);
        if (reseeded)
            use_random(l);
        use_vsock(l, i + 1);
        use_disk(l, i + 1);
        use_others(l, i + 1);
        ck_nv_ok(nestvirt_vm_get_generation(l->vm, ids[i], sizeof(ids[0]), &error));
        for (unsigned k = 0; k < i; k++)
            ck_assert_int_ne(memcmp(ids[i], ids[k], sizeof(ids[0])), 0);
        ck_assert_int_ne(memcmp(ids[i], ids[CLONES], sizeof(ids[0])), 0);
    }
    ck_nv_ok(nestvirt_vm_resume(source.vm, &error));
    check_watched(&source, NOBODY_MS, UINT64_MAX); /* a pause is time that has passed */
    if (reseeded)
        use_random(&source);
    use_disk(&source, 0);
    use_vsock(&source, 0);
    if (reseeded)
        ck_assert_ptr_null(strstr(source.text, reseeded));
    for (unsigned i = 0; i < CLONES; i++) {
        linux_order(&clones[i], "hello", "hello 6.1", LONG);
        free_clone(&clones[i], i + 1);
    }
    linux_note(&source, "all");
}

/* --- Another process --- */

START_TEST(test_restore)
{
    int fd = open(getenv(state_variable), O_RDONLY | O_CLOEXEC);
    struct nestvirt_template *template;

    ck_assert_int_ge(fd, 0);
    ck_nv_ok(nestvirt_template_open(host, fd, 0, NULL, &template, &error));
    close(fd);
    start_clone(&clones[0], template, 1);
    nestvirt_template_free(template);
    check_watched(&clones[0], 1, LEAP_MS);
    check_clock(strtod(getenv(uptime_variable), NULL), uptime(&clones[0]), 10);
    use_vsock(&clones[0], 1);
    use_disk(&clones[0], 1);
    linux_type(&clones[0], "quit\n");
    linux_expect_end(&clones[0], NESTVIRT_RESULT_GUEST_RESET, LONG, NULL);
    free_clone(&clones[0], 1);
}
END_TEST

static void restore_elsewhere(const char *path, double saved)
{
    char text[32];
    pid_t child;
    int status;

    usleep(NOBODY_MS * 1000);
    snprintf(text, sizeof(text), "%f", saved);
    child = fork();
    if (child == 0) {
        setenv(state_variable, path, 1);
        setenv(uptime_variable, text, 1);
        unsetenv("CK_RUN_CASE");
        execl("/proc/self/exe", "test_boot_template", (char *)NULL);
        _exit(127);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static void save_and_restore(void)
{
    struct nestvirt_template *template;
    double saved = uptime(&source);
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s", tools_path("state"));
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    watch_clock();
    ck_nv_ok(nestvirt_vm_pause(source.vm, &error));
    ck_nv_ok(nestvirt_template_new(source.vm, NESTVIRT_TEMPLATE_CONSUME, &template, &error));
    linux_free(&source);
    ck_nv_ok(nestvirt_template_write(template, NULL, fd, &error));
    nestvirt_template_free(template);
    printf("file of %.1f MiB\n", (double)tools_allocated(fd) / MIB);
    close(fd);
    restore_elsewhere(path, saved);
}

/* One CPU, an MP table, no ACPI. */
START_TEST(test_fast)
{
    boot(linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"), "clocksource=kvm-clock", 1,
         NESTVIRT_BACKING_ANONYMOUS);
    clone_three(NULL);
    save_and_restore();
}
END_TEST

/* Two CPUs and ACPI, which tells Linux that it is a clone. */
START_TEST(test_full)
{
    boot(linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage"), "clocksource=kvm-clock pci=off", 2,
         NESTVIRT_BACKING_MEMFD);
    clone_three("crng reseeded due to virtual machine fork");
    save_and_restore();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_template");
    bool is_restore = getenv(state_variable);
    TCase *tcase = support_case(suite, is_restore ? "restore" : "fast", 900);

    host = support_host();
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    if (is_restore) {
        tcase_add_test(tcase, test_restore);
        return suite;
    }
    linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux");
    linux_file("NESTVIRT_TEST_KERNEL_FULL", "bzImage");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_test(tcase, test_fast);
    tcase = support_case(suite, "full", 1100);
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_full);
    return suite;
}
