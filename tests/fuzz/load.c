/* SPDX-License-Identifier: Apache-2.0 */
/* Owns loading of one fuzzed file into a guest memory that is kept from one to the next. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot/boot.h"
#include "core/error.h"
#include "core/util.h"
#include "memory/layout.h"

/* Above and below which nothing may be written: a kernel has no business there. */
static const uint64_t MEMORY = NV_MIB(64);

static struct nv_memory memory;
static int kernel_fd = -1;
static int initrd_fd = -1;

static void require(int is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void setup(void)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config), .length = MEMORY };
    static const char initrd[5000] = "initrd";

    nv_memory_init(&memory);
    require(nv_memory_add(&memory, &config, NULL) == 0, "memory");
    kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
    initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
    require(kernel_fd >= 0 && initrd_fd >= 0, "memfd_create");
    require(pwrite(initrd_fd, initrd, sizeof(initrd), 0) == sizeof(initrd), "pwrite");
}

/* What the guest will find must be what it was promised, whatever the file was. */
static void check_start(const struct nv_cpu_start *start)
{
    uint8_t *page;

    require(start->valid, "a loaded kernel starts");
    require(nv_memory_covers(&memory, nv_gpa_at(start->rip), 1), "the entry is memory");
    require(start->rip >= NV_LAYOUT_HIGH_START, "the entry is above 1 MiB");
    if (start->mode != NESTVIRT_MODE_LONG)
        return;
    page = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_ZERO_PAGE), NV_PAGE_SIZE);
    require(start->rsi == NV_LAYOUT_ZERO_PAGE, "rsi is the zero page");
    require(page[0x1e8] == 3, "e820 has three entries");
    require(nv_get_le32(page + 0x228) == NV_LAYOUT_CMDLINE, "the command line is in its place");
    page = nv_memory_at(&memory, nv_gpa_at(nv_get_le32(page + 0x218)), 6);
    require(page && memcmp(page, "initrd", 6) == 0, "the initrd is in its place");
    page = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_CMDLINE), 6);
    require(memcmp(page, "quiet", 6) == 0, "the command line is whole");
    page = nv_memory_at(&memory, nv_gpa_at(NV_LAYOUT_PAGE_TABLES), 8);
    require(nv_get_le64(page) == NV_LAYOUT_PAGE_TABLES + 0x1023, "the page tables are whole");
}

void fuzz_load(const uint8_t *data, size_t size, uint32_t format)
{
    struct nv_boot_source source = { .format = format, .cmdline = "quiet" };
    const struct nv_boot_machine machine = { .vcpus = 1 };
    struct nestvirt_error *error = NULL;
    struct nv_cpu_start start = { 0 };
    int r;

    if (kernel_fd < 0)
        setup();
    source.kernel_fd = kernel_fd;
    source.initrd_fd = initrd_fd;
    require(ftruncate(kernel_fd, 0) == 0, "ftruncate");
    require(pwrite(kernel_fd, data, size, 0) == (ssize_t)size, "pwrite");
    r = nv_boot_load(&source, &machine, &memory, NULL, &start, &error);
    require(r <= 0, "a code is 0 or negative");
    require((r < 0) == (error != NULL), "an error comes with a failure");
    if (r < 0)
        require(nv_error_get_code(error) == r && !start.valid, "the error has the code");
    else
        check_start(&start);
    nv_error_free(error);
    require(nv_memory_reset(&memory, NULL) == 0, "zeroing");
}
