/* SPDX-License-Identifier: Apache-2.0 */
/* Proves on real guests that threads run where, and as urgently as, they were told to. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_script.h"
#include "guests.h"
#include "support.h"

enum { SAMPLES = 200, SAMPLE_US = 500, MOVES = 4, NOBODY = 65534, SECTOR = 512 };
enum { VCPU = NESTVIRT_THREAD_VCPU, LOOP = NESTVIRT_THREAD_LOOP };
enum { WORKER = NESTVIRT_THREAD_WORKER, EVERY = NESTVIRT_THREAD_EVERY };

static struct nestvirt_host *host;
static int cpus[2]; /* that this program may use */

static struct nestvirt_thread_info info_of(struct nestvirt_vm *vm, uint32_t kind, uint32_t index)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(vm, i, &info, NULL) == 0; i++)
        if (info.kind == kind && info.index == index)
            return info;
    ck_abort_msg("no thread %u of kind %u", index, kind);
}

static int set_cpu(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, int cpu,
                   struct nestvirt_error **e)
{
    struct nestvirt_thread_config config;
    char text[16];

    snprintf(text, sizeof(text), "%d", cpu);
    nestvirt_thread_config_init(&config, sizeof(config));
    config.cpus = text;
    return nestvirt_thread_set(vm, kind, index, &config, e);
}

/* Where the kernel says a thread is right now, without the library. */
static int cpu_of(int tid)
{
    char path[64];
    char line[1024];
    char *at;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    fclose(file);
    at = strrchr(line, ')');
    for (int i = 2; at && i < 39; i++)
        at = strchr(at + 1, ' ');
    ck_assert_ptr_nonnull(at);
    return atoi(at);
}

static uint32_t counter(struct nestvirt_vm *vm)
{
    uint32_t value = 0;

    ck_nv_ok(nestvirt_memory_read(vm, 0x3000, &value, sizeof(value), &error));
    return value;
}

START_TEST(test_spins_where_it_should)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    uint32_t before;
    int tid;

    ck_nv_ok(set_cpu(vm, VCPU, 0, cpus[1], &error));
    guest_start(vm);
    tid = info_of(vm, VCPU, 0).tid;
    for (int i = 0; i < MOVES; i++) {
        int cpu = cpus[(i + 1) % 2];

        if (i > 0)
            ck_assert_int_eq(set_cpu(vm, VCPU, EVERY, cpu, NULL), 1);
        before = counter(vm);
        for (int j = 0; j < SAMPLES; j++) {
            ck_assert_int_eq(cpu_of(tid), cpu);
            usleep(SAMPLE_US);
        }
        for (int j = 0; j < 10000 && counter(vm) == before; j++)
            usleep(1000);
        ck_assert_uint_ne(counter(vm), before); /* it did run there */
        ck_assert_uint_eq(info_of(vm, VCPU, 0).last_cpu, (uint32_t)cpu);
    }
    ck_assert_uint_gt(info_of(vm, VCPU, 0).cpu_time_ns, 0);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_misuse_12_real_absent_cpu)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, spin);
    struct nestvirt_thread_config config;
    char before[256];
    char after[256];
    char list[32];

    guest_start(vm);
    snprintf(list, sizeof(list), "%d,8000", cpus[0]);
    nestvirt_thread_config_init(&config, sizeof(config));
    config.cpus = list;
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 0, before, sizeof(before), &error));
    ck_nv_fails_with(nestvirt_thread_set(vm, VCPU, EVERY, &config, &error), -EINVAL, "CPU 8000");
    ck_nv_ok(nestvirt_thread_get_cpus(vm, VCPU, 0, after, sizeof(after), &error));
    ck_assert_str_eq(before, after);
    nestvirt_vm_free(vm);
}
END_TEST

START_TEST(test_urgency)
{
    static const struct {
        uint32_t policy;
        int32_t priority, nice;
        int kernel_policy;
    } rows[] = {
        { NESTVIRT_SCHED_FIFO, 3, 0, SCHED_FIFO },    { NESTVIRT_SCHED_RR, 2, 0, SCHED_RR },
        { NESTVIRT_SCHED_BATCH, 0, 5, SCHED_BATCH },  { NESTVIRT_SCHED_IDLE, 0, 0, SCHED_IDLE },
        { NESTVIRT_SCHED_OTHER, 0, -7, SCHED_OTHER },
    };
    struct nestvirt_vm *vm = GUEST_NEW(host, halt); /* so that no real-time thread spins here */

    guest_start(vm);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nestvirt_thread_config config;
        struct sched_param param;
        struct nestvirt_thread_info info;

        nestvirt_thread_config_init(&config, sizeof(config));
        config.flags = NESTVIRT_THREAD_SET_NICE;
        config.policy = rows[i].policy;
        config.priority = rows[i].priority;
        config.nice = rows[i].nice;
        ck_nv_ok(nestvirt_thread_set(vm, VCPU, 0, &config, &error));
        info = info_of(vm, VCPU, 0);
        ck_assert_uint_eq(info.policy, rows[i].policy);
        ck_assert_int_eq(info.priority, rows[i].priority);
        ck_assert_int_eq(info.nice, rows[i].nice);
        ck_assert_int_eq(sched_getscheduler(info.tid), rows[i].kernel_policy);
        ck_assert_int_eq(sched_getparam(info.tid, &param), 0);
        ck_assert_int_eq(param.sched_priority, rows[i].priority);
        ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t)info.tid), rows[i].nice);
    }
    nestvirt_vm_free(vm);
}
END_TEST

