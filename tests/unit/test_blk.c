/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the disk device with a guest that does right, with each way of doing its I/O. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk_guest.h"

START_TEST(test_reads_and_writes)
{
    uint64_t in;
    uint64_t out;
    struct blk_answer answer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_CAPACITY, 8), BLK_SECTORS);
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), BLK_SECTORS);
    blk_works();
    in = blk_buffer(4096, 0);
    out = blk_buffer(4096, 0x5a);
    answer = blk_write(8, out, 4096);
    ck_assert_int_eq(answer.status, BLK_S_OK);
    ck_assert_uint_eq(answer.length, 1);
    ck_assert_int_eq(blk_image_byte(8 * 512), 0x5a);
    ck_assert_int_eq(blk_image_byte(16 * 512 - 1), 0x5a);
    ck_assert_int_eq(blk_image_byte(8 * 512 - 1), 7);
    ck_assert_int_eq(blk_image_byte(16 * 512), 16);
    answer = blk_read(8, in, 4096);
    ck_assert_int_eq(answer.status, BLK_S_OK);
    ck_assert_uint_eq(answer.length, 4097);
    ck_assert(blk_is_all(in, 4096, 0x5a));
    answer = blk_read(BLK_SECTORS - 1, in, 512);
    ck_assert_int_eq(answer.status, BLK_S_OK);
    ck_assert(blk_is_all(in, 512, BLK_SECTORS - 1));
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    ck_assert_uint_eq(guest_get_u64(&guest, "reads"), 3);
    ck_assert_uint_eq(guest_get_u64(&guest, "writes"), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "flushes"), 1);
    ck_assert_uint_eq(guest_get_u64(&guest, "errors"), 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes_read"), 512 + 4096 + 512);
    ck_assert_uint_eq(guest_get_u64(&guest, "bytes_written"), 4096);
    blk_teardown();
}
END_TEST

/* Header, data and status in one buffer each way, and data in odd pieces over two regions. */
START_TEST(test_any_layout)
{
    struct guest_part odd[] = { { GUEST_SPAN - 300, 700, true },
                                { 0, 100, true },
                                { 0, 224, true } };
    uint64_t answer;
    uint64_t block;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    odd[1].address = blk_buffer(400, 0xee) + 3;
    odd[2].address = odd[1].address + 100;
    ck_assert_int_eq(blk_request(BLK_T_IN, 5, odd, 3).status, BLK_S_OK);
    ck_assert(blk_is_all(GUEST_SPAN - 300, 300, 5));
    ck_assert(blk_is_all(GUEST_SPAN, 212, 5) && blk_is_all(GUEST_SPAN + 212, 188, 6));
    ck_assert(blk_is_all(odd[1].address, 324, 6) && blk_is_all(odd[2].address + 224, 1, 0xee));

    block = blk_buffer(16 + 512, 0x77);
    answer = blk_buffer(1, 0xaa);
    memset(guest_mem(&guest, block, 16), 0, 16);
    *(uint8_t *)guest_mem(&guest, block, 1) = BLK_T_OUT;
    *(uint8_t *)guest_mem(&guest, block + 8, 1) = 9;
    guest_add(&guest, 0, (struct guest_part[]){ { block, 16 + 512, false }, { answer, 1, true } },
              2);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(blk_wait(0), 1);
    ck_assert_int_eq(blk_status(answer), BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(9 * 512 + 511), 0x77);

    answer = blk_buffer(513, 0xaa);
    *(uint8_t *)guest_mem(&guest, block, 1) = BLK_T_IN;
    guest_add(&guest, 0,
              (struct guest_part[]){
                  { block, 7, false }, { block + 7, 9, false }, { answer, 513, true } },
              3);
    guest_kick(&guest, 0);
    ck_assert_uint_eq(blk_wait(0), 513);
    ck_assert(blk_is_all(answer, 512, 0x77));
    ck_assert_int_eq(blk_status(answer + 512), BLK_S_OK);
    blk_teardown();
}
END_TEST

