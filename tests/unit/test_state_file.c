/* SPDX-License-Identifier: Apache-2.0 */
/* Proves records, the checksum, and that a file of saved state which is not whole is refused. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/crc.h"
#include "core/record.h"
#include "core/util.h"
#include "devices/device.h"
#include "fake_kvm.h"
#include "support.h"

enum { REGION_LENGTH = 16 + 4 + 8 };

static struct nestvirt_host *host;
static struct nestvirt_template *template;
static int file = -1;

START_TEST(test_crc)
{
    static const char nine[] = "123456789";
    struct nv_crc crc;
    uint32_t value;

    nv_crc_init(&crc);
    ck_assert_uint_eq(nv_crc_add(&crc, 0, nine, 9), 0xcbf43926); /* what all CRC-32s have */
    ck_assert_uint_eq(nv_crc_add(&crc, 0, nine, 0), 0);
    for (size_t i = 0; i <= 9; i++) {
        value = nv_crc_add(&crc, 0, nine, i);
        ck_assert_uint_eq(nv_crc_add(&crc, value, nine + i, 9 - i), 0xcbf43926);
    }
}
END_TEST

START_TEST(test_records)
{
    struct nv_writer writer = { 0 };
    struct nv_reader reader, body;
    char text[8];
    size_t mark = nv_write_begin(&writer, NV_RECORD('T', 'E', 'S', 'T'), 3);

    nv_write_u8(&writer, 1);
    nv_write_u16(&writer, 0x1234);
    nv_write_u32(&writer, 0x12345678);
    nv_write_u64(&writer, 0x123456789abcdef0);
    nv_write_text(&writer, "seven 7");
    nv_write_text(&writer, NULL);
    nv_write_end(&writer, mark);
    ck_assert_int_eq(writer.error, 0);
    reader = (struct nv_reader){ .bytes = writer.bytes, .left = writer.length };
    ck_nv_fails(nv_read_begin(&(struct nv_reader){ .bytes = writer.bytes, .left = writer.length },
                              NV_RECORD('T', 'E', 'S', 'T'), 2, "test", &body, &error),
                NESTVIRT_E_BAD_STATE);
    ck_nv_fails(nv_read_begin(&(struct nv_reader){ .bytes = writer.bytes, .left = writer.length },
                              NV_RECORD('T', 'E', 'S', 'X'), 3, "test", &body, &error),
                NESTVIRT_E_BAD_STATE);
    ck_nv_ok(nv_read_begin(&reader, NV_RECORD('T', 'E', 'S', 'T'), 3, "test", &body, &error));
    ck_assert(nv_read_bool(&body));
    ck_assert_uint_eq(nv_read_u16(&body), 0x1234);
    ck_assert_uint_eq(nv_read_u32(&body), 0x12345678);
    ck_assert_uint_eq(nv_read_u64(&body), 0x123456789abcdef0);
    nv_read_text(&body, text, sizeof(text));
    ck_assert_str_eq(text, "seven 7");
    ck_nv_fails(nv_read_end(&body, "test", &error), NESTVIRT_E_BAD_STATE);
    nv_read_text(&body, text, sizeof(text));
    ck_assert_str_eq(text, "");
    ck_nv_ok(nv_read_end(&body, "test", &error));
    ck_assert_uint_eq(nv_read_u32(&body), 0);
    ck_assert(body.is_bad);
    ck_nv_fails(nv_read_end(&body, "test", &error), NESTVIRT_E_BAD_STATE);
    nv_writer_destroy(&writer);
}
END_TEST

/* A text that does not fit, an odd truth, a length beyond the end. */
START_TEST(test_bad_values)
{
    static const uint8_t bytes[] = { 3, 0, 0, 0, 'a', 'b', 'c', 2, 255, 255, 255, 255 };
    struct nv_reader reader = { .bytes = bytes, .left = sizeof(bytes) };
    char text[3];
    size_t length;

    nv_read_text(&reader, text, sizeof(text));
    ck_assert(reader.is_bad);
    reader = (struct nv_reader){ .bytes = bytes + 7, .left = 1 };
    ck_assert(!nv_read_bool(&reader));
    ck_assert(reader.is_bad);
    reader = (struct nv_reader){ .bytes = bytes + 8, .left = 4 };
    ck_assert_ptr_null(nv_read_blob(&reader, &length));
    ck_assert(reader.is_bad);
}
END_TEST

