/* SPDX-License-Identifier: Apache-2.0 */
/* Owns giving up privileges: capabilities by libcap-ng, loaded at first use, and no_new_privs. */
#ifndef NV_HOST_PRIVILEGES_H
#define NV_HOST_PRIVILEGES_H

#include <nestvirt/error.h>

/* The library, which threads may use at once: its state is each thread's own. */
struct nv_privileges;

/* Loads it. -ENOTSUP: it is missing, or this build is without it; -ENOMEM. */
int nv_privileges_open(struct nv_privileges **ret_privileges, struct nestvirt_error **ret_error);

/* No thread is in a call. NULL is allowed. */
void nv_privileges_close(struct nv_privileges *privileges);

/* Empties the calling thread's bounding set, if it may do that. */
void nv_privileges_limit(const struct nv_privileges *privileges);

/*
 * Takes all capabilities from the calling thread, its bounding set too where it may, sets
 * no_new_privs, and looks whether that is so. 0, or -errno with *ret_call what failed.
 */
int nv_privileges_drop(const struct nv_privileges *privileges, const char **ret_call);

#endif
