/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rules of size-first structures: the only place that reads their `size`. */
#include "core/structs.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/error.h"
#include "core/util.h"

/* No structure will ever be longer; a size beyond is taken for garbage. */
enum { STRUCT_SIZE_MAX = 4096 };

int nv_struct_check(const void *callers, size_t first_size, const char *name,
                    struct nestvirt_error **ret_error)
{
    uint32_t size;

    if (!callers)
        return nv_fail(ret_error, -EFAULT, name, "pass a structure", "is NULL");
    memcpy(&size, callers, sizeof(size));
    if (size < first_size || size > STRUCT_SIZE_MAX)
        return nv_fail(ret_error, -EINVAL, name, "call its _init function first",
                       "size %u is not between %zu and %d", size, first_size, STRUCT_SIZE_MAX);
    return 0;
}

int nv_struct_in(void *ours, size_t known_size, size_t first_size, const void *callers,
                 const char *name, struct nestvirt_error **ret_error)
{
    const uint8_t *bytes = callers;
    uint32_t size;
    int r = nv_struct_check(callers, first_size, name, ret_error);

    if (r < 0)
        return r;
    memcpy(&size, callers, sizeof(size));
    for (size_t i = known_size; i < size; i++)
        if (bytes[i] != 0)
            return nv_fail(ret_error, -E2BIG, name, "use a newer libnestvirt or leave it zero",
                           "byte %zu is set, which this release does not know", i);
    memset(ours, 0, known_size);
    memcpy(ours, callers, NV_MIN(known_size, (size_t)size));
    return 0;
}

int nv_struct_out(void *callers, const void *ours, size_t known_size, size_t first_size,
                  const char *name, struct nestvirt_error **ret_error)
{
    uint32_t size;
    int r = nv_struct_check(callers, first_size, name, ret_error);

    if (r < 0)
        return r;
    memcpy(&size, callers, sizeof(size));
    memset(callers, 0, size);
    memcpy(callers, ours, NV_MIN(known_size, (size_t)size));
    memcpy(callers, &size, sizeof(size));
    return 0;
}

void nv_struct_init(void *callers, size_t caller_size)
{
    uint32_t size = (uint32_t)caller_size;

    if (!callers || caller_size < sizeof(size) || caller_size > STRUCT_SIZE_MAX)
        return;
    memset(callers, 0, caller_size);
    memcpy(callers, &size, sizeof(size));
}
