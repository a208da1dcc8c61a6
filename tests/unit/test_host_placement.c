/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the placing of threads by the kernel's own answers: CPUs, policy, nice, cookies, times. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/placement.h"
#include "host/thread.h"
#include "support.h"

enum { THREADS = 3, ABSENT = 8000 };

/* The kernel's part, which can be told to refuse. */
static unsigned nice_calls, fail_nice_at, policy_calls, fail_policy_at;
static int nice_error;

int __real_setpriority(int which, id_t who, int value);
int __wrap_setpriority(int which, id_t who, int value);
int __wrap_setpriority(int which, id_t who, int value)
{
    if (++nice_calls != fail_nice_at)
        return __real_setpriority(which, who, value);
    errno = nice_error;
    return -1;
}

int __real_sched_setscheduler(pid_t tid, int policy, const struct sched_param *param);
int __wrap_sched_setscheduler(pid_t tid, int policy, const struct sched_param *param);
int __wrap_sched_setscheduler(pid_t tid, int policy, const struct sched_param *param)
{
    if (++policy_calls != fail_policy_at)
        return __real_sched_setscheduler(tid, policy, param);
    errno = EPERM;
    return -1;
}

/* A core scheduler of plain code: cookies of the helper and of three threads. */
static struct {
    int error;    /* what every call fails with */
    pid_t hidden; /* a thread that may not be looked at */
    unsigned long next, helper;
    pid_t tids[THREADS];
    unsigned long cookies[THREADS];
    unsigned creates;
    pid_t creator;
} core;

static unsigned long *cookie_of(pid_t tid)
{
    for (int i = 0; i < THREADS; i++)
        if (core.tids[i] == tid)
            return &core.cookies[i];
    return &core.helper;
}

static int core_call(unsigned long command, pid_t tid, unsigned long *ret_cookie)
{
    errno = core.error ? core.error : EPERM;
    if (core.error || (tid && tid == core.hidden))
        return -1;
    switch (command) {
    case 0: /* get */
        *ret_cookie = *cookie_of(tid);
        return 0;
    case 1: /* create */
        core.helper = ++core.next;
        core.creates++;
        core.creator = gettid();
        return 0;
    default: /* share to */
        *cookie_of(tid) = core.helper;
        return 0;
    }
}

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...)
{
    enum { CORE_SCHED = 62 };
    unsigned long argument[4];
    va_list args;

    va_start(args, option);
    for (int i = 0; i < 4; i++)
        argument[i] = va_arg(args, unsigned long);
    va_end(args);
    if (option == CORE_SCHED)
        return core_call(argument[0], (pid_t)argument[1], (unsigned long *)argument[3]);
    return __real_prctl(option, argument[0], argument[1], argument[2], argument[3]);
}

static pthread_t threads[THREADS];
static atomic_int own_tids[THREADS];
static struct nv_place places[THREADS];
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static uint32_t first_cpu; /* one that this program may use */

static void *thread_main(void *argument)
{
    atomic_int *tid = argument;

    atomic_store(tid, gettid());
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return NULL;
}

static void setup(void)
{
    struct nv_placement own;

    nice_calls = fail_nice_at = policy_calls = fail_policy_at = 0;
    memset(&core, 0, sizeof(core));
    memset(places, 0, sizeof(places));
    ck_assert_int_eq(nv_placement_read(0, &own), 0);
    first_cpu = nv_set_next(&own.cpus, 0);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < THREADS; i++) {
        atomic_store(&own_tids[i], 0);
        ck_assert_int_eq(nv_thread_create(&threads[i], NULL, thread_main, &own_tids[i]), 0);
        places[i].tid = core.tids[i] = nv_thread_get_tid(threads[i]);
        places[i].name = nv_text("thread %d", i);
    }
}

