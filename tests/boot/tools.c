/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what boot tests do on the host's side: files of patterns, a folder for them, programs. */
#include "tools.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"
#include "support.h"

static char folder[64];
static uint64_t bytes[MIB / 8];

void tools_make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/nestvirt-boot-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

void tools_remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *tools_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

int tools_run(const char *const arguments[])
{
    static char *const environment[] = { "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL=C", NULL };
    static const char *const places[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };
    char path[128];
    pid_t child;
    int status = 0;

    for (unsigned i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", places[i], arguments[0]);
        if (access(path, X_OK) == 0)
            break;
    }
    ck_assert_msg(posix_spawn(&child, path, NULL, NULL, (char *const *)arguments, environment) == 0,
                  "%s is not installed (tests/packages)", arguments[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int tools_make_file(const char *path, uint64_t mib, uint64_t seed)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    for (uint64_t i = 0; i < mib; i++) {
        pattern_fill(bytes, MIB, seed, i * MIB);
        ck_assert_int_eq(write(fd, bytes, MIB), MIB);
    }
    ck_assert_int_eq(fsync(fd), 0);
    return fd;
}

uint32_t tools_sum_bytes(uint32_t length, uint64_t seed)
{
    ck_assert_uint_le(length, MIB);
    pattern_fill(bytes, length, seed, 0);
    return pattern_sum(0, bytes, length);
}

uint32_t tools_sum_pattern(uint64_t mib, uint64_t seed)
{
    uint32_t sum = 0;

    for (uint64_t i = 0; i < mib; i++) {
        pattern_fill(bytes, MIB, seed, i * MIB);
        sum = pattern_sum(sum, bytes, MIB);
    }
    return sum;
}

uint32_t tools_sum_file(int fd, uint64_t offset, uint64_t length)
{
    uint32_t sum = 0;
    ssize_t got;

    if (!length)
        length = UINT64_MAX;
    while (length) {
        got = pread(fd, bytes, length < MIB ? length : MIB, (off_t)offset);
        ck_assert_int_ge(got, 0);
        if (!got)
            break;
        sum = pattern_sum(sum, bytes, (size_t)got);
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return sum;
}

uint64_t tools_allocated(int fd)
{
    struct stat status;

    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}
