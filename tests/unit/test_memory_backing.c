/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the backings of guest memory: what is refused, what stands there, what is given back. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"
#include "memory/image.h"
#include "memory/memory.h"
#include "support.h"

enum { PAGE = 4096, PAGES = 32, LENGTH = PAGES * PAGE };

static struct nv_memory memory;
static struct nestvirt_memory_config config;
static int file = -1; /* a memfd of LENGTH bytes, each page full of its number + 1 */

static int make_memfd(unsigned seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint8_t page[PAGE];

    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < PAGES; i++) {
        memset(page, i + 1, PAGE);
        ck_assert_int_eq(write(fd, page, PAGE), PAGE);
    }
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void setup(void)
{
    nv_memory_init(&memory);
    file = make_memfd(0);
    config = (struct nestvirt_memory_config){ .size = sizeof(config), .length = LENGTH, .fd = -1 };
}

static void teardown(void)
{
    nv_memory_destroy(&memory, true);
    close(file);
}

static uint8_t *add(void)
{
    ck_nv_ok(nv_memory_add(&memory, &config, &error));
    return nv_memory_at(&memory, nv_gpa_at(config.address), config.length);
}

static void fails(int code, const char *text)
{
    struct nv_memory before = memory;

    ck_nv_fails_with(nv_memory_add(&memory, &config, &error), code, text);
    ck_assert_mem_eq(&memory, &before, sizeof(memory)); /* nothing changed */
}

static void fails_for_fd(int fd, int code, const char *text)
{
    config.fd = fd;
    fails(code, text);
}

static bool is_all(const uint8_t *bytes, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* True if each page holds what the file began with. */
static bool is_file(const uint8_t *bytes)
{
    for (size_t i = 0; i < PAGES; i++)
        if (!is_all(bytes + i * PAGE, PAGE, (uint8_t)(i + 1)))
            return false;
    return true;
}

/* True if smaps has this flag for the mapping at an address. */
static bool has_flag(const void *at, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    unsigned long start;
    unsigned long end;
    bool is_within = false;
    bool is_found = false;
    char line[512];

    ck_assert_ptr_nonnull(smaps);
    while (fgets(line, sizeof(line), smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            is_within = (uintptr_t)at >= start && (uintptr_t)at < end;
        else if (is_within && strncmp(line, "VmFlags:", 8) == 0)
            is_found = strstr(line, flag);
    }
    fclose(smaps);
    return is_found;
}

/* Valgrind refuses mlock2(), drops MAP_HUGETLB, and has mappings of its own. */
static bool knows_mlock2(void)
{
    return !support_is_valgrind();
}

static void take_backing(int fd, uint32_t backing, uint32_t flags)
{
    config.fd = fd;
    config.backing = backing;
    config.flags = flags;
}

START_TEST(test_misuse_16_unsealed_descriptor)
{
    int sealed = make_memfd(F_SEAL_SHRINK);

    take_backing(file, NESTVIRT_BACKING_FD, 0);
    fails(-EINVAL, "F_SEAL_SHRINK, or set NESTVIRT_MEMORY_ALLOW_UNSEALED");
    ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), 0); /* the wrong seal */
    fails(-EINVAL, "truncated");
    config.flags = NESTVIRT_MEMORY_ALLOW_UNSEALED;
    ck_assert(is_file(add()));
    ck_nv_ok(nv_memory_remove(&memory, 0, &error));
    take_backing(sealed, NESTVIRT_BACKING_FD, 0);
    ck_assert(is_file(add()));
    close(sealed);
}
END_TEST

