/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of CPUID leaves and MSRs, of this processor or as recorded. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "kvm/report.h"

#define HYPERVISOR_LEAVES 0x40000000u

static bool read_processor(uint32_t leaf, uint32_t index, struct nv_cpuid_leaf *ret_leaf)
{
    struct nv_cpuid_leaf found = { 0 };

    if (leaf >> 16 == HYPERVISOR_LEAVES >> 16)
        __cpuid_count(leaf, index, found.eax, found.ebx, found.ecx, found.edx);
    else if (!__get_cpuid_count(leaf, index, &found.eax, &found.ebx, &found.ecx, &found.edx))
        return false;
    *ret_leaf = found;
    return true;
}

struct recorded {
    uint32_t leaf;
    uint32_t index;
    struct nv_cpuid_leaf found;
};

/* "   0x00000001 0x00: eax=0x000806f8 ebx=0x00020800 ecx=0xfffaf38f edx=0xbfcbfbff" */
static int match_leaf(void *data, const char *line)
{
    struct recorded *wanted = data;
    struct nv_cpuid_leaf found;
    uint32_t leaf;
    uint32_t index;

    if (sscanf(line, " %x %x: eax=%x ebx=%x ecx=%x edx=%x", &leaf, &index, &found.eax, &found.ebx,
               &found.ecx, &found.edx) != 6)
        return 0;
    if (leaf != wanted->leaf || index != wanted->index)
        return 0;
    wanted->found = found;
    return 1;
}

bool nv_survey_cpuid(const struct nv_survey *survey, uint32_t leaf, uint32_t index,
                     struct nv_cpuid_leaf *ret_leaf)
{
    struct recorded wanted = { .leaf = leaf, .index = index };

    if (survey->is_live)
        return read_processor(leaf, index, ret_leaf);
    if (nv_facts_lines(&survey->tree, "cpuid", match_leaf, &wanted) != 1)
        return false;
    *ret_leaf = wanted.found;
    return true;
}

struct msr {
    uint32_t number;
    uint64_t value;
};

/* "0x48b 0x00553cfe00000000" */
static int match_msr(void *data, const char *line)
{
    struct msr *wanted = data;
    unsigned long long value;
    uint32_t number;

    if (sscanf(line, " %x %llx", &number, &value) != 2 || number != wanted->number)
        return 0;
    wanted->value = value;
    return 1;
}

static int read_recorded(const struct nv_tree *tree, uint32_t number, uint64_t *ret_value)
{
    struct msr wanted = { .number = number };
    int r = nv_facts_lines(tree, "msr", match_msr, &wanted);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret_value = wanted.value;
    return 0;
}

int nv_survey_msr(const struct nv_survey *survey, uint32_t number, uint64_t *ret_value)
{
    uint8_t bytes[8];
    ssize_t done;

    if (!survey->is_live)
        return read_recorded(&survey->tree, number, ret_value);
    NV_AUTO_FD fd = nv_tree_open_at(&survey->tree, "dev/cpu/0/msr", O_RDONLY | O_NONBLOCK);

    if (fd < 0)
        return fd;
    done = pread(fd, bytes, sizeof(bytes), number);
    if (done < 0)
        return -errno;
    if (done != sizeof(bytes))
        return -EIO;
    *ret_value = nv_get_le64(bytes);
    return 0;
}
