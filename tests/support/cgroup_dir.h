/* SPDX-License-Identifier: Apache-2.0 */
/* Owns real control groups for tests, which go again whatever becomes of the test. */
#ifndef TESTS_SUPPORT_CGROUP_DIR_H
#define TESTS_SUPPORT_CGROUP_DIR_H

/*
 * Where a hierarchy is mounted: of version 1 by its controller ("cpu"), of version 2 by "cgroup2".
 * Static; NULL if it is not.
 */
const char *cgroup_dir_mount(const char *controller);

/*
 * Starts the process that removes, when this one ends in whatever way, all groups that are made
 * from now on. Before tests and not within one: it stays.
 */
void cgroup_dir_begin(void);

/* Makes a group below a folder, named by this process and `name`. Its path, until it is removed. */
const char *cgroup_dir_make(const char *parent, const char *name);

/* Removes all that were made, the last first; fails the test if one is still in use. */
void cgroup_dir_remove(void);

/* Writes and reads a file of a group; put fails the test if it cannot. get: static. */
void cgroup_dir_put(const char *group, const char *file, const char *text);
const char *cgroup_dir_get(const char *group, const char *file);

#endif