/* Where the host has no core scheduling, the reason is what there is to see. */
START_TEST(test_core_cookie)
{
    struct nestvirt_vm *vm = GUEST_NEW(host, halt, .vcpus = 2);
    struct nestvirt_thread_config config;
    struct nestvirt_error *problem;
    int r;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    nestvirt_thread_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_THREAD_CORE_COOKIE;
    r = nestvirt_thread_set(vm, VCPU, EVERY, &config, &problem);
    if (r < 0) {
        ck_assert_int_eq(r, -ENOTSUP);
        ck_assert_ptr_nonnull(strstr(nestvirt_error_get_message(problem), "core scheduling"));
        printf("core cookie not tried: %s\n", nestvirt_error_get_message(problem));
        ck_assert_uint_eq(info_of(vm, VCPU, 0).core_cookie, 0);
        nestvirt_error_free(problem);
    } else {
        ck_assert_uint_ne(info_of(vm, VCPU, 0).core_cookie, 0);
        ck_assert_uint_eq(info_of(vm, VCPU, 0).core_cookie, info_of(vm, VCPU, 1).core_cookie);
    }
    nestvirt_vm_free(vm);
}
END_TEST

/* Reads of a disk by its own threads, all of which, and the loop, are on one CPU. */
START_TEST(test_disk)
{
    enum { READS = 16 };
    char path[] = "/tmp/nestvirt-disk.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    struct script script;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    disk_begin(&script, host, path, "threads", NULL);
    for (uint32_t i = 0; i < READS; i++)
        disk_request(&script, i, DISK_OUT, i, DISK_BUFFERS + i * SECTOR, SECTOR);
    ck_nv_ok(set_cpu(script.vm, WORKER, EVERY, cpus[1], &error));
    ck_nv_ok(set_cpu(script.vm, LOOP, 0, cpus[0], &error));
    disk_drive(&script, DISK_F_FLUSH);
    for (uint16_t i = 1; i <= READS; i++)
        disk_submit(&script, i);
    script_run(&script);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_uint_eq(info_of(script.vm, WORKER, i).last_cpu, (uint32_t)cpus[1]);
    ck_assert_uint_eq(info_of(script.vm, LOOP, 0).last_cpu, (uint32_t)cpus[0]);
    ck_assert_uint_gt(info_of(script.vm, LOOP, 0).cpu_time_ns, 0);
    ck_assert_uint_gt(info_of(script.vm, WORKER, 0).cpu_time_ns, 0);
    script_end(&script);
    close(fd);
    unlink(path);
}
END_TEST

/* In a child process, where check has no say. */
static int is_wrong(int r, int code, struct nestvirt_error **error, const char *text)
{
    const char *message = nestvirt_error_get_message(*error);
    int is_right = r == code && strstr(message, text);

    if (!is_right)
        printf("FAIL: %d, not %d: %s\n", r, code, message);
    nestvirt_error_free(*error);
    return !is_right;
}

/* In a process without rights: what is refused and why; nice goes up, not down again. */
static int try_as_nobody(void)
{
    const struct rlimit none = { 0, 0 };
    struct nestvirt_host *own = support_host();
    struct nestvirt_vm *vm = GUEST_NEW(own, halt, .vcpus = 2);
    struct nestvirt_thread_config config;
    struct nestvirt_error *error;
    int bad = nestvirt_vm_build(vm, NULL);

    if (setrlimit(RLIMIT_NICE, &none) < 0 || setrlimit(RLIMIT_RTPRIO, &none) < 0 ||
        setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return 1;
    nestvirt_thread_config_init(&config, sizeof(config));
    config.policy = NESTVIRT_SCHED_FIFO;
    config.priority = 5;
    bad |= is_wrong(nestvirt_thread_set(vm, VCPU, EVERY, &config, &error), -EPERM, &error,
                    "RLIMIT_RTPRIO 5");
    nestvirt_thread_config_init(&config, sizeof(config));
    config.flags = NESTVIRT_THREAD_SET_NICE;
    config.nice = 9;
    bad |= nestvirt_thread_set(vm, VCPU, 1, &config, NULL) != 1;
    config.nice = 4; /* up for one, down for the other: neither, as it cannot be for both */
    bad |= is_wrong(nestvirt_thread_set(vm, VCPU, EVERY, &config, &error), -EACCES, &error,
                    "RLIMIT_NICE 16");
    bad |= info_of(vm, VCPU, 0).nice != getpriority(PRIO_PROCESS, 0);
    bad |= info_of(vm, VCPU, 1).nice != 9;
    bad |= set_cpu(vm, VCPU, EVERY, cpus[0], NULL) != 2;
    nestvirt_vm_free(vm);
    nestvirt_host_free(own);
    return bad;
}

START_TEST(test_without_rights)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(try_as_nobody());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

static void find_cpus(void)
{
    cpu_set_t set;
    int found = 0;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        support_skip("the CPUs of this process cannot be read: more than 1,024 of them");
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &set))
            cpus[found++] = i;
    if (found < 2)
        support_skip("this process may use one CPU only");
}

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_thread");
    TCase *tcase = support_case(suite, "thread", 60);

    host = support_host();
    find_cpus();
    if (geteuid() != 0)
        support_skip("real-time policies need a right; run it as root");
    tcase_add_test(tcase, test_spins_where_it_should);
    tcase_add_test(tcase, test_misuse_12_real_absent_cpu);
    tcase_add_test(tcase, test_urgency);
    tcase_add_test(tcase, test_core_cookie);
    tcase_add_test(tcase, test_disk);
    tcase_add_test(tcase, test_without_rights);
    return suite;
}
