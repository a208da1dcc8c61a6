/* SPDX-License-Identifier: Apache-2.0 */
/* Owns control groups of both versions: finding one, moving threads, reading its CPU figures. */
#ifndef NV_HOST_CGROUP_H
#define NV_HOST_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <nestvirt/cgroup.h>

#include "host/tree.h"

/* A group and the hierarchy it is in. Zero-initialised but for the descriptor is closed. */
struct nv_cgroup {
    int tasks_fd;      /* what is written here moves; kept open, so that it works without rights */
    uint32_t version;  /* 1 or 2 */
    char *path;        /* of its folder, links resolved */
    char *mount;       /* where the hierarchy is mounted */
    char *mount_root;  /* the group that stands there: "/" but in containers */
    char *controllers; /* of version 1: the hierarchy's, "cpu,cpuacct" */
};

/*
 * Opens the group of a folder. tree is the root of what path and /proc are looked up in. Errors:
 * cgroup.h (public).
 */
int nv_cgroup_open(const struct nv_tree *tree, const char *path, struct nv_cgroup *ret_group,
                   struct nestvirt_error **ret_error);
void nv_cgroup_close(struct nv_cgroup *group);

/* True if both are of the same hierarchy: a thread is in one of them only. */
bool nv_cgroup_is_beside(const struct nv_cgroup *a, const struct nv_cgroup *b);

/* -ENOTSUP with the remedy unless the group has this controller, "cpu" or "cpuset". */
int nv_cgroup_need(const struct nv_tree *tree, const struct nv_cgroup *group,
                   const char *controller, struct nestvirt_error **ret_error);

/*
 * The folder of the group that a thread is in now, of this group's hierarchy; the caller frees it.
 * -errno with a text.
 */
int nv_cgroup_find(const struct nv_tree *tree, const struct nv_cgroup *group, pid_t tid,
                   char **ret_folder, struct nestvirt_error **ret_error);

/* Moves a thread into the group. -errno with a text; name is the thread's. */
int nv_cgroup_move(const struct nv_cgroup *group, pid_t tid, const char *name,
                   struct nestvirt_error **ret_error);

/* Moves a thread into the group of a folder that nv_cgroup_find() gave. */
int nv_cgroup_move_back(const struct nv_tree *tree, const struct nv_cgroup *group,
                        const char *folder, pid_t tid);

/* Adds the figures that the group has to *usage. -ENOENT when it is gone. */
int nv_cgroup_add_usage(const struct nv_tree *tree, const struct nv_cgroup *group,
                        struct nestvirt_cgroup_usage *usage);

#endif
