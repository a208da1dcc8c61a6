/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the event loop: adding and removing while it works, and that no late event comes. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/util.h"
#include "host/loop.h"
#include "support.h"

static struct nestvirt_loop *loop;

static void setup(void)
{
    ck_nv_ok(nv_loop_new(&loop, &error));
}

static void teardown(void)
{
    nv_loop_unref(loop);
}

/* A watched eventfd and what happened to it. */
struct watch {
    struct nv_source source;
    atomic_uint calls;
    atomic_bool is_removed; /* no call may come any more */
    atomic_uint late;
    sem_t entered;
    sem_t go_on;
    bool blocks;
    bool removes_itself;
    bool keeps; /* does not read the eventfd */
};

static void on_event(void *user_data, uint32_t events)
{
    struct watch *watch = user_data;
    eventfd_t value;

    if (atomic_load(&watch->is_removed))
        atomic_fetch_add(&watch->late, 1);
    atomic_fetch_add(&watch->calls, 1);
    if (!watch->keeps)
        eventfd_read(watch->source.fd, &value);
    sem_post(&watch->entered);
    while (watch->blocks && sem_wait(&watch->go_on) < 0)
        ;
    if (watch->removes_itself)
        nv_loop_remove(loop, &watch->source);
}

static void watch_init(struct watch *watch)
{
    memset(watch, 0, sizeof(*watch));
    sem_init(&watch->entered, 0, 0);
    sem_init(&watch->go_on, 0, 0);
    watch->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(watch->source.fd, 0);
    watch->source.fn = on_event;
    watch->source.user_data = watch;
}

static void watch_end(struct watch *watch)
{
    nv_loop_remove(loop, &watch->source);
    close(watch->source.fd);
    sem_destroy(&watch->entered);
    sem_destroy(&watch->go_on);
}

static void add(struct watch *watch)
{
    ck_assert_int_eq(nv_loop_add(loop, &watch->source, EPOLLIN), 0);
}

START_TEST(test_many_sources)
{
    enum { MANY = 100 };
    static struct watch watches[MANY];

    for (int i = 0; i < MANY; i++) {
        watch_init(&watches[i]);
        add(&watches[i]);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            eventfd_write(watches[i].source.fd, 1);
        for (int i = 0; i < MANY; i++)
            sem_wait(&watches[i].entered);
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_uint_eq(atomic_load(&watches[i].calls), 3);
        watch_end(&watches[i]);
    }
}
END_TEST

START_TEST(test_descriptors_that_cannot_be_watched)
{
    struct watch watch;
    int file = memfd_create("test", MFD_CLOEXEC);
    int event;

    watch_init(&watch);
    event = watch.source.fd;
    watch.source.fd = file;
    ck_assert_int_eq(nv_loop_add(loop, &watch.source, EPOLLIN), -EPERM);
    ck_assert_uint_eq(watch.source.place, 0);
    watch.source.fd = 19999;
    ck_assert_int_eq(nv_loop_add(loop, &watch.source, EPOLLIN), -EBADF);
    nv_loop_remove(loop, &watch.source); /* was never added */
    nv_loop_disable(loop, &watch.source);
    watch.source.fd = event;
    add(&watch);
    watch_end(&watch);
    close(file);
}
END_TEST

START_TEST(test_watching_for_something_else)
{
    struct watch watch;

    watch_init(&watch);
    ck_assert_int_eq(nv_loop_change(loop, &watch.source, EPOLLIN), -ENOENT); /* was never added */
    ck_assert_int_eq(nv_loop_add(loop, &watch.source, 0), 0);
    eventfd_write(watch.source.fd, 1);
    usleep(20000);
    ck_assert_uint_eq(atomic_load(&watch.calls), 0);
    ck_assert_int_eq(nv_loop_change(loop, &watch.source, EPOLLIN), 0);
    sem_wait(&watch.entered);
    ck_assert_int_eq(nv_loop_change(loop, &watch.source, 0), 0);
    eventfd_write(watch.source.fd, 1);
    usleep(20000);
    ck_assert_uint_eq(atomic_load(&watch.calls), 1);
    watch_end(&watch);
    ck_assert_int_eq(nv_loop_change(loop, &watch.source, EPOLLIN), -ENOENT);
}
END_TEST

static void *remover(void *argument)
{
    struct watch *watch = argument;

    nv_loop_remove(loop, &watch->source);
    atomic_store(&watch->is_removed, true);
    return NULL;
}

START_TEST(test_remove_waits_for_the_callback)
{
    struct watch watch;
    pthread_t thread;

    watch_init(&watch);
    watch.blocks = true;
    add(&watch);
    eventfd_write(watch.source.fd, 1);
    sem_wait(&watch.entered);
    ck_assert_int_eq(pthread_create(&thread, NULL, remover, &watch), 0);
    usleep(20000);
    ck_assert(!atomic_load(&watch.is_removed)); /* the callback is still in there */
    sem_post(&watch.go_on);
    pthread_join(thread, NULL);
    ck_assert(atomic_load(&watch.is_removed));
    eventfd_write(watch.source.fd, 1);
    usleep(10000);
    ck_assert_uint_eq(atomic_load(&watch.calls), 1);
    watch_end(&watch);
}
END_TEST

START_TEST(test_remove_from_its_own_callback)
{
    struct watch watch;

    watch_init(&watch);
    watch.removes_itself = true;
    add(&watch);
    eventfd_write(watch.source.fd, 1);
    sem_wait(&watch.entered);
    nv_loop_remove(loop, &watch.source); /* and a second time, at the same moment */
    eventfd_write(watch.source.fd, 1);
    usleep(10000);
    ck_assert_uint_eq(atomic_load(&watch.calls), 1);
    watch_end(&watch);
}
END_TEST

