/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the seeds of the corpora: correct images and the same with one thing spoilt. */
#include <stdio.h>

#include "core/util.h"
#include "image.h"

static void save(const char *folder, const char *name, const struct image *image)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/seed-%s", folder, name);
    file = fopen(path, "wb");
    image_require(file != NULL, path);
    image_require(fwrite(image->bytes, 1, image->size, file) == image->size, path);
    image_require(fclose(file) == 0, path);
}

/* Saves it, then with fields spoilt one by one, each of 8 bytes. */
static void make_elfs(const char *folder)
{
    static const struct {
        const char *name;
        size_t offset;
        uint64_t value;
    } spoilt[] = {
        { "phoff-wraps", ELF_PHOFF, UINT64_MAX - 8 },
        { "entry-outside", ELF_ENTRY, 0x90000000 },
        { "address-wraps", ELF_SECOND + PH_ADDRESS, UINT64_MAX - 0xfff },
        { "address-low", ELF_SECOND + PH_ADDRESS, 0x2000 },
        { "address-overlaps", ELF_SECOND + PH_ADDRESS, 0x100800 },
        { "file-size-wraps", ELF_SECOND + PH_FILE_SIZE, UINT64_MAX - 0x1000 },
        { "memory-size-wraps", ELF_SECOND + PH_MEMORY_SIZE, UINT64_MAX - 0x1000 },
        { "offset-wraps", ELF_SECOND + PH_OFFSET, UINT64_MAX - 0x80 },
        { "note-sizes", ELF_NOTE, 0xffffffff80000000 },
    };
    struct image elf = image_elf();

    save(folder, "good", &elf);
    for (size_t i = 0; i < NV_ARRAY_SIZE(spoilt); i++) {
        uint64_t old = nv_get_le64(elf.bytes + spoilt[i].offset);

        image_put64(&elf, spoilt[i].offset, spoilt[i].value);
        save(folder, spoilt[i].name, &elf);
        image_put64(&elf, spoilt[i].offset, old);
    }
    image_resize(&elf, 100);
    save(folder, "truncated", &elf);
    image_free(&elf);
}

static void make_bzimages(const char *folder)
{
    struct image elf = image_elf();

    for (enum packing packing = 0; packing < PACKINGS; packing++) {
        struct image payload = image_pack(packing, &elf);
        struct image bz = image_bzimage(&payload);

        if (image_has_packing(packing))
            save(folder, packing_names[packing], &bz);
        image_free(&bz);
        image_free(&payload);
    }
    {
        struct image bz = image_bzimage(&elf); /* in no packing format */

        save(folder, "unpacked", &bz);
        bz.bytes[BZ_SETUP_SECTS] = 0xff;
        save(folder, "setup-sects", &bz);
        image_resize(&bz, 0x240);
        save(folder, "truncated", &bz);
        image_free(&bz);
    }
    image_free(&elf);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: make_corpus FOLDER_FOR_ELF FOLDER_FOR_BZIMAGE\n");
        return 2;
    }
    make_elfs(argv[1]);
    make_bzimages(argv[2]);
    return 0;
}