static void setup(void)
{
    struct nestvirt_vm *vm;
    uint8_t byte = 5;

    fake_kvm_reset();
    host = fake_kvm_host();
    vm = fake_kvm_vm(host, 0, NESTVIRT_CHIP_SPLIT, 1);
    ck_nv_ok(nestvirt_device_add(vm, "serial", NULL, &error));
    ck_nv_ok(nestvirt_device_add(vm, "rng", NULL, &error));
    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_memory_write(vm, 0x5000, &byte, 1, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &template, &error));
    nestvirt_vm_free(vm);
    file = memfd_create("state", MFD_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_nv_ok(nestvirt_template_write(template, NULL, file, &error));
}

static void teardown(void)
{
    close(file);
    nestvirt_template_free(template);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}

static int try_open(struct nestvirt_error **ret_error)
{
    struct nestvirt_template *opened = NULL;
    int r = nestvirt_template_open(host, file, 0, NULL, &opened, ret_error);

    ck_assert_int_eq(r < 0, opened == NULL);
    nestvirt_template_free(opened);
    return r;
}

START_TEST(test_whole)
{
    struct nestvirt_template *opened;
    struct nestvirt_vm *clone;
    uint8_t byte = 0;

    ck_nv_ok(nestvirt_template_open(host, file, 0, NULL, &opened, &error));
    ck_nv_ok(nestvirt_clone_new(opened, NULL, &clone, &error));
    nestvirt_template_free(opened);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_nv_ok(nestvirt_memory_read(clone, 0x5000, &byte, 1, &error));
    ck_assert_uint_eq(byte, 5);
    nestvirt_vm_free(clone);
}
END_TEST

START_TEST(test_fault_04_cut_off)
{
    static const off_t steps[] = { 1, 127, 128, 129, 1000, 8192, 100000, 1 << 20 };
    off_t size = lseek(file, 0, SEEK_END);

    for (size_t i = 0; i < NV_ARRAY_SIZE(steps); i++) {
        ck_assert_int_eq(ftruncate(file, size - steps[i] > 0 ? size - steps[i] : 0), 0);
        ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
        ck_nv_ok(nestvirt_template_write(template, NULL, file, &error));
    }
    for (off_t length = 0; length < 300; length++) {
        ck_assert_int_eq(ftruncate(file, length), 0);
        ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
        if (length < 128)
            ck_nv_ok(nestvirt_template_write(template, NULL, file, &error));
    }
    ck_assert_int_eq(ftruncate(file, size + 4096), 0);
    ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
}
END_TEST

