/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control groups that a VM's threads are put into. */
#include "vm/cgroups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "vm/vm.h"

enum {
    KINDS_DEFAULT = NESTVIRT_CGROUP_VCPU | NESTVIRT_CGROUP_LOOP | NESTVIRT_CGROUP_WORKER,
    KINDS_ALL = KINDS_DEFAULT | NESTVIRT_CGROUP_SHARED_LOOP
};

/* Moves that were made, to be undone from the last to the first. */
struct move {
    const struct nv_cgroup *group;
    char *from;
    pid_t tid;
};

struct moves {
    struct nv_tree tree;
    struct move *list;
    uint32_t count;
};

static uint32_t kind_of(const struct nv_vm_thread *thread)
{
    if (thread->kind == NESTVIRT_THREAD_VCPU)
        return NESTVIRT_CGROUP_VCPU;
    if (thread->kind == NESTVIRT_THREAD_WORKER)
        return NESTVIRT_CGROUP_WORKER;
    return thread->is_shared ? NESTVIRT_CGROUP_SHARED_LOOP : NESTVIRT_CGROUP_LOOP;
}

/* Room for every thread in each of `groups` groups. */
static int moves_begin(const struct nestvirt_vm *vm, uint32_t groups, struct moves *ret_moves,
                       struct nestvirt_error **ret_error)
{
    struct moves moves = { 0 };
    struct nv_vm_thread thread;
    uint32_t threads = 0;
    int r;

    while (nv_vm_thread_at(vm, threads, &thread))
        threads++;
    moves.list = calloc((size_t)threads * groups + 1, sizeof(*moves.list));
    if (!moves.list)
        return nv_vm_fail_memory(vm, ret_error);
    r = nv_tree_open(vm->cgroups.root, &moves.tree, ret_error);
    if (r < 0) {
        free(moves.list);
        return r;
    }
    *ret_moves = moves;
    return 0;
}

static void moves_undo(struct moves *moves)
{
    while (moves->count > 0) {
        struct move *move = &moves->list[--moves->count];

        nv_cgroup_move_back(&moves->tree, move->group, move->from, move->tid);
        free(move->from);
    }
}

static void moves_end(struct moves *moves)
{
    while (moves->count > 0)
        free(moves->list[--moves->count].from);
    free(moves->list);
    nv_tree_close(&moves->tree);
}

/* Moves the threads that are meant: their number. What was moved stands in moves. */
static int join(struct nestvirt_vm *vm, const struct nv_kept_cgroup *row, struct moves *moves,
                struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    int count = 0;

    for (uint32_t i = 0; nv_vm_thread_at(vm, i, &thread); i++) {
        const struct nv_text name = nv_vm_thread_name(vm, thread.kind, thread.index);
        struct move *move = &moves->list[moves->count];
        int r;

        if (!(row->kinds & kind_of(&thread)))
            continue;
        *move = (struct move){ .group = &row->group, .tid = thread.tid };
        r = nv_cgroup_find(&moves->tree, &row->group, thread.tid, &move->from, ret_error);
        if (r < 0)
            return r;
        moves->count++;
        r = nv_cgroup_move(&row->group, thread.tid, name.s, ret_error);
        if (r < 0)
            return r;
        count++;
    }
    return count;
}

int nv_vm_settle_threads(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct moves moves;
    int r = nv_vm_check_kept(vm, ret_error);

    if (r < 0)
        return r;
    if (vm->cgroups.count == 0)
        return nv_vm_place_kept(vm, ret_error);
    r = moves_begin(vm, vm->cgroups.count, &moves, ret_error);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < vm->cgroups.count && r >= 0; i++)
        r = join(vm, &vm->cgroups.rows[i], &moves, ret_error);
    if (r >= 0)
        r = nv_vm_place_kept(vm, ret_error);
    if (r < 0)
        moves_undo(&moves);
    moves_end(&moves);
    return r < 0 ? r : 0;
}

/* For a VM that is built: moves, and sees that a cpuset has not taken CPUs away that were given. */
static int join_now(struct nestvirt_vm *vm, const struct nv_kept_cgroup *row,
                    struct nestvirt_error **ret_error)
{
    struct moves moves;
    int count;
    int r = moves_begin(vm, 1, &moves, ret_error);

    if (r < 0)
        return r;
    r = count = join(vm, row, &moves, ret_error);
    if (count == 0)
        r = nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "see nestvirt_thread_get",
                    "has no threads of the kinds that are to join the group");
    if (count > 0)
        r = nv_vm_place_kept(vm, ret_error);
    if (r < 0 && moves.count > 0) {
        moves_undo(&moves);
        nv_vm_place_kept(vm, NULL); /* back among the CPUs of the former group */
    }
    moves_end(&moves);
    return r < 0 ? r : count;
}

