/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a VM's watches: the observers that count its threads. */
#include "vm/watches.h"

#include <assert.h>
#include <errno.h>

#include "vm/vm.h"

enum { EVERY_KIND = NESTVIRT_OBSERVE_VCPU | NESTVIRT_OBSERVE_LOOP | NESTVIRT_OBSERVE_WORKER };

static uint32_t kind_of(const struct nv_vm_thread *thread)
{
    static_assert(NESTVIRT_OBSERVE_VCPU == 1 << (NESTVIRT_THREAD_VCPU - 1), "a bit for each kind");
    static_assert(NESTVIRT_OBSERVE_LOOP == 1 << (NESTVIRT_THREAD_LOOP - 1), "a bit for each kind");
    static_assert(NESTVIRT_OBSERVE_WORKER == 1 << (NESTVIRT_THREAD_WORKER - 1),
                  "a bit for each kind");
    return 1u << (thread->kind - 1);
}

/* Those whose observers are gone go too. */
static void sweep(struct nestvirt_vm *vm)
{
    struct nv_watch **at = &vm->watches;

    while (*at) {
        struct nv_watch *watch = *at;

        if (!nv_watch_is_over(watch)) {
            at = &watch->next_of_vm;
            continue;
        }
        *at = watch->next_of_vm;
        nv_watch_free(watch);
    }
}

struct nv_watch *nv_vm_find_watch(struct nestvirt_vm *vm, const struct nestvirt_observer *observer)
{
    for (struct nv_watch *watch = vm->watches; watch; watch = watch->next_of_vm)
        if (watch->observer == observer)
            return watch;
    return NULL;
}

/* Takes in the threads there are: how many are new. */
static int take_in(struct nestvirt_vm *vm, struct nv_watch *watch,
                   struct nestvirt_error **ret_error)
{
    struct nv_vm_thread thread;
    int count = 0;
    int r = 0;

    for (uint32_t i = 0; r >= 0 && nv_vm_thread_at(vm, i, &thread); i++) {
        if (thread.is_shared || !(kind_of(&thread) & watch->kinds))
            continue;
        r = nv_watch_add(watch, thread.tid, kind_of(&thread), ret_error);
        count += r > 0;
    }
    nv_watch_set_complete(watch, r >= 0);
    return r < 0 ? r : count;
}

static int fail_absent(const struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOENT, nv_vm_name(vm).s, "call nestvirt_observer_add",
                   "is not observed by this observer");
}

static int observe_anew(struct nestvirt_vm *vm, struct nestvirt_observer *observer, uint32_t kinds,
                        struct nestvirt_error **ret_error)
{
    struct nv_watch *watch;
    int r = nv_watch_new(observer, &watch, ret_error);

    if (r < 0)
        return r;
    watch->kinds = kinds;
    if (vm->state != NESTVIRT_STATE_NEW)
        r = take_in(vm, watch, ret_error);
    if (r < 0) {
        nv_watch_free(watch);
        return r;
    }
    watch->next_of_vm = vm->watches;
    vm->watches = watch;
    return 0;
}

int nv_vm_observe(struct nestvirt_vm *vm, struct nestvirt_observer *observer, uint32_t kinds,
                  struct nestvirt_error **ret_error)
{
    struct nv_watch *watch;
    uint32_t former;
    int r = 0;

    kinds = kinds ? kinds : EVERY_KIND;
    sweep(vm);
    watch = nv_vm_find_watch(vm, observer);
    if (!watch)
        return observe_anew(vm, observer, kinds, ret_error);
    former = watch->kinds;
    watch->kinds |= kinds;
    if (vm->state != NESTVIRT_STATE_NEW)
        r = take_in(vm, watch, ret_error);
    if (r < 0 || r > 0 || watch->kinds != former)
        return r < 0 ? r : 0;
    return nv_fail(ret_error, -EALREADY, nv_vm_name(vm).s, "add it once",
                   "is observed by this observer");
}

int nv_vm_observe_thread(struct nestvirt_vm *vm, struct nestvirt_observer *observer, pid_t tid,
                         struct nestvirt_error **ret_error)
{
    struct nv_watch *watch = nv_vm_find_watch(vm, observer);
    int r;

    if (!watch)
        return fail_absent(vm, ret_error);
    r = nv_watch_add(watch, tid, NV_OBSERVE_GIVEN, ret_error);
    if (r == 0)
        return nv_fail(ret_error, -EALREADY, nv_text("thread %d", tid).s, "add it once",
                       "counts for vm %s", vm->name);
    return r < 0 ? r : 0;
}

int nv_vm_ignore(struct nestvirt_vm *vm, struct nestvirt_observer *observer,
                 struct nestvirt_error **ret_error)
{
    for (struct nv_watch **at = &vm->watches; *at; at = &(*at)->next_of_vm) {
        struct nv_watch *watch = *at;

        if (watch->observer != observer)
            continue;
        *at = watch->next_of_vm;
        nv_watch_free(watch);
        return 0;
    }
    return fail_absent(vm, ret_error);
}

void nv_vm_watch_threads(struct nestvirt_vm *vm)
{
    sweep(vm);
    for (struct nv_watch *watch = vm->watches; watch; watch = watch->next_of_vm)
        take_in(vm, watch, NULL);
}

void nv_vm_drop_threads(struct nestvirt_vm *vm, uint32_t kinds)
{
    for (struct nv_watch *watch = vm->watches; watch; watch = watch->next_of_vm)
        nv_watch_drop(watch, kinds);
}

void nv_vm_end_watches(struct nestvirt_vm *vm)
{
    while (vm->watches) {
        struct nv_watch *watch = vm->watches;

        vm->watches = watch->next_of_vm;
        nv_watch_free(watch);
    }
}
