/* SPDX-License-Identifier: Apache-2.0 */
/* How long the VMs of 10_density wait for a CPU: histograms, or the kernel's own sums. */
#include <stdlib.h>

#include "common.h"
#include "density.h"

enum { TEXT_SIZE = 4096, JSON_SIZE = 32768 };

static struct nestvirt_observer *observer;

void queue_open(void)
{
    struct nestvirt_error *error = NULL;

    if (nestvirt_observer_new(NULL, &observer, &error) < 0)
        fprintf(stderr, "waits are not observed: %s\n", nestvirt_error_get_message(error));
    else if (nestvirt_observer_get_reason(observer)[0])
        fprintf(stderr, "waits are summed up only: %s\n", nestvirt_observer_get_reason(observer));
    nestvirt_error_free(error);
}

int queue_add(struct nestvirt_vm *vm, struct nestvirt_error **error)
{
    return observer ? nestvirt_observer_add(observer, vm, NESTVIRT_OBSERVE_VCPU, error) : 0;
}

void queue_start(void)
{
    if (observer)
        nestvirt_observer_start(observer, NULL);
}

void queue_show(FILE *file)
{
    static uint64_t counts[NESTVIRT_WAIT_BUCKETS];
    struct nestvirt_waits waits;
    uint64_t p50_ns;
    uint64_t p99_ns;

    nestvirt_waits_init(&waits, sizeof(waits));
    if (!observer || nestvirt_observer_read(observer, NULL, &waits, counts, NULL,
                                            NESTVIRT_WAIT_BUCKETS, NULL) < 0)
        return;
    if (nestvirt_waits_get_percentile(&waits, counts, NESTVIRT_WAIT_BUCKETS, 500000, &p50_ns,
                                      NULL) == 0 &&
        nestvirt_waits_get_percentile(&waits, counts, NESTVIRT_WAIT_BUCKETS, 990000, &p99_ns,
                                      NULL) == 0)
        fprintf(file, ", waits p50 %.3f ms p99 %.3f ms", (double)p50_ns / 1e6,
                (double)p99_ns / 1e6);
}

void queue_print_text(FILE *file)
{
    static const char *const heads[] = {
        [NESTVIRT_WEIGHT_COUNT] = "how many waits for a CPU",
        [NESTVIRT_WEIGHT_TIME] = "how much time was spent in waits for a CPU",
    };
    char text[TEXT_SIZE];
    uint32_t last = NESTVIRT_WEIGHT_TIME;

    if (observer && nestvirt_observer_get_reason(observer)[0]) /* totals have no two sides */
        last = NESTVIRT_WEIGHT_COUNT;
    for (uint32_t weight = NESTVIRT_WEIGHT_COUNT; observer && weight <= last; weight++)
        if (nestvirt_observer_get_text(observer, NULL, weight, text, sizeof(text), NULL) >= 0)
            fprintf(file, "%s\n%s", heads[weight], text);
}

void queue_print_json(FILE *file)
{
    char *text = malloc(JSON_SIZE);
    bool is_there =
        text && observer && nestvirt_observer_get_json(observer, NULL, text, JSON_SIZE, NULL) >= 0;

    fprintf(file, "\"runqueue\":%s", is_there ? text : "{\"source\":null,\"buckets\":null}");
    free(text);
}

void queue_close(void)
{
    nestvirt_observer_free(observer);
    observer = NULL;
}
