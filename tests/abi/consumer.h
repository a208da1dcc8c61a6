/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the consumer programs share: calls on size-first structures, watched from outside. */
#ifndef TESTS_ABI_CONSUMER_H
#define TESTS_ABI_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>

#include <nestvirt/nestvirt.h>

/* Written by check_consumer.py: STRUCTS(X) with X(name, size in its first release) for each. */
#include "structs.h"

/* Bytes that a structure of any size stands in; those behind it must never change. */
enum { BUFFER_SIZE = 1024 };

/* How a consumer's headers relate to its library, given as its first argument. */
enum relation {
    RELATION_SAME,  /* the library knows all that the headers have, or more */
    RELATION_NEWER, /* the headers have a last field, 8 bytes, that the library does not know */
    RELATION_GROWN, /* the library knows that field too, and does not use it */
    RELATION_SHORT  /* the headers lack fields of the first release: calls are refused */
};

/* A function of the library that takes one structure; fn passes the others. */
struct call {
    const char *name;
    size_t size;  /* of the structure in the headers this was compiled against */
    size_t first; /* in its first release */
    bool is_input;
    void (*init)(void *structure, size_t size);
    int (*fn)(void *structure, struct nestvirt_error **ret_error);
};

/* A line of a table of calls. */
#define CALL(function, structure, input)                                                        \
    {                                                                                           \
        .name = #function, .size = sizeof(struct nestvirt_##structure),                         \
        .first = FIRST_##structure, .is_input = input, .init = init_##structure, .fn = function \
    }

#define DECLARE_INIT(structure, first)  \
    enum { FIRST_##structure = first }; \
    void init_##structure(void *place, size_t size);
STRUCTS(DECLARE_INIT)

/* Ends the program with the reason. */
void fail(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* Checks every _init function with every size. */
void check_inits(void);

/* Makes a call with sizes that are refused, then with the headers' own. */
void check_call(const struct call *call, enum relation relation);

/* Reads the relation from the command line. */
enum relation get_relation(int argc, char **argv);

#endif
