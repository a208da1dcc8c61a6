/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the running of a crowd of VMs into a limit, in a process of its own. */
#ifndef TESTS_KVM_LIMIT_H
#define TESTS_KVM_LIMIT_H

#include <stdint.h>

#include <nestvirt/nestvirt.h>

/* What a child does before its VMs, and what the one too many answers. */
struct limit {
    int (*set)(void); /* 0, or why it cannot be set */
    int code;
    const char *text;
    uint64_t memory;
    const char *group; /* to join */
};

/* Prints a reason; 1. For children, where check's assertions do not work. */
int limit_complain(const char *what, const char *more);

/* A host in a child that may not be able to open /dev/kvm any more. Negative, having complained. */
int limit_open_host(struct nestvirt_host **ret_host);

/* Before the first child: opens /dev/kvm for all of them. */
void limit_begin(void);

/*
 * Makes VMs until one fails, three times: that one fails as it should, the others live on, and
 * after one is freed a new one starts.
 */
void limit_check(const struct limit *limit);

#endif
