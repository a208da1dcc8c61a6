/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of boot images for tests: ELF, bzImage, packed payloads, and a loader for them.
 */
#include "image.h"

#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/error.h"
#include "core/util.h"

void image_require(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "tests/support/image: %s failed\n", what);
    abort();
}

struct image image_new(size_t size)
{
    struct image image = { calloc(1, size ? size : 1), size };

    image_require(image.bytes != NULL, "calloc");
    return image;
}

void image_free(struct image *image)
{
    free(image->bytes);
    *image = (struct image){ NULL, 0 };
}

void image_resize(struct image *image, size_t size)
{
    image->bytes = realloc(image->bytes, size ? size : 1);
    image_require(image->bytes != NULL, "realloc");
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static uint8_t *room(struct image *image, size_t offset, size_t length)
{
    image_require(nv_range_fits(offset, length, image->size), "offset");
    return image->bytes + offset;
}

void image_put16(struct image *image, size_t offset, uint16_t value)
{
    nv_put_le16(room(image, offset, 2), value);
}

void image_put32(struct image *image, size_t offset, uint32_t value)
{
    nv_put_le32(room(image, offset, 4), value);
}

void image_put64(struct image *image, size_t offset, uint64_t value)
{
    nv_put_le64(room(image, offset, 8), value);
}

int image_fd(const struct image *image)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    image_require(fd >= 0, "memfd_create");
    image_require(pwrite(fd, image->bytes, image->size, 0) == (ssize_t)image->size, "pwrite");
    return fd;
}

static void put_program_header(struct image *image, size_t at, uint32_t type, uint64_t offset,
                               uint64_t address, uint64_t file_size, uint64_t memory_size)
{
    image_put32(image, at + PH_TYPE, type);
    image_put64(image, at + PH_OFFSET, offset);
    image_put64(image, at + PH_ADDRESS, address);
    image_put64(image, at + PH_FILE_SIZE, file_size);
    image_put64(image, at + PH_MEMORY_SIZE, memory_size);
}

static void put_note(struct image *image, size_t at, uint32_t type, const char *name,
                     uint32_t value)
{
    image_put32(image, at, (uint32_t)strlen(name) + 1);
    image_put32(image, at + 4, 4);
    image_put32(image, at + 8, type);
    memcpy(room(image, at + 12, strlen(name)), name, strlen(name));
    image_put32(image, at + 12 + nv_align_up(strlen(name) + 1, 4), value);
}

struct image image_elf(void)
{
    struct image image = image_new(ELF_SIZE);

    memcpy(image.bytes, ELFMAG, SELFMAG);
    image.bytes[EI_CLASS] = ELFCLASS64;
    image.bytes[EI_DATA] = ELFDATA2LSB;
    image.bytes[EI_VERSION] = EV_CURRENT;
    image_put16(&image, ELF_TYPE, ET_EXEC);
    image_put16(&image, ELF_MACHINE, EM_X86_64);
    image_put32(&image, 20, EV_CURRENT);
    image_put64(&image, ELF_ENTRY, ELF_ENTRY_VALUE);
    image_put64(&image, ELF_PHOFF, ELF_HEADERS);
    image_put16(&image, ELF_PHENTSIZE, ELF_HEADER_SIZE);
    image_put16(&image, ELF_PHNUM, 3);
    put_program_header(&image, ELF_FIRST, PT_LOAD, 0x1000, 0x100000, 0x200, 0x1000);
    put_program_header(&image, ELF_SECOND, PT_LOAD, 0x1200, 0x200000, 0x100, 0x2000);
    put_program_header(&image, ELF_NOTES, PT_NOTE, 0x200, 0, 0x2c, 0x2c);
    put_note(&image, 0x200, 6, "Linux", 0); /* another's, which must be passed over */
    put_note(&image, ELF_NOTE, 18, "Xen", ELF_PVH_VALUE);
    for (size_t i = ELF_CODE; i < ELF_SIZE; i++)
        image.bytes[i] = (uint8_t)(i | 1);
    return image;
}

struct image image_bzimage(const struct image *payload)
{
    size_t body = nv_align_up(BZ_PAYLOAD_AT + payload->size, 16);
    struct image image = image_new(BZ_BODY + body);

