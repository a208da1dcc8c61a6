/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the examples share: reporting an error and ending. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stdio.h>
#include <stdlib.h>

#include <nestvirt/nestvirt.h>

/* Prints an error with all its parts and ends the program. */
static inline void die(struct nestvirt_error *error)
{
    const struct nestvirt_error *e = error;

    for (; e; e = nestvirt_error_get_next(e))
        fprintf(stderr, "error: %s\n", nestvirt_error_get_message(e));
    nestvirt_error_free(error);
    exit(1);
}

/* Ends the program if a call failed: TRY(nestvirt_..., &error). */
#define TRY(call)       \
    do {                \
        if ((call) < 0) \
            die(error); \
    } while (0)

#endif
