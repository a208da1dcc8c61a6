/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writing of a template to a file: all of it, or what differs from another template. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/crc.h"
#include "host/thread.h"
#include "state/format.h"

static const char object[] = "saved state";

/* What the writing of one file needs. */
struct output {
    int fd;
    const struct nv_ram *image;
    const struct nv_ram *base; /* NULL: a full file */
    struct nv_crc crc;
    struct nv_writer extents;
    uint64_t extent_count;
    uint64_t memory_offset;
    uint64_t packed;                    /* bytes of changes so far */
    uint8_t bytes[NV_STATE_EXTENT_MAX]; /* of the image */
    uint8_t old[NV_STATE_EXTENT_MAX];   /* of the base; zeroes without one */
};

static int fail_write(int code, struct nestvirt_error **ret_error)
{
    return nv_fail_sys(ret_error, -code, object, "write to its file",
                       "make room on its file system, or raise the limit on file size");
}

static int read_image(const struct nv_ram *image, uint64_t offset, uint8_t *buffer, uint64_t length)
{
    while (length > 0) {
        ssize_t done = pread(image->fd, buffer, length, (off_t)(image->offset + offset));

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        buffer += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
    }
    return 0;
}

/* One extent: bytes of the image from offset on. */
static int add_extent(struct output *out, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
    uint64_t at = out->memory_offset + (out->base ? out->packed : offset);

    nv_write_u64(&out->extents, offset);
    nv_write_u64(&out->extents, length);
    nv_write_u32(&out->extents, nv_crc_add(&out->crc, 0, bytes, length));
    nv_write_u32(&out->extents, 0);
    out->extent_count++;
    out->packed += length;
    return nv_ram_write(out->fd, bytes, length, at);
}

/*
 * The pages of a piece that differ from the base's, or that are not zero. Those that are may well
 * be in the image: the kernel puts a page there when a clone touches a hole.
 */
static int add_changes(struct output *out, uint64_t offset, uint64_t length)
{
    uint64_t start = 0;
    int r = out->base ? read_image(out->base, offset, out->old, length) : 0;

    for (uint64_t at = 0; at < length && r == 0; at += NV_PAGE_SIZE) {
        if (memcmp(out->bytes + at, out->old + at, NV_PAGE_SIZE) != 0)
            continue;
        if (start < at)
            r = add_extent(out, offset + start, out->bytes + start, at - start);
        start = at + NV_PAGE_SIZE;
    }
    if (r == 0 && start < length)
        r = add_extent(out, offset + start, out->bytes + start, length - start);
    return r;
}

/* Where data is, in the image or its base: the next stretch from an offset on. */
static bool next_stretch(const struct nv_ram *image, uint64_t from, uint64_t *ret_start,
                         uint64_t *ret_end)
{
    uint64_t start;
    uint64_t end;

    if (!nv_ram_next_data(image->fd, image->offset + from, image->offset + image->length, &start,
                          &end))
        return false;
    *ret_start = start - image->offset;
    *ret_end = end - image->offset;
    return true;
}

static bool next_piece(const struct output *out, uint64_t from, uint64_t *ret_start,
                       uint64_t *ret_end)
{
    uint64_t start;
    uint64_t end;
    bool has_any = next_stretch(out->image, from, ret_start, ret_end);

    if (out->base && next_stretch(out->base, from, &start, &end) &&
        (!has_any || start < *ret_start)) {
        *ret_end = has_any && *ret_start < end ? *ret_start : end;
        *ret_start = start;
        has_any = true;
    }
    if (has_any)
        *ret_end = NV_MIN(*ret_end, *ret_start + NV_STATE_EXTENT_MAX);
    return has_any;
}

static int write_memory(struct output *out)
{
    uint64_t start;
    uint64_t end = 0;
    int r = 0;

    while (r == 0 && next_piece(out, end, &start, &end)) {
        r = read_image(out->image, start, out->bytes, end - start);
        if (r == 0)
            r = add_changes(out, start, end - start);
    }
    return r < 0 ? r : out->extents.error;
}

static void encode(const struct nv_state_header *header, const struct nv_crc *crc,
                   uint8_t bytes[NV_STATE_HEADER])
{
    memset(bytes, 0, NV_STATE_HEADER);
    memcpy(bytes, nv_state_magic, sizeof(nv_state_magic));
    nv_put_le32(bytes + 8, header->version);
    nv_put_le32(bytes + 12, header->flags);
    memcpy(bytes + 16, header->id, NV_TEMPLATE_ID);
    memcpy(bytes + 32, header->base_id, NV_TEMPLATE_ID);
    nv_put_le64(bytes + 48, header->config_length);
    nv_put_le64(bytes + 56, header->machine_length);
    nv_put_le64(bytes + 64, header->extent_count);
    nv_put_le64(bytes + 72, header->memory_length);
    nv_put_le64(bytes + 80, header->memory_offset);
    nv_put_le64(bytes + 88, header->file_length);
    nv_put_le32(bytes + 96, header->body_crc);
    nv_put_le32(bytes + NV_STATE_HEADER - 4, nv_crc_add(crc, 0, bytes, NV_STATE_HEADER - 4));
}