static void flip(off_t at)
{
    uint8_t byte;

    ck_assert_int_eq(pread(file, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(file, &byte, 1, at), 1);
}

/* Each byte of the header, many of the records, those of the memory. */
START_TEST(test_damaged)
{
    uint8_t header[128];
    uint64_t body, memory;

    ck_assert_int_eq(pread(file, header, sizeof(header), 0), sizeof(header));
    body =
        128 + nv_get_le64(header + 48) + nv_get_le64(header + 56) + 24 * nv_get_le64(header + 64);
    memory = nv_get_le64(header + 80);
    for (uint64_t at = 0; at < body; at += at < 400 ? 1 : 41) {
        flip((off_t)at);
        ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
        flip((off_t)at);
    }
    flip((off_t)(memory + 0x5000));
    ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
    flip((off_t)(memory + 0x5000));
    ck_nv_ok(try_open(&error));
}
END_TEST

START_TEST(test_foreign)
{
    static const char text[] = "\177ELF and other things that are no saved state at all, but long "
                               "enough to hold a header of 128 bytes if one looks at length alone.";
    int ends[2];

    ck_assert_int_eq(ftruncate(file, 0), 0);
    ck_assert_int_eq(pwrite(file, text, sizeof(text), 0), sizeof(text));
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "something else");
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_nv_fails(
        nestvirt_template_open(host, ends[0], 0, NULL, &(struct nestvirt_template *){ 0 }, &error),
        -EINVAL);
    ck_nv_fails(nestvirt_template_write(template, NULL, ends[1], &error), -EINVAL);
    ck_nv_fails(nestvirt_template_write(template, NULL, -1, &error), -EBADF);
    ck_nv_fails(
        nestvirt_template_open(host, -1, 0, NULL, &(struct nestvirt_template *){ 0 }, &error),
        -EBADF);
    ck_nv_fails(
        nestvirt_template_open(host, file, 4, NULL, &(struct nestvirt_template *){ 0 }, &error),
        -EINVAL);
    ck_nv_fails(nestvirt_template_open(host, file, 0, NULL, NULL, &error), -EFAULT);
    close(ends[0]);
    close(ends[1]);
    ends[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_nv_fails(nestvirt_template_write(template, NULL, ends[0], &error), -EINVAL);
    close(ends[0]);
}
END_TEST

/* The file's checksums of its records and its header, as its author would compute them. */
static void put_right(void)
{
    uint8_t header[128];
    struct nv_crc crc;
    uint8_t *body;
    uint64_t length;

    nv_crc_init(&crc);
    ck_assert_int_eq(pread(file, header, sizeof(header), 0), sizeof(header));
    length = nv_get_le64(header + 48) + nv_get_le64(header + 56) + 24 * nv_get_le64(header + 64);
    body = malloc(length);
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(pread(file, body, length, 128), (ssize_t)length);
    nv_put_le32(header + 96, nv_crc_add(&crc, 0, body, length));
    nv_put_le32(header + 124, nv_crc_add(&crc, 0, header, 124));
    ck_assert_int_eq(pwrite(file, header, sizeof(header), 0), sizeof(header));
    free(body);
}

static void poke_u64(uint64_t at, uint64_t value)
{
    uint8_t bytes[8];

    nv_put_le64(bytes, value);
    ck_assert_int_eq(pwrite(file, bytes, sizeof(bytes), (off_t)at), sizeof(bytes));
}

static uint64_t peek_u64(uint64_t at)
{
    uint8_t bytes[8];

    ck_assert_int_eq(pread(file, bytes, sizeof(bytes), (off_t)at), sizeof(bytes));
    return nv_get_le64(bytes);
}

/* Opening refuses the file while 8 bytes of it are others. */
static void refuse_with(uint64_t at, uint64_t value)
{
    uint64_t old = peek_u64(at);

    poke_u64(at, value);
    put_right();
    ck_nv_fails(try_open(&error), NESTVIRT_E_BAD_STATE);
    poke_u64(at, old);
}

/* Where the machine's record is. */
static uint64_t machine_at(void)
{
    return 128 + peek_u64(48);
}

/* A record whose tag, version or length is another. */
static void refuse_record(uint64_t at)
{
    uint64_t head = peek_u64(at);
    uint64_t length = peek_u64(at + 8);

    refuse_with(at, head ^ 1);
    refuse_with(at, head + (1ull << 32));
    refuse_with(at + 8, length + 1);
    refuse_with(at + 8, length - 1);
    refuse_with(at + 8, 0);
    refuse_with(at + 8, UINT64_MAX);
}

/*
 * What does not stand where a clone's build would look for it is refused at once: the records of
 * the devices, the interrupt chip and the vCPUs, and the clock behind them.
 */
START_TEST(test_hostile_machine)
{
    static const char *const tags[] = { "DEVC", "DEVC", "IRQC", "VCPU" };
    uint64_t at = machine_at();
    uint64_t end = at + 16 + peek_u64(at + 8);

    refuse_record(at);
    at += 16;
    for (size_t i = 0; i < NV_ARRAY_SIZE(tags); i++) {
        uint64_t head = peek_u64(at);

        ck_assert_mem_eq(&head, tags[i], 4);
        refuse_record(at);
        at += 16 + peek_u64(at + 8);
    }
    ck_assert_uint_eq(at + 8, end);
    put_right();
    ck_nv_ok(try_open(&error));
}
END_TEST

/* A timer's state of another size; and that of a VM that never ran, which has only vCPUs. */
START_TEST(test_hostile_machine_with_timer)
{
    struct nestvirt_template *other = NULL;
    struct nestvirt_vm *vm = fake_kvm_vm(host, NESTVIRT_VM_PIT, NESTVIRT_CHIP_KERNEL, 2);
    uint64_t at;

    ck_nv_ok(nestvirt_vm_build(vm, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &other, &error));
    ck_nv_ok(nestvirt_template_write(other, NULL, file, &error));
    nestvirt_template_free(other);
    at = machine_at() + 16;
    refuse_record(at);
    refuse_record(at + 16 + peek_u64(at + 8));
    put_right();
    ck_nv_ok(try_open(&error));
    ck_nv_ok(nestvirt_vm_start(vm, &error));
    ck_nv_ok(nestvirt_vm_pause(vm, &error));
    ck_nv_ok(nestvirt_template_new(vm, 0, &other, &error));
    ck_nv_ok(nestvirt_template_write(other, NULL, file, &error));
    nestvirt_template_free(other);
    nestvirt_vm_free(vm);
    at = machine_at() + 16;
    at += 16 + peek_u64(at + 8); /* behind the chip: the timer's length */
    ck_assert_uint_eq((uint32_t)peek_u64(at), sizeof(struct kvm_pit_state2));
    refuse_with(at, peek_u64(at) + 1);
    refuse_with(at, peek_u64(at) - 1);
    refuse_with(at, peek_u64(at) | UINT32_MAX);
    put_right();
    ck_nv_ok(try_open(&error));
}
END_TEST

/* A device as a file describes it: with one property. */
static int load_device(const char *kind, const char *property, const char *text,
                       struct nestvirt_error **ret_error)
{
    struct nv_writer writer = { 0 };
    struct nv_reader reader;
    struct nestvirt_device *device = NULL;
    size_t mark = nv_write_begin(&writer, NV_RECORD('D', 'C', 'F', 'G'), 1);
    int r;

    nv_write_text(&writer, kind);
    nv_write_u32(&writer, 1);
    nv_write_text(&writer, property);
    nv_write_u8(&writer, text ? 1 : 0);
    if (text)
        nv_write_text(&writer, text);
    else
        nv_write_u64(&writer, 3);
    nv_write_end(&writer, mark);
    reader = (struct nv_reader){ .bytes = writer.bytes, .left = writer.length };
    r = nv_device_load_config(&reader, 0, template, &device, ret_error);
    if (r == 0)
        nv_device_free(device);
    nv_writer_destroy(&writer);
    return r;
}

/* A file has no say in what is opened on the host, which is what one VM has for itself. */
START_TEST(test_hostile_identity)
{
    ck_nv_ok(load_device("blk", "serial", "abc", &error));
    ck_nv_ok(load_device("blk", "queues", NULL, &error));
    ck_nv_fails(load_device("blk", "path", "/etc/shadow", &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("blk", "fd", NULL, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("blk", "reads", NULL, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("blk", "serial", NULL, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("blk", "nothing", "x", &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("net", "tap", "eth0", &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("vsock", "path", "/run/x", &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("vsock", "cid", NULL, &error), NESTVIRT_E_BAD_STATE);
    ck_nv_fails(load_device("toaster", "serial", "x", &error), NESTVIRT_E_BAD_STATE);
}
END_TEST

/* A file of changes of nothing but a header and a list: what it would cost is asked for first. */
static void write_sparse(uint64_t memory, uint64_t extents, bool has_list, uint32_t memory_crc)
{
    uint8_t header[128] = { 0 }, entry[24];
    uint64_t config, list, end;
    uint8_t *body;
    struct nv_crc crc;

    nv_crc_init(&crc);
    ck_assert_int_eq(pread(file, header, sizeof(header), 0), sizeof(header));
    config = nv_get_le64(header + 48);
    list = 128 + config + nv_get_le64(header + 56);
    end = list + 24 * extents;
    body = calloc(1, end);
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(pread(file, body, list, 0), (ssize_t)list);
    for (uint64_t i = 0; i < extents && has_list; i++) {
        memset(entry, 0, sizeof(entry));
        nv_put_le64(entry, i << 20);
        nv_put_le64(entry + 8, 1 << 20);
        nv_put_le32(entry + 16, memory_crc);
        memcpy(body + list + 24 * i, entry, sizeof(entry));
    }
    /* The only region, behind the head of its record and the count: its address and length. */
    nv_put_le64(body + 128 + REGION_LENGTH, memory);
    nv_put_le64(header + 64, extents);
    nv_put_le64(header + 72, memory);
    nv_put_le64(header + 80, nv_align_up(end, 4096));
    nv_put_le64(header + 88, nv_align_up(end, 4096) + memory);
    nv_put_le32(header + 96, nv_crc_add(&crc, 0, body + 128, end - 128));
    nv_put_le32(header + 124, nv_crc_add(&crc, 0, header, 124));
    memcpy(body, header, sizeof(header));
    ck_assert_int_eq(ftruncate(file, 0), 0);
    ck_assert_int_eq(pwrite(file, body, has_list ? end : list, 0),
                     (ssize_t)(has_list ? end : list));
    ck_assert_int_eq(ftruncate(file, (off_t)(nv_align_up(end, 4096) + memory)), 0);
    free(body);
}

/* Its first checksum is wrong, so that memory is safe where nobody asks for it. */
START_TEST(test_hostile_more_than_the_host_has)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES) * 4096;
    uint64_t memory = nv_align_up(pages + NV_MIB(64), NV_MIB(1));

    write_sparse(memory, memory >> 20, true, 0);
    ck_nv_fails_with(try_open(&error), -ENOMEM, "must stay");
}
END_TEST

START_TEST(test_hostile_list_of_a_hole)
{
    write_sparse(NV_MIB(64), 16384, false, 0);
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "hole");
    write_sparse(NV_MIB(64), 64, true, 0);
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "hole");
}
END_TEST

static uint64_t data_of(const struct nestvirt_template *of)
{
    struct nestvirt_template_info info;

    nestvirt_template_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_template_get_info(of, &info, &error));
    return info.data_size;
}

/*
 * A small file whose list says that holes are data would cost as much as a large one: memory, or
 * time where it is sealed. What has no pages of zeroes in its list has no holes there either.
 */
START_TEST(test_hostile_holes_as_data)
{
    uint8_t *page = calloc(1, NV_MIB(1));
    struct nv_crc crc;
    uint32_t sum;

    ck_assert_ptr_nonnull(page);
    nv_crc_init(&crc);
    sum = nv_crc_add(&crc, 0, page, NV_MIB(1));
    close(file);
    file = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(file, 0);
    ck_nv_ok(nestvirt_template_write(template, NULL, file, &error));
    write_sparse(NV_MIB(64), 64, true, sum);
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "hole");
    /* All but one are there. */
    for (uint64_t i = 0; i < 64; i++)
        if (i != 50)
            ck_assert_int_eq(pwrite(file, page, NV_MIB(1), (off_t)(peek_u64(80) + i * NV_MIB(1))),
                             NV_MIB(1));
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "hole");
    ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    ck_nv_fails_with(try_open(&error), NESTVIRT_E_BAD_STATE, "hole");
    free(page);
}
END_TEST

/* The same of pages that are there, and zero: the template has holes in their place. */
START_TEST(test_zeroes_as_data)
{
    struct nestvirt_template *opened = NULL;
    uint8_t *page = calloc(1, NV_MIB(1));
    struct nv_crc crc;

    ck_assert_ptr_nonnull(page);
    nv_crc_init(&crc);
    write_sparse(NV_MIB(64), 64, true, nv_crc_add(&crc, 0, page, NV_MIB(1)));
    for (uint64_t i = 0; i < 64; i++)
        ck_assert_int_eq(pwrite(file, page, NV_MIB(1), (off_t)(peek_u64(80) + i * NV_MIB(1))),
                         NV_MIB(1));
    ck_nv_ok(nestvirt_template_open(host, file, 0, NULL, &opened, &error));
    ck_assert_uint_eq(data_of(opened), 0);
    nestvirt_template_free(opened);
    free(page);
}
END_TEST

/* Pages that are zero now, and are not in the base. */
START_TEST(test_zeroes_over_base)
{
    struct nestvirt_template *changed = NULL, *opened = NULL;
    struct nestvirt_vm *clone;
    uint8_t byte = 0;

    ck_nv_ok(nestvirt_clone_new(template, NULL, &clone, &error));
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_nv_ok(nestvirt_memory_write(clone, 0x5000, &byte, 1, &error));
    ck_nv_ok(nestvirt_template_new(clone, 0, &changed, &error));
    nestvirt_vm_free(clone);
    ck_assert_uint_eq(data_of(changed), data_of(template) - 4096);
    ck_nv_ok(nestvirt_template_write(changed, template, file, &error));
    ck_nv_ok(nestvirt_template_open(host, file, 0, template, &opened, &error));
    ck_assert_uint_eq(data_of(opened), data_of(changed));
    nestvirt_template_free(changed);
    ck_nv_ok(nestvirt_clone_new(opened, NULL, &clone, &error));
    nestvirt_template_free(opened);
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    byte = 1;
    ck_nv_ok(nestvirt_memory_read(clone, 0x5000, &byte, 1, &error));
    ck_assert_uint_eq(byte, 0);
    nestvirt_vm_free(clone);
}
END_TEST

/*
 * A clone that touches memory where its template has none makes the kernel put pages of zeroes
 * there, for all. Files of the template do not become larger by that.
 */
START_TEST(test_hostile_touched_holes)
{
    struct nestvirt_vm *clone;
    uint8_t *zeroes = calloc(1, NV_MIB(1));
    uint64_t count = peek_u64(64);

    ck_assert_ptr_nonnull(zeroes);
    ck_assert_uint_eq(count, 1);
    ck_nv_ok(nestvirt_clone_new(template, NULL, &clone, &error));
    ck_nv_ok(nestvirt_memory_write(clone, 0x10000, zeroes, NV_MIB(1), &error));
    nestvirt_vm_free(clone);
    ck_nv_ok(nestvirt_template_write(template, NULL, file, &error));
    ck_assert_uint_eq(peek_u64(64), count);
    ck_assert_uint_eq(peek_u64(machine_at() + peek_u64(56)), 0x5000);
    ck_nv_ok(try_open(&error));
    free(zeroes);
}
END_TEST

/* What a template holds is what its base and the changes hold together. */
START_TEST(test_data_with_base)
{
    struct nestvirt_template *changed = NULL, *opened = NULL;
    struct nestvirt_vm *clone;
    uint8_t bytes[2 * 4096];

    memset(bytes, 7, sizeof(bytes));
    ck_nv_ok(nestvirt_clone_new(template, NULL, &clone, &error));
    ck_nv_ok(nestvirt_vm_build(clone, &error));
    ck_nv_ok(nestvirt_memory_write(clone, 0x10000, bytes, sizeof(bytes), &error));
    ck_nv_ok(nestvirt_template_new(clone, 0, &changed, &error));
    nestvirt_vm_free(clone);
    ck_nv_ok(nestvirt_template_write(changed, template, file, &error));
    ck_nv_ok(nestvirt_template_open(host, file, 0, template, &opened, &error));
    ck_assert_uint_eq(data_of(opened), data_of(template) + sizeof(bytes));
    ck_assert_uint_eq(data_of(opened), data_of(changed));
    nestvirt_template_free(changed);
    nestvirt_template_free(opened);
}
END_TEST

/* Where the memory lies, nothing is written. */
START_TEST(test_write_over_itself)
{
    struct nestvirt_template *opened = NULL;

    ck_nv_ok(
        nestvirt_template_open(host, file, NESTVIRT_TEMPLATE_TRUST_FILE, NULL, &opened, &error));
    ck_nv_fails_with(nestvirt_template_write(opened, NULL, file, &error), -EINVAL, "another file");
    ck_nv_fails_with(nestvirt_template_write(template, opened, file, &error), -EINVAL,
                     "another file");
    ck_assert_int_eq(nestvirt_template_free(opened), 0);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("state_file");
    TCase *tcase = support_case(suite, "records", 20);

    tcase_add_test(tcase, test_crc);
    tcase_add_test(tcase, test_records);
    tcase_add_test(tcase, test_bad_values);
    tcase = support_case(suite, "files", 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_whole);
    tcase_add_test(tcase, test_fault_04_cut_off);
    tcase_add_test(tcase, test_damaged);
    tcase_add_test(tcase, test_foreign);
    tcase_add_test(tcase, test_hostile_machine);
    tcase_add_test(tcase, test_hostile_machine_with_timer);
    tcase_add_test(tcase, test_hostile_identity);
    tcase_add_test(tcase, test_hostile_more_than_the_host_has);
    tcase_add_test(tcase, test_hostile_list_of_a_hole);
    tcase_add_test(tcase, test_hostile_holes_as_data);
    tcase_add_test(tcase, test_zeroes_as_data);
    tcase_add_test(tcase, test_hostile_touched_holes);
    tcase_add_test(tcase, test_zeroes_over_base);
    tcase_add_test(tcase, test_data_with_base);
    tcase_add_test(tcase, test_write_over_itself);
    return suite;
}
