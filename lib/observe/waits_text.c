/* SPDX-License-Identifier: Apache-2.0 */
/* Owns waits as text: a table for people, JSON for programs. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/util.h"
#include "observe/waits.h"

enum {
    STARS = 40, /* as BCC prints them */
    ROWS = NV_WAIT_POWERS + 1
};

/* A caller's buffer that is being filled; length goes on behind its end. */
struct page {
    char *buffer;
    size_t size;
    size_t length;
};

static void put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *page, const char *format, ...)
{
    bool has_room = page->length < page->size;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(has_room ? page->buffer + page->length : NULL,
                       has_room ? page->size - page->length : 0, format, arguments);
    va_end(arguments);
    page->length += length > 0 ? (size_t)length : 0;
}

/* Row 0 is of 0 and 1 us, row n of 2^n us up to twice that. */
static uint32_t row_of(uint32_t bucket)
{
    return nv_highest_bit(nv_wait_limit(bucket) / 1000);
}

static void put_row(struct page *page, uint32_t row, uint64_t value, uint64_t most)
{
    uint64_t low = row == 0 ? 0 : UINT64_C(1) << row;
    uint64_t high = (UINT64_C(2) << row) - 1;
    char stars[STARS + 1];
    uint32_t count = most == 0 ? 0 : (uint32_t)((unsigned __int128)value * STARS / most);

    for (uint32_t i = 0; i < STARS; i++)
        stars[i] = i < count ? '*' : ' ';
    stars[STARS] = '\0';
    put(page, "%10" PRIu64 " -> %-10" PRIu64 " : %-8" PRIu64 " |%s|\n", low, high, value, stars);
}

static void put_rows(struct page *page, const struct nv_waits *waits, uint32_t weight)
{
    const bool is_time = weight == NESTVIRT_WEIGHT_TIME;
    uint64_t rows[ROWS] = { 0 };
    uint64_t most = 0;
    uint32_t end = 0;

    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        rows[row_of(i)] += is_time ? waits->sums.times_ns[i] : waits->sums.counts[i];
        end = waits->sums.counts[i] > 0 ? row_of(i) + 1 : end;
    }
    put(page, "     %-19s : %-8s distribution\n", "usecs", is_time ? "waited" : "count");
    for (uint32_t i = 0; i < end; i++) {
        rows[i] /= is_time ? 1000 : 1;
        most = NV_MAX(most, rows[i]);
    }
    for (uint32_t i = 0; i < end; i++)
        put_row(page, i, rows[i], most);
}

size_t nv_waits_text(const struct nv_waits *waits, const struct nv_waits_labels *labels,
                     uint32_t weight, char *buffer, size_t size)
{
    struct page page = { buffer, size, 0 };

    if (labels->vm)
        put(&page, "vm = %s\n", labels->vm);
    if (waits->info.flags & NESTVIRT_WAITS_TOTALS_ONLY)
        put(&page, "%" PRIu64 " waits of %" PRIu64 " usecs together (no histogram: %s)\n",
            waits->info.count, waits->info.time_ns / 1000, labels->reason);
    else
        put_rows(&page, waits, weight);
    if (waits->info.lost > 0)
        put(&page, "lost = %" PRIu64 "\n", waits->info.lost);
    if (waits->info.flags & NESTVIRT_WAITS_INCOMPLETE)
        put(&page, "incomplete: not every thread is observed\n");
    return page.length;
}

static void put_string(struct page *page, const char *text)
{
    put(page, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20)
            put(page, "\\u%04x", c);
        else
            put(page, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    put(page, "\"");
}

static void put_member(struct page *page, const char *name, const char *text)
{
    put(page, ",\"%s\":", name);
    if (text)
        put_string(page, text);
    else
        put(page, "null");
}

static void put_percentiles(struct page *page, const char *name, const uint64_t *numbers,
                            uint64_t max_ns)
{
    static const struct {
        const char *name;
        uint32_t per_million;
    } rows[] = { { "p50", 500000 }, { "p90", 900000 }, { "p99", 990000 }, { "p999", 999000 } };

    put(page, "\"%s\":{", name);
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++)
        put(page, "%s\"%s_ns\":%" PRIu64, i == 0 ? "" : ",", rows[i].name,
            nv_waits_percentile(numbers, rows[i].per_million, max_ns));
    put(page, "}");
}

static void put_buckets(struct page *page, const struct nv_wait_sums *sums)
{
    const char *comma = "";

    put(page, ",\"buckets\":[");
    for (uint32_t i = 0; i < NV_WAIT_BUCKETS; i++) {
        if (sums->counts[i] == 0)
            continue;
        put(page, "%s{\"from_ns\":%" PRIu64 ",\"to_ns\":", comma, nv_wait_limit(i));
        if (i + 1 < NV_WAIT_BUCKETS)
            put(page, "%" PRIu64, nv_wait_limit(i + 1));
        else
            put(page, "null");
        put(page, ",\"count\":%" PRIu64 ",\"time_ns\":%" PRIu64 "}", sums->counts[i],
            sums->times_ns[i]);
        comma = ",";
    }
    put(page, "]");
}

size_t nv_waits_json(const struct nv_waits *waits, const struct nv_waits_labels *labels,
                     char *buffer, size_t size)
{
    const struct nestvirt_waits *info = &waits->info;
    const bool has_buckets = !(info->flags & NESTVIRT_WAITS_TOTALS_ONLY);
    struct page page = { buffer, size, 0 };

    put(&page, "{\"source\":\"%s\"", has_buckets ? "bpf" : "schedstat");
    put_member(&page, "reason", has_buckets ? NULL : labels->reason);
    put_member(&page, "vm", labels->vm);
    put(&page, ",\"count\":%" PRIu64 ",\"time_ns\":%" PRIu64, info->count, info->time_ns);
    if (has_buckets)
        put(&page,
            ",\"max_ns\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"preempted\":%" PRIu64
            ",\"inferred\":%" PRIu64,
            info->max_ns, info->lost, info->preempted, info->inferred);
    else
        put(&page, ",\"max_ns\":null,\"lost\":null,\"preempted\":null,\"inferred\":null");
    put(&page, ",\"threads\":%" PRIu32 ",\"vms\":%" PRIu32 ",\"incomplete\":%s", info->threads,
        info->vms, info->flags & NESTVIRT_WAITS_INCOMPLETE ? "true" : "false");
    if (has_buckets) {
        put(&page, ",\"percentiles\":{");
        put_percentiles(&page, "by_count", waits->sums.counts, info->max_ns);
        put(&page, ",");
        put_percentiles(&page, "by_time", waits->sums.times_ns, info->max_ns);
        put(&page, "}");
        put_buckets(&page, &waits->sums);
    } else {
        put(&page, ",\"percentiles\":null,\"buckets\":null");
    }
    put(&page, "}");
    return page.length;
}
