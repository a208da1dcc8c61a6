/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what tests of the disk device share: an image in a folder of its own, a guest, requests. */
#ifndef TESTS_UNIT_BLK_GUEST_H
#define TESTS_UNIT_BLK_GUEST_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/util.h"
#include "devices/blk.h"
#include "support.h"
#include "virtio_guest.h"

/* Sectors of the image; all bytes of a sector are its number. */
enum { BLK_SECTORS = 128, BLK_TIMEOUT_MS = 20000 };

/* How the device does its I/O. */
enum blk_mode { BLK_MODE_HERE, BLK_MODE_THREADS, BLK_MODE_URING, BLK_MODES };

/* How many of them this machine has; the reason is printed if it refuses io_uring. */
int blk_modes(void);

extern struct virtio_guest guest;
extern char blk_folder[64];
extern char blk_path[128];

/* A case as support_case() makes it, with a folder that is removed even when tests fail. */
TCase *blk_case(Suite *suite, const char *name, double timeout);

/* A fresh image in the folder and a device that is told its path; and the end of it all. */
void blk_setup(enum blk_mode mode);
void blk_teardown(void);

/* Builds, starts and drives it with all features, or with some. */
void blk_begin(void);
void blk_begin_with(uint64_t features);

/* The whole of another property. */
void blk_set(const char *name, uint64_t value);
void blk_set_text(const char *name, const char *text);

struct blk_answer {
    int status; /* 0xaa: not written */
    uint32_t length;
};

/* Puts a request into a ring, without a kick; returns where its status byte is. */
uint64_t blk_add(uint32_t queue, uint32_t type, uint64_t sector, const struct guest_part *data,
                 uint32_t count);
int blk_status(uint64_t at);

/* The next answer of a queue is there, in time. Returns the used length. */
uint32_t blk_wait(uint32_t queue);

/* A whole request on queue 0. */
struct blk_answer blk_request(uint32_t type, uint64_t sector, const struct guest_part *data,
                              uint32_t count);
struct blk_answer blk_read(uint64_t sector, uint64_t buffer, uint32_t length);
struct blk_answer blk_write(uint64_t sector, uint64_t buffer, uint32_t length);
struct blk_answer blk_flush(void);

/* Discard or write-zeroes of one segment. */
struct blk_answer blk_segment(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags);

/* A buffer of the guest, filled; and whether all of its bytes are so. */
uint64_t blk_buffer(uint32_t length, int byte);
bool blk_is_all(uint64_t buffer, uint32_t length, int byte);

/* The byte at an offset of the image, and its size. */
int blk_image_byte(uint64_t offset);
uint64_t blk_image_size(void);

/* Waits, but not for ever, until a count from another thread is as large as wanted. */
#define wait_until(condition)                              \
    do {                                                   \
        int ms_left = BLK_TIMEOUT_MS;                      \
                                                           \
        while (!(condition) && ms_left-- > 0)              \
            usleep(1000);                                  \
        ck_assert_msg((condition), "not: %s", #condition); \
    } while (0)

/* Requests of queue 0 that the device holds. */
uint32_t blk_held(void);

/* The device works: sector 1 can be read. */
void blk_works(void);

#endif