/* More pieces than one system call takes. */
START_TEST(test_many_pieces)
{
    enum { COUNT = 1022, PIECE = 32 }; /* in a table of 1024, two regions apart */
    static struct guest_part parts[COUNT];
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    buffer = blk_buffer(COUNT * PIECE, 0x42);
    for (int i = 0; i < COUNT; i++)
        parts[i] = (struct guest_part){ buffer + (uint64_t)i * PIECE, PIECE, false };
    parts[COUNT - 1].length += 64; /* a whole number of sectors */
    ck_assert_int_eq(blk_request(BLK_T_OUT, 0, parts, COUNT).status, BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(0), 0x42);
    ck_assert_int_eq(blk_image_byte(COUNT * PIECE - 1), 0x42);
    for (int i = 0; i < COUNT; i++)
        parts[i].is_writable = true;
    memset(guest_mem(&guest, buffer, COUNT * PIECE), 0, COUNT * PIECE);
    ck_assert_int_eq(blk_request(BLK_T_IN, 0, parts, COUNT).status, BLK_S_OK);
    ck_assert(blk_is_all(buffer, COUNT * PIECE, 0x42));
    blk_teardown();
}
END_TEST

/* Longer than what one transfer moves, of buffers of any length. */
START_TEST(test_long)
{
    enum { SHORT = 5120, SHORTS = 200, LONG = 960 * 1024 - 512 };
    static struct guest_part parts[SHORTS + 4];
    uint32_t total = 0;
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    ck_assert_int_eq(truncate(blk_path, 16 << 20), 0);
    blk_begin();
    buffer = blk_buffer(LONG, 0x21);
    for (int i = 0; i < SHORTS + 4; i++) {
        uint32_t length = i < 4 ? LONG : SHORT - 40 + (uint32_t)(i * 7 % 80);

        if (i == SHORTS + 3)
            length = SHORT + 512 - (total + SHORT) % 512;
        parts[i] = (struct guest_part){ buffer, length, false };
        total += length;
    }
    ck_assert_uint_gt(total, 4 * NV_DISK_PIECE);
    ck_assert_int_eq(blk_request(BLK_T_OUT, 7, parts, SHORTS + 4).status, BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(7 * 512 - 1), 6);
    for (uint32_t at = 0; at < total; at += 256 * 1024)
        ck_assert_int_eq(blk_image_byte(7 * 512 + at), 0x21);
    ck_assert_int_eq(blk_image_byte(7 * 512 + total - 1), 0x21);
    ck_assert_int_eq(blk_image_byte(7 * 512 + total), 0);
    memset(guest_mem(&guest, buffer, LONG), 0, LONG);
    for (int i = 0; i < SHORTS + 4; i++)
        parts[i].is_writable = true;
    ck_assert_uint_eq(blk_request(BLK_T_IN, 7, parts, SHORTS + 4).length, total + 1);
    ck_assert(blk_is_all(buffer, LONG, 0x21));
    blk_teardown();
}
END_TEST

/* One buffer that is longer than that, as guests with more memory than ours may have. */
START_TEST(test_long_buffer)
{
    struct nv_disk_config config = { .path = blk_path, .fd = -1 };
    struct iovec part = { calloc(3, NV_DISK_PIECE), 3 * NV_DISK_PIECE };
    uint8_t *bytes = part.iov_base;
    struct nv_disk disk;
    uint64_t size;

    blk_setup(BLK_MODE_HERE);
    ck_assert_int_eq(truncate(blk_path, 4 * NV_DISK_PIECE), 0);
    ck_nv_ok(nv_disk_open(&disk, &config, &size, &error));
    memset(bytes, 0x17, part.iov_len);
    ck_assert_int_eq(nv_disk_write(&disk, &part, 1, 512), NV_DISK_PIECE);
    ck_assert_int_eq(blk_image_byte(512 + NV_DISK_PIECE - 1), 0x17);
    ck_assert_int_eq(blk_image_byte(512 + NV_DISK_PIECE), 0);
    memset(bytes, 0, part.iov_len);
    ck_assert_int_eq(nv_disk_read(&disk, &part, 1, 512), NV_DISK_PIECE);
    ck_assert_int_eq(bytes[0], 0x17);
    ck_assert_int_eq(bytes[NV_DISK_PIECE - 1], 0x17);
    ck_assert_int_eq(bytes[NV_DISK_PIECE], 0);
    nv_disk_close(&disk);
    free(bytes);
    blk_teardown();
}
END_TEST

