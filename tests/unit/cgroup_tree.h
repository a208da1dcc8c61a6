/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a folder that stands in for the kernel's files about control groups. */
#ifndef TESTS_UNIT_CGROUP_TREE_H
#define TESTS_UNIT_CGROUP_TREE_H

/*
 * Hierarchies below /sys/fs/cgroup: version 1 "cpu" (group vm1, limit 20 of 100 ms), "cpuacct"
 * (vm1), "cpuset" (vm1), "memory" (vm1), "both" of cpu and memory (vm1); version 2 "two" with the
 * groups vm1 (threaded), vm2 (threaded, no controllers) and plain (a domain). A thread's groups are
 * in none of them until cgroup_tree_add_thread().
 */
extern char cgroup_tree_root[64];

void cgroup_tree_make(void);
void cgroup_tree_remove(void);

/* A file of the tree, path from "/" on; folders are made. */
void cgroup_tree_put(const char *path, const char *text);

/* What is in a file; static. */
const char *cgroup_tree_get(const char *path);

/* /proc/self/task/TID/cgroup: in group "old" of every hierarchy. */
void cgroup_tree_add_thread(int tid);

#endif