START_TEST(test_misuse_16_what_is_no_file)
{
    static const uint32_t backings[] = { NESTVIRT_BACKING_FD, NESTVIRT_BACKING_FILE };
    int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int device = open("/dev/zero", O_RDWR | O_CLOEXEC);
    int path = open("/tmp", O_PATH | O_CLOEXEC);
    int ends[2];
    int sockets[2];
    int fifo;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    fifo = open(nv_text("/proc/self/fd/%d", ends[0]).s, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    take_backing(-1, backings[_i], NESTVIRT_MEMORY_ALLOW_UNSEALED);
    fails_for_fd(-1, -EBADF, "-1 is not an open descriptor");
    fails_for_fd(12345, -EBADF, "12345");
    fails_for_fd(path, -EBADF, "open for reading");
    if (backings[_i] == NESTVIRT_BACKING_FILE)
        fails_for_fd(folder, -EISDIR, "directory");
    else
        fails_for_fd(folder, -EACCES, "O_RDWR"); /* no folder opens for writing */
    fails_for_fd(fifo, -EINVAL, "FIFO");
    fails_for_fd(sockets[0], -EINVAL, "socket");
    fails_for_fd(device, -EINVAL, "device");
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(sockets[i]);
    }
    close(fifo);
    close(folder);
    close(device);
    close(path);
}
END_TEST

START_TEST(test_misuse_16_wrong_access)
{
    const struct nv_text path = nv_text("/proc/self/fd/%d", file);
    int reading = open(path.s, O_RDONLY | O_CLOEXEC);
    int writing = open(path.s, O_WRONLY | O_CLOEXEC);
    int frozen = make_memfd(F_SEAL_SHRINK | F_SEAL_WRITE);
    int half = make_memfd(F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);

    take_backing(reading, NESTVIRT_BACKING_FD, NESTVIRT_MEMORY_ALLOW_UNSEALED);
    fails(-EACCES, "O_RDWR, or use NESTVIRT_BACKING_FILE");
    fails_for_fd(writing, -EACCES, "O_RDWR");
    fails_for_fd(frozen, -EPERM, "NESTVIRT_BACKING_FILE");
    fails_for_fd(half, -EPERM, "sealed against writes");
    config.backing = NESTVIRT_BACKING_FILE;
    fails_for_fd(writing, -EACCES, "O_RDONLY or O_RDWR");
    config.fd = reading;
    add();
    config.address = LENGTH;
    config.fd = frozen;
    ck_assert(is_file(add()));
    close(reading);
    close(writing);
    close(frozen);
    close(half);
}
END_TEST

START_TEST(test_misuse_16_file_too_short)
{
    take_backing(file, (uint32_t)_i, NESTVIRT_MEMORY_ALLOW_UNSEALED);
    config.length = LENGTH + PAGE;
    fails(-EINVAL, "beyond the end of the file at 0x20000");
    config.length = PAGE;
    config.offset = LENGTH;
    fails(-EINVAL, "beyond the end");
    config.offset = UINT64_MAX - PAGE + 1;
    fails(-EINVAL, "beyond the end"); /* and it wraps */
    config.offset = 1ull << 63;
    fails(-EINVAL, "beyond the end");
    config.offset = 1;
    fails(-EINVAL, "offset 0x1 is not a multiple of 4096");
    ck_assert_int_eq(ftruncate(file, LENGTH - 1), 0);
    config.offset = LENGTH - PAGE;
    fails(-EINVAL, "give a longer file");
    config.offset -= PAGE;
    ck_assert(is_all(add(), PAGE, PAGES - 1)); /* exact end of what is whole */
}
END_TEST

START_TEST(test_misuse_05_fields_of_another_backing)
{
    config.offset = PAGE;
    fails(-EINVAL, "without a file");
    config.offset = 0;
    config.page_size = NV_MIB(2);
    fails(-EINVAL, "NESTVIRT_BACKING_HUGETLB, or set it to 0");
    config.page_size = 0;
    config.flags = NESTVIRT_MEMORY_ALLOW_UNSEALED;
    fails(-EINVAL, "ALLOW_UNSEALED");
    config.flags = 0;
    config.huge_pages = NESTVIRT_HUGE_PAGES_NEVER + 1;
    fails(-EINVAL, "unknown huge_pages 3");
    config.huge_pages = UINT32_MAX;
    fails(-EINVAL, "NESTVIRT_HUGE_PAGES_*");
    config.huge_pages = 0;
    config.fd = 99; /* not looked at */
    add();
}
END_TEST

