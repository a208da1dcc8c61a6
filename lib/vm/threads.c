/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which threads a VM has, and what is kept of where they are to run. */
#include "vm/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/thread.h"
#include "host/workers.h"
#include "vm/vm.h"

/* No VM has more of them. */
enum { WORKERS_MAX = NV_DEVICES_MAX * NV_WORKERS_MAX }; /* a disk has the most */

struct nv_text nv_vm_thread_name(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index)
{
    if (kind == NESTVIRT_THREAD_LOOP)
        return nv_text("vm %s: event loop", vm->name);
    return nv_text(index == NESTVIRT_THREAD_EVERY ? "vm %s: every %s" : "vm %s: %s %u", vm->name,
                   kind == NESTVIRT_THREAD_VCPU ? "vcpu" : "worker", index);
}

bool nv_vm_thread_is(const struct nv_vm_thread *thread, uint32_t kind, uint32_t index)
{
    return thread->kind == kind && (index == NESTVIRT_THREAD_EVERY || thread->index == index);
}

/* Worker number `index` of the VM, counted through all its devices. */
static bool worker_at(const struct nestvirt_vm *vm, uint32_t index, pid_t *ret_tid)
{
    for (uint32_t i = 0; i < vm->device_count; i++) {
        pthread_t worker;

        for (uint32_t j = 0; nv_device_thread_at(vm->devices[i], j, &worker); j++) {
            if (index-- > 0)
                continue;
            *ret_tid = nv_thread_get_tid(worker);
            return true;
        }
    }
    return false;
}

bool nv_vm_thread_at(const struct nestvirt_vm *vm, uint32_t position,
                     struct nv_vm_thread *ret_thread)
{
    uint32_t vcpus = vm->group.is_manual ? 0 : vm->group.count;
    uint32_t loops = vm->loop ? 1 : 0;
    struct nv_vm_thread thread = { 0 };

    if (position < vcpus) {
        thread.kind = NESTVIRT_THREAD_VCPU;
        thread.index = position;
        thread.tid = nv_thread_get_tid(vm->group.vcpus[position].thread);
    } else if (position < vcpus + loops) {
        thread.kind = NESTVIRT_THREAD_LOOP;
        thread.tid = nv_thread_get_tid(vm->loop->thread);
        thread.is_shared = vm->has_given_loop;
    } else {
        thread.kind = NESTVIRT_THREAD_WORKER;
        thread.index = position - vcpus - loops;
        if (!worker_at(vm, thread.index, &thread.tid))
            return false;
    }
    *ret_thread = thread;
    return true;
}

int nv_vm_check_thread(const struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                       struct nestvirt_error **ret_error)
{
    const uint32_t count = kind == NESTVIRT_THREAD_VCPU   ? vm->group.count
                           : kind == NESTVIRT_THREAD_LOOP ? 1
                                                          : WORKERS_MAX;

    if (kind < NESTVIRT_THREAD_VCPU || kind > NESTVIRT_THREAD_WORKER)
        return nv_fail(ret_error, -EINVAL, nv_vm_name(vm).s,
                       "use NESTVIRT_THREAD_VCPU, _LOOP or "
                       "_WORKER",
                       "has no threads of kind %u", kind);
    if (kind == NESTVIRT_THREAD_VCPU && vm->group.is_manual)
        return nv_fail(ret_error, -ENOTSUP, nv_vm_name(vm).s,
                       "place the threads that call nestvirt_vcpu_run yourself",
                       "its vCPUs are driven by hand and have no threads");
    if (index != NESTVIRT_THREAD_EVERY && index >= count)
        return nv_fail(ret_error, -ENOENT, nv_vm_thread_name(vm, kind, index).s,
                       nv_text("use 0 to %u or NESTVIRT_THREAD_EVERY", count - 1).s,
                       "there is none of this number");
    return 0;
}

/* The row of a kind and index, or NULL. */
static struct nv_kept_place *find_row(const struct nv_kept_places *kept, uint32_t kind,
                                      uint32_t index)
{
    for (uint32_t i = 0; i < kept->count; i++)
        if (kept->rows[i].kind == kind && kept->rows[i].index == index)
            return &kept->rows[i];
    return NULL;
}

