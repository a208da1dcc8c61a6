/* SPDX-License-Identifier: Apache-2.0 */
/* Owns sets of CPUs and NUMA nodes, and the lists ("0-3,8") by which people and the kernel name
 * them. */
#ifndef NV_HOST_LIST_H
#define NV_HOST_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nestvirt/error.h>

enum {
    NV_SET_MAX = 8192, /* numbers 0 to 8191: what the largest kernels are built for */
    NV_SET_WORDS = NV_SET_MAX / 64,
    NV_SET_BYTES = NV_SET_MAX / 8
};

/* A set of numbers; zero-initialised is empty. Its bytes are the kernel's form of a mask. */
struct nv_set {
    uint64_t words[NV_SET_WORDS];
};

static inline bool nv_set_has(const struct nv_set *set, uint32_t number)
{
    return number < NV_SET_MAX && set->words[number / 64] >> number % 64 & 1;
}

/* A number that no set can hold is ignored. */
void nv_set_add(struct nv_set *set, uint32_t number);

uint32_t nv_set_count(const struct nv_set *set);

/* The first number from `from` on, or NV_SET_MAX. */
uint32_t nv_set_next(const struct nv_set *set, uint32_t from);

bool nv_set_is_empty(const struct nv_set *set);
bool nv_set_is_equal(const struct nv_set *a, const struct nv_set *b);

/* True if every number of part is in whole. */
bool nv_set_is_within(const struct nv_set *part, const struct nv_set *whole);

/* Those of a that are not in b. */
struct nv_set nv_set_minus(const struct nv_set *a, const struct nv_set *b);
struct nv_set nv_set_and(const struct nv_set *a, const struct nv_set *b);

/*
 * Reads a list as taskset and numactl take it and the kernel prints it: "0", "0-3,8", "0-30:2"
 * (every second); space around it is ignored. what names the things, "CPU" or "node", for messages.
 * -EINVAL for a malformed or empty list or a number above NV_SET_MAX - 1; *ret_set is then left.
 */
int nv_list_parse(const char *text, const char *what, struct nv_set *ret_set,
                  struct nestvirt_error **ret_error);

/* The same for a list of the kernel's own, which may be empty, and without an error text. */
int nv_list_parse_kernel(const char *text, struct nv_set *ret_set);

/*
 * Writes the shortest list, "" for the empty set, cut off at size. Returns the length that the
 * whole has, as snprintf does.
 */
size_t nv_list_format(const struct nv_set *set, char *buffer, size_t size);

#endif