START_TEST(test_misuse_11_page_sizes)
{
    config.backing = NESTVIRT_BACKING_HUGETLB;
    config.length = NV_MIB(2);
    config.page_size = PAGE;
    fails(-EINVAL, "unknown page size 0x1000");
    config.page_size = NV_MIB(2) + 1;
    fails(-EINVAL, "2 MiB or 1 GiB, or 0");
    config.page_size = NV_MIB(2);
    config.length = NV_MIB(3);
    fails(-EINVAL, "multiple of the page size 0x200000");
    config.length = NV_MIB(2);
    config.address = NV_MIB(1);
    fails(-EINVAL, "multiple of the page size");
    config.address = NV_MIB(2);
    config.page_size = NV_GIB(1);
    fails(-EINVAL, "0x40000000");
    config.page_size = NV_MIB(2);
    config.huge_pages = NESTVIRT_HUGE_PAGES_ALWAYS;
    fails(-EINVAL, "transparent huge pages do not go");
}
END_TEST

/* More than any pool has: the text tells which and what to write where. */
START_TEST(test_misuse_11_pool_too_small)
{
    config.backing = NESTVIRT_BACKING_HUGETLB;
    config.page_size = _i ? NV_GIB(1) : NV_MIB(2);
    config.address = config.length = NV_GIB(4096);
    fails(-ENOMEM, _i ? "hugepages-1048576kB" : "hugepages-2048kB");
    fails(-ENOMEM, "are missing in the pool /sys/kernel/mm/hugepages/");
    fails(-ENOMEM, "nr_hugepages");
}
END_TEST

/* In a child without the right to lock what it likes. */
static int add_locked_in_child(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    const struct rlimit limit = { 4 * PAGE, 4 * PAGE };
    struct nestvirt_error *error = NULL;
    const char *text;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || syscall(SYS_capset, &header, none) < 0)
        return 2;
    if (nv_memory_add(&memory, &config, &error) != -ENOMEM || memory.slot_count || error == NULL)
        return 3;
    text = nestvirt_error_get_message(error);
    if (!strstr(text, "131072 bytes") || !strstr(text, "RLIMIT_MEMLOCK is 16384") ||
        !strstr(text, "ulimit -l"))
        return 4;
    config.length = 2 * PAGE;
    if (nv_memory_add(&memory, &config, NULL) != 0)
        return 5;
    return 0;
}

START_TEST(test_misuse_11_memlock_limit)
{
    int status;
    pid_t child;

    config.flags = NESTVIRT_MEMORY_LOCK;
    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(add_locked_in_child());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_misuse_13_merging_is_refused)
{
    static const uint32_t backings[] = { NESTVIRT_BACKING_MEMFD, NESTVIRT_BACKING_FD,
                                         NESTVIRT_BACKING_HUGETLB };

    take_backing(file, backings[_i], NESTVIRT_MEMORY_MERGEABLE);
    if (backings[_i] == NESTVIRT_BACKING_FD)
        config.flags |= NESTVIRT_MEMORY_ALLOW_UNSEALED;
    if (backings[_i] == NESTVIRT_BACKING_HUGETLB)
        config.length = NV_GIB(1);
    fails(-ENOTSUP, "KSM leaves");
    fails(-ENOTSUP, "use NESTVIRT_BACKING_ANONYMOUS");
    if (backings[_i] == NESTVIRT_BACKING_HUGETLB)
        return; /* needs a pool */
    config.flags &= ~(uint32_t)NESTVIRT_MEMORY_MERGEABLE;
    add();
    ck_nv_fails_with(nv_memory_set_mergeable(&memory, 0, true, &error), -ENOTSUP, "shared");
    ck_nv_ok(nv_memory_set_mergeable(&memory, 0, false, &error));
}
END_TEST

