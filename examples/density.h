/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of 10_density share: the options, the VMs, and looks at the host. */
#ifndef EXAMPLES_DENSITY_H
#define EXAMPLES_DENSITY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <nestvirt/nestvirt.h>

struct options {
    uint64_t count;   /* 0: until full */
    uint64_t memory;  /* bytes of each VM */
    uint64_t busy;    /* percent of the VMs that spin */
    uint64_t hold;    /* seconds */
    uint64_t reserve; /* bytes of the host's memory that are left alone */
    uint64_t step;    /* VMs between two points of the curve */
    bool is_mergeable;
    bool has_loop;
    bool has_template;
    bool is_quiet;
};

extern volatile sig_atomic_t was_interrupted;

/* Nanoseconds, CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* --- VMs: density_vms.c --- */

struct fleet {
    struct nestvirt_host *host;
    struct nestvirt_loop *loop;
    struct nestvirt_template *templates[2]; /* that halts, and that spins */
    struct nestvirt_vm **vms;
    uint64_t *create_ns; /* from nothing to started, of each */
    uint32_t count;
    uint32_t busy;
    uint32_t room;
};

void fleet_open(struct fleet *fleet, const struct options *options);

/* Makes and starts one more. A negative code with its error leaves the others as they are. */
int fleet_add(struct fleet *fleet, const struct options *options, struct nestvirt_error **error);

/* How many of them have run code by now. */
uint32_t fleet_count_ran(const struct fleet *fleet);

/* Stops and frees all of them. */
void fleet_close(struct fleet *fleet);

/* --- The host: density_look.c --- */

struct look {
    uint64_t available;   /* MemAvailable, bytes */
    uint64_t ksm_saved;   /* bytes, of the whole host */
    uint64_t descriptors; /* of this process, as are those below */
    uint64_t mappings;
    uint64_t threads;
    uint64_t resident; /* bytes */
};

uint64_t look_at_memory(void);
void look_at_all(struct look *look);

/* Raises this process's own limits for so many VMs, and says so. Nobody else's are touched. */
void raise_limits(const struct options *options);

/* Says how many VMs fit, and what stops the next one. */
void print_plan(const struct options *options);

/* --- Waits for a CPU: density_queue.c --- */

/* Begins to observe; says on stderr what cannot be observed. */
void queue_open(void);
int queue_add(struct nestvirt_vm *vm, struct nestvirt_error **error);

/* Counts from here on. */
void queue_start(void);

/* Writes percentiles as a part of a line; histograms; and the member "runqueue" of an object. */
void queue_show(FILE *file);
void queue_print_text(FILE *file);
void queue_print_json(FILE *file);
void queue_close(void);

#endif
