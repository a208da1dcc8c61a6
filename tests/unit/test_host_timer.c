/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the event loop's timers: order, setting and clearing from anywhere, and many of them. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "host/loop.h"
#include "support.h"

enum { MS = 1000000, MANY = 1000 };

static struct nestvirt_loop *loop;
static atomic_uint fired;
static atomic_uint early;

static void setup(void)
{
    ck_nv_ok(nv_loop_new(&loop, &error));
    atomic_store(&fired, 0);
    atomic_store(&early, 0);
}

static void teardown(void)
{
    nv_loop_unref(loop);
}

static void sleep_ms(unsigned ms)
{
    const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * MS };

    nanosleep(&time, NULL);
}

static void await(atomic_uint *counter, unsigned count)
{
    for (int i = 0; i < 20000 && atomic_load(counter) < count; i++)
        sleep_ms(1);
    ck_assert_uint_ge(atomic_load(counter), count);
}

/* A timer that says when it came. */
struct alarm {
    struct nv_timer timer;
    uint64_t due_ns;
    atomic_uint calls;
    unsigned place; /* in the order of firing, from 1 */
};

static void on_alarm(void *user_data)
{
    struct alarm *alarm = user_data;

    if (nv_now_ns() < alarm->due_ns)
        atomic_fetch_add(&early, 1);
    alarm->place = atomic_load(&fired) + 1;
    atomic_fetch_add(&alarm->calls, 1);
    atomic_fetch_add(&fired, 1);
}

static void set(struct alarm *alarm, uint64_t due_ns)
{
    alarm->timer.fn = on_alarm;
    alarm->timer.user_data = alarm;
    alarm->due_ns = due_ns;
    nv_loop_set_timer(loop, &alarm->timer, due_ns);
}

START_TEST(test_order)
{
    enum { COUNT = 20 };
    static struct alarm alarms[COUNT];
    uint64_t now_ns = nv_now_ns();

    for (unsigned i = 0; i < COUNT; i++) {
        unsigned turn = i * 7 % COUNT;

        alarms[turn] = (struct alarm){ 0 };
        set(&alarms[turn], now_ns + 100 * MS + turn * 5ull * MS);
    }
    await(&fired, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_uint_eq(alarms[i].place, i + 1);
    ck_assert_uint_eq(atomic_load(&early), 0);
}
END_TEST

START_TEST(test_past_deadlines)
{
    static const uint64_t past[] = { 0, 1, 1000000 };

    for (unsigned i = 0; i < NV_ARRAY_SIZE(past); i++) {
        struct alarm alarm = { 0 };

        set(&alarm, past[i]);
        await(&alarm.calls, 1);
        nv_loop_clear_timer(loop, &alarm.timer);
        ck_assert_uint_eq(atomic_load(&alarm.calls), 1);
    }
}
END_TEST

/* Set anew, it comes once, at the later or earlier time. */
START_TEST(test_set_anew)
{
    struct alarm first = { 0 };
    struct alarm second = { 0 };
    uint64_t now_ns = nv_now_ns();

    set(&first, now_ns + 10 * MS);
    set(&second, now_ns + 3600000ull * MS);
    set(&first, now_ns + 60 * MS);
    set(&second, now_ns + 20 * MS);
    await(&first.calls, 1);
    sleep_ms(30);
    ck_assert_uint_eq(atomic_load(&fired), 2);
    ck_assert_uint_eq(second.place, 1);
    ck_assert_uint_eq(atomic_load(&early), 0);
    nv_loop_clear_timer(loop, &first.timer);
    nv_loop_clear_timer(loop, &second.timer);
}
END_TEST

START_TEST(test_cleared_does_not_fire)
{
    struct alarm gone = { 0 };
    struct alarm kept = { 0 };
    uint64_t now_ns = nv_now_ns();

    set(&gone, now_ns + 30 * MS);
    set(&kept, now_ns + 60 * MS);
    nv_loop_clear_timer(loop, &gone.timer);
    nv_loop_clear_timer(loop, &gone.timer); /* nothing happens */
    await(&kept.calls, 1);
    ck_assert_uint_eq(atomic_load(&gone.calls), 0);
    set(&gone, now_ns);
    await(&gone.calls, 1);
    nv_loop_clear_timer(loop, &gone.timer);
    nv_loop_clear_timer(loop, &kept.timer);
}
END_TEST

/* A deadline that no clock reaches is no trouble. */
START_TEST(test_never)
{
    struct alarm never = { 0 };
    struct alarm soon = { 0 };

    set(&never, UINT64_MAX);
    set(&soon, nv_now_ns() + 5 * MS);
    await(&soon.calls, 1);
    ck_assert_uint_eq(atomic_load(&never.calls), 0);
    nv_loop_clear_timer(loop, &never.timer);
    nv_loop_clear_timer(loop, &soon.timer);
}
END_TEST

/* A callback that waits until the test lets it go on. */
struct gate {
    struct nv_timer timer;
    sem_t entered;
    sem_t go_on;
    atomic_bool has_left;
};

static void on_gate(void *user_data)
{
    struct gate *gate = user_data;

    sem_post(&gate->entered);
    while (sem_wait(&gate->go_on) < 0)
        ;
    sleep_ms(20);
    atomic_store(&gate->has_left, true);
}

START_TEST(test_clear_waits_for_the_callback)
{
    struct gate gate = { .timer = { .fn = on_gate, .user_data = &gate } };

    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.go_on, 0, 0);
    nv_loop_set_timer(loop, &gate.timer, 1);
    while (sem_wait(&gate.entered) < 0)
        ;
    sem_post(&gate.go_on);
    nv_loop_clear_timer(loop, &gate.timer);
    ck_assert(atomic_load(&gate.has_left));
    sem_destroy(&gate.entered);
    sem_destroy(&gate.go_on);
}
END_TEST

