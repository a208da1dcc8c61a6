/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what tests of the disk device share: an image in a folder of its own, a guest, requests. */
#include "blk_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"

struct virtio_guest guest;
char blk_folder[64];
char blk_path[128];

int blk_modes(void)
{
    struct nestvirt_error *error = NULL;
    struct nv_uring *uring;

    if (nv_uring_open(&uring, 1, &error) == 0) {
        nv_uring_close(uring);
        return BLK_MODES;
    }
    fprintf(stderr, "io_uring not tried: %s\n", nestvirt_error_get_message(error));
    nestvirt_error_free(error);
    return BLK_MODE_URING;
}

static void make_image(void)
{
    NV_AUTO_FD fd = open(blk_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    uint8_t sector[NV_SECTOR_SIZE];

    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < BLK_SECTORS; i++) {
        memset(sector, i, sizeof(sector));
        ck_assert_int_eq(write(fd, sector, sizeof(sector)), sizeof(sector));
    }
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(blk_folder, sizeof(blk_folder), "%.40s/blkXXXXXX", base ? base : "/tmp");
    if (!mkdtemp(blk_folder))
        support_skip("no folder for an image can be made");
    snprintf(blk_path, sizeof(blk_path), "%s/disk.img", blk_folder);
}

/* With all that tests have left in it. */
static void remove_folder(void)
{
    DIR *folder = opendir(blk_folder);
    const struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(blk_folder);
}

TCase *blk_case(Suite *suite, const char *name, double timeout)
{
    TCase *tcase = support_case(suite, name, timeout);

    tcase_add_unchecked_fixture(tcase, make_folder, remove_folder);
    return tcase;
}

void blk_setup(enum blk_mode mode)
{
    make_image();
    ck_assert_int_eq(guest_new(&guest, "blk", mode == BLK_MODE_HERE ? 0 : GUEST_LOOP), 0);
    blk_set_text("path", blk_path);
    if (mode != BLK_MODE_HERE)
        blk_set_text("engine", mode == BLK_MODE_THREADS ? "threads" : "io_uring");
}

void blk_teardown(void)
{
    guest_free(&guest);
    unlink(blk_path);
}

void blk_begin(void)
{
    blk_begin_with(GUEST_ALL);
}

void blk_begin_with(uint64_t features)
{
    ck_assert_msg(guest_wire(&guest) == 0, "%s", guest.error);
    guest_start(&guest);
    ck_assert_int_eq(guest_drive(&guest, features), 0);
}

void blk_set(const char *name, uint64_t value)
{
    ck_assert_msg(guest_set_u64(&guest, name, value) == 0, "%s", guest.error);
}

void blk_set_text(const char *name, const char *text)
{
    ck_assert_msg(guest_set_string(&guest, name, text) == 0, "%s", guest.error);
}

uint64_t blk_add(uint32_t queue, uint32_t type, uint64_t sector, const struct guest_part *data,
                 uint32_t count)
{
    enum { PARTS_MAX = 1024 };
    static struct guest_part parts[PARTS_MAX + 2];
    uint64_t header = guest_alloc(&guest, 16);
    uint64_t status = guest_alloc(&guest, 1);
    uint8_t *bytes = guest_mem(&guest, header, 16);

    ck_assert(header && status && count <= PARTS_MAX);
    nv_put_le32(bytes, type);
    nv_put_le32(bytes + 4, 0);
    nv_put_le64(bytes + 8, sector);
    *(uint8_t *)guest_mem(&guest, status, 1) = 0xaa;
    parts[0] = (struct guest_part){ header, 16, false };
    for (uint32_t i = 0; i < count; i++)
        parts[i + 1] = data[i];
    parts[count + 1] = (struct guest_part){ status, 1, true };
    if (count > 8)
        ck_assert_int_ge(guest_add_indirect(&guest, queue, 0, parts, count + 2), 0);
    else
        ck_assert_int_ge(guest_add(&guest, queue, parts, count + 2), 0);
    return status;
}

int blk_status(uint64_t at)
{
    return __atomic_load_n((uint8_t *)guest_mem(&guest, at, 1), __ATOMIC_RELAXED);
}

uint32_t blk_wait(uint32_t queue)
{
    uint32_t length;

    ck_assert(guest_wait_used(&guest, queue, NULL, &length, BLK_TIMEOUT_MS));
    return length;
}

struct blk_answer blk_request(uint32_t type, uint64_t sector, const struct guest_part *data,
                              uint32_t count)
{
    uint64_t status = blk_add(0, type, sector, data, count);
    struct blk_answer answer;

    guest_kick(&guest, 0);
    answer.length = blk_wait(0);
    answer.status = blk_status(status);
    return answer;
}

struct blk_answer blk_read(uint64_t sector, uint64_t buffer, uint32_t length)
{
    return blk_request(BLK_T_IN, sector, &(struct guest_part){ buffer, length, true }, 1);
}

struct blk_answer blk_write(uint64_t sector, uint64_t buffer, uint32_t length)
{
    return blk_request(BLK_T_OUT, sector, &(struct guest_part){ buffer, length, false }, 1);
}

struct blk_answer blk_flush(void)
{
    return blk_request(BLK_T_FLUSH, 0, NULL, 0);
}

struct blk_answer blk_segment(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    uint64_t at = guest_alloc(&guest, 16);
    uint8_t *bytes = guest_mem(&guest, at, 16);

    nv_put_le64(bytes, sector);
    nv_put_le32(bytes + 8, sectors);
    nv_put_le32(bytes + 12, flags);
    return blk_request(type, 0, &(struct guest_part){ at, 16, false }, 1);
}

uint64_t blk_buffer(uint32_t length, int byte)
{
    uint64_t at = guest_alloc(&guest, length);

    ck_assert_uint_ne(at, 0);
    memset(guest_mem(&guest, at, length), byte, length);
    return at;
}

bool blk_is_all(uint64_t buffer, uint32_t length, int byte)
{
    const uint8_t *bytes = guest_mem(&guest, buffer, length);

    for (uint32_t i = 0; i < length; i++)
        if (bytes[i] != (uint8_t)byte)
            return false;
    return true;
}

int blk_image_byte(uint64_t offset)
{
    NV_AUTO_FD fd = open(blk_path, O_RDONLY | O_CLOEXEC);
    uint8_t byte;

    ck_assert_int_ge(fd, 0);
    /* Not pread(), which tests of faults make fail. */
    ck_assert_int_eq(lseek(fd, (off_t)offset, SEEK_SET), (off_t)offset);
    return read(fd, &byte, 1) == 1 ? byte : -1;
}

uint64_t blk_image_size(void)
{
    struct stat info;

    ck_assert_int_eq(stat(blk_path, &info), 0);
    return (uint64_t)info.st_size;
}

uint32_t blk_held(void)
{
    NV_VIRTIO_GUARD(guest.virtio);
    return guest.virtio->queues[0].held;
}

void blk_works(void)
{
    uint64_t buffer = blk_buffer(NV_SECTOR_SIZE, 0xee);
    struct blk_answer answer = blk_read(1, buffer, NV_SECTOR_SIZE);

    ck_assert_int_eq(answer.status, BLK_S_OK);
    ck_assert_uint_eq(answer.length, NV_SECTOR_SIZE + 1);
    ck_assert(blk_is_all(buffer, NV_SECTOR_SIZE, 1));
}
