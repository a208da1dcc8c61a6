/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the watching of one call: what it returns, and that it stays within the caller's structure.
 */
#include "consumer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANARY = 0xa5 };

void fail(const char *name, const char *format, ...)
{
    va_list arguments;

    printf("FAIL: %s: ", name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    exit(1);
}

enum relation get_relation(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "same") == 0)
        return RELATION_SAME;
    if (argc > 1 && strcmp(argv[1], "newer") == 0)
        return RELATION_NEWER;
    if (argc > 1 && strcmp(argv[1], "grown") == 0)
        return RELATION_GROWN;
    if (argc > 1 && strcmp(argv[1], "short") == 0)
        return RELATION_SHORT;
    fail("usage", "consumer same|newer|grown|short");
}

/* The first byte from `from` that is no canary, BUFFER_SIZE if all are. */
static size_t find_damage(const unsigned char *buffer, size_t from)
{
    while (from < BUFFER_SIZE && buffer[from] == CANARY)
        from++;
    return from;
}

static void check_init(const char *name, void (*init)(void *, size_t), size_t own_size)
{
    unsigned char buffer[BUFFER_SIZE];
    size_t damage;
    uint32_t head[2];

    init(NULL, own_size);
    for (size_t size = 0; size <= own_size + 64; size++) {
        memset(buffer, CANARY, sizeof(buffer));
        init(buffer, size);
        damage = find_damage(buffer, size < sizeof(uint32_t) ? 0 : size);
        if (damage < BUFFER_SIZE)
            fail(name, "_init with size %zu wrote byte %zu", size, damage);
        memcpy(head, buffer, sizeof(head));
        if (size >= sizeof(head) && (head[0] != size || head[1] != 0))
            fail(name, "_init with size %zu set size %u and flags %u", size, head[0], head[1]);
    }
}

#define DEFINE_INIT(structure, first)               \
    void init_##structure(void *place, size_t size) \
    {                                               \
        nestvirt_##structure##_init(place, size);   \
    }
STRUCTS(DEFINE_INIT)

void check_inits(void)
{
#define CHECK_INIT(structure, first) \
    check_init("nestvirt_" #structure, init_##structure, sizeof(struct nestvirt_##structure));
    STRUCTS(CHECK_INIT)
    puts("_init functions: nothing written behind any size");
}

/* A call with a size below the first release's, or absurd: refused, explained, nothing touched. */
static void check_refused(const struct call *call, uint32_t size)
{
    unsigned char buffer[BUFFER_SIZE], before[BUFFER_SIZE];
    struct nestvirt_error *error = NULL;
    int r;

    memset(buffer, CANARY, sizeof(buffer));
    memcpy(buffer, &size, sizeof(size));
    memcpy(before, buffer, sizeof(before));
    r = call->fn(buffer, &error);
    if (r != -EINVAL)
        fail(call->name, "size %u of %zu returned %d, not -EINVAL", size, call->first, r);
    if (nestvirt_error_get_code(error) != -EINVAL || !*nestvirt_error_get_hint(error))
        fail(call->name, "size %u: the error object does not explain it", size);
    nestvirt_error_free(error);
    if (memcmp(buffer, before, sizeof(buffer)) != 0)
        fail(call->name, "size %u was refused, but the structure changed", size);
}

/* A call with the headers' size; tail goes to the last byte, which the library may not know. */
static int make_call(const struct call *call, unsigned char tail, unsigned char *buffer)
{
    struct nestvirt_error *error = NULL;
    size_t damage;
    uint32_t size;
    int r;

    memset(buffer, CANARY, BUFFER_SIZE);
    call->init(buffer, call->size);
    if (tail)
        buffer[call->size - 1] = tail;
    r = call->fn(buffer, &error);
    if ((r < 0) != (error != NULL))
        fail(call->name, "returned %d with %s error object", r, error ? "an" : "no");
    if (r < 0 && (!tail || r != -E2BIG))
        fail(call->name, "returned %d: %s", r, nestvirt_error_get_message(error));
    nestvirt_error_free(error);
    damage = find_damage(buffer, call->size);
    if (damage < BUFFER_SIZE)
        fail(call->name, "size is %zu, byte %zu was written", call->size, damage);
    memcpy(&size, buffer, sizeof(size));
    if (size != call->size)
        fail(call->name, "size became %u", size);
    return r;
}

void check_call(const struct call *call, enum relation relation)
{
    unsigned char buffer[BUFFER_SIZE];
    size_t tail = relation == RELATION_SAME ? 0 : sizeof(uint64_t);
    int r;

    if ((relation == RELATION_SHORT) != (call->size < call->first))
        fail(call->name, "compiled against other headers than the test thinks");
    for (uint32_t size = 0; size < call->first; size++)
        check_refused(call, size);
    check_refused(call, UINT32_MAX);
    if (relation == RELATION_SHORT) {
        printf("%s: %zu of %zu bytes: -EINVAL\n", call->name, call->size, call->first);
        return;
    }
    if (tail && call->is_input) {
        r = make_call(call, 1, buffer);
        if (relation == RELATION_NEWER && r != -E2BIG)
            fail(call->name, "an unknown field that is set returned %d, not -E2BIG", r);
        if (relation == RELATION_GROWN && r < 0)
            fail(call->name, "a known field that is set returned %d", r);
    }
    r = make_call(call, 0, buffer);
    if (r < 0)
        fail(call->name, "returned %d", r);
    for (size_t i = call->size - tail; i < call->size; i++)
        if (buffer[i] != 0)
            fail(call->name, "byte %zu of a field the library does not fill is %u", i, buffer[i]);
    printf("%s: %zu bytes: right, nothing behind them written\n", call->name, call->size);
}
