/* SPDX-License-Identifier: Apache-2.0 */
/* Owns where and how urgently a thread runs: CPUs, policy, nice value, core cookie, its times. */
#include "host/placement.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "core/util.h"
#include "host/thread.h"

/* The kernel marks a policy that children do not inherit. */
enum { POLICY_MASK = 0xff };

/* The header of the kernel may be older. */
enum { CORE_SCHED = 62, CORE_GET = 0, CORE_CREATE = 1, CORE_SHARE_TO = 2, CORE_THREAD = 0 };

static int read_cpus(pid_t tid, struct nv_set *ret_cpus)
{
    *ret_cpus = (struct nv_set){ { 0 } };
    return sched_getaffinity(tid, NV_SET_BYTES, (cpu_set_t *)ret_cpus->words) < 0 ? -errno : 0;
}

int nv_placement_read(pid_t tid, struct nv_placement *ret_placement)
{
    struct sched_param param;
    int r = read_cpus(tid, &ret_placement->cpus);

    if (r < 0)
        return r;
    ret_placement->policy = sched_getscheduler(tid);
    if (ret_placement->policy < 0 || sched_getparam(tid, &param) < 0)
        return -errno;
    ret_placement->policy &= POLICY_MASK;
    ret_placement->priority = param.sched_priority;
    errno = 0; /* -1 is a nice value as well */
    ret_placement->nice = getpriority(PRIO_PROCESS, (id_t)tid);
    if (errno)
        return -errno;
    ret_placement->fields = NV_PLACE_ALL;
    return 0;
}

void nv_placement_merge(struct nv_placement *whole, const struct nv_placement *part)
{
    if (part->fields & NV_PLACE_CPUS)
        whole->cpus = part->cpus;
    if (part->fields & NV_PLACE_POLICY) {
        whole->policy = part->policy;
        whole->priority = part->priority;
    }
    if (part->fields & NV_PLACE_NICE)
        whole->nice = part->nice;
    whole->fields |= part->fields;
}

static bool is_realtime(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* How much before others a policy runs; what raises it, or changes between the two of the top,
 * needs a right. */
static int rank(const struct nv_placement *placement)
{
    if (placement->policy == SCHED_IDLE)
        return -1;
    return is_realtime(placement->policy) ? placement->priority : 0;
}

/* True if the kernel may refuse this for lack of a right. What it may refuse so, it lets undo. */
static bool needs_right(const struct nv_place *place, uint32_t field)
{
    const struct nv_placement *wanted = &place->wanted;
    const struct nv_placement *former = &place->former;

    if (field == NV_PLACE_NICE)
        return wanted->nice < former->nice;
    if (field == NV_PLACE_POLICY)
        return rank(wanted) > rank(former) ||
               (is_realtime(wanted->policy) && wanted->policy != former->policy);
    return true; /* CPUs fail for other reasons, and can always be put back */
}

static int set_policy(pid_t tid, const struct nv_placement *placement)
{
    const struct sched_param param = { .sched_priority = placement->priority };

    return sched_setscheduler(tid, placement->policy, &param) < 0 ? -errno : 0;
}

static int set_nice(pid_t tid, const struct nv_placement *placement)
{
    return setpriority(PRIO_PROCESS, (id_t)tid, placement->nice) < 0 ? -errno : 0;
}

static int set_cpus(pid_t tid, const struct nv_placement *placement)
{
    const cpu_set_t *mask = (const cpu_set_t *)placement->cpus.words;

    return sched_setaffinity(tid, NV_SET_BYTES, mask) < 0 ? -errno : 0;
}

/* Says which CPUs the kernel left out of what was wanted. */
static int cpus_missing(const struct nv_place *place, const struct nv_set *given,
                        struct nestvirt_error **ret_error)
{
    const struct nv_set missing = nv_set_minus(&place->wanted.cpus, given);
    char missing_list[256];
    char given_list[64];

    nv_list_format(&missing, missing_list, sizeof(missing_list));
    nv_list_format(given, given_list, sizeof(given_list));
    return nv_fail(
        ret_error, -EINVAL, place->name.s,
        nv_text("name online CPUs of its cpuset; of those named it may use \"%s\"", given_list).s,
        "CPU %s is absent, offline or not allowed", missing_list);
}

/* A mask is trimmed without a word to what is online and in the thread's cpuset. */
static int place_cpus(const struct nv_place *place, struct nestvirt_error **ret_error)
{
    struct nv_set given = { { 0 } };
    int r = set_cpus(place->tid, &place->wanted);

    if (r == 0)
        r = read_cpus(place->tid, &given);
    else if (r == -EINVAL)
        r = 0; /* nothing is left of it */
    if (r < 0)
        return nv_fail_sys(ret_error, -r, place->name.s, "sched_setaffinity", "");
    if (!nv_set_is_within(&place->wanted.cpus, &given))
        return cpus_missing(place, &given, ret_error);
    return 0;
}

static int place_policy(const struct nv_place *place, struct nestvirt_error **ret_error)
{
    const struct nv_placement *wanted = &place->wanted;
    struct nv_text hint = nv_text("CAP_SYS_NICE or a higher RLIMIT_NICE is needed (ulimit -e)");
    struct nv_placement now;
    int r = set_policy(place->tid, wanted);

    if (is_realtime(wanted->policy))
        hint = nv_text("CAP_SYS_NICE or RLIMIT_RTPRIO %d is needed (ulimit -r), and in a cgroup of "
                       "version 1 time in cpu.rt_runtime_us",
                       wanted->priority);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, place->name.s, "sched_setscheduler",
                           r == -EPERM ? hint.s : "");
    r = nv_placement_read(place->tid, &now);
    if (r < 0 || now.policy != wanted->policy || now.priority != wanted->priority)
        return nv_fail(ret_error, r < 0 ? r : -EIO, place->name.s, "", "has not kept its policy");
    return 0;
}