START_TEST(test_misuse_13_merging_on_and_off)
{
    struct nestvirt_memory_config now;
    uint8_t *bytes = add();

    ck_assert(!has_flag(bytes, " mg"));
    ck_nv_ok(nv_memory_get_config(&memory, 0, &now, &error));
    ck_assert_uint_eq(now.flags, 0);
    ck_nv_ok(nv_memory_set_mergeable(&memory, 0, true, &error));
    ck_assert(has_flag(bytes, " mg"));
    ck_assert(has_flag(bytes + LENGTH - 1, " mg"));
    ck_assert(!has_flag(bytes + LENGTH, " mg")); /* the page behind */
    ck_nv_ok(nv_memory_get_config(&memory, 0, &now, &error));
    ck_assert_uint_eq(now.flags, NESTVIRT_MEMORY_MERGEABLE);
    ck_nv_ok(nv_memory_set_mergeable(&memory, 0, false, &error));
    ck_assert(!has_flag(bytes, " mg"));
    ck_nv_fails(nv_memory_set_mergeable(&memory, 1, true, &error), -ENOENT);
    config.address = LENGTH;
    config.flags = NESTVIRT_MEMORY_MERGEABLE;
    ck_assert(has_flag(add(), " mg"));
    take_backing(file, NESTVIRT_BACKING_FILE,
                 NESTVIRT_MEMORY_MERGEABLE | NESTVIRT_MEMORY_ALLOW_UNSEALED);
    config.address = 2 * LENGTH;
    ck_assert(has_flag(add(), " mg"));
}
END_TEST

/* Neighbours of a kind stay mappings of their own, so that counts can be told apart. */
START_TEST(test_regions_never_join)
{
    uint8_t *bytes[8];
    FILE *smaps;
    char line[512];
    unsigned starts = 0;

    for (size_t i = 0; i < 8; i++) {
        config.address = i * LENGTH;
        config.flags = NESTVIRT_MEMORY_MERGEABLE;
        bytes[i] = add();
    }
    smaps = fopen("/proc/self/smaps", "re");
    while (fgets(line, sizeof(line), smaps))
        for (size_t i = 0; i < 8; i++) {
            char range[64];

            snprintf(range, sizeof(range), "%lx-%lx ", (unsigned long)(uintptr_t)bytes[i],
                     (unsigned long)(uintptr_t)bytes[i] + LENGTH);
            starts += strncmp(line, range, strlen(range)) == 0;
        }
    fclose(smaps);
    ck_assert_uint_eq(starts, 8);
}
END_TEST

START_TEST(test_advice_reaches_the_kernel)
{
    static const struct {
        uint32_t flags;
        uint32_t huge_pages;
        const char *flag;
    } rows[] = {
        { NESTVIRT_MEMORY_NO_DUMP, 0, " dd" },
        { NESTVIRT_MEMORY_LOCK, 0, " lo" },
        { 0, NESTVIRT_HUGE_PAGES_ALWAYS, " hg" },
        { 0, NESTVIRT_HUGE_PAGES_NEVER, " nh" },
        { 0, 0, " dc" }, /* what all have */
    };
    uint8_t *bytes;

    config.flags = rows[_i].flags;
    config.huge_pages = rows[_i].huge_pages;
    config.length = NV_MIB(4);
    bytes = add();
    ck_assert(nv_is_aligned((uintptr_t)bytes, NV_MIB(2)));
    for (size_t i = 0; i < NV_ARRAY_SIZE(rows); i++)
        if (i == (size_t)_i || i + 1 == NV_ARRAY_SIZE(rows)) {
            ck_assert(has_flag(bytes, rows[i].flag));
            ck_assert(has_flag(bytes + config.length - 1, rows[i].flag));
        } else {
            ck_assert(!has_flag(bytes, rows[i].flag));
        }
    ck_assert_uint_eq(memory.regions[0].config.huge_pages, rows[_i].huge_pages);
}
END_TEST

