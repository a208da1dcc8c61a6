/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the ring exhaustively: small queues with every content of an alphabet, against a model. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "support.h"
#include "virtio_guest.h"

/* The model's world: where things are, and which bytes are memory. */
enum {
    BUFFER = 0x80000, /* all zero */
    TABLE = 0x90000,
    BORDER = GUEST_SPAN - 8, /* buffers from here on lie in two regions */
    SIZE_MAX_ = 4,
    TABLE_MAX = 2,
    SEGMENTS_MAX = 16
};

struct row {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct segment {
    uint64_t address;
    uint64_t length;
    bool is_writable;
};

/* What one pop gives. */
struct outcome {
    bool is_broken;
    bool has_writable;
    unsigned count;
    struct segment segments[SEGMENTS_MAX];
};

static struct virtio_guest guest;
static struct row direct[SIZE_MAX_];
static struct row table[TABLE_MAX];
static uint16_t available[SIZE_MAX_];
static uint16_t available_index;
static uint32_t size;
static bool has_indirect;
static uint64_t cases;
static uint64_t broken_cases;
static struct nv_chain chain;

/* --- The model: virtio 1.2, 2.7, as it reads. --- */

static bool is_memory(uint64_t address, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (address + i >= GUEST_HOLE)
            return false;
    return true;
}

static void model_segment(struct outcome *outcome, uint64_t address, uint64_t length, bool writable)
{
    if (length)
        outcome->segments[outcome->count++] = (struct segment){ address, length, writable };
}

static void model_buffer(struct outcome *outcome, const struct row *row)
{
    bool writable = row->flags & GUEST_WRITE;
    uint64_t end = row->address + row->length;

    if (outcome->has_writable && !writable)
        outcome->is_broken = true;
    outcome->has_writable |= writable;
    if (!is_memory(row->address, row->length)) {
        outcome->is_broken = true;
    } else if (row->address < GUEST_SPAN && end > GUEST_SPAN) {
        model_segment(outcome, row->address, GUEST_SPAN - row->address, writable);
        model_segment(outcome, GUEST_SPAN, end - GUEST_SPAN, writable);
    } else {
        model_segment(outcome, row->address, row->length, writable);
    }
}

static bool is_good_table(const struct row *row)
{
    bool is_whole = row->address + row->length <= GUEST_SPAN;

    return has_indirect && !(row->flags & GUEST_NEXT) && row->length > 0 && row->length % 16 == 0 &&
           is_whole && is_memory(row->address, row->length);
}

static void model_rows(struct outcome *outcome, const struct row *rows, uint32_t count, uint32_t at,
                       bool is_table)
{
    static const struct row zeroes[TABLE_MAX];
    bool seen[SIZE_MAX_] = { false };

    while (!outcome->is_broken) {
        if (at >= count || seen[at]) {
            outcome->is_broken = true;
            return;
        }
        seen[at] = true;
        if (rows[at].flags & GUEST_INDIRECT) {
            if (is_table || !is_good_table(&rows[at]))
                outcome->is_broken = true;
            else
                model_rows(outcome, rows[at].address == TABLE ? table : zeroes,
                           rows[at].length / 16, 0, true);
            return;
        }
        model_buffer(outcome, &rows[at]);
        if (!(rows[at].flags & GUEST_NEXT))
            return;
        at = rows[at].next;
    }
}

/* --- The same from the library. --- */

static void put_row(uint64_t address, const struct row *row)
{
    uint64_t words[2] = { row->address,
                          row->length | (uint64_t)row->flags << 32 | (uint64_t)row->next << 48 };

    memcpy(guest.low + address, words, sizeof(words));
}

static const void *host_of(uint64_t address)
{
    return address < GUEST_SPAN ? guest.low + address
                                : (uint8_t *)guest.memory.slots[1].host + (address - GUEST_SPAN);
}

static bool same(const struct outcome *outcome)
{
    uint32_t readable = chain.read_end - chain.read_at;
    uint64_t bytes[2] = { 0 };

    if (chain.write_end - chain.write_at + readable != outcome->count ||
        chain.write_at != chain.read_end)
        return false;
    for (unsigned i = 0; i < outcome->count; i++) {
        const struct segment *segment = &outcome->segments[i];

        if (segment->is_writable != (i >= readable) ||
            chain.parts[i].iov_base != host_of(segment->address) ||
            chain.parts[i].iov_len != segment->length)
            return false;
        bytes[segment->is_writable] += segment->length;
    }
    return chain.read_left == bytes[0] && chain.write_left == bytes[1];
}

static void describe(char *text, size_t length)
{
    int used = snprintf(text, length, "size %u, indirect %d, index %u:", size, has_indirect,
                        available_index);

    for (uint32_t i = 0; i < size; i++)
        used += snprintf(text + used, length - (size_t)used, " [%llx+%u %u %u]%u",
                         (unsigned long long)direct[i].address, direct[i].length, direct[i].flags,
                         direct[i].next, available[i]);
    for (uint32_t i = 0; i < TABLE_MAX; i++)
        used += snprintf(text + used, length - (size_t)used, " (%llx+%u %u %u)",
                         (unsigned long long)table[i].address, table[i].length, table[i].flags,
                         table[i].next);
}

static void differs(unsigned pop, int r, const struct outcome *outcome)
{
    char text[512];

    describe(text, sizeof(text));
    ck_abort_msg("pop %u gives %d; broken %d, %u segments: %s", pop, r, outcome->is_broken,
                 outcome->count, text);
}

/* Runs one case: pops until nothing comes, and judges each. */
static void check_case(void)
{
    static struct nv_queue queue;
    bool in_flight[SIZE_MAX_] = { false };

    cases++;
    queue.size = size;
    queue.descriptors = 0x1000;
    queue.driver = 0x2000;
    queue.device = 0x3000;
    nv_put_le16(guest.low + queue.driver + 2, available_index);
    memcpy(guest.low + queue.driver + 4, available, sizeof(available));
    if (nv_queue_open(&queue, &guest.memory, has_indirect, false) < 0)
        ck_abort_msg("a queue of %u", size);
    for (unsigned pop = 0; pop <= SIZE_MAX_; pop++) {
        struct outcome outcome = { 0 };
        int r = nv_queue_pop(&queue, &chain);
        int expected = 1;

        if (available_index > size || (pop < available_index && available[pop] >= size) ||
            (pop < available_index && in_flight[available[pop]]))
            outcome.is_broken = true;
        else if (pop == available_index)
            expected = 0;
        else
            model_rows(&outcome, direct, size, available[pop], false);
        if (outcome.is_broken)
            expected = -EPROTO;
        if (r != expected || (r == -EPROTO) != (queue.fault != NULL) ||
            (r == 1 && (chain.head != available[pop] || !same(&outcome))))
            differs(pop, r, &outcome);
        broken_cases += outcome.is_broken;
        if (r <= 0)
            return;
        in_flight[available[pop]] = true;
    }
}

/* --- Enumeration. --- */

struct alphabet {
    const struct row *rows;
    size_t count;
};

static const struct row small_table[] = {
    { BUFFER, 8, 0, 0 },
    { BUFFER, 8, GUEST_NEXT, 0 },
    { BUFFER, 8, GUEST_NEXT, 1 },
    { BORDER, 16, GUEST_WRITE | GUEST_NEXT, 1 },
    { BUFFER, 8, GUEST_WRITE | GUEST_NEXT, 2 },
    { BUFFER, 0, GUEST_WRITE, 0 },
    { GUEST_HOLE, 8, GUEST_WRITE, 1 },
    { TABLE, 16, GUEST_INDIRECT, 1 },
};

static bool uses_table(void)
{
    for (uint32_t i = 0; i < size; i++)
        if ((direct[i].flags & GUEST_INDIRECT) && direct[i].address == TABLE && has_indirect)
            return true;
    return false;
}

/* The current direct descriptors with each table and both features. */
static void with_tables(const struct alphabet *tables)
{
    for (has_indirect = false;; has_indirect = true) {
        size_t count = uses_table() ? tables->count : 1;

        for (size_t i = 0; i < count * count; i++) {
            table[0] = tables->rows[i % count];
            table[1] = tables->rows[i / count];
            put_row(TABLE, &table[0]);
            put_row(TABLE + 16, &table[1]);
            check_case();
        }
        if (has_indirect)
            return;
    }
}

/* Every filling of the descriptor table from an alphabet. */
static void with_rows(const struct alphabet *rows, const struct alphabet *tables)
{
    size_t choice[SIZE_MAX_] = { 0 };
    uint32_t at = 0;

    for (uint32_t i = 0; i < size; i++) {
        direct[i] = rows->rows[0];
        put_row(0x1000 + 16 * i, &direct[i]);
    }
    while (at < size) {
        with_tables(tables);
        for (at = 0; at < size; at++) { /* count up */
            choice[at] = (choice[at] + 1) % rows->count;
            direct[at] = rows->rows[choice[at]];
            put_row(0x1000 + 16 * at, &direct[at]);
            if (choice[at])
                break;
        }
    }
}

static void setup(void)
{
    ck_assert_int_eq(guest_new(&guest, "rng", 0), 0);
    cases = broken_cases = 0;
}

static void teardown(void)
{
    nv_chain_destroy(&chain);
    guest_free(&guest);
}

/* Fails if the enumeration lost its point. */
static void check_counts(uint64_t at_least)
{
    printf("size %u: %llu cases, %llu break\n", size, (unsigned long long)cases,
           (unsigned long long)broken_cases);
    ck_assert_uint_ge(cases, at_least);
    ck_assert_uint_gt(broken_cases, cases / 20);
    ck_assert_uint_lt(broken_cases, cases);
}

/* Builds all rows from fields; returns how many. */
static size_t combine(struct row *rows, const struct row *places, size_t place_count,
                      const uint16_t *nexts, size_t next_count)
{
    size_t count = 0;

    for (size_t place = 0; place < place_count; place++)
        for (size_t next = 0; next < next_count; next++)
            for (uint16_t flags = 0; flags < 8; flags++)
                rows[count++] =
                    (struct row){ places[place].address, places[place].length, flags, nexts[next] };
    return count;
}

static const struct row places[] = {
    { BUFFER, 8 }, { BUFFER, 0 }, { BUFFER, 16 }, { BORDER, 16 },         { GUEST_HOLE, 8 },
    { TABLE, 16 }, { TABLE, 32 }, { TABLE, 17 },  { GUEST_HOLE - 8, 16 }, { UINT64_MAX - 7, 16 },
};

START_TEST(test_size_1)
{
    static const uint16_t nexts[] = { 0, 1, 0xffff };
    static const uint16_t indexes[] = { 0, 1, 2, 0x8000, 0xffff };
    static struct row rows[NV_ARRAY_SIZE(places) * NV_ARRAY_SIZE(nexts) * 8];
    static struct row table_rows[NV_ARRAY_SIZE(places) * NV_ARRAY_SIZE(nexts) * 8];
    const struct alphabet direct_rows = { rows, combine(rows, places, NV_ARRAY_SIZE(places), nexts,
                                                        NV_ARRAY_SIZE(nexts)) };
    const struct alphabet all_rows = {
        table_rows, combine(table_rows, places, NV_ARRAY_SIZE(places), nexts, NV_ARRAY_SIZE(nexts))
    };

    size = 1;
    for (uint16_t head = 0; head < 3; head++)
        for (size_t i = 0; i < NV_ARRAY_SIZE(indexes); i++) {
            available[0] = head == 2 ? 0xffff : head;
            available_index = indexes[i];
            with_rows(&direct_rows,
                      head == 0 && available_index == 1
                          ? &all_rows
                          : &(struct alphabet){ small_table, NV_ARRAY_SIZE(small_table) });
        }
    check_counts(2000000);
}
END_TEST

START_TEST(test_size_2)
{
    static const uint16_t nexts[] = { 0, 1, 2 };
    static const struct {
        uint16_t index;
        uint16_t heads[2];
    } rings[] = {
        { 1, { 0, 0 } }, { 1, { 1, 0 } }, { 1, { 2, 0 } }, { 2, { 0, 1 } },
        { 2, { 1, 0 } }, { 2, { 1, 1 } }, { 2, { 0, 2 } }, { 3, { 0, 1 } },
    };
    static struct row rows[6 * NV_ARRAY_SIZE(nexts) * 8];
    static const struct row few_places[] = {
        { BUFFER, 8 },     { BUFFER, 0 }, { BORDER, 16 },
        { GUEST_HOLE, 8 }, { TABLE, 16 }, { TABLE, 32 },
    };
    const struct alphabet direct_rows = { rows, combine(rows, few_places, NV_ARRAY_SIZE(few_places),
                                                        nexts, NV_ARRAY_SIZE(nexts)) };

    size = 2;
    for (size_t i = 0; i < NV_ARRAY_SIZE(rings); i++) {
        available_index = rings[i].index;
        memcpy(available, rings[i].heads, sizeof(rings[i].heads));
        with_rows(&direct_rows, &(struct alphabet){ small_table, NV_ARRAY_SIZE(small_table) });
    }
    check_counts(2000000);
}
END_TEST

START_TEST(test_size_4)
{
    static const struct row rows[] = {
        { BUFFER, 8, 0, 0 },
        { BUFFER, 8, GUEST_WRITE, 0 },
        { GUEST_HOLE, 8, 0, 0 },
        { TABLE, 32, GUEST_INDIRECT | GUEST_WRITE, 0 },
        { TABLE, 32, GUEST_INDIRECT | GUEST_NEXT, 1 },
        { BUFFER, 8, GUEST_NEXT, 0 },
        { BUFFER, 8, GUEST_NEXT, 1 },
        { BORDER, 16, GUEST_NEXT, 2 },
        { BUFFER, 8, GUEST_NEXT, 3 },
        { BUFFER, 8, GUEST_NEXT, 4 },
        { BUFFER, 8, GUEST_NEXT | GUEST_WRITE, 0 },
        { BUFFER, 0, GUEST_NEXT | GUEST_WRITE, 1 },
        { BORDER, 16, GUEST_NEXT | GUEST_WRITE, 2 },
        { BUFFER, 8, GUEST_NEXT | GUEST_WRITE, 3 },
        { GUEST_HOLE, 8, GUEST_NEXT | GUEST_WRITE, 0xffff },
    };
    static const struct {
        uint16_t index;
        uint16_t heads[4];
    } rings[] = {
        { 0, { 0 } },          { 1, { 0 } },          { 1, { 3 } },          { 1, { 4 } },
        { 2, { 2, 1 } },       { 2, { 1, 1 } },       { 3, { 3, 0, 2 } },    { 4, { 0, 1, 2, 3 } },
        { 4, { 3, 2, 1, 4 } }, { 4, { 1, 0, 3, 1 } }, { 5, { 0, 1, 2, 3 } }, { 0xffff, { 0 } },
    };

    size = 4;
    for (size_t i = 0; i < NV_ARRAY_SIZE(rings); i++) {
        available_index = rings[i].index;
        memcpy(available, rings[i].heads, sizeof(rings[i].heads));
        with_rows(&(struct alphabet){ rows, NV_ARRAY_SIZE(rows) },
                  &(struct alphabet){ small_table, NV_ARRAY_SIZE(small_table) });
    }
    check_counts(3000000);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("virtio_model");
    TCase *tcase = support_case(suite, "exhaustive", 100);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_size_1);
    tcase_add_test(tcase, test_size_2);
    tcase_add_test(tcase, test_size_4);
    return suite;
}
