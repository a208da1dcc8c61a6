/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the stacks of vCPU threads: many in one mapping, used again instead of unmapped. */
#include "host/stacks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/cleanup.h"
#include "core/util.h"

enum { ARENA_STACKS = 32, GUARD_SIZE = NV_PAGE_SIZE, STRIDE = NV_STACK_SIZE + GUARD_SIZE };

/* Linux 6.13: a guard that does not split the mapping. Older kernels refuse it. */
enum { ADVICE_GUARD_INSTALL = 102 };

void nv_stacks_init(struct nv_stacks *stacks)
{
    memset(stacks, 0, sizeof(*stacks));
    pthread_mutex_init(&stacks->lock, NULL);
}

void nv_stacks_destroy(struct nv_stacks *stacks)
{
    for (uint32_t i = 0; i < stacks->arena_count; i++)
        munmap(stacks->arenas[i], (size_t)ARENA_STACKS * STRIDE);
    free(stacks->arenas);
    free(stacks->free);
    pthread_mutex_destroy(&stacks->lock);
}

/* Maps another arena. Called with the lock held; -1 when there is no memory. */
static int add_arena(struct nv_stacks *stacks)
{
    void **arenas = realloc(stacks->arenas, (stacks->arena_count + 1) * sizeof(*arenas));
    void **room;
    void *arena;

    if (!arenas)
        return -1;
    stacks->arenas = arenas;
    room = realloc(stacks->free, (stacks->capacity + ARENA_STACKS) * sizeof(*room));
    if (!room)
        return -1;
    stacks->free = room;
    arena = mmap(NULL, (size_t)ARENA_STACKS * STRIDE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (arena == MAP_FAILED)
        return -1;
    arenas[stacks->arena_count++] = arena;
    stacks->capacity += ARENA_STACKS;
    stacks->fresh = ARENA_STACKS;
    return 0;
}

/* The next stack nobody has had. Called with the lock held. */
static void *take_fresh(struct nv_stacks *stacks)
{
    uint8_t *guard;

    if (stacks->fresh == 0 && add_arena(stacks) < 0)
        return NULL;
    guard =
        (uint8_t *)stacks->arenas[stacks->arena_count - 1] + (size_t)(stacks->fresh - 1) * STRIDE;
    if (madvise(guard, GUARD_SIZE, ADVICE_GUARD_INSTALL) < 0 &&
        mprotect(guard, GUARD_SIZE, PROT_NONE) < 0)
        return NULL;
    stacks->fresh--;
    return guard + GUARD_SIZE;
}

void *nv_stacks_take(struct nv_stacks *stacks)
{
    NV_GUARD(&stacks->lock);
    if (stacks->free_count > 0)
        return stacks->free[--stacks->free_count];
    return take_fresh(stacks);
}

void nv_stacks_give(struct nv_stacks *stacks, void *stack)
{
    if (!stack)
        return;
    NV_GUARD(&stacks->lock);
    stacks->free[stacks->free_count++] = stack;
}