/* What is kept for a thread: for every one of its kind, and over it for it alone. */
static struct nv_kept_place wish_of(const struct nv_kept_places *kept, uint32_t kind,
                                    uint32_t index)
{
    const uint32_t from[] = { NESTVIRT_THREAD_EVERY, index };
    struct nv_kept_place wish = { .kind = kind, .index = index };

    for (size_t i = 0; i < NV_ARRAY_SIZE(from); i++) {
        const struct nv_kept_place *row = find_row(kept, kind, from[i]);

        if (!row)
            continue;
        nv_placement_merge(&wish.wanted, &row->wanted);
        wish.cookie = row->cookie ? row->cookie : wish.cookie;
    }
    return wish;
}

/* A copy of what is kept with room for one row more. */
static int copy_kept(const struct nv_kept_places *kept, struct nv_kept_places *ret_copy)
{
    struct nv_kept_place *rows = calloc(kept->count + 1, sizeof(*rows));

    if (!rows)
        return -ENOMEM;
    if (kept->count > 0)
        memcpy(rows, kept->rows, kept->count * sizeof(*rows));
    *ret_copy = (struct nv_kept_places){ rows, kept->count, kept->cookies };
    return 0;
}

/* Puts a wish into what is kept, which has room. One for every thread outdoes those for single
 * ones. */
static void keep(struct nv_kept_places *kept, const struct nv_kept_place *wish)
{
    struct nv_kept_place *row = find_row(kept, wish->kind, wish->index);

    for (uint32_t i = 0; i < kept->count && wish->index == NESTVIRT_THREAD_EVERY; i++) {
        if (kept->rows[i].kind != wish->kind)
            continue;
        kept->rows[i].wanted.fields &= ~wish->wanted.fields;
        kept->rows[i].cookie = wish->cookie ? 0 : kept->rows[i].cookie;
    }
    if (!row) {
        row = &kept->rows[kept->count++];
        *row = (struct nv_kept_place){ .kind = wish->kind, .index = wish->index };
    }
    nv_placement_merge(&row->wanted, &wish->wanted);
    row->cookie = wish->cookie ? wish->cookie : row->cookie;
    kept->cookies = NV_MAX(kept->cookies, wish->cookie);
}

/* Threads that are to be placed, with what is wanted of each. */
struct plan {
    struct nv_place *places;
    uint32_t *cookies;
    uint32_t count;
};

static void plan_free(struct plan *plan)
{
    free(plan->places);
    free(plan->cookies);
}

static int plan_new(const struct nestvirt_vm *vm, struct plan *ret_plan)
{
    struct plan plan = { 0 };
    struct nv_vm_thread thread;
    uint32_t count = 0;

    while (nv_vm_thread_at(vm, count, &thread))
        count++;
    plan.places = calloc(count + 1, sizeof(*plan.places));
    plan.cookies = calloc(count + 1, sizeof(*plan.cookies));
    if (!plan.places || !plan.cookies) {
        plan_free(&plan);
        return -ENOMEM;
    }
    *ret_plan = plan;
    return 0;
}

static void plan_add(struct plan *plan, const struct nestvirt_vm *vm,
                     const struct nv_vm_thread *thread, const struct nv_kept_place *wish)
{
    plan->places[plan->count] = (struct nv_place){
        .tid = thread->tid,
        .name = nv_vm_thread_name(vm, thread->kind, thread->index),
        .wanted = wish->wanted,
    };
    plan->cookies[plan->count++] = wish->cookie;
}

/* The threads that asked for a cookie in the same call get one together. */
static int share_cookies(struct plan *plan, struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE struct nv_place *some = NULL;
    int r = 0;

    for (uint32_t i = 0; i < plan->count && r == 0; i++) {
        uint32_t cookie = plan->cookies[i];
        uint32_t count = 0;

        if (cookie == 0)
            continue;
        if (!some)
            some = calloc(plan->count, sizeof(*some));
        if (!some)
            return nv_fail_sys(ret_error, ENOMEM, plan->places[i].name.s, "malloc",
                               "free memory in this process");
        for (uint32_t j = i; j < plan->count; j++) {
            if (plan->cookies[j] != cookie)
                continue;
            some[count++] = plan->places[j];
            plan->cookies[j] = 0;
        }
        r = nv_core_share(some, count, ret_error);
    }
    return r;
}