/* A ring full of requests at once, reads and writes mixed, over several queues. */
START_TEST(test_many_requests)
{
    enum { EACH = 16, QUEUES = 4 };
    uint64_t status[QUEUES][EACH];
    uint64_t buffer[QUEUES][EACH];

    blk_setup((enum blk_mode)_i);
    blk_set("queues", QUEUES);
    blk_begin();
    ck_assert(guest.features & BLK_F_MQ);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_QUEUES, 2), QUEUES);
    for (uint32_t q = 0; q < QUEUES; q++)
        for (uint32_t i = 0; i < EACH; i++) {
            uint32_t number = q * EACH + i;
            bool is_write = number % 2;

            buffer[q][i] = blk_buffer(512, is_write ? 0x80 + (int)number : 0);
            status[q][i] = blk_add(q, is_write ? BLK_T_OUT : BLK_T_IN, number,
                                   &(struct guest_part){ buffer[q][i], 512, !is_write }, 1);
        }
    for (uint32_t q = 0; q < QUEUES; q++)
        guest_kick(&guest, q);
    for (uint32_t q = 0; q < QUEUES; q++)
        for (uint32_t i = 0; i < EACH; i++)
            blk_wait(q);
    for (uint32_t q = 0; q < QUEUES; q++)
        for (uint32_t i = 0; i < EACH; i++) {
            uint32_t number = q * EACH + i;

            ck_assert_int_eq(blk_status(status[q][i]), BLK_S_OK);
            if (number % 2)
                ck_assert_int_eq(blk_image_byte(number * 512), 0x80 + (int)number);
            else
                ck_assert(blk_is_all(buffer[q][i], 512, (int)number));
        }
    blk_teardown();
}
END_TEST

/* A stream that never ends: notified only when the device asks for it, and no request is lost. */
START_TEST(test_stream)
{
    enum { COUNT = 8000, DEPTH = 16, SPACE = 4096 };
    uint64_t buffer;
    int added = 0;
    int done = 0;

    blk_setup((enum blk_mode)_i);
    blk_set("direct", 1);
    if (guest_wire(&guest) < 0)
        blk_set("direct", 0);
    guest_unbuild(&guest);
    blk_begin();
    buffer = (blk_buffer((DEPTH + 1) * SPACE, 0) + SPACE - 1) & ~(uint64_t)(SPACE - 1);
    while (done < COUNT) {
        while (added < COUNT && added - done < DEPTH) {
            bool is_write = added % 3 == 0;

            blk_add(0, is_write ? BLK_T_OUT : BLK_T_IN, (uint64_t)(added * 7 % 16) * 8,
                    &(struct guest_part){ buffer + (uint64_t)(added % DEPTH) * SPACE, SPACE,
                                          !is_write },
                    1);
            added++;
            guest_kick_wanted(&guest, 0);
        }
        blk_wait(0);
        done++;
    }
    ck_assert_uint_eq(guest_get_u64(&guest, "reads") + guest_get_u64(&guest, "writes"), COUNT);
    ck_assert_uint_eq(guest_get_u64(&guest, "errors"), 0);
    blk_teardown();
}
END_TEST

START_TEST(test_serial_number)
{
    uint64_t buffer;
    struct blk_answer answer;

    blk_setup((enum blk_mode)_i);
    blk_set_text("serial", "disk-0001");
    blk_begin();
    buffer = blk_buffer(32, 0xee);
    answer = blk_request(BLK_T_GET_ID, 0, &(struct guest_part){ buffer, 20, true }, 1);
    ck_assert_int_eq(answer.status, BLK_S_OK);
    ck_assert_uint_eq(answer.length, 21);
    ck_assert_str_eq((char *)guest_mem(&guest, buffer, 20), "disk-0001");
    ck_assert(blk_is_all(buffer + 9, 11, 0) && blk_is_all(buffer + 20, 12, 0xee));
    blk_teardown();
}
END_TEST

