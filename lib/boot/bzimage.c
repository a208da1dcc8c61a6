/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of bzImage kernels (Linux x86 boot protocol). */
#include "boot/bzimage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nestvirt/vm.h>

#include "boot/elf.h"
#include "boot/unpack.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/util.h"

/* Fields of the file, by the boot protocol's "real-mode kernel header". */
enum {
    AT_SETUP_SECTS = 0x1f1,
    AT_SYSSIZE = 0x1f4,
    AT_BOOT_FLAG = 0x1fe,
    AT_JUMP_LENGTH = 0x201, /* the header ends this far behind 0x202 */
    AT_MAGIC = 0x202,
    AT_VERSION = 0x206,
    AT_LOADFLAGS = 0x211,
    AT_INITRD_ADDR_MAX = 0x22c,
    AT_XLOADFLAGS = 0x236,
    AT_CMDLINE_SIZE = 0x238,
    AT_PAYLOAD_OFFSET = 0x248,
    AT_PAYLOAD_LENGTH = 0x24c,
    AT_PREF_ADDRESS = 0x258,
    AT_INIT_SIZE = 0x260,
    HEADER_END = 0x264, /* of version 2.10 */
    READ_SIZE = 0x290,  /* no header is longer: the zero page has no more room */
};

enum {
    BOOT_FLAG = 0xaa55,
    MAGIC = 0x53726448, /* "HdrS" */
    SECTOR = 512,
    SETUP_SECTS_DEFAULT = 4, /* what 0 stands for */
    VERSION_MIN = 0x020a,    /* the first with init_size */
    VERSION_XLOADFLAGS = 0x020c,
    LOADED_HIGH = 1 << 0,
    XLF_KERNEL_64 = 1 << 0,
    ENTRY_64 = 0x200 /* of the protected-mode part */
};

/* Neither a payload nor what it unpacks to may be larger: ten times what distributions ship. */
static const uint64_t UNPACKED_MAX = NV_MIB(512);

bool nv_bzimage_is(const struct nv_image *image)
{
    uint8_t magic[4];

    return nv_range_fits(AT_MAGIC, sizeof(magic), image->size) &&
           nv_image_read(image, AT_MAGIC, magic, sizeof(magic), NULL) == 0 &&
           nv_get_le32(magic) == MAGIC;
}

static int check_header(const struct nv_image *image, const uint8_t *header,
                        struct nestvirt_error **ret_error)
{
    static const char hint[] = "give a bzImage of a 64-bit x86 Linux";
    uint16_t version = nv_get_le16(header + AT_VERSION);

    if (nv_get_le16(header + AT_BOOT_FLAG) != BOOT_FLAG || nv_get_le32(header + AT_MAGIC) != MAGIC)
        return nv_fail(ret_error, -ENOEXEC, image->name, hint, "is not a bzImage");
    if (version < VERSION_MIN)
        return nv_fail(ret_error, -ENOEXEC, image->name, "give a Linux of this century",
                       "has boot protocol %u.%02u, older than 2.10", version >> 8, version & 0xff);
    if (!(header[AT_LOADFLAGS] & LOADED_HIGH))
        return nv_fail(ret_error, -ENOEXEC, image->name, hint, "is a zImage, which loads low");
    if (AT_MAGIC + header[AT_JUMP_LENGTH] < HEADER_END)
        return nv_fail(ret_error, -ENOEXEC, image->name, "build the kernel again",
                       "has a setup header that ends at 0x%x, before 0x%x",
                       AT_MAGIC + header[AT_JUMP_LENGTH], HEADER_END);
    return 0;
}

/* Reads and checks the header; what follows the setup sectors is *ret_body. */
static int read_header(const struct nv_image *image, uint8_t header[READ_SIZE], uint64_t *ret_body,
                       struct nestvirt_error **ret_error)
{
    uint32_t sectors;
    uint64_t body = 0;
    int r = nv_image_read(image, 0, header, READ_SIZE, ret_error);

    if (r < 0)
        return r;
    r = check_header(image, header, ret_error);
    if (r < 0)
        return r;
    sectors = header[AT_SETUP_SECTS] ? header[AT_SETUP_SECTS] : SETUP_SECTS_DEFAULT;
    body = ((uint64_t)sectors + 1) * SECTOR;
    if (body >= image->size)
        return nv_fail(ret_error, -ENOEXEC, image->name, "give the whole file",
                       "is truncated: %u setup sectors reach beyond its end at 0x%llx", sectors,
                       (unsigned long long)image->size);
    *ret_body = body;
    return 0;
}

/* Takes over what the header says about limits, and the header itself for the zero page. */
static void take_header(struct nv_kernel *kernel, const uint8_t *header)
{
    uint32_t end = NV_MIN((uint32_t)AT_MAGIC + header[AT_JUMP_LENGTH], (uint32_t)READ_SIZE);

    kernel->working_size = nv_get_le32(header + AT_INIT_SIZE);
    kernel->initrd_end = (uint64_t)nv_get_le32(header + AT_INITRD_ADDR_MAX) + 1;
    kernel->cmdline_max = nv_get_le32(header + AT_CMDLINE_SIZE);
    kernel->setup_header_size = end - NV_SETUP_HEADER_AT;
    memcpy(kernel->setup_header, header + NV_SETUP_HEADER_AT, kernel->setup_header_size);
}

