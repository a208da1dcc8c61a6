/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel itself sums up of a thread's waits, for hosts without the BPF program. */
#include "observe/schedstat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/error.h"

/* The kernel's Documentation/scheduler/sched-stats: time on a CPU, time waiting, timeslices. */
int nv_run_delay_read(const struct nv_tree *tree, pid_t tid, struct nv_run_delay *ret_delay)
{
    struct nv_run_delay delay;
    char text[128];
    ssize_t length =
        nv_tree_read(tree, nv_text("proc/self/task/%d/schedstat", tid).s, text, sizeof(text));

    if (length < 0)
        return length == -ESRCH ? -ENOENT : (int)length;
    if (sscanf(text, "%*u %" SCNu64 " %" SCNu64, &delay.time_ns, &delay.count) != 2)
        return -ENOTSUP;
    *ret_delay = delay;
    return 0;
}

int nv_run_delay_check(const struct nv_tree *tree, struct nestvirt_error **ret_error)
{
    static const char file[] = "/proc/self/task/TID/schedstat";
    struct nv_run_delay delay;
    int r = nv_run_delay_read(tree, getpid(), &delay); /* the first thread's id is the process's */

    if (r == 0)
        return 0;
    if (r == -ENOENT || r == -ENOTSUP)
        return nv_fail(ret_error, -ENOTSUP, file, "use a kernel with CONFIG_SCHED_INFO",
                       "this kernel does not tell how long threads wait");
    return nv_fail_sys(ret_error, -r, file, "read", "mount /proc");
}