/* Nor is memory that became a template's in dumps, or inherited, while somebody looks at it. */
START_TEST(test_advice_stays_with_a_template)
{
    struct nv_ram image;
    uint8_t *bytes;

    config.flags = NESTVIRT_MEMORY_NO_DUMP;
    config.backing = NESTVIRT_BACKING_MEMFD;
    bytes = add();
    ck_assert(nv_ram_can_take(&memory));
    nv_ram_take(&memory, &image);
    ck_assert(has_flag(bytes, " dc"));
    ck_assert(has_flag(bytes, " dd"));
    nv_ram_destroy(&image);
}
END_TEST

static size_t count_resident(void *bytes, size_t length)
{
    unsigned char pages[PAGES * 1024];
    size_t count = 0;

    ck_assert_uint_le(length / PAGE, sizeof(pages));
    ck_assert_int_eq(mincore(bytes, length, pages), 0);
    for (size_t i = 0; i < length / PAGE; i++)
        count += pages[i] & 1;
    return count;
}

START_TEST(test_prefault)
{
    const uint32_t backing = (uint32_t)_i;
    uint8_t *bytes;

    config.backing = backing;
    config.flags = NESTVIRT_MEMORY_PREFAULT | NESTVIRT_MEMORY_LOCK | NESTVIRT_MEMORY_READ_ONLY;
    config.huge_pages = NESTVIRT_HUGE_PAGES_NEVER;
    config.length = NV_MIB(72); /* several pieces, the last one short */
    bytes = add();
    ck_assert_uint_eq(count_resident(bytes, config.length), 0);
    bytes[5] = 7;
    ck_nv_ok(nv_memory_prefault(&memory, &error));
    ck_assert_uint_eq(count_resident(bytes, config.length), config.length / PAGE);
    ck_assert_uint_eq(bytes[5], 7);
    ck_nv_ok(nv_memory_reset(&memory, &error)); /* locked memory is given back too */
    ck_assert_uint_eq(count_resident(bytes, config.length), 0);
    ck_nv_ok(nv_memory_prefault(&memory, &error));
    ck_assert_uint_eq(count_resident(bytes, config.length), config.length / PAGE);
    ck_assert_uint_eq(bytes[5], 0);
}
END_TEST

/* A file that became shorter meanwhile is an error, not the end of the process. */
START_TEST(test_fault_05_prefault_of_a_truncated_file)
{
    take_backing(file, (uint32_t)_i, NESTVIRT_MEMORY_ALLOW_UNSEALED | NESTVIRT_MEMORY_PREFAULT);
    add();
    ck_assert_int_eq(ftruncate(file, PAGE), 0);
    ck_nv_fails_with(nv_memory_prefault(&memory, &error), -ENOSPC, "shorter");
}
END_TEST

START_TEST(test_descriptor_is_shared)
{
    uint8_t *bytes;
    uint8_t seen[PAGE];

    take_backing(file, NESTVIRT_BACKING_FD, NESTVIRT_MEMORY_ALLOW_UNSEALED);
    config.flags |= _i ? NESTVIRT_MEMORY_LOCK : 0;
    config.offset = 4 * PAGE;
    config.length = 8 * PAGE;
    bytes = add();
    memset(bytes, 0xaa, PAGE);
    ck_assert_int_eq(pread(file, seen, PAGE, 4 * PAGE), PAGE);
    ck_assert(is_all(seen, PAGE, 0xaa));
    ck_nv_ok(nv_memory_reset(&memory, &error)); /* the caller's: left alone */
    ck_assert(is_all(bytes, PAGE, 0xaa));
    ck_assert(is_all(bytes + PAGE, PAGE, 6));
    /* What the guest gives back is a hole there, and there only. */
    ck_assert_int_eq(nv_memory_discard(&memory, bytes + PAGE, PAGE), 0);
    ck_assert_int_eq(pread(file, seen, PAGE, 5 * PAGE), PAGE);
    ck_assert(is_all(seen, PAGE, 0));
    ck_assert_int_eq(pread(file, seen, PAGE, 6 * PAGE), PAGE);
    ck_assert(is_all(seen, PAGE, 7));
    ck_assert_int_eq(pread(file, seen, PAGE, 4 * PAGE), PAGE);
    ck_assert(is_all(seen, PAGE, 0xaa));
}
END_TEST