/* What a group can not do that is asked for. */
static int check_needs(const struct nv_tree *tree, const struct nv_cgroup *group, uint32_t flags,
                       struct nestvirt_error **ret_error)
{
    int r = 0;

    if (flags & NESTVIRT_CGROUP_NEED_MEMORY)
        return nv_fail(ret_error, -ENOTSUP, nv_text("cgroup %s", group->path).s,
                       "run the VM in a process of its own and put that into the group",
                       group->version == 2
                           ? "groups of single threads have no memory controller"
                           : "memory is charged to the group of the process, not of its threads");
    if (flags & NESTVIRT_CGROUP_NEED_CPU)
        r = nv_cgroup_need(tree, group, "cpu", ret_error);
    if (r == 0 && flags & NESTVIRT_CGROUP_NEED_CPUSET)
        r = nv_cgroup_need(tree, group, "cpuset", ret_error);
    return r;
}

static int open_row(const struct nestvirt_vm *vm, const char *path, uint32_t flags,
                    struct nv_kept_cgroup *ret_row, struct nestvirt_error **ret_error)
{
    struct nv_kept_cgroup row = { .kinds = flags & KINDS_ALL };
    struct nv_tree tree;
    int r = nv_tree_open(vm->cgroups.root, &tree, ret_error);

    if (r < 0)
        return r;
    if (!(row.kinds & KINDS_DEFAULT))
        row.kinds |= vm->group.is_manual ? KINDS_DEFAULT & ~NESTVIRT_CGROUP_VCPU : KINDS_DEFAULT;
    r = nv_cgroup_open(&tree, path, &row.group, ret_error);
    if (r == 0) {
        r = check_needs(&tree, &row.group, flags, ret_error);
        if (r < 0)
            nv_cgroup_close(&row.group);
    }
    nv_tree_close(&tree);
    *ret_row = row;
    return r;
}

/* Adds a row, for which there is room; others of its hierarchy are left without its kinds. */
static void keep(struct nv_kept_cgroups *kept, const struct nv_kept_cgroup *row)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < kept->count; i++) {
        struct nv_kept_cgroup *old = &kept->rows[i];

        if (nv_cgroup_is_beside(&old->group, &row->group))
            old->kinds &= ~row->kinds;
        if (old->kinds)
            kept->rows[count++] = *old;
        else
            nv_cgroup_close(&old->group);
    }
    kept->rows[count++] = *row;
    kept->count = count;
}

int nv_vm_set_cgroup(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                     struct nestvirt_error **ret_error)
{
    struct nv_kept_cgroups *kept = &vm->cgroups;
    struct nv_kept_cgroup *rows;
    struct nv_kept_cgroup row;
    int r = open_row(vm, path, flags, &row, ret_error);

    if (r < 0)
        return r;
    rows = realloc(kept->rows, (kept->count + 1) * sizeof(*rows));
    if (rows)
        kept->rows = rows;
    else
        r = nv_vm_fail_memory(vm, ret_error);
    if (r == 0 && vm->state != NESTVIRT_STATE_NEW)
        r = join_now(vm, &row, ret_error);
    if (r < 0) {
        nv_cgroup_close(&row.group);
        return r;
    }
    keep(kept, &row);
    return r;
}

int nv_vm_get_cgroup_usage(const struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *ret_usage,
                           struct nestvirt_error **ret_error)
{
    struct nestvirt_cgroup_usage usage = { .size = sizeof(usage) };
    struct nv_tree tree;
    int r;

    if (vm->cgroups.count == 0)
        return nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "call nestvirt_cgroup_set",
                       "is in no control group that the library knows of");
    r = nv_tree_open(vm->cgroups.root, &tree, ret_error);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < vm->cgroups.count && r >= 0; i++) {
        const struct nv_cgroup *group = &vm->cgroups.rows[i].group;

        r = nv_cgroup_add_usage(&tree, group, &usage);
        if (r < 0)
            nv_fail_sys(ret_error, -r, nv_text("cgroup %s", group->path).s, "open",
                        "set another group; this one was removed");
    }
    nv_tree_close(&tree);
    if (r == 0 && usage.flags == 0)
        r = nv_fail(ret_error, -ENOTSUP, nv_vm_name(vm).s,
                    "set groups of the hierarchies cpu and cpuacct, or of version 2",
                    "is in no control group with CPU figures");
    if (r == 0)
        *ret_usage = usage;
    return r;
}

void nv_vm_free_cgroups(struct nestvirt_vm *vm)
{
    for (uint32_t i = 0; i < vm->cgroups.count; i++)
        nv_cgroup_close(&vm->cgroups.rows[i].group);
    free(vm->cgroups.rows);
}