START_TEST(test_discard_and_zeroes)
{
    struct stat before;
    struct stat after;
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    ck_assert(guest.features & BLK_F_DISCARD && guest.features & BLK_F_WRITE_ZEROES);
    ck_assert_int_eq(stat(blk_path, &before), 0);
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 16, 64, 0).status, BLK_S_OK);
    ck_assert_int_eq(stat(blk_path, &after), 0);
    ck_assert_int_lt(after.st_blocks, before.st_blocks);
    ck_assert_int_eq(after.st_size, before.st_size);
    ck_assert_int_eq(blk_image_byte(16 * 512), 0);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 3, 2, 0).status, BLK_S_OK);
    ck_assert_int_eq(blk_segment(BLK_T_WRITE_ZEROES, 100, 8, 1).status, BLK_S_OK);
    buffer = blk_buffer(8 * 512, 0xee);
    ck_assert_int_eq(blk_read(2, buffer, 4 * 512).status, BLK_S_OK);
    ck_assert(blk_is_all(buffer, 512, 2) && blk_is_all(buffer + 512, 1024, 0) &&
              blk_is_all(buffer + 3 * 512, 512, 5));
    ck_assert_int_eq(blk_read(100, buffer, 8 * 512).status, BLK_S_OK);
    ck_assert(blk_is_all(buffer, 8 * 512, 0));
    ck_assert_uint_eq(blk_image_size(), BLK_SECTORS * 512);
    blk_teardown();
}
END_TEST

START_TEST(test_without_discard)
{
    blk_setup((enum blk_mode)_i);
    blk_set("discard", 0);
    blk_begin();
    ck_assert(!(guest.features & (BLK_F_DISCARD | BLK_F_WRITE_ZEROES)));
    ck_assert_int_eq(blk_segment(BLK_T_DISCARD, 0, 8, 0).status, BLK_S_UNSUPP);
    ck_assert_int_eq(blk_image_byte(512), 1);
    blk_teardown();
}
END_TEST

/* What the guest negotiates says how safe a completed write is (5.2.6.2). */
START_TEST(test_cache_modes)
{
    const struct blk_state *s;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    s = (const struct blk_state *)guest.virtio;
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_WRITEBACK, 1), 1);
    ck_assert(!s->is_writethrough);
    guest_set_config(&guest, BLK_CONFIG_WRITEBACK, 1, 0);
    ck_assert(s->is_writethrough);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_WRITEBACK, 1), 0);
    ck_assert_int_eq(blk_write(2, blk_buffer(512, 0x33), 512).status, BLK_S_OK);
    guest_set_config(&guest, BLK_CONFIG_WRITEBACK, 1, 2);
    guest_set_config(&guest, BLK_CONFIG_CAPACITY, 1, 0);
    ck_assert_uint_eq(guest_get_u64(&guest, "ignored"), 2);
    ck_assert(s->is_writethrough);
    ck_assert_int_eq(guest_drive(&guest, BLK_F_FLUSH), 0);
    ck_assert(!s->is_writethrough);
    guest_set_config(&guest, BLK_CONFIG_WRITEBACK, 1, 0); /* not negotiated */
    ck_assert(!s->is_writethrough);
    ck_assert_int_eq(guest_drive(&guest, 0), 0);
    ck_assert(s->is_writethrough);
    guest_unbuild(&guest);
    blk_set("writeback", 0);
    blk_begin();
    ck_assert(!(guest.features & (BLK_F_FLUSH | BLK_F_CONFIG_WCE)));
    ck_assert(s->is_writethrough);
    ck_assert_int_eq(blk_write(3, blk_buffer(512, 0x34), 512).status, BLK_S_OK);
    ck_assert_int_eq(blk_flush().status, BLK_S_OK);
    blk_teardown();
}
END_TEST

START_TEST(test_capacity_changes)
{
    uint32_t generation;
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_begin();
    buffer = blk_buffer(512, 0xee);
    generation = guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION);
    guest_interrupts(&guest);
    ck_assert_int_eq(truncate(blk_path, (BLK_SECTORS + 8) * 512), 0);
    ck_assert_int_eq(blk_read(BLK_SECTORS, buffer, 512).status, BLK_S_IOERR);
    blk_set("resize", 0);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_CAPACITY, 8), BLK_SECTORS + 8);
    ck_assert_uint_ne(guest_read32(&guest, NV_VIRTIO_REG_CONFIG_GENERATION), generation);
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_INTERRUPT_STATUS) & 2, 2);
    ck_assert_int_eq(blk_read(BLK_SECTORS, buffer, 512).status, BLK_S_OK);
    ck_assert(blk_is_all(buffer, 512, 0));

    blk_set("resize", 64 * 512);
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 64);
    ck_assert_int_eq(blk_read(64, buffer, 512).status, BLK_S_IOERR);
    ck_assert_int_eq(guest_set_u64(&guest, "resize", 63 * 512 + 1), -EINVAL);
    ck_assert_int_eq(guest_set_u64(&guest, "resize", (BLK_SECTORS + 9) * 512), -EINVAL);
    ck_assert_ptr_nonnull(strstr(guest.error, "enlarge the image first"));
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 64);
    ck_assert_uint_eq(guest_get_u64(&guest, "resize"), 64 * 512);
    guest_unbuild(&guest);
    blk_begin();
    ck_assert_uint_eq(guest_get_u64(&guest, "capacity"), 64);
    ck_assert_uint_eq(blk_image_size(), (BLK_SECTORS + 8) * 512);
    blk_teardown();
}
END_TEST

