/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the counting of descriptors, threads and mappings around each test. */
#ifndef TESTS_SUPPORT_LEAK_H
#define TESTS_SUPPORT_LEAK_H

struct leak_count {
    int fds;
    int threads;  /* without KVM's own kernel threads */
    int mappings; /* guest memory, vCPU areas, fork marks: see leak.c */
};

/* Counts what this process has now. */
struct leak_count leak_count(void);

/* Fills text with what differs; returns 0 if nothing does. Waits shortly for ending threads. */
int leak_compare(const struct leak_count *before, char *text, unsigned size);

#endif