/* As many extents as there are pages: two images with data in turn make each page one. A hole. */
static uint64_t extents_room(const struct output *out)
{
    uint64_t pages = out->image->length / NV_PAGE_SIZE;

    return pages * NV_STATE_EXTENT;
}

static int write_body(struct output *out, const struct nestvirt_template *template,
                      const struct nestvirt_template *base)
{
    const struct nv_writer *parts[] = { &template->config, &template->machine, &out->extents };
    struct nv_state_header header = {
        .version = NV_STATE_VERSION,
        .flags = base ? NV_STATE_CHANGES : 0,
        .config_length = template->config.length,
        .machine_length = template->machine.length,
        .extent_count = out->extent_count,
        .memory_length = out->image->length,
        .memory_offset = out->memory_offset,
        .file_length = out->memory_offset + (base ? out->packed : out->image->length),
    };
    uint8_t bytes[NV_STATE_HEADER];
    uint64_t at = NV_STATE_HEADER;
    int r = 0;

    memcpy(header.id, template->id, sizeof(header.id));
    if (base)
        memcpy(header.base_id, base->id, sizeof(header.base_id));
    for (size_t i = 0; i < NV_ARRAY_SIZE(parts) && r == 0; i++) {
        header.body_crc = nv_crc_add(&out->crc, header.body_crc, parts[i]->bytes, parts[i]->length);
        r = nv_ram_write(out->fd, parts[i]->bytes, parts[i]->length, at);
        at += parts[i]->length;
    }
    if (r == 0 && ftruncate(out->fd, (off_t)header.file_length) < 0)
        r = -errno;
    encode(&header, &out->crc, bytes);
    return r < 0 ? r : nv_ram_write(out->fd, bytes, sizeof(bytes), 0);
}

/* Whether a file is where a template's memory lies. */
static bool is_same_file(const struct stat *file, const struct nestvirt_template *template)
{
    struct stat status;

    return template && template->image.fd >= 0 && fstat(template->image.fd, &status) == 0 &&
           status.st_dev == file->st_dev && status.st_ino == file->st_ino;
}

static int check_file(int fd, const struct nestvirt_template *template,
                      const struct nestvirt_template *base, struct nestvirt_error **ret_error)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || flags & O_PATH || fstat(fd, &status) < 0)
        return nv_fail(ret_error, -EBADF, object, "give an open file", "%d is no open descriptor",
                       fd);
    if (!S_ISREG(status.st_mode))
        return nv_fail(ret_error, -EINVAL, object, "give a regular file or a memfd",
                       "the descriptor is no regular file");
    if ((flags & O_ACCMODE) == O_RDONLY || flags & O_APPEND)
        return nv_fail(ret_error, -EACCES, object, "open it O_RDWR without O_APPEND",
                       "the descriptor cannot be written anywhere");
    if (is_same_file(&status, template) || is_same_file(&status, base))
        return nv_fail(ret_error, -EINVAL, object, "write to another file",
                       "the file is where the memory of this template, or of its base, lies");
    return 0;
}

static int check_base(const struct nestvirt_template *template,
                      const struct nestvirt_template *base, struct nestvirt_error **ret_error)
{
    bool is_same =
        template->image.count == base->image.count && template->image.length == base->image.length;

    for (uint32_t i = 0; i < template->image.count && is_same; i++)
        is_same = template->image.regions[i].address == base->image.regions[i].address &&
                  template->image.regions[i].length == base->image.regions[i].length;
    if (is_same)
        return 0;
    return nv_fail(ret_error, -EINVAL, object, "save it without a base",
                   "its memory is not laid out as that of the base");
}

int nv_template_write(const struct nestvirt_template *template,
                      const struct nestvirt_template *base, int fd,
                      struct nestvirt_error **ret_error)
{
    NV_AUTO_FREE struct output *out = calloc(1, sizeof(*out));
    struct nv_signal_shield shield;
    int r = check_file(fd, template, base, ret_error);

    if (r == 0 && base)
        r = check_base(template, base, ret_error);
    if (r < 0)
        return r;
    if (!out)
        return nv_fail_sys(ret_error, ENOMEM, object, "malloc", "free memory in this process");
    out->fd = fd;
    out->image = &template->image;
    out->base = base ? &base->image : NULL;
    nv_crc_init(&out->crc);
    out->memory_offset = nv_align_up(NV_STATE_HEADER + template->config.length +
                                         template->machine.length + extents_room(out),
                                     NV_PAGE_SIZE);
    nv_signals_shield(&shield); /* RLIMIT_FSIZE would send SIGXFSZ */
    r = ftruncate(fd, 0) < 0 ? -errno : 0;
    if (r == 0)
        r = write_memory(out);
    if (r == 0)
        r = write_body(out, template, base);
    if (r < 0 && ftruncate(fd, 0) < 0)
        r = r == -ENOMEM ? r : -EIO; /* what is there has no header, or an old one's length */
    nv_signals_unshield(&shield);
    nv_writer_destroy(&out->extents);
    return r < 0 ? fail_write(r, ret_error) : 0;
}
