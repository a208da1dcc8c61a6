/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which limit a failed call has run into, and the look at memory before more is promised. */
#ifndef NV_HOST_LIMITS_H
#define NV_HOST_LIMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "host/tree.h"

/*
 * The hint for an error: names the limit that is at its end and how to raise it; `otherwise` if
 * none is found to be. sys_errno: EAGAIN of a new thread, ENOMEM of a mapping, EMFILE, ENFILE.
 * wanted: bytes that were asked for; 0: a mapping was, or little.
 */
struct nv_text nv_limit_hint(int sys_errno, uint64_t wanted, const char *otherwise);

/* The same by what a tree says. */
struct nv_text nv_limit_find(const struct nv_tree *tree, int sys_errno, uint64_t wanted,
                             const char *otherwise);

/* True if the limit on a user's threads does not count for this process; threads of the host, 0:
 * unknown. */
bool nv_limit_is_above_nproc(const struct nv_tree *tree);
uint64_t nv_limit_count_threads(const struct nv_tree *tree);

/*
 * What is left of the memory of the host and of this process's control group. When either runs
 * out, the kernel ends processes whatever they do: so nothing is begun that would come near.
 */
struct nv_headroom {
    pthread_mutex_t lock;
    uint64_t read_ns; /* when it was looked at; 0: never */
    uint64_t left;    /* bytes that may be used before it is looked at again */
};

/* How much there is, and what limits it. */
struct nv_headroom_left {
    uint64_t bytes; /* UINT64_MAX: unknown */
    const char *what;
    const char *remedy;
};

void nv_headroom_init(struct nv_headroom *headroom);
void nv_headroom_destroy(struct nv_headroom *headroom);

struct nv_headroom_left nv_headroom_read(const struct nv_tree *tree);

/* Asks for bytes for an object. -ENOMEM with a text if they would leave too little. */
int nv_headroom_take(struct nv_headroom *headroom, uint64_t bytes, const char *object,
                     struct nestvirt_error **ret_error);

#endif