static int place_nice(const struct nv_place *place, struct nestvirt_error **ret_error)
{
    enum { LIMIT_OF_ZERO = 20 }; /* RLIMIT_NICE counts the other way round */
    const int nice = place->wanted.nice;
    struct nv_placement now;
    int r = set_nice(place->tid, &place->wanted);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, place->name.s, nv_text("nice %d", nice).s,
                           r == -EACCES || r == -EPERM
                               ? nv_text("CAP_SYS_NICE or RLIMIT_NICE %d is needed (ulimit -e)",
                                         LIMIT_OF_ZERO - nice)
                                     .s
                               : "");
    r = nv_placement_read(place->tid, &now);
    if (r < 0 || now.nice != nice)
        return nv_fail(ret_error, r < 0 ? r : -EIO, place->name.s, "", "has not kept its nice");
    return 0;
}

static int place_field(struct nv_place *place, uint32_t field, struct nestvirt_error **ret_error)
{
    place->done |= field; /* also if it fails: half of it may have been done */
    if (field == NV_PLACE_CPUS)
        return place_cpus(place, ret_error);
    if (field == NV_PLACE_POLICY)
        return place_policy(place, ret_error);
    return place_nice(place, ret_error);
}

static int place_fields(struct nv_place *place, bool with_right, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t field = NV_PLACE_CPUS; field <= NV_PLACE_NICE && r == 0; field <<= 1)
        if (place->wanted.fields & field && needs_right(place, field) == with_right)
            r = place_field(place, field, ret_error);
    return r;
}

int nv_places_apply(struct nv_place *places, uint32_t count, struct nestvirt_error **ret_error)
{
    int r = 0;

    for (uint32_t i = 0; i < count; i++) {
        places[i].done = 0;
        r = nv_placement_read(places[i].tid, &places[i].former);
        if (r < 0)
            return nv_fail_sys(ret_error, -r, places[i].name.s, "sched_getaffinity", "");
    }
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = place_fields(&places[i], true, ret_error);
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = place_fields(&places[i], false, ret_error);
    if (r < 0)
        nv_places_undo(places, count);
    return r;
}

void nv_places_undo(struct nv_place *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct nv_place *place = &places[i];

        if (place->done & NV_PLACE_NICE)
            set_nice(place->tid, &place->former);
        if (place->done & NV_PLACE_POLICY)
            set_policy(place->tid, &place->former);
        if (place->done & NV_PLACE_CPUS)
            set_cpus(place->tid, &place->former);
        places[i].done = 0;
    }
}