/* Sets itself again: a number of times, or for ever, at once or after a while. */
struct repeater {
    struct nv_timer timer;
    unsigned times; /* 0: for ever */
    uint64_t delay_ns;
    bool clears; /* itself, instead */
    atomic_uint calls;
};

static void on_repeat(void *user_data)
{
    struct repeater *repeater = user_data;
    unsigned calls = atomic_fetch_add(&repeater->calls, 1) + 1;

    if (!repeater->times || calls < repeater->times)
        nv_loop_set_timer(loop, &repeater->timer,
                          repeater->delay_ns ? nv_now_ns() + repeater->delay_ns : 1);
    if (repeater->clears)
        nv_loop_clear_timer(loop, &repeater->timer);
}

START_TEST(test_set_from_callback)
{
    struct repeater repeater = { .timer = { .fn = on_repeat, .user_data = &repeater },
                                 .times = 6,
                                 .delay_ns = 2 * MS };

    nv_loop_set_timer(loop, &repeater.timer, 1);
    await(&repeater.calls, 6);
    sleep_ms(20);
    ck_assert_uint_eq(atomic_load(&repeater.calls), 6);
    nv_loop_clear_timer(loop, &repeater.timer);
}
END_TEST

START_TEST(test_clear_from_callback)
{
    struct repeater repeater = { .timer = { .fn = on_repeat, .user_data = &repeater },
                                 .clears = true };

    nv_loop_set_timer(loop, &repeater.timer, 1);
    await(&repeater.calls, 1);
    sleep_ms(20);
    ck_assert_uint_eq(atomic_load(&repeater.calls), 1);
    nv_loop_clear_timer(loop, &repeater.timer);
}
END_TEST

/* One that sets itself again at once can be cleared, and does not come afterwards. */
START_TEST(test_clear_one_that_never_stops)
{
    for (int round = 0; round < 200; round++) {
        struct repeater repeater = { .timer = { .fn = on_repeat, .user_data = &repeater } };
        unsigned calls;

        nv_loop_set_timer(loop, &repeater.timer, 1);
        await(&repeater.calls, 1);
        nv_loop_clear_timer(loop, &repeater.timer);
        calls = atomic_load(&repeater.calls);
        sleep_ms(round % 10 == 0);
        ck_assert_uint_eq(atomic_load(&repeater.calls), calls);
    }
}
END_TEST

