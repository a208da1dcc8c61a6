/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of boot images for tests: ELF, bzImage, packed payloads, and a loader for them.
 */
#ifndef TESTS_SUPPORT_IMAGE_H
#define TESTS_SUPPORT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot.h"

/* Bytes of a file. */
struct image {
    uint8_t *bytes;
    size_t size;
};

/*
 * Ends the program if a step of making an image failed. Images are also made outside of tests,
 * where ck_assert() does not work.
 */
void image_require(bool is_true, const char *what);

struct image image_new(size_t size); /* zeroed */
void image_free(struct image *image);
void image_resize(struct image *image, size_t size); /* new bytes are 0 */
void image_put16(struct image *image, size_t offset, uint16_t value);
void image_put32(struct image *image, size_t offset, uint32_t value);
void image_put64(struct image *image, size_t offset, uint64_t value);

/* A memfd with these bytes; the caller closes it. */
int image_fd(const struct image *image);

/*
 * A correct ELF kernel: header, three program headers (two to load, one of notes), a note with the
 * PVH entry, and code. Tests spoil single fields of it.
 */
enum {
    ELF_TYPE = 16,
    ELF_MACHINE = 18,
    ELF_ENTRY = 24,
    ELF_PHOFF = 32,
    ELF_PHENTSIZE = 54,
    ELF_PHNUM = 56,
    ELF_HEADERS = 64, /* the program headers, of 56 bytes each */
    ELF_HEADER_SIZE = 56,
    ELF_FIRST = ELF_HEADERS, /* 0x1000 to 0x11ff: at 0x100000, 0x1000 bytes in memory */
    ELF_SECOND = ELF_FIRST + ELF_HEADER_SIZE, /* 0x1200 to 0x12ff: at 0x200000, 0x2000 bytes */
    ELF_NOTES = ELF_SECOND + ELF_HEADER_SIZE, /* 0x200 to 0x22b: two notes */
    PH_TYPE = 0,
    PH_OFFSET = 8,
    PH_ADDRESS = 24,
    PH_FILE_SIZE = 32,
    PH_MEMORY_SIZE = 40,
    ELF_NOTE = 0x200 + 0x18, /* the second note: Xen, PHYS32_ENTRY */
    ELF_CODE = 0x1000,
    ELF_SIZE = 0x1300,
    ELF_ENTRY_VALUE = 0x100010,
    ELF_PVH_VALUE = 0x100040
};
struct image image_elf(void);

/* Fields of a bzImage, and what image_bzimage() puts there. */
enum {
    BZ_SETUP_SECTS = 0x1f1,
    BZ_SYSSIZE = 0x1f4,
    BZ_BOOT_FLAG = 0x1fe,
    BZ_JUMP = 0x201,
    BZ_MAGIC = 0x202,
    BZ_VERSION = 0x206,
    BZ_LOADFLAGS = 0x211,
    BZ_INITRD_MAX = 0x22c,
    BZ_XLOADFLAGS = 0x236,
    BZ_CMDLINE_SIZE = 0x238,
    BZ_PAYLOAD_OFFSET = 0x248,
    BZ_PAYLOAD_LENGTH = 0x24c,
    BZ_PREF_ADDRESS = 0x258,
    BZ_INIT_SIZE = 0x260,
    BZ_BODY = 5 * 512,     /* setup_sects is 4 */
    BZ_PAYLOAD_AT = 0x400, /* in the body */
    BZ_ADDRESS = 0x100000, /* preferred */
    BZ_MEMORY_SIZE = 0x180000
};

/* A correct bzImage of boot protocol 2.15 around a payload. */
struct image image_bzimage(const struct image *payload);

/* Packs as Linux does, with the unpacked size as the last word. Size 0: codec not compiled in. */
enum packing { PACKED_GZIP, PACKED_LZ4, PACKED_ZSTD, PACKED_XZ, PACKINGS };
extern const char *const packing_names[PACKINGS];
struct image image_pack(enum packing packing, const struct image *content);

/* False: image_pack() gives nothing for it. */
bool image_has_packing(enum packing packing);

/* Everything that nv_boot_load() needs, and what it gave. */
struct loader {
    struct nv_memory memory;
    struct nv_boot_source source;
    struct nv_boot_machine machine;
    struct nv_log log;
    struct nv_cpu_start start;
    struct nestvirt_error *error;
    int log_lines;
    char last_line[512];
};

/* One region from address 0 on; no images, one vCPU, no interrupt controller. */
void loader_init(struct loader *loader, uint64_t memory_size);
void loader_add_memory(struct loader *loader, uint64_t address, uint64_t length);
void loader_destroy(struct loader *loader); /* closes the source's files too */

/* Makes a file of the image and sets it. */
void loader_set_kernel(struct loader *loader, const struct image *image, uint32_t format);
void loader_set_initrd(struct loader *loader, const struct image *image);

int loader_run(struct loader *loader);

/* Runs and checks: the code, an error that names object and has a hint, memory untouched. */
void loader_must_fail(struct loader *loader, int code, const char *object);

/* Runs and checks that it succeeds. */
void loader_must_load(struct loader *loader);

/* True if no byte of guest memory differs from 0. */
bool loader_is_untouched(const struct loader *loader);

/* Guest memory as bytes; fails the test if it is not there. */
uint8_t *loader_at(const struct loader *loader, uint64_t address, uint64_t length);

#endif