START_TEST(test_direct)
{
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    blk_set("direct", 1);
    if (guest_wire(&guest) < 0) {
        fprintf(stderr, "direct I/O not tried: %s\n", guest.error);
        blk_teardown();
        return;
    }
    guest_unbuild(&guest);
    blk_begin();
    buffer = (blk_buffer(3 * 4096, 0x11) + 4095) & ~4095ull;
    for (uint32_t shift = 0; shift < 600; shift += 199) { /* aligned, and hardly */
        memset(guest_mem(&guest, buffer + shift, 4096), 0x60 + (int)shift % 16, 4096);
        ck_assert_int_eq(blk_write(8, buffer + shift, 4096).status, BLK_S_OK);
        memset(guest_mem(&guest, buffer + shift, 4096), 0, 4096);
        ck_assert_int_eq(blk_read(8, buffer + shift, 4096).status, BLK_S_OK);
        ck_assert(blk_is_all(buffer + shift, 4096, 0x60 + (int)shift % 16));
    }
    ck_assert_int_eq(blk_image_byte(8 * 512 - 1), 7);
    ck_assert_int_eq(blk_image_byte(16 * 512), 16);
    blk_teardown();
}
END_TEST

/* Larger than the buffer for odd pieces. */
START_TEST(test_direct_large)
{
    enum { LENGTH = 200 * 1024 };
    uint64_t buffer;

    blk_setup((enum blk_mode)_i);
    ck_assert_int_eq(truncate(blk_path, 1024 * 1024), 0);
    blk_set("direct", 1);
    if (guest_wire(&guest) < 0) {
        blk_teardown();
        return;
    }
    guest_unbuild(&guest);
    blk_begin();
    buffer = blk_buffer(LENGTH + 1, 0x61) + 1;
    ck_assert_int_eq(blk_write(256, buffer, LENGTH).status, BLK_S_OK);
    ck_assert_int_eq(blk_image_byte(256 * 512), 0x61);
    ck_assert_int_eq(blk_image_byte(256 * 512 + LENGTH - 1), 0x61);
    ck_assert_int_eq(blk_image_byte(256 * 512 + LENGTH), 0);
    memset(guest_mem(&guest, buffer, LENGTH), 0, LENGTH);
    ck_assert_int_eq(blk_read(256, buffer, LENGTH).status, BLK_S_OK);
    ck_assert(blk_is_all(buffer, LENGTH, 0x61));
    blk_teardown();
}
END_TEST

/* By descriptor instead of path; it stays the caller's, without a lock. */
START_TEST(test_descriptor)
{
    struct flock range = { .l_type = F_WRLCK };
    int other;
    int fd;

    blk_setup((enum blk_mode)_i);
    fd = open(blk_path, O_RDWR | O_CLOEXEC);
    blk_set_text("path", "");
    ck_assert_int_eq(guest_set_fd(&guest, "fd", fd), 0);
    blk_begin();
    blk_works();
    other = open(blk_path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &range), -1);
    guest_unbuild(&guest);
    ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &range), 0);
    close(other);
    close(fd);
    blk_teardown();
}
END_TEST

/* Built, stopped and built again, also in the middle of requests. */
START_TEST(test_built_many_times)
{
    blk_setup((enum blk_mode)_i);
    for (int i = 0; i < 50; i++) {
        blk_begin();
        blk_works();
        for (int j = 0; j < 8; j++)
            blk_add(0, BLK_T_OUT, 40, &(struct guest_part){ blk_buffer(4096, i), 4096, false }, 1);
        guest_kick(&guest, 0);
        guest_stop(&guest);
        guest_unbuild(&guest);
    }
    blk_teardown();
}
END_TEST