/* Events of one batch wait while the first callback blocks; removed sources must not get theirs. */
START_TEST(test_stale_events_are_not_delivered)
{
    struct watch first;
    struct watch others[8];
    struct watch fresh;

    watch_init(&first);
    first.blocks = true;
    add(&first);
    for (int i = 0; i < 8; i++) {
        watch_init(&others[i]);
        add(&others[i]);
        eventfd_write(others[i].source.fd, 1);
    }
    for (int i = 0; i < 8; i++)
        sem_wait(&others[i].entered);
    for (int round = 0; round < 20; round++) {
        eventfd_write(first.source.fd, 1); /* all become ready while nobody can look */
        sem_wait(&first.entered);
        for (int i = 0; i < 8; i++)
            eventfd_write(others[i].source.fd, 1);
        eventfd_write(first.source.fd, 1);
        sem_post(&first.go_on);
        sem_wait(&first.entered); /* now a batch may hold some of the others, undelivered */
        for (int i = 0; i < 8; i++) {
            nv_loop_disable(loop, &others[i].source);
            atomic_store(&others[i].is_removed, true);
        }
        watch_init(&fresh); /* takes the place of one of them, and has no event */
        add(&fresh);
        sem_post(&first.go_on);
        usleep(2000);
        ck_assert_uint_eq(atomic_load(&fresh.calls), 0);
        watch_end(&fresh);
        for (int i = 0; i < 8; i++) {
            eventfd_t value;

            nv_loop_remove(loop, &others[i].source);
            ck_assert_uint_eq(atomic_load(&others[i].late), 0);
            eventfd_read(others[i].source.fd, &value);
            atomic_store(&others[i].is_removed, false);
            add(&others[i]);
        }
    }
    first.blocks = false;
    sem_post(&first.go_on);
    watch_end(&first);
    for (int i = 0; i < 8; i++)
        watch_end(&others[i]);
}
END_TEST

/* Several threads add, trigger and remove sources of their own. */
static void *churner(void *argument)
{
    struct watch watch;
    uintptr_t late = 0;

    for (int i = 0; i < 200; i++) {
        watch_init(&watch);
        watch.keeps = true; /* the loop has an event for it at any time */
        add(&watch);
        eventfd_write(watch.source.fd, 1);
        if (i % 3 == 0)
            nv_loop_disable(loop, &watch.source);
        nv_loop_remove(loop, &watch.source);
        atomic_store(&watch.is_removed, true);
        late += atomic_load(&watch.late);
        watch_end(&watch);
    }
    return (void *)late;
}

START_TEST(test_add_and_remove_from_many_threads)
{
    pthread_t threads[4];

    for (size_t i = 0; i < NV_ARRAY_SIZE(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churner, NULL), 0);
    for (size_t i = 0; i < NV_ARRAY_SIZE(threads); i++) {
        void *late;

        pthread_join(threads[i], &late);
        ck_assert_ptr_null(late);
    }
    for (uint32_t i = 0; i < loop->place_count; i++)
        ck_assert_ptr_null(loop->places[i].source);
}
END_TEST

static void look_at_signals(void *user_data, uint32_t events)
{
    struct watch *watch = user_data;
    sigset_t mask;
    eventfd_t value;

    eventfd_read(watch->source.fd, &value);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++)
        if (i != SIGKILL && i != SIGSTOP && sigismember(&mask, i) != 1)
            atomic_fetch_add(&watch->late, 1);
    atomic_store(&watch->is_removed, nv_loop_is_own_thread(loop));
    watch->keeps = nestvirt_loop_free(loop) == -EDEADLK;
    sem_post(&watch->entered);
}

START_TEST(test_fault_14_loop_thread_blocks_all_signals)
{
    struct watch watch;

    watch_init(&watch);
    watch.source.fn = look_at_signals;
    add(&watch);
    eventfd_write(watch.source.fd, 1);
    sem_wait(&watch.entered);
    ck_assert_uint_eq(atomic_load(&watch.late), 0);
    ck_assert(atomic_load(&watch.is_removed)); /* it was the loop's own thread */
    ck_assert(watch.keeps);                    /* which cannot wait for its own end */
    ck_assert(!nv_loop_is_own_thread(loop));
    watch_end(&watch);
}
END_TEST

START_TEST(test_references)
{
    struct nestvirt_loop *other;

    ck_nv_ok(nestvirt_loop_new(&other, &error));
    ck_assert_ptr_eq(nv_loop_ref(other), other);
    ck_assert_int_eq(nestvirt_loop_free(other), 0);
    nv_loop_unref(other);
    nv_loop_unref(NULL);
    ck_assert_int_eq(nestvirt_loop_free(NULL), 0);
    ck_nv_fails(nestvirt_loop_new(NULL, &error), -EFAULT);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("host_loop");
    TCase *tcase = support_case(suite, "loop", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_many_sources);
    tcase_add_test(tcase, test_descriptors_that_cannot_be_watched);
    tcase_add_test(tcase, test_watching_for_something_else);
    tcase_add_test(tcase, test_remove_waits_for_the_callback);
    tcase_add_test(tcase, test_remove_from_its_own_callback);
    tcase_add_test(tcase, test_stale_events_are_not_delivered);
    tcase_add_test(tcase, test_add_and_remove_from_many_threads);
    tcase_add_test(tcase, test_fault_14_loop_thread_blocks_all_signals);
    tcase_add_test(tcase, test_references);
    return suite;
}