/* As the file is: the kernel unpacks itself, from its preferred address on, within init_size. */
static int use_body(struct nv_kernel *kernel, const struct nv_memory *memory, const uint8_t *header,
                    uint64_t body, struct nestvirt_error **ret_error)
{
    uint64_t available = kernel->image.size - body;
    uint64_t wanted = (uint64_t)nv_get_le32(header + AT_SYSSIZE) * 16;
    uint64_t address = nv_get_le64(header + AT_PREF_ADDRESS);
    struct nv_segment segment = { .offset = body, .address = address };
    int r;

    if (nv_get_le16(header + AT_VERSION) < VERSION_XLOADFLAGS ||
        !(nv_get_le16(header + AT_XLOADFLAGS) & XLF_KERNEL_64))
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name,
                       "give a 64-bit kernel of Linux 3.8+", "has no 64-bit entry");
    /* The size is in units of 16 bytes, so the last may be incomplete. */
    if (wanted > nv_align_up(available, 16))
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "give the whole file",
                       "is truncated: has 0x%llx bytes of code, not 0x%llx",
                       (unsigned long long)available, (unsigned long long)wanted);
    segment.file_size = NV_MIN(available, wanted);
    segment.memory_size = NV_MAX(segment.file_size, kernel->working_size);
    r = nv_kernel_add_segment(kernel, memory, &segment, ret_error);
    if (r < 0)
        return r;
    if (segment.file_size <= ENTRY_64)
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "give the whole file",
                       "has too little code to be entered");
    return nv_kernel_set_entry(kernel, address + ENTRY_64, ret_error);
}

/* Reads the payload and unpacks it to kernel->unpacked. -ENOTSUP if that cannot be done here. */
static int unpack_payload(struct nv_kernel *kernel, const struct nv_memory *memory,
                          const uint8_t *header, uint64_t body, struct nestvirt_error **ret_error)
{
    uint64_t offset = nv_get_le32(header + AT_PAYLOAD_OFFSET);
    uint64_t length = nv_get_le32(header + AT_PAYLOAD_LENGTH);
    uint64_t limit = NV_MIN(UNPACKED_MAX, nv_memory_total(memory));
    NV_AUTO_FREE uint8_t *packed = NULL;
    size_t size;
    int r;

    if (length == 0 || !nv_range_fits(offset, length, kernel->image.size - body))
        return nv_fail(ret_error, -ENOEXEC, kernel->image.name, "give the whole file",
                       "is truncated: its payload 0x%llx + 0x%llx is not within 0x%llx bytes",
                       (unsigned long long)offset, (unsigned long long)length,
                       (unsigned long long)(kernel->image.size - body));
    if (length > UNPACKED_MAX)
        return nv_fail(ret_error, -E2BIG, kernel->image.name, "use an ELF kernel",
                       "has a payload of 0x%llx bytes, more than 512 MiB",
                       (unsigned long long)length);
    packed = malloc(length);
    if (!packed)
        return nv_fail(ret_error, -ENOMEM, kernel->image.name, "free memory on the host",
                       "out of memory for its payload of 0x%llx bytes", (unsigned long long)length);
    r = nv_image_read(&kernel->image, body + offset, packed, length, ret_error);
    if (r < 0)
        return r;
    r = nv_unpack(packed, length, limit, &kernel->unpacked, &size, ret_error);
    if (r < 0)
        return r;
    kernel->image = (struct nv_image){
        .name = NV_PAYLOAD_NAME, .fd = -1, .bytes = kernel->unpacked, .size = size
    };
    return 0;
}

int nv_bzimage_parse(struct nv_kernel *kernel, const struct nv_memory *memory, bool in_guest,
                     const struct nv_log *log, struct nestvirt_error **ret_error)
{
    uint8_t header[READ_SIZE];
    struct nestvirt_error *error = NULL;
    uint64_t body = 0;
    int r = read_header(&kernel->image, header, &body, ret_error);

    if (r < 0)
        return r;
    take_header(kernel, header);
    if (in_guest)
        return use_body(kernel, memory, header, body, ret_error);
    r = unpack_payload(kernel, memory, header, body, &error);
    if (r == -ENOTSUP) {
        nv_log(log, NESTVIRT_LOG_INFO, "%s; the kernel will unpack itself in the guest",
               nv_error_get_message(error));
        nv_error_free(error);
        return use_body(kernel, memory, header, body, ret_error);
    }
    if (r < 0) {
        if (ret_error)
            *ret_error = error;
        else
            nv_error_free(error);
        return r;
    }
    return nv_elf_parse(kernel, memory, false, ret_error);
}
