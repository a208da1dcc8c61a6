/* SPDX-License-Identifier: Apache-2.0 */
/* Owns sets of CPUs and NUMA nodes, and the lists ("0-3,8") by which people and the kernel name
 * them. */
#include "host/list.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

/* An element of a list: from first to last, every step-th. */
struct span {
    uint32_t first;
    uint32_t last;
    uint32_t step;
};

void nv_set_add(struct nv_set *set, uint32_t number)
{
    if (number < NV_SET_MAX)
        set->words[number / 64] |= 1ull << number % 64;
}

uint32_t nv_set_count(const struct nv_set *set)
{
    uint32_t count = 0;

    for (size_t i = 0; i < NV_SET_WORDS; i++)
        count += (uint32_t)__builtin_popcountll(set->words[i]);
    return count;
}

uint32_t nv_set_next(const struct nv_set *set, uint32_t from)
{
    while (from < NV_SET_MAX) {
        uint64_t rest = set->words[from / 64] >> from % 64;

        if (rest)
            return from + (uint32_t)__builtin_ctzll(rest);
        from = (from / 64 + 1) * 64;
    }
    return NV_SET_MAX;
}

bool nv_set_is_empty(const struct nv_set *set)
{
    return nv_set_next(set, 0) == NV_SET_MAX;
}

bool nv_set_is_equal(const struct nv_set *a, const struct nv_set *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

struct nv_set nv_set_minus(const struct nv_set *a, const struct nv_set *b)
{
    struct nv_set rest;

    for (size_t i = 0; i < NV_SET_WORDS; i++)
        rest.words[i] = a->words[i] & ~b->words[i];
    return rest;
}

struct nv_set nv_set_and(const struct nv_set *a, const struct nv_set *b)
{
    struct nv_set both;

    for (size_t i = 0; i < NV_SET_WORDS; i++)
        both.words[i] = a->words[i] & b->words[i];
    return both;
}

bool nv_set_is_within(const struct nv_set *part, const struct nv_set *whole)
{
    const struct nv_set rest = nv_set_minus(part, whole);

    return nv_set_is_empty(&rest);
}

/* Digits at *at, moved behind them; -1 if there are none or they say too much. */
static int64_t take_number(const char **at)
{
    int64_t number = 0;

    if (!isdigit((unsigned char)**at))
        return -1;
    for (; isdigit((unsigned char)**at); (*at)++) {
        number = number * 10 + (**at - '0');
        if (number >= NV_SET_MAX)
            return -1;
    }
    return number;
}

/* "5", "2-7" or "0-30:2" at *at, moved behind it. */
static bool take_span(const char **at, struct span *ret_span)
{
    int64_t first = take_number(at);
    int64_t last = first;
    int64_t step = 1;

    if (first >= 0 && **at == '-') {
        (*at)++;
        last = take_number(at);
        if (last >= first && **at == ':') {
            (*at)++;
            step = take_number(at);
        }
    }
    if (first < 0 || last < first || step < 1)
        return false;
    *ret_span = (struct span){ (uint32_t)first, (uint32_t)last, (uint32_t)step };
    return true;
}

int nv_list_parse_kernel(const char *text, struct nv_set *ret_set)
{
    struct nv_set set = { { 0 } };
    const char *at = text;
    struct span span;

    while (isspace((unsigned char)*at))
        at++;
    while (*at && !isspace((unsigned char)*at)) {
        if (!take_span(&at, &span))
            return -EINVAL;
        for (uint32_t i = span.first; i <= span.last; i += span.step)
            nv_set_add(&set, i);
        if (*at != ',')
            break;
        at++;
        if (!isdigit((unsigned char)*at))
            return -EINVAL;
    }
    while (isspace((unsigned char)*at))
        at++;
    if (*at)
        return -EINVAL;
    *ret_set = set;
    return 0;
}

int nv_list_parse(const char *text, const char *what, struct nv_set *ret_set,
                  struct nestvirt_error **ret_error)
{
    struct nv_set set;

    if (nv_list_parse_kernel(text, &set) < 0)
        return nv_fail(ret_error, -EINVAL, nv_text("%s list \"%.40s\"", what, text).s,
                       "write it as \"0-3,8\", with numbers below 8192", "is malformed");
    if (nv_set_is_empty(&set))
        return nv_fail(ret_error, -EINVAL, nv_text("%s list \"%.40s\"", what, text).s,
                       "name at least one", "is empty");
    *ret_set = set;
    return 0;
}

size_t nv_list_format(const struct nv_set *set, char *buffer, size_t size)
{
    uint32_t first = nv_set_next(set, 0);
    size_t used = 0;

    if (size > 0)
        buffer[0] = '\0';
    while (first < NV_SET_MAX) {
        uint32_t last = first;
        char text[32];

        while (nv_set_has(set, last + 1))
            last++;
        snprintf(text, sizeof(text), last > first ? "%s%u-%u" : "%s%u", used ? "," : "", first,
                 last);
        if (used < size)
            snprintf(buffer + used, size - used, "%s", text);
        used += strlen(text);
        first = nv_set_next(set, last + 1);
    }
    return used;
}
