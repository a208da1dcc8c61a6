/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the tests of a bad neighbour among 200 VMs: whatever it does, the others lose no more than
 * they lose to one that merely spins; and of a process that is stopped and continued.
 *
 * The two neighbours take turns, a window of time each, so that what else the machine does hits
 * both alike. Progress is counted by the CPU time that this process gets, less what
 * the neighbour's own threads take: all else that it makes the library do is a part of it. The
 * ratio is compared by its median.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "crowd.h"
#include "guests.h"
#include "script.h"
#include "support.h"

enum {
    OTHERS = 199,
    MEMORY = 1 << 20,
    ROUNDS = 11,
    ROUNDS_STARTED = 21, /* of one that is started again and again, which scatters more */
    ROUNDS_MAX = 41,     /* while the median says no: among other programs few rounds say little */
    STARTS_MIN = 3,      /* among so many others each start takes several turns */
    WINDOW_US = 150000,
    WINDOWS_MAX = 40,
    SETTLE_US = 30000, /* after the neighbours have changed places */
    STOPS = 4,
    STOPPED_OTHERS = 200,
    FLOOD_MIN = 1000,      /* bytes: a fraction of a second of a vCPU's */
    SERVED_MIN_NS = 200000 /* of CPU time: many kicks */
};

#define KEPT 0.95 /* of the progress beside one that spins */

static struct nestvirt_host *host;
static struct crowd *others;

/* Somebody next door: run() lets it do what it does, rest() makes it do nothing. */
struct neighbour {
    struct nestvirt_vm *vm;
    bool is_started_anew; /* each time it has ended */
    atomic_bool is_running;
    atomic_uint starts;
    pthread_t thread;
};

static void *start_again_and_again(void *argument)
{
    struct neighbour *neighbour = argument;

    while (atomic_load(&neighbour->is_running)) {
        if (nestvirt_vm_start(neighbour->vm, NULL) < 0 ||
            nestvirt_vm_wait(neighbour->vm, 10000, NULL, NULL) < 0)
            break;
        atomic_fetch_add(&neighbour->starts, 1);
    }
    return NULL;
}

static void hurry(const struct neighbour *neighbour, bool on)
{
    struct nestvirt_thread_info info;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(neighbour->vm, i, &info, NULL) == 0; i++)
        if (info.kind == NESTVIRT_THREAD_VCPU)
            crowd_come_first(info.tid, on);
}

static void run(struct neighbour *neighbour)
{
    hurry(neighbour, false);
    if (!neighbour->is_started_anew) {
        ck_nv_ok(nestvirt_vm_resume(neighbour->vm, &error));
        return;
    }
    atomic_store(&neighbour->is_running, true);
    ck_assert_int_eq(pthread_create(&neighbour->thread, NULL, start_again_and_again, neighbour), 0);
    /* It is the vCPU that takes its turns. */
    pthread_setschedparam(neighbour->thread, SCHED_FIFO, &(struct sched_param){ 1 });
}

static void rest(struct neighbour *neighbour)
{
    hurry(neighbour, true);
    if (!neighbour->is_started_anew) {
        ck_nv_ok(nestvirt_vm_pause(neighbour->vm, &error));
        return;
    }
    atomic_store(&neighbour->is_running, false);
    pthread_join(neighbour->thread, NULL);
}

static struct neighbour settle_in(struct nestvirt_vm *vm, bool is_started_anew)
{
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    if (!is_started_anew) {
        ck_nv_ok(nestvirt_vm_start(vm, &error));
        ck_nv_ok(nestvirt_vm_pause(vm, &error));
    }
    return (struct neighbour){ .vm = vm, .is_started_anew = is_started_anew };
}

/* The CPU time of all threads of this process, in seconds: what other programs take does not count.
 */
static double cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double sum_of_progress(void)
{
    double sum = 0;

    for (uint32_t i = 0; i < others->count; i++)
        sum += crowd_progress(others, i);
    return sum;
}

/* The time that its threads of one kind have had a CPU, in nanoseconds. */
static uint64_t cpu_ns(const struct neighbour *neighbour, uint32_t kind)
{
    struct nestvirt_thread_info info;
    uint64_t sum = 0;

    nestvirt_thread_info_init(&info, sizeof(info));
    for (uint32_t i = 0; nestvirt_thread_get(neighbour->vm, i, &info, NULL) == 0; i++) {
        unsigned long long time_ns = 0;
        FILE *file;

        if (info.kind != kind)
            continue;
        file = fopen(nv_text("/proc/self/task/%d/schedstat", info.tid).s, "re");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fscanf(file, "%llu", &time_ns), 1);
        fclose(file);
        sum += time_ns;
    }
    return sum;
}

