/* SPDX-License-Identifier: Apache-2.0 */
/* How long the VMs of 10_density wait for a CPU, by the kernel's own sums. */
#include <inttypes.h>
#include <string.h>

#include "density.h"

/* "run-ns wait-ns times" (the kernel's documentation, scheduler/sched-stats). */
static void add_thread(int32_t tid, struct queue *queue)
{
    uint64_t run_ns;
    uint64_t wait_ns;
    uint64_t times;
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
    file = fopen(path, "re");
    if (!file)
        return;
    if (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &run_ns, &wait_ns, &times) == 3) {
        queue->run_ns += run_ns;
        queue->wait_ns += wait_ns;
        queue->waits += times;
    }
    fclose(file);
}

void queue_read(const struct fleet *fleet, struct queue *queue)
{
    struct nestvirt_thread_info info;

    memset(queue, 0, sizeof(*queue));
    for (uint32_t i = 0; i < fleet->count; i++) {
        nestvirt_thread_info_init(&info, sizeof(info));
        if (nestvirt_thread_get(fleet->vms[i], 0, &info, NULL) == 0)
            add_thread(info.tid, queue);
    }
}

void queue_print(FILE *file, const struct queue *before, const struct queue *after)
{
    fprintf(file,
            "\"runqueue\":{\"source\":\"schedstat\",\"waits\":%" PRIu64 ",\"wait_ns\":%" PRIu64
            ",\"run_ns\":%" PRIu64 ",\"buckets\":null}",
            after->waits - before->waits, after->wait_ns - before->wait_ns,
            after->run_ns - before->run_ns);
}