/* No request is begun while the VM is paused; all are when it goes on. */
START_TEST(test_pause)
{
    uint64_t status;

    blk_setup(BLK_MODE_THREADS);
    blk_begin();
    guest_pause(&guest);
    status = blk_add(0, BLK_T_IN, 1, &(struct guest_part){ blk_buffer(512, 0), 512, true }, 1);
    guest_kick(&guest, 0);
    ck_assert(!guest_wait_used(&guest, 0, NULL, NULL, 50));
    ck_assert_int_eq(blk_status(status), 0xaa);
    guest_resume(&guest);
    blk_wait(0);
    ck_assert_int_eq(blk_status(status), BLK_S_OK);
    blk_teardown();
}
END_TEST

START_TEST(test_rate_limit)
{
    enum { COUNT = 12 };
    uint64_t begin_ns;
    uint64_t spent_ns;

    blk_setup((enum blk_mode)_i);
    blk_set("rate_operations", 2);
    blk_set("rate_operations_refill_ms", 50);
    blk_begin();
    begin_ns = nv_now_ns();
    for (int i = 0; i < COUNT; i++)
        blk_add(0, BLK_T_IN, 1, &(struct guest_part){ blk_buffer(512, 0), 512, true }, 1);
    guest_kick(&guest, 0);
    for (int i = 0; i < COUNT; i++)
        blk_wait(0);
    spent_ns = nv_now_ns() - begin_ns;
    ck_assert_uint_ge(spent_ns, (COUNT - 3) * 25000000ull);

    /* A limit that is lifted lets those go that wait for it. */
    blk_set("rate_operations", 1);
    blk_set("rate_operations_refill_ms", 3600000);
    for (int i = 0; i < COUNT; i++)
        blk_add(0, BLK_T_OUT, 1, &(struct guest_part){ blk_buffer(512, 1), 512, false }, 1);
    guest_kick(&guest, 0);
    ck_assert(guest_wait_used(&guest, 0, NULL, NULL, 1000));
    ck_assert(!guest_wait_used(&guest, 0, NULL, NULL, 50));
    blk_set("rate_operations", 0);
    for (int i = 1; i < COUNT; i++)
        blk_wait(0);
    blk_teardown();
}
END_TEST

START_TEST(test_configuration)
{
    blk_setup(BLK_MODE_HERE);
    blk_set("block_size", 4096);
    blk_set("queue_size", 128);
    blk_begin();
    ck_assert_uint_eq(guest_read32(&guest, NV_VIRTIO_REG_DEVICE_ID), 2);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_SEG_MAX, 4), 126);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_BLK_SIZE, 4), 4096);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_PHYSICAL_EXP, 1), 0);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_DISCARD_SEGMENTS, 4), 1);
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_ZEROES_SEGMENTS, 4), 1);
    guest_unbuild(&guest);
    blk_set("block_size", 512);
    blk_begin();
    ck_assert_uint_eq(guest_config(&guest, BLK_CONFIG_PHYSICAL_EXP, 1), 3);
    blk_teardown();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("blk");
    int modes = blk_modes();
    TCase *tcase = blk_case(suite, "requests", 60);

    tcase_add_loop_test(tcase, test_reads_and_writes, 0, modes);
    tcase_add_loop_test(tcase, test_any_layout, 0, modes);
    tcase_add_loop_test(tcase, test_many_pieces, 0, modes);
    tcase_add_loop_test(tcase, test_long, 0, modes);
    tcase_add_test(tcase, test_long_buffer);
    tcase_add_loop_test(tcase, test_many_requests, 0, modes);
    tcase_add_loop_test(tcase, test_stream, 0, modes);
    tcase_add_loop_test(tcase, test_serial_number, 0, modes);
    tcase_add_loop_test(tcase, test_discard_and_zeroes, 0, modes);
    tcase_add_loop_test(tcase, test_without_discard, 0, modes);
    tcase_add_loop_test(tcase, test_cache_modes, 0, modes);
    tcase_add_loop_test(tcase, test_capacity_changes, 0, modes);
    tcase_add_loop_test(tcase, test_direct, 0, modes);
    tcase_add_loop_test(tcase, test_direct_large, 0, modes);
    tcase_add_loop_test(tcase, test_descriptor, 0, modes);
    tcase_add_loop_test(tcase, test_built_many_times, 0, modes);
    tcase_add_test(tcase, test_pause);
    tcase_add_loop_test(tcase, test_rate_limit, BLK_MODE_THREADS, modes);
    tcase_add_test(tcase, test_configuration);
    return suite;
}