/* The CPU time that the neighbour has had itself, starting it included, in seconds. */
static double own_s(const struct neighbour *neighbour)
{
    double sum = (double)cpu_ns(neighbour, NESTVIRT_THREAD_VCPU) / 1e9;
    struct timespec now;
    clockid_t clock;

    if (!neighbour->is_started_anew)
        return sum;
    ck_assert_int_eq(pthread_getcpuclockid(neighbour->thread, &clock), 0);
    ck_assert_int_eq(clock_gettime(clock, &now), 0);
    return sum + (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * What all others together do in a second of this process, less the neighbour's own share, while
 * that one is up. It really is: the window lasts until its vCPU has had a turn, which among so many
 * takes half a second.
 */
static double measure(struct neighbour *neighbour)
{
    double progress;
    double start;
    uint64_t ran_ns;

    run(neighbour);
    usleep(SETTLE_US);
    ran_ns = cpu_ns(neighbour, NESTVIRT_THREAD_VCPU);
    start = cpu_s() - own_s(neighbour);
    progress = sum_of_progress();
    for (int i = 0;
         i < WINDOWS_MAX && (i == 0 || cpu_ns(neighbour, NESTVIRT_THREAD_VCPU) == ran_ns); i++)
        usleep(WINDOW_US);
    progress = sum_of_progress() - progress;
    start = cpu_s() - own_s(neighbour) - start;
    ck_assert_msg(cpu_ns(neighbour, NESTVIRT_THREAD_VCPU) > ran_ns,
                  "the neighbour did not run while it was measured");
    rest(neighbour);
    return progress / start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void compare_neighbours(const char *name, struct neighbour *bad)
{
    struct neighbour polite = settle_in(GUEST_NEW(host, spin), false);
    const int least = bad->is_started_anew ? ROUNDS_STARTED : ROUNDS;
    double ratios[ROUNDS_MAX];
    double bad_rate = 0;
    double rate = 0;
    int rounds = 0;

    /* An odd number of them, so that the median is one of them. */
    while (rounds < least || rounds % 2 == 0 ||
           (rounds < ROUNDS_MAX && ratios[rounds / 2] <= KEPT)) {
        /* First one, then the other; in the next round the other way round. */
        if (rounds % 2)
            bad_rate = measure(bad);
        rate = measure(&polite);
        if (rounds % 2 == 0)
            bad_rate = measure(bad);
        ratios[rounds++] = bad_rate / rate;
        qsort(ratios, (size_t)rounds, sizeof(ratios[0]), compare);
    }
    printf("%s: others keep %.3f of %.0f steps a second (%.3f to %.3f, %d rounds)\n", name,
           ratios[rounds / 2], rate, ratios[0], ratios[rounds - 1], rounds);
    ck_assert_int_eq(nestvirt_vm_free(polite.vm), 0);
    ck_assert_msg(ratios[rounds / 2] > KEPT, "the others keep %.3f only", ratios[rounds / 2]);
    ck_assert_uint_eq(crowd_find_bad(others), others->count);
}

START_TEST(test_starts_and_triple_faults)
{
    struct neighbour bad =
        settle_in(GUEST_NEW(host, triple_fault, .mode = NESTVIRT_MODE_PROTECTED), true);

    compare_neighbours("starts and triple faults", &bad);
    printf("%u of them\n", atomic_load(&bad.starts));
    ck_assert_uint_ge(atomic_load(&bad.starts), STARTS_MIN);
    ck_assert_int_eq(nestvirt_vm_free(bad.vm), 0);
}
END_TEST

/* The guests in bytes, real mode at 0x1000. */
static struct nestvirt_vm *make_bad(const uint8_t *code, size_t size)
{
    return guest_new(host, code, code + size, &(struct guest_options){ 0 });
}

START_TEST(test_interrupts_off)
{
    static const uint8_t code[] = { 0xfa, 0xeb, 0xfe }; /* cli; jmp . */
    struct neighbour bad = settle_in(make_bad(code, sizeof(code)), false);

    compare_neighbours("interrupts off", &bad);
    ck_assert_int_eq(nestvirt_vm_free(bad.vm), 0);
}
END_TEST

START_TEST(test_console_flood)
{
    /* mov $0x3f8, %dx; mov $'A', %al; again: out %al, %dx; incl 0x2000; jmp again */
    static const uint8_t code[] = { 0xba, 0xf8, 0x03, 0xb0, 'A',  0xee, 0x66,
                                    0xff, 0x06, 0x00, 0x20, 0xeb, 0xf8 };
    struct nestvirt_vm *vm = make_bad(code, sizeof(code));
    struct nestvirt_device *serial;
    struct neighbour bad;
    int output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    uint32_t written = 0;

    ck_nv_ok(nestvirt_device_add(vm, "serial", &serial, &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "output", output, &error));
    close(output);
    bad = settle_in(vm, false);
    compare_neighbours("console flood", &bad);
    ck_nv_ok(nestvirt_memory_read(vm, 0x2000, &written, sizeof(written), &error));
    printf("%u bytes\n", written);
    ck_assert_uint_ge(written, FLOOD_MIN);
    ck_assert_int_eq(nestvirt_vm_free(bad.vm), 0);
}
END_TEST

/* The loop that serves the queue is that of the others too. */
START_TEST(test_kicks_without_end)
{
    struct neighbour bad;
    struct script script;
    uint64_t served_ns;
    uint32_t again;

    script_begin(&script, host, NULL);
    ck_nv_ok(nestvirt_vm_set_loop(script.vm, others->loop, &error));
    ck_nv_ok(nestvirt_device_add(script.vm, "rng", &script.device, &error));
    script_drive(&script, 0);
    again = script.steps;
    script_put(&script, NV_VIRTIO_REG_QUEUE_NOTIFY, 0);
    script_jump(&script, again);
    bad = settle_in(script.vm, false);
    served_ns = cpu_ns(&bad, NESTVIRT_THREAD_LOOP);
    compare_neighbours("kicks without end", &bad);
    served_ns = cpu_ns(&bad, NESTVIRT_THREAD_LOOP) - served_ns;
    printf("%.1f ms of the loop's time\n", (double)served_ns / 1e6);
    ck_assert_uint_ge(served_ns, SERVED_MIN_NS);
    script_end(&script);
}
END_TEST

/* Each pauses until all are there, for among so many that spin everything takes its time. */
static void move_in(void)
{
    others = crowd_new(host, MEMORY, true);
    ck_nv_ok(nestvirt_loop_new(&others->loop, &error));
    for (uint32_t i = 0; i < OTHERS; i++) {
        ck_nv_ok(crowd_add(others, &error));
        ck_assert(crowd_has_run(others, i));
        ck_nv_ok(nestvirt_vm_pause(others->vms[i], &error));
    }
    for (uint32_t i = 0; i < OTHERS; i++)
        ck_nv_ok(nestvirt_vm_resume(others->vms[i], &error));
}

static void move_out(void)
{
    nestvirt_loop_free(others->loop);
    crowd_free(others);
    others = NULL;
}

/* --- Stopped and continued --- */

/* True if every VM makes progress. */
static bool do_all_go_on(const struct crowd *crowd)
{
    static uint32_t before[CROWD_MAX];
    uint32_t i;

    for (i = 0; i < crowd->count; i++)
        before[i] = crowd_progress(crowd, i);
    for (i = 0; i < crowd->count; i++) {
        int tries = 500;

        while (crowd_progress(crowd, i) == before[i] && --tries > 0)
            usleep(10000);
        if (tries == 0 || nestvirt_vm_get_state(crowd->vms[i]) != NESTVIRT_STATE_RUNNING)
            return false;
    }
    return true;
}

/* The process that is stopped: answers each question by whether all go on. */
static int live(int fd)
{
    struct nestvirt_host *own;
    struct crowd *crowd;
    char word;

    if (nestvirt_host_open(NULL, &own, NULL) < 0)
        return 1;
    crowd = crowd_new(own, MEMORY, true);
    if (!crowd || nestvirt_loop_new(&crowd->loop, NULL) < 0)
        return 1;
    for (int i = 0; i < STOPPED_OTHERS; i++)
        if (crowd_add(crowd, NULL) < 0)
            return 1;
    while (read(fd, &word, 1) == 1) {
        word = do_all_go_on(crowd) ? 'y' : 'n';
        if (write(fd, &word, 1) != 1)
            return 1;
    }
    nestvirt_loop_free(crowd->loop);
    crowd_free(crowd);
    return nestvirt_host_free(own) < 0;
}

static char ask(int fd)
{
    char word = '?';

    ck_assert_int_eq(write(fd, &word, 1), 1);
    ck_assert_int_eq(read(fd, &word, 1), 1);
    return word;
}

START_TEST(test_fault_20_stopped_and_continued)
{
    int status = -1;
    int fds[2];
    pid_t child;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(fds[0]);
        _exit(live(fds[1]));
    }
    close(fds[1]);
    ck_assert_int_eq(ask(fds[0]), 'y');
    for (int i = 0; i < STOPS; i++) {
        ck_assert_int_eq(kill(child, SIGSTOP), 0);
        ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
        ck_assert(WIFSTOPPED(status));
        usleep(300000);
        ck_assert_int_eq(kill(child, SIGCONT), 0);
        ck_assert_int_eq(ask(fds[0]), 'y');
    }
    close(fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_neighbours");
    TCase *tcase = support_case(suite, "neighbours", 200);

    host = support_host();
    crowd_come_first(0, true);
    tcase_add_checked_fixture(tcase, move_in, move_out);
    tcase_add_test(tcase, test_starts_and_triple_faults);
    tcase_add_test(tcase, test_interrupts_off);
    tcase_add_test(tcase, test_console_flood);
    tcase_add_test(tcase, test_kicks_without_end);
    tcase = support_case(suite, "stopped", 120);
    tcase_add_test(tcase, test_fault_20_stopped_and_continued);
    return suite;
}