static void on_event(void *user_data, uint32_t events)
{
    struct nv_source *source = user_data;
    eventfd_t value;

    eventfd_read(source->fd, &value);
    atomic_fetch_add(&fired, 1);
}

/* Nor do such timers starve descriptors. */
START_TEST(test_descriptors_have_their_turn)
{
    struct repeater repeater = { .timer = { .fn = on_repeat, .user_data = &repeater } };
    struct nv_source source = { .fn = on_event, .user_data = &source };

    source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_eq(nv_loop_add(loop, &source, EPOLLIN), 0);
    nv_loop_set_timer(loop, &repeater.timer, 1);
    for (unsigned i = 1; i <= 20; i++) {
        eventfd_write(source.fd, 1);
        await(&fired, i);
    }
    nv_loop_clear_timer(loop, &repeater.timer);
    nv_loop_remove(loop, &source);
    close(source.fd);
}
END_TEST

static void on_free(void *user_data)
{
    free(user_data);
    atomic_fetch_add(&fired, 1);
}

/* A callback may free its timer: nobody touches it afterwards. */
START_TEST(test_freed_by_callback)
{
    for (unsigned i = 0; i < 100; i++) {
        struct nv_timer *timer = calloc(1, sizeof(*timer));

        *timer = (struct nv_timer){ .fn = on_free, .user_data = timer };
        nv_loop_set_timer(loop, timer, nv_now_ns() + i * MS / 10);
    }
    await(&fired, 100);
}
END_TEST

START_TEST(test_many)
{
    static struct alarm alarms[MANY];
    uint64_t now_ns = nv_now_ns();
    unsigned kept = 0;
    bool is_in_time;

    for (unsigned i = 0; i < MANY; i++) {
        alarms[i] = (struct alarm){ 0 };
        set(&alarms[i], now_ns + 300 * MS + i * 7919 % MANY * 20000ull);
    }
    for (unsigned i = 0; i < MANY; i += 3)
        nv_loop_clear_timer(loop, &alarms[i].timer);
    is_in_time = nv_now_ns() < now_ns + 300 * MS;
    for (unsigned i = 0; i < MANY; i++)
        kept += i % 3 != 0;
    await(&fired, kept);
    sleep_ms(30);
    for (unsigned i = 0; i < MANY; i++) {
        nv_loop_clear_timer(loop, &alarms[i].timer);
        ck_assert_uint_le(atomic_load(&alarms[i].calls), i % 3 != 0 || !is_in_time);
    }
    ck_assert_uint_eq(atomic_load(&early), 0);
}
END_TEST

/* By CPU time, so that a busy machine does not matter. */
static uint64_t thread_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* With very many that are set, one more costs little: thousands of VMs can share a loop. */
START_TEST(test_very_many)
{
    enum { VERY_MANY = 100000 };
    struct nv_timer *timers = calloc(VERY_MANY, sizeof(*timers));
    uint64_t due_ns = nv_now_ns() + 3600000ull * MS;
    uint64_t begin_ns = thread_ns();

    ck_assert_ptr_nonnull(timers);
    for (uint64_t i = 0; i < VERY_MANY; i++)
        nv_loop_set_timer(loop, &timers[i], due_ns + i * 7919 % VERY_MANY);
    for (uint64_t i = 0; i < VERY_MANY; i++)
        nv_loop_set_timer(loop, &timers[i], due_ns + i * 104729 % VERY_MANY);
    for (uint64_t i = 0; i < VERY_MANY; i++)
        nv_loop_clear_timer(loop, &timers[i]);
    ck_assert_uint_lt(thread_ns() - begin_ns, 10000ull * MS);
    free(timers);
}
END_TEST