int nv_core_read(pid_t tid, uint64_t *ret_cookie)
{
    unsigned long cookie = 0;

    if (prctl(CORE_SCHED, CORE_GET, tid, CORE_THREAD, &cookie) < 0)
        return -errno;
    *ret_cookie = cookie;
    return 0;
}

/* What a helper is to do, and what came of it. */
struct sharing {
    const struct nv_place *places;
    uint32_t count;
    int result;
};

/*
 * Whoever gives a cookie must have it: a thread that only lives for this, so that the caller's
 * stays. All that the kernel could refuse later it refuses for the look at the threads before.
 */
static void *share_main(void *argument)
{
    struct sharing *sharing = argument;
    uint64_t cookie;
    int r = 0;

    for (uint32_t i = 0; i < sharing->count && r == 0; i++)
        r = nv_core_read(sharing->places[i].tid, &cookie);
    if (r == 0 && prctl(CORE_SCHED, CORE_CREATE, 0, CORE_THREAD, 0) < 0)
        r = -errno;
    for (uint32_t i = 0; i < sharing->count && r == 0; i++)
        if (prctl(CORE_SCHED, CORE_SHARE_TO, sharing->places[i].tid, CORE_THREAD, 0) < 0)
            r = -errno;
    sharing->result = r;
    return NULL;
}

int nv_core_share(const struct nv_place *places, uint32_t count, struct nestvirt_error **ret_error)
{
    struct sharing sharing = { .places = places, .count = count };
    pthread_t helper;
    int r;

    if (count == 0)
        return 0;
    r = nv_thread_create(&helper, NULL, share_main, &sharing);
    if (r < 0)
        return nv_fail_sys(ret_error, -r, places[0].name.s, "pthread_create",
                           "raise the limit on processes and threads");
    pthread_join(helper, NULL);
    if (sharing.result == -ENODEV)
        return nv_fail(ret_error, -ENOTSUP, places[0].name.s, "leave the core cookie out",
                       "core scheduling needs CPUs with several hardware threads a core, in use");
    if (sharing.result == -EINVAL)
        return nv_fail(ret_error, -ENOTSUP, places[0].name.s,
                       "use a kernel with CONFIG_SCHED_CORE (Linux 5.14), or leave it out",
                       "this kernel has no core scheduling");
    if (sharing.result < 0)
        return nv_fail_sys(ret_error, -sharing.result, places[0].name.s, "PR_SCHED_CORE", "");
    return 0;
}

/* Field `number` (from 3, as proc(5) counts) of a stat line, behind the name in parentheses. */
static const char *stat_field(const char *line, int number)
{
    const char *at = strrchr(line, ')');

    for (int i = 2; at && i < number; i++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at;
}

static void take_name(const char *line, char name[16])
{
    const char *begin = strchr(line, '(');
    const char *end = strrchr(line, ')');
    size_t length = begin && end > begin ? (size_t)(end - begin - 1) : 0;

    length = NV_MIN(length, 15u);
    if (length > 0)
        memcpy(name, begin + 1, length);
    name[length] = '\0';
}

int nv_thread_look(const struct nv_tree *tree, pid_t tid, struct nv_thread_sight *ret_sight)
{
    enum { FIELD_PROCESSOR = 39 };
    struct nv_thread_sight sight = { 0 };
    const char *cpu;
    char text[1024];
    ssize_t length =
        nv_tree_read(tree, nv_text("proc/self/task/%d/stat", tid).s, text, sizeof(text));

    if (length < 0)
        return (int)length;
    take_name(text, sight.name);
    cpu = stat_field(text, FIELD_PROCESSOR);
    sight.has_cpu = cpu && sscanf(cpu, "%" SCNu32, &sight.last_cpu) == 1;
    length = nv_tree_read(tree, nv_text("proc/self/task/%d/schedstat", tid).s, text, sizeof(text));
    sight.has_times = length > 0 && sscanf(text, "%" SCNu64 " %" SCNu64, &sight.cpu_time_ns,
                                           &sight.run_delay_ns) == 2;
    *ret_sight = sight;
    return 0;
}