/* Copied (0), trusted by the caller (1), sealed (2). */
START_TEST(test_private_file)
{
    int fd = _i == 2 ? make_memfd(F_SEAL_SHRINK) : dup(file);
    uint8_t seen[PAGE];
    uint8_t *bytes;
    int r;

    take_backing(fd, NESTVIRT_BACKING_FILE, _i == 1 ? NESTVIRT_MEMORY_ALLOW_UNSEALED : 0);
    bytes = add();
    ck_assert_int_eq(memory.regions[0].is_copied, _i == 0);
    ck_assert(is_file(bytes));
    memset(bytes, 0xaa, 2 * PAGE);
    ck_assert_int_eq(pread(fd, seen, PAGE, 0), PAGE);
    ck_assert(is_all(seen, PAGE, 1)); /* the file keeps its own */
    r = nv_memory_discard(&memory, bytes, 4 * PAGE);
    ck_assert_int_eq(r, _i == 0 ? 0 : -EOPNOTSUPP);
    ck_assert(is_all(bytes, 4 * PAGE, 0)); /* the file's bytes do not come back */
    ck_assert(is_all(bytes + 4 * PAGE, PAGE, 5));
    ck_assert_int_eq(nv_memory_clear(&memory, nv_gpa_at(0), LENGTH), 0);
    ck_assert(is_all(bytes, LENGTH, 0));
    ck_nv_ok(nv_memory_reset(&memory, &error));
    ck_assert(is_file(bytes)); /* but do at a new start */
    close(fd);
}
END_TEST

/* The owner of an unsealed file can do nothing but make the next start fail. */
START_TEST(test_fault_05_private_file_truncated)
{
    uint8_t *bytes;

    take_backing(file, NESTVIRT_BACKING_FILE, 0);
    bytes = add();
    ck_assert_int_eq(ftruncate(file, PAGE), 0);
    ck_assert(is_file(bytes));
    ck_nv_fails_with(nv_memory_reset(&memory, &error), -EINVAL, "0x1f000 bytes too early");
}
END_TEST

START_TEST(test_hostile_50_discard_for_each_backing)
{
    static const uint32_t flags[] = { 0, NESTVIRT_MEMORY_LOCK };
    const uint32_t backing = (uint32_t)_i / 2;
    uint8_t *bytes;

    if (backing == NESTVIRT_BACKING_HUGETLB) /* needs a pool: tests/kvm */
        return;
    if (flags[_i % 2] && !knows_mlock2())
        return;
    take_backing(file, backing, flags[_i % 2]);
    if (backing == NESTVIRT_BACKING_FD)
        config.flags |= NESTVIRT_MEMORY_ALLOW_UNSEALED;
    bytes = add();
    memset(bytes, 0xaa, LENGTH);
    ck_assert_int_eq(nv_memory_discard(&memory, bytes + PAGE, 3 * PAGE), 0);
    ck_assert_uint_eq(count_resident(bytes + PAGE, 3 * PAGE), 0);
    ck_assert(is_all(bytes + PAGE, 3 * PAGE, 0));
    ck_assert(is_all(bytes, PAGE, 0xaa));
    ck_assert(is_all(bytes + 4 * PAGE, LENGTH - 4 * PAGE, 0xaa));
    ck_assert_int_eq(nv_memory_clear(&memory, nv_gpa_at(0), LENGTH), 0);
    ck_assert(is_all(bytes, LENGTH, 0));
}
END_TEST