static void teardown(void)
{
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static struct nv_placement now(int i)
{
    struct nv_placement placement = { 0 };

    ck_assert_int_eq(nv_placement_read(places[i].tid, &placement), 0);
    return placement;
}

static void expect_unchanged(const struct nv_placement former[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        const struct nv_placement placement = now(i);

        ck_assert_int_eq(placement.nice, former[i].nice);
        ck_assert_int_eq(placement.policy, former[i].policy);
        ck_assert(nv_set_is_equal(&placement.cpus, &former[i].cpus));
    }
}

static void want_all(uint32_t fields, const char *cpus, int policy, int priority, int nice)
{
    for (int i = 0; i < THREADS; i++) {
        places[i].wanted = (struct nv_placement){
            .fields = fields, .policy = policy, .priority = priority, .nice = nice
        };
        if (cpus)
            ck_assert_int_eq(nv_list_parse_kernel(cpus, &places[i].wanted.cpus), 0);
    }
}

START_TEST(test_tids)
{
    for (int i = 0; i < THREADS; i++) {
        while (atomic_load(&own_tids[i]) == 0)
            usleep(100);
        ck_assert_int_eq(places[i].tid, atomic_load(&own_tids[i]));
    }
    ck_assert_int_eq(nv_thread_get_tid(pthread_self()), gettid());
}
END_TEST

START_TEST(test_apply)
{
    const struct nv_text cpu = nv_text("%u", first_cpu);

    want_all(NV_PLACE_ALL, cpu.s, SCHED_BATCH, 0, 7);
    ck_nv_ok(nv_places_apply(places, THREADS, &error));
    for (int i = 0; i < THREADS; i++) {
        const struct nv_placement placement = now(i);

        ck_assert_int_eq(placement.policy, SCHED_BATCH);
        ck_assert_int_eq(placement.nice, 7);
        ck_assert_uint_eq(nv_set_count(&placement.cpus), 1);
        ck_assert(nv_set_has(&placement.cpus, first_cpu));
    }
    nv_places_undo(places, THREADS);
    ck_assert_int_eq(now(0).policy, SCHED_OTHER);
    ck_assert_int_eq(now(2).nice, places[2].former.nice);
}
END_TEST

/* The kernel would run the thread on what is left of the list and say nothing. */
START_TEST(test_misuse_12_cpus_partly_outside)
{
    const struct nv_placement former[] = { now(0), now(1), now(2) };

    want_all(NV_PLACE_CPUS, nv_text("%u,7000,%d", first_cpu, ABSENT).s, 0, 0, 0);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EINVAL, "CPU 7000,8000 is absent");
    expect_unchanged(former);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EINVAL,
                     nv_text("may use \"%u\"", first_cpu).s);
    want_all(NV_PLACE_CPUS, "8000", 0, 0, 0);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EINVAL, "CPU 8000 is absent");
    expect_unchanged(former);
}
END_TEST

START_TEST(test_second_of_three_fails)
{
    const struct nv_text cpu = nv_text("%u", first_cpu);
    const struct nv_placement former[] = { now(0), now(1), now(2) };

    nice_error = EACCES;
    fail_nice_at = 2;
    want_all(NV_PLACE_ALL, cpu.s, SCHED_IDLE, 0, 3);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EACCES, "thread 1: nice 3");
    ck_assert_uint_gt(nice_calls, 2);
    expect_unchanged(former);
    nice_calls = 0;
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EACCES, "RLIMIT_NICE 17 is needed");
    policy_calls = nice_calls = fail_nice_at = 0;
    fail_policy_at = 3;
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EPERM, "thread 2");
    expect_unchanged(former);
}
END_TEST

START_TEST(test_texts_of_rights)
{
    fail_policy_at = 1;
    want_all(NV_PLACE_POLICY, NULL, SCHED_FIFO, 30, 0);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EPERM, "RLIMIT_RTPRIO 30");
    policy_calls = 0;
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EPERM, "CAP_SYS_NICE");
    policy_calls = 0;
    want_all(NV_PLACE_POLICY, NULL, SCHED_BATCH, 0, 0);
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EPERM, "RLIMIT_NICE");
    places[1].tid = -1; /* one that has ended */
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -ESRCH, "thread 1");
}
END_TEST

/* Nobody without a right can lower a nice value again: what may be refused is tried first. */
START_TEST(test_rights_first)
{
    want_all(NV_PLACE_NICE, NULL, 0, 0, 5);
    ck_assert_int_eq(__real_setpriority(PRIO_PROCESS, (id_t)places[2].tid, 9), 0);
    nice_error = EACCES;
    fail_nice_at = 1;
    ck_nv_fails_with(nv_places_apply(places, THREADS, &error), -EACCES, "thread 2");
    ck_assert_int_eq(now(2).nice, 9);
}
END_TEST

