/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process that removes control groups when whoever made them has ended, in whatever way.
 */
#ifndef TESTS_SUPPORT_CGROUP_GUARD_H
#define TESTS_SUPPORT_CGROUP_GUARD_H

/* Starts it; it stays until this process and its children have ended. */
void cgroup_guard_begin(void);

/* Tells it of a group, before that is made. 0, or -1 if it is not there. */
int cgroup_guard_tell(const char *path);

/* Removes a group, which empties a moment after its last thread has ended; 0, or 1 if it is in use.
 */
int cgroup_guard_remove(const char *path);

#endif