static int carry_out(struct plan *plan, struct nestvirt_error **ret_error)
{
    int r = nv_places_apply(plan->places, plan->count, ret_error);

    if (r < 0)
        return r;
    r = share_cookies(plan, ret_error);
    if (r < 0)
        nv_places_undo(plan->places, plan->count);
    return r;
}

/* Applies one wish to the threads there are; their number. */
static int place_now(struct nestvirt_vm *vm, const struct nv_kept_place *wish,
                     struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    struct plan plan;
    int r = plan_new(vm, &plan);

    if (r < 0)
        return nv_vm_fail_memory(vm, ret_error);
    for (uint32_t i = 0; nv_vm_thread_at(vm, i, &thread); i++)
        if (nv_vm_thread_is(&thread, wish->kind, wish->index))
            plan_add(&plan, vm, &thread, wish);
    if (plan.count == 0)
        r = nv_fail(ret_error, -ENOENT, nv_vm_thread_name(vm, wish->kind, wish->index).s,
                    "see nestvirt_thread_get for those there are", "the VM has no such thread");
    else
        r = carry_out(&plan, ret_error);
    plan_free(&plan);
    return r < 0 ? r : (int)plan.count;
}

int nv_vm_place_threads(struct nestvirt_vm *vm, const struct nv_kept_place *wish,
                        struct nestvirt_error **ret_error)
{
    struct nv_kept_places kept;
    int r = copy_kept(&vm->kept_places, &kept);

    if (r < 0)
        return nv_vm_fail_memory(vm, ret_error);
    if (vm->state != NESTVIRT_STATE_NEW)
        r = place_now(vm, wish, ret_error);
    if (r < 0) {
        free(kept.rows);
        return r;
    }
    keep(&kept, wish);
    free(vm->kept_places.rows);
    vm->kept_places = kept;
    return r;
}

int nv_vm_check_kept(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < vm->kept_places.count; i++) {
        const struct nv_kept_place *row = &vm->kept_places.rows[i];
        struct nv_vm_thread thread;
        bool is_there = row->index == NESTVIRT_THREAD_EVERY;

        for (uint32_t j = 0; !is_there && nv_vm_thread_at(vm, j, &thread); j++)
            is_there = nv_vm_thread_is(&thread, row->kind, row->index);
        if (!is_there)
            return nv_fail(ret_error, -ENOENT, nv_vm_thread_name(vm, row->kind, row->index).s,
                           "set it for one that the VM's devices make, or for every one",
                           "something was set for it, and the VM has no such thread");
    }
    return 0;
}

int nv_vm_place_kept(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    struct plan plan;
    int r;

    if (vm->kept_places.count == 0)
        return 0;
    if (plan_new(vm, &plan) < 0)
        return nv_vm_fail_memory(vm, ret_error);
    for (uint32_t i = 0; nv_vm_thread_at(vm, i, &thread); i++) {
        const struct nv_kept_place wish = wish_of(&vm->kept_places, thread.kind, thread.index);

        if (wish.wanted.fields || wish.cookie)
            plan_add(&plan, vm, &thread, &wish);
    }
    r = carry_out(&plan, ret_error);
    plan_free(&plan);
    return r;
}

void nv_vm_check_places(const struct nestvirt_vm *vm, struct nestvirt_error **list)
{
    struct nv_tree tree;
    struct nv_set online;

    if (vm->kept_places.count == 0 || nv_tree_open(NULL, &tree, NULL) < 0)
        return;
    if (nv_tree_read_list(&tree, "sys/devices/system/cpu/online", &online) < 0)
        online = (struct nv_set){ { 0 } }; /* not known: build will see */
    nv_tree_close(&tree);
    for (uint32_t i = 0; i < vm->kept_places.count && !nv_set_is_empty(&online); i++) {
        const struct nv_kept_place *row = &vm->kept_places.rows[i];
        const struct nv_set absent = nv_set_minus(&row->wanted.cpus, &online);
        struct nestvirt_error *error = NULL;
        char text[256];

        if (!(row->wanted.fields & NV_PLACE_CPUS) || nv_set_is_empty(&absent))
            continue;
        nv_list_format(&absent, text, sizeof(text));
        nv_fail(&error, -EINVAL, nv_vm_thread_name(vm, row->kind, row->index).s,
                "name CPUs of /sys/devices/system/cpu/online", "CPU %s is absent or offline", text);
        nv_error_append(list, error);
    }
}