START_TEST(test_cookies)
{
    uint64_t cookie;

    ck_nv_ok(nv_core_share(places, THREADS, &error));
    ck_assert_uint_eq(core.creates, 1);
    ck_assert_int_ne(core.creator, gettid()); /* the caller keeps its own */
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(nv_core_read(places[i].tid, &cookie), 0);
        ck_assert_uint_eq(cookie, 1);
    }
    ck_nv_ok(nv_core_share(places + 1, 1, &error));
    ck_assert_uint_eq(core.cookies[1], 2);
    ck_assert_uint_eq(core.cookies[2], 1);
    core.hidden = places[2].tid;
    ck_nv_fails(nv_core_share(places, THREADS, &error), -EPERM);
    ck_assert_uint_eq(core.cookies[0], 1);
    ck_assert_uint_eq(core.cookies[1], 2);
    ck_nv_ok(nv_core_share(places, 0, &error));
    core.error = ENODEV;
    ck_nv_fails_with(nv_core_share(places, THREADS, &error), -ENOTSUP, "several hardware threads");
    core.error = EINVAL;
    ck_nv_fails_with(nv_core_share(places, THREADS, &error), -ENOTSUP, "CONFIG_SCHED_CORE");
    ck_assert_int_eq(nv_core_read(places[0].tid, &cookie), -EINVAL);
}
END_TEST

static char folder[64];
static struct nv_tree tree;

static void put(const char *name, const char *text)
{
    FILE *file = fopen(nv_text("%s/proc/self/task/77/%s", folder, name).s, "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void make_tree(void)
{
    static const char *const parts[] = { "proc", "proc/self", "proc/self/task",
                                         "proc/self/task/77" };

    strcpy(folder, "/tmp/nestvirt-place.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ck_assert_int_eq(mkdir(nv_text("%s/%s", folder, parts[i]).s, 0700), 0);
    ck_assert_int_eq(nv_tree_open(folder, &tree, NULL), 0);
}

static void remove_tree(void)
{
    nv_tree_close(&tree);
    ck_assert_int_eq(system(nv_text("rm -rf %s", folder).s), 0);
}

#define STAT_TAIL                                                                                  \
    " S 1 1 1 0 -1 4194304 120 0 0 0 1 2 0 0 20 0 1 0 100 1000 10 18446744073709551615 1 1 0 0 0 " \
    "0 0 4096 0 0 0 0 -1 "

START_TEST(test_look)
{
    struct nv_thread_sight sight;

    ck_assert_int_eq(nv_thread_look(&tree, 77, &sight), -ENOENT);
    put("stat", "77 (a) S 1 (b)" STAT_TAIL "13 0 0 0 0\n");
    put("schedstat", "123456789012 345 6\n");
    ck_assert_int_eq(nv_thread_look(&tree, 77, &sight), 0);
    ck_assert_str_eq(sight.name, "a) S 1 (b");
    ck_assert(sight.has_cpu && sight.has_times);
    ck_assert_uint_eq(sight.last_cpu, 13);
    ck_assert_uint_eq(sight.cpu_time_ns, 123456789012);
    ck_assert_uint_eq(sight.run_delay_ns, 345);
}
END_TEST

START_TEST(test_look_at_strange_files)
{
    static const char *const texts[] = { "",
                                         ")",
                                         "(",
                                         ") (",
                                         "77 (name",
                                         "77 (name) S 1 2",
                                         "77 (a name of more than fifteen bytes) S" };
    struct nv_thread_sight sight;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put("stat", texts[i]);
        put("schedstat", "nonsense");
        ck_assert_int_eq(nv_thread_look(&tree, 77, &sight), 0);
        ck_assert(!sight.has_cpu && !sight.has_times);
        ck_assert_uint_le(strlen(sight.name), 15);
    }
    ck_assert_str_eq(sight.name, "a name of more ");
}
END_TEST

START_TEST(test_look_at_oneself)
{
    struct nv_thread_sight sight;
    struct nv_tree real;

    ck_assert_int_eq(nv_tree_open(NULL, &real, NULL), 0);
    ck_assert_int_eq(nv_thread_look(&real, gettid(), &sight), 0);
    ck_assert(sight.has_cpu);
    ck_assert_uint_lt(sight.last_cpu, (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    nv_tree_close(&real);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_placement");
    TCase *places_case = support_case(suite, "places", 30);
    TCase *look = support_case(suite, "look", 30);

    tcase_add_checked_fixture(places_case, setup, teardown);
    tcase_add_test(places_case, test_tids);
    tcase_add_test(places_case, test_apply);
    tcase_add_test(places_case, test_misuse_12_cpus_partly_outside);
    tcase_add_test(places_case, test_second_of_three_fails);
    tcase_add_test(places_case, test_texts_of_rights);
    tcase_add_test(places_case, test_rights_first);
    tcase_add_test(places_case, test_cookies);
    tcase_add_checked_fixture(look, make_tree, remove_tree);
    tcase_add_test(look, test_look);
    tcase_add_test(look, test_look_at_strange_files);
    tcase_add_test(look, test_look_at_oneself);
    return suite;
}