START_TEST(test_hostile_11_read_only_memory)
{
    uint64_t run = 2 * PAGE;
    uint8_t *bytes;

    config.flags = NESTVIRT_MEMORY_READ_ONLY;
    config.address = PAGE;
    config.length = PAGE;
    bytes = add();
    ck_assert_ptr_eq(nv_memory_run(&memory, nv_gpa_at(PAGE), &run), bytes);
    ck_assert_uint_eq(run, PAGE);
    ck_assert_ptr_null(nv_memory_run_writable(&memory, nv_gpa_at(PAGE), &run));
    ck_assert_ptr_null(nv_memory_at_writable(&memory, nv_gpa_at(PAGE), 1));
    ck_assert_ptr_null(nv_memory_run_writable(&memory, nv_gpa_at(0), &run));  /* a hole */
    ck_assert_int_eq(nv_memory_write(&memory, nv_gpa_at(PAGE), "abc", 3), 0); /* the caller may */
    ck_assert_int_eq(nv_memory_discard(&memory, bytes, PAGE), -EFAULT);
    ck_assert_mem_eq(bytes, "abc", 3);
    ck_assert_uint_eq(nv_memory_low_end(&memory), 0);
    config.flags = 0;
    config.address = 0;
    add();
    ck_assert_uint_eq(nv_memory_low_end(&memory), PAGE); /* RAM ends where the ROM begins */
    ck_assert_ptr_nonnull(nv_memory_at_writable(&memory, nv_gpa_at(0), PAGE));
    ck_assert_ptr_null(nv_memory_at_writable(&memory, nv_gpa_at(0), PAGE + 1));
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("memory backing");
    TCase *tcase = support_case(suite, "backing", 60);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_misuse_16_unsealed_descriptor);
    tcase_add_loop_test(tcase, test_misuse_16_what_is_no_file, 0, 2);
    tcase_add_test(tcase, test_misuse_16_wrong_access);
    tcase_add_loop_test(tcase, test_misuse_16_file_too_short, NESTVIRT_BACKING_FD,
                        NESTVIRT_BACKING_FILE + 1);
    tcase_add_test(tcase, test_misuse_05_fields_of_another_backing);
    tcase_add_test(tcase, test_misuse_11_page_sizes);
    tcase_add_loop_test(tcase, test_misuse_13_merging_is_refused, 0, 3);
    tcase_add_test(tcase, test_misuse_13_merging_on_and_off);
    tcase_add_test(tcase, test_advice_stays_with_a_template);
    tcase_add_loop_test(tcase, test_fault_05_prefault_of_a_truncated_file, NESTVIRT_BACKING_FD,
                        NESTVIRT_BACKING_FILE + 1);
    tcase_add_loop_test(tcase, test_descriptor_is_shared, 0, knows_mlock2() ? 2 : 1);
    tcase_add_loop_test(tcase, test_private_file, 0, 3);
    tcase_add_test(tcase, test_fault_05_private_file_truncated);
    tcase_add_loop_test(tcase, test_hostile_50_discard_for_each_backing, 0,
                        2 * NESTVIRT_BACKING_FILE + 2);
    tcase_add_test(tcase, test_hostile_11_read_only_memory);
    if (support_is_valgrind())
        return suite;
    tcase_add_loop_test(tcase, test_misuse_11_pool_too_small, 0, 2);
    tcase_add_test(tcase, test_misuse_11_memlock_limit);
    tcase_add_test(tcase, test_regions_never_join);
    tcase_add_loop_test(tcase, test_advice_reaches_the_kernel, 0, 4);
    tcase_add_loop_test(tcase, test_prefault, 0, 2);
    return suite;
}
