/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of ELF kernels: program headers and the PVH entry note. */
#include "boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/util.h"

enum {
    HEADERS_MAX = 128,        /* program headers; Linux has 5 */
    HEADER_SIZE = 64,         /* of the file, ELF-64 */
    PROGRAM_HEADER_SIZE = 56, /* ELF-64 */
    NOTES_MAX = 64 * 1024,    /* bytes of a note segment; Linux has some 500 */
    NOTE_HEADER_SIZE = 12,    /* three words: size of name, size of description, type */
    NOTE_PHYS32_ENTRY = 18,   /* XEN_ELFNOTE_PHYS32_ENTRY */
    MACHINE_X86_64 = EM_X86_64
};

struct program_header {
    uint32_t type;
    uint64_t offset;
    uint64_t address; /* physical */
    uint64_t file_size;
    uint64_t memory_size;
};

struct program_headers {
    uint64_t entry;
    uint32_t count;
    uint8_t bytes[HEADERS_MAX * PROGRAM_HEADER_SIZE];
};

bool nv_elf_is(const void *bytes, size_t size)
{
    return size >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

static int check_kind(const struct nv_image *image, const uint8_t *header,
                      struct nestvirt_error **ret_error)
{
    static const char hint[] = "give a 64-bit x86 kernel";
    uint16_t type = nv_get_le16(header + 16);

    if (!nv_elf_is(header, HEADER_SIZE))
        return nv_fail(ret_error, -ENOEXEC, image->name, hint, "is not an ELF file");
    if (header[EI_CLASS] != ELFCLASS64 || header[EI_DATA] != ELFDATA2LSB)
        return nv_fail(ret_error, -ENOEXEC, image->name, hint,
                       "is an ELF file, but not a 64-bit little-endian one");
    if (header[EI_VERSION] != EV_CURRENT || nv_get_le32(header + 20) != EV_CURRENT)
        return nv_fail(ret_error, -ENOEXEC, image->name, hint, "has an unknown ELF version");
    if (nv_get_le16(header + 18) != MACHINE_X86_64)
        return nv_fail(ret_error, -ENOEXEC, image->name, hint,
                       "is for another processor (ELF machine %u)", nv_get_le16(header + 18));
    if (type != ET_EXEC && type != ET_DYN)
        return nv_fail(ret_error, -ENOEXEC, image->name, "give a linked kernel, not an object file",
                       "is no executable (ELF type %u)", type);
    return 0;
}

static int read_headers(const struct nv_image *image, struct program_headers *ret_headers,
                        struct nestvirt_error **ret_error)
{
    uint8_t header[HEADER_SIZE];
    uint32_t count;
    int r = nv_image_read(image, 0, header, sizeof(header), ret_error);

    if (r < 0)
        return r;
    r = check_kind(image, header, ret_error);
    if (r < 0)
        return r;
    count = nv_get_le16(header + 56);
    if (count == 0 || count > HEADERS_MAX)
        return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                       "has %u program headers, not 1 to %d", count, HEADERS_MAX);
    if (nv_get_le16(header + 54) != PROGRAM_HEADER_SIZE)
        return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                       "has program headers of %u bytes, not %d", nv_get_le16(header + 54),
                       PROGRAM_HEADER_SIZE);
    r = nv_image_read(image, nv_get_le64(header + 32), ret_headers->bytes,
                      count * PROGRAM_HEADER_SIZE, ret_error);
    if (r < 0)
        return r;
    ret_headers->entry = nv_get_le64(header + 24);
    ret_headers->count = count;
    return 0;
}

static struct program_header get_header(const struct program_headers *headers, uint32_t i)
{
    const uint8_t *bytes = headers->bytes + (size_t)i * PROGRAM_HEADER_SIZE;

    return (struct program_header){
        .type = nv_get_le32(bytes),
        .offset = nv_get_le64(bytes + 8),
        .address = nv_get_le64(bytes + 24),
        .file_size = nv_get_le64(bytes + 32),
        .memory_size = nv_get_le64(bytes + 40),
    };
}

/* Looks for the PVH entry in notes; each of name and description is padded to 4 bytes. */
static bool find_entry_note(const uint8_t *notes, size_t size, uint64_t *ret_entry)
{
    while (size >= NOTE_HEADER_SIZE) {
        const uint8_t *name = notes + NOTE_HEADER_SIZE;
        uint64_t name_size = nv_get_le32(notes);
        uint64_t value_size = nv_get_le32(notes + 4);
        uint32_t type = nv_get_le32(notes + 8);
        uint64_t name_room = nv_align_up(name_size, 4);
        uint64_t room = NOTE_HEADER_SIZE + name_room + nv_align_up(value_size, 4);

        /* The sizes have 32 bits: their sums cannot wrap in 64. */
        if (NOTE_HEADER_SIZE + name_room + value_size > size)
            return false;
        if (type == NOTE_PHYS32_ENTRY && name_size == 4 && memcmp(name, "Xen", 4) == 0 &&
            value_size >= 4) {
            *ret_entry =
                value_size >= 8 ? nv_get_le64(name + name_room) : nv_get_le32(name + name_room);
            return true;
        }
        if (room > size)
            return false;
        notes += room;
        size -= room;
    }
    return false;
}

static int find_pvh_entry(const struct nv_image *image, const struct program_headers *headers,
                          uint64_t *ret_entry, struct nestvirt_error **ret_error)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct program_header header = get_header(headers, i);
        NV_AUTO_FREE uint8_t *notes = NULL;
        int r;

        if (header.type != PT_NOTE || header.file_size == 0)
            continue;
        if (header.file_size > NOTES_MAX)
            return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                           "has a note segment of 0x%llx bytes, more than %d",
                           (unsigned long long)header.file_size, NOTES_MAX);
        notes = malloc(header.file_size);
        if (!notes)
            return nv_fail(ret_error, -ENOMEM, image->name, "free memory on the host",
                           "out of memory for its notes");
        r = nv_image_read(image, header.offset, notes, header.file_size, ret_error);
        if (r < 0)
            return r;
        if (find_entry_note(notes, header.file_size, ret_entry))
            return 0;
    }
    return nv_fail(ret_error, -ENOEXEC, image->name,
                   "build it with CONFIG_PVH, or use NESTVIRT_KERNEL_ELF", "has no PVH entry note");
}

int nv_elf_parse(struct nv_kernel *kernel, const struct nv_memory *memory, bool want_pvh,
                 struct nestvirt_error **ret_error)
{
    struct program_headers headers;
    uint64_t entry;
    int r = read_headers(&kernel->image, &headers, ret_error);

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < headers.count; i++) {
        const struct program_header header = get_header(&headers, i);
        const struct nv_segment segment = { header.offset, header.file_size, header.address,
                                            header.memory_size };

        if (header.type != PT_LOAD || (header.memory_size == 0 && header.file_size == 0))
            continue;
        r = nv_kernel_add_segment(kernel, memory, &segment, ret_error);
        if (r < 0)
            return r;
    }
    entry = headers.entry;
    if (want_pvh) {
        r = find_pvh_entry(&kernel->image, &headers, &entry, ret_error);
        if (r < 0)
            return r;
    }
    kernel->is_pvh = want_pvh;
    return nv_kernel_set_entry(kernel, entry, ret_error);
}