/* The links of a tree of timers, and that none comes before the one it hangs on. */
static void check_links(const struct nv_timer *first, uint32_t count)
{
    static const struct nv_timer *stack[MANY];
    uint32_t depth = 0;
    uint32_t seen = 0;

    if (first) {
        ck_assert_ptr_null(first->next);
        ck_assert_ptr_null(first->prev);
        stack[depth++] = first;
    }
    while (depth > 0) {
        const struct nv_timer *upper = stack[--depth];
        const struct nv_timer *prev = upper;

        seen++;
        for (const struct nv_timer *timer = upper->child; timer; timer = timer->next) {
            if (timer->prev != prev || timer->deadline_ns < upper->deadline_ns || depth == MANY)
                ck_abort_msg("a link or the order is broken");
            stack[depth++] = timer;
            prev = timer;
        }
    }
    ck_assert_uint_eq(seen, count);
}

/* Timers set and cleared at random, against a search through all of them. */
START_TEST(test_first_is_the_least)
{
    enum { COUNT = 50, STEPS = 2000 };
    struct nv_timer timers[COUNT] = { 0 };
    struct nv_timers set = { NULL };
    unsigned seed = 1;

    for (int step = 0; step < STEPS; step++) {
        struct nv_timer *timer;
        uint64_t least = UINT64_MAX;
        uint32_t count = 0;

        seed = seed * 1103515245 + 12345;
        timer = &timers[(seed >> 8) % COUNT];
        nv_timers_remove(&set, seed >> 30 ? timer : set.first ? set.first : timer);
        if (seed >> 31 && timer->deadline_ns == 0)
            nv_timers_add(&set, timer, seed >> 16 & 31);
        for (int i = 0; i < COUNT; i++) {
            if (timers[i].deadline_ns == 0)
                continue;
            least = NV_MIN(least, timers[i].deadline_ns);
            count++;
        }
        ck_assert_uint_eq(set.first ? set.first->deadline_ns : UINT64_MAX, least);
        check_links(set.first, count);
    }
}
END_TEST

/* The loop goes with timers set: they do not fire. */
START_TEST(test_loop_ends_first)
{
    static struct alarm alarm;
    struct nestvirt_loop *other = loop;

    alarm = (struct alarm){ 0 };
    set(&alarm, nv_now_ns() + 50 * MS);
    ck_nv_ok(nv_loop_new(&loop, &error));
    nv_loop_unref(other);
    sleep_ms(80);
    ck_assert_uint_eq(atomic_load(&alarm.calls), 0);
}
END_TEST

static struct repeater shared[4];

static void *set_and_clear(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;

    for (int i = 0; i < 3000; i++) {
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1)
            nv_loop_set_timer(loop, &shared[seed >> 20 & 3].timer, nv_now_ns() + (seed >> 24));
        else
            nv_loop_clear_timer(loop, &shared[seed >> 20 & 3].timer);
    }
    return NULL;
}

START_TEST(test_several_threads)
{
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++)
        shared[i] = (struct repeater){ .timer = { .fn = on_repeat, .user_data = &shared[i] },
                                       .times = i % 2 ? 0 : 1 };
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, set_and_clear, (void *)i), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 4; i++)
        nv_loop_clear_timer(loop, &shared[i].timer);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_timer");
    TCase *tcase = support_case(suite, "timers", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_order);
    tcase_add_test(tcase, test_past_deadlines);
    tcase_add_test(tcase, test_set_anew);
    tcase_add_test(tcase, test_cleared_does_not_fire);
    tcase_add_test(tcase, test_never);
    tcase_add_test(tcase, test_clear_waits_for_the_callback);
    tcase_add_test(tcase, test_set_from_callback);
    tcase_add_test(tcase, test_clear_from_callback);
    tcase_add_test(tcase, test_clear_one_that_never_stops);
    tcase_add_test(tcase, test_descriptors_have_their_turn);
    tcase_add_test(tcase, test_freed_by_callback);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_very_many);
    tcase_add_test(tcase, test_first_is_the_least);
    tcase_add_test(tcase, test_loop_ends_first);
    tcase_add_test(tcase, test_several_threads);
    return suite;
}