    image.bytes[BZ_SETUP_SECTS] = BZ_BODY / 512 - 1;
    image_put32(&image, BZ_SYSSIZE, (uint32_t)(body / 16));
    image_put16(&image, BZ_BOOT_FLAG, 0xaa55);
    image.bytes[0x200] = 0xeb;
    image.bytes[BZ_JUMP] = 0x26c - 0x202;
    memcpy(room(&image, BZ_MAGIC, 4), "HdrS", 4);
    image_put16(&image, BZ_VERSION, 0x020f);
    image.bytes[BZ_LOADFLAGS] = 1;
    image_put32(&image, BZ_INITRD_MAX, 0x7fffffff);
    image_put16(&image, BZ_XLOADFLAGS, 1);
    image_put32(&image, BZ_CMDLINE_SIZE, 2047);
    image_put32(&image, BZ_PAYLOAD_OFFSET, BZ_PAYLOAD_AT);
    image_put32(&image, BZ_PAYLOAD_LENGTH, (uint32_t)payload->size);
    image_put64(&image, BZ_PREF_ADDRESS, BZ_ADDRESS);
    image_put32(&image, BZ_INIT_SIZE, BZ_MEMORY_SIZE);
    memset(image.bytes + BZ_BODY, 0x90, BZ_PAYLOAD_AT);
    if (payload->size > 0)
        memcpy(image.bytes + BZ_BODY + BZ_PAYLOAD_AT, payload->bytes, payload->size);
    return image;
}

static void count_line(void *user_data, uint32_t level, const char *text)
{
    struct loader *loader = user_data;

    loader->log_lines++;
    snprintf(loader->last_line, sizeof(loader->last_line), "%u %s", level, text);
}

void loader_init(struct loader *loader, uint64_t memory_size)
{
    memset(loader, 0, sizeof(*loader));
    nv_memory_init(&loader->memory);
    loader->source.kernel_fd = -1;
    loader->source.initrd_fd = -1;
    loader->source.flat.size = sizeof(loader->source.flat);
    loader->machine.vcpus = 1;
    loader->log = (struct nv_log){ .level = 4, .fn = count_line, .user_data = loader };
    if (memory_size > 0)
        loader_add_memory(loader, 0, memory_size);
}

void loader_add_memory(struct loader *loader, uint64_t address, uint64_t length)
{
    const struct nestvirt_memory_config config = { .size = sizeof(config),
                                                   .address = address,
                                                   .length = length };

    ck_assert_int_ge(nv_memory_add(&loader->memory, &config, NULL), 0);
}

static void replace_fd(int *fd, int other)
{
    if (*fd >= 0)
        close(*fd);
    *fd = other;
}

void loader_destroy(struct loader *loader)
{
    replace_fd(&loader->source.kernel_fd, -1);
    replace_fd(&loader->source.initrd_fd, -1);
    nv_error_free(loader->error);
    loader->error = NULL;
    nv_memory_destroy(&loader->memory, true);
}

void loader_set_kernel(struct loader *loader, const struct image *image, uint32_t format)
{
    replace_fd(&loader->source.kernel_fd, image_fd(image));
    loader->source.format = format;
}

void loader_set_initrd(struct loader *loader, const struct image *image)
{
    replace_fd(&loader->source.initrd_fd, image_fd(image));
}

int loader_run(struct loader *loader)
{
    nv_error_free(loader->error);
    loader->error = NULL;
    return nv_boot_load(&loader->source, &loader->machine, &loader->memory, &loader->log,
                        &loader->start, &loader->error);
}

void loader_must_fail(struct loader *loader, int code, const char *object)
{
    const char *message;
    int r = loader_run(loader);

    message = nv_error_get_message(loader->error);
    ck_assert_msg(r == code, "%d (%s), not %d", r, message, code);
    ck_assert_ptr_nonnull(loader->error);
    ck_assert_int_eq(nv_error_get_code(loader->error), code);
    ck_assert_str_eq(nv_error_get_object(loader->error), object);
    ck_assert_str_ne(nv_error_get_hint(loader->error), "");
    ck_assert(!loader->start.valid);
    ck_assert_msg(loader_is_untouched(loader), "memory was written: %s", message);
}

void loader_must_load(struct loader *loader)
{
    int r = loader_run(loader);

    ck_assert_msg(r == 0, "%d (%s)", r, nv_error_get_message(loader->error));
    ck_assert_ptr_null(loader->error);
    ck_assert(loader->start.valid);
}

bool loader_is_untouched(const struct loader *loader)
{
    for (uint32_t i = 0; i < loader->memory.slot_count; i++) {
        const struct nv_memory_slot *slot = &loader->memory.slots[i];

        if (slot->host[0] != 0 || memcmp(slot->host, slot->host + 1, slot->length - 1) != 0)
            return false;
    }
    return true;
}

uint8_t *loader_at(const struct loader *loader, uint64_t address, uint64_t length)
{
    uint8_t *bytes = nv_memory_at(&loader->memory, nv_gpa_at(address), length);

    ck_assert_ptr_nonnull(bytes);
    return bytes;
}
