/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of a template from a file that may be anything: checked first, then used. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/crc.h"
#include "host/file.h"
#include "state/format.h"

static const char object[] = "saved state";

struct input {
    struct nv_headroom *headroom;
    int fd;
    uint64_t size;
    struct nv_crc crc;
    struct nv_state_header header;
    uint8_t *extents;
    uint64_t there_end; /* of the stretch of the file's data that was found last */
    uint8_t bytes[NV_STATE_EXTENT_MAX];
};

static int damaged(const char *reason, struct nestvirt_error **ret_error)
{
    return nv_bad_state(object, reason, ret_error);
}

static int read_at(int fd, uint64_t offset, void *buffer, uint64_t length,
                   struct nestvirt_error **ret_error)
{
    uint8_t *at = buffer;

    while (length > 0) {
        ssize_t done = pread(fd, at, length, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return nv_fail_sys(ret_error, errno, object, "pread of its file",
                               "check that the file can be read");
        if (done == 0)
            return damaged("its file is cut off", ret_error);
        at += done;
        offset += (uint64_t)done;
        length -= (uint64_t)done;
    }
    return 0;
}

static int check_file(struct input *in, struct nestvirt_error **ret_error)
{
    struct stat status;
    int flags = fcntl(in->fd, F_GETFL);

    if (flags < 0 || flags & O_PATH || fstat(in->fd, &status) < 0)
        return nv_fail(ret_error, -EBADF, object, "give an open file", "%d is no open descriptor",
                       in->fd);
    if (!S_ISREG(status.st_mode))
        return nv_fail(ret_error, -EINVAL, object, "give a regular file or a memfd",
                       "the descriptor is no regular file");
    if ((flags & O_ACCMODE) == O_WRONLY)
        return nv_fail(ret_error, -EACCES, object, "open it O_RDONLY or O_RDWR",
                       "the descriptor is not open for reading");
    in->size = (uint64_t)status.st_size;
    return 0;
}

static void decode(struct nv_state_header *header, const uint8_t *bytes)
{
    header->version = nv_get_le32(bytes + 8);
    header->flags = nv_get_le32(bytes + 12);
    memcpy(header->id, bytes + 16, NV_TEMPLATE_ID);
    memcpy(header->base_id, bytes + 32, NV_TEMPLATE_ID);
    header->config_length = nv_get_le64(bytes + 48);
    header->machine_length = nv_get_le64(bytes + 56);
    header->extent_count = nv_get_le64(bytes + 64);
    header->memory_length = nv_get_le64(bytes + 72);
    header->memory_offset = nv_get_le64(bytes + 80);
    header->file_length = nv_get_le64(bytes + 88);
    header->body_crc = nv_get_le32(bytes + 96);
}

/* Bytes of what stands before the memory; 0 if they cannot be. */
static uint64_t body_length(const struct nv_state_header *header)
{
    uint64_t extents;
    uint64_t length;

    if (header->config_length > NV_STATE_RECORDS_MAX ||
        header->machine_length > NV_STATE_RECORDS_MAX ||
        header->extent_count > header->memory_length / NV_PAGE_SIZE ||
        nv_mul_overflows(header->extent_count, (uint64_t)NV_STATE_EXTENT, &extents) ||
        nv_add_overflows(header->config_length + header->machine_length, extents, &length))
        return 0;
    return length;
}

static int check_lengths(const struct input *in, struct nestvirt_error **ret_error)
{
    const struct nv_state_header *header = &in->header;
    uint64_t length = body_length(header);

    if (header->flags & ~(uint32_t)NV_STATE_CHANGES)
        return damaged("its header has flags that are not known", ret_error);
    if (header->file_length != in->size)
        return damaged("its file has another length than when it was written", ret_error);
    if (length == 0 || header->memory_offset > in->size ||
        !nv_range_fits(NV_STATE_HEADER, length, header->memory_offset) ||
        !nv_is_aligned(header->memory_offset | header->memory_length, NV_PAGE_SIZE))
        return damaged("its parts cannot be where the header says", ret_error);
    if (!(header->flags & NV_STATE_CHANGES) &&
        header->memory_length != in->size - header->memory_offset)
        return damaged("its memory has another length than the header says", ret_error);
    return 0;
}

static int read_header(struct input *in, struct nestvirt_error **ret_error)
{
    uint8_t bytes[NV_STATE_HEADER];
    int r;

    if (in->size < sizeof(bytes))
        return damaged("its file is shorter than the header", ret_error);
    r = read_at(in->fd, 0, bytes, sizeof(bytes), ret_error);
    if (r < 0)
        return r;
    if (memcmp(bytes, nv_state_magic, sizeof(nv_state_magic)) != 0)
        return damaged("the file holds something else, or was not finished", ret_error);
    decode(&in->header, bytes);
    if (in->header.version != NV_STATE_VERSION)
        return damaged("the file is of a version that is not known", ret_error);
    if (nv_crc_add(&in->crc, 0, bytes, sizeof(bytes) - 4) != nv_get_le32(bytes + sizeof(bytes) - 4))
        return damaged("the checksum of its header is wrong", ret_error);
    return check_lengths(in, ret_error);
}

/* Reads so many bytes into a writer, as if they had been written. */
static int read_part(struct input *in, uint64_t offset, uint64_t length, struct nv_writer *part,
                     struct nestvirt_error **ret_error)
{
    part->bytes = malloc(length ? length : 1);
    if (!part->bytes)
        return nv_fail_sys(ret_error, ENOMEM, object, "malloc", "free memory in this process");
    part->length = part->capacity = length;
    return read_at(in->fd, offset, part->bytes, length, ret_error);
}

/*
 * No entry is zero, so that a list with a hole is not one; and what a file truly holds is what its
 * list may cost here. File systems make holes of zeroes that go before and behind it in a page.
 */
static int check_list_is_there(const struct input *in, uint64_t offset, uint64_t length,
                               struct nestvirt_error **ret_error)
{
    uint64_t end = nv_align_down(offset + length, NV_PAGE_SIZE);
    uint64_t at = nv_align_up(offset, NV_PAGE_SIZE);
    off_t hole = at < end ? lseek(in->fd, (off_t)at, SEEK_HOLE) : (off_t)end;

    if (hole >= 0 && (uint64_t)hole < end)
        return damaged("its list of memory has a hole", ret_error);
    return 0;
}

static int read_body(struct input *in, struct nestvirt_template *template,
                     struct nestvirt_error **ret_error)
{
    const struct nv_state_header *header = &in->header;
    struct nv_writer extents = { 0 };
    uint64_t offset = NV_STATE_HEADER;
    uint32_t crc;
    uint64_t list_length = header->extent_count * NV_STATE_EXTENT;
    int r = check_list_is_there(in, offset + header->config_length + header->machine_length,
                                list_length, ret_error);

    if (r == 0)
        r = nv_headroom_take(in->headroom,
                             header->config_length + header->machine_length + list_length, object,
                             ret_error);
    if (r == 0)
        r = read_part(in, offset, header->config_length, &template->config, ret_error);
    offset += header->config_length;
    if (r == 0)
        r = read_part(in, offset, header->machine_length, &template->machine, ret_error);
    offset += header->machine_length;
    if (r == 0)
        r = read_part(in, offset, list_length, &extents, ret_error);
    in->extents = extents.bytes;
    if (r < 0)
        return r;
    crc = nv_crc_add(&in->crc, 0, template->config.bytes, template->config.length);
    crc = nv_crc_add(&in->crc, crc, template->machine.bytes, template->machine.length);
    crc = nv_crc_add(&in->crc, crc, extents.bytes, extents.length);
    return crc == header->body_crc ? 0 : damaged("the checksum of its records is wrong", ret_error);
}

static struct nv_state_extent extent_at(const struct input *in, uint64_t number)
{
    const uint8_t *bytes = in->extents + number * NV_STATE_EXTENT;

    return (struct nv_state_extent){
        .offset = nv_get_le64(bytes),
        .length = nv_get_le64(bytes + 8),
        .crc = nv_get_le32(bytes + 16),
    };
}

/* Sorted, whole pages, within the image; of changes, all that is in the file. */
static int check_extents(const struct input *in, struct nestvirt_error **ret_error)
{
    uint64_t packed = 0;
    uint64_t end = 0;

    for (uint64_t i = 0; i < in->header.extent_count; i++) {
        const struct nv_state_extent extent = extent_at(in, i);

        if (extent.length == 0 || extent.length > NV_STATE_EXTENT_MAX || extent.offset < end ||
            !nv_is_aligned(extent.offset | extent.length, NV_PAGE_SIZE) ||
            !nv_range_fits(extent.offset, extent.length, in->header.memory_length))
            return damaged("its list of memory is not in order", ret_error);
        end = extent.offset + extent.length;
        packed += extent.length;
    }
    if ((in->header.flags & NV_STATE_CHANGES) && packed != in->size - in->header.memory_offset)
        return damaged("its memory has another length than the header says", ret_error);
    return 0;
}

/* One run of pages that are all zeroes or all are not: zeroes are a hole, which costs nothing. */
static int put_run(int fd, const uint8_t *bytes, uint64_t length, uint64_t offset, bool is_zero)
{
    const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    if (!is_zero)
        return nv_ram_write(fd, bytes, length, offset);
    return fallocate(fd, hole, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
}

/* Brings whole pages into the memfd: no more of them than hold data, whatever a file calls that. */
static int put_pages(int fd, const uint8_t *bytes, uint64_t length, uint64_t offset)
{
    uint64_t start = 0;
    bool is_zero = nv_page_is_zero(bytes);
    int r = 0;

    for (uint64_t at = NV_PAGE_SIZE; at < length && r == 0; at += NV_PAGE_SIZE) {
        if (nv_page_is_zero(bytes + at) == is_zero)
            continue;
        r = put_run(fd, bytes + start, at - start, offset + start, is_zero);
        is_zero = !is_zero;
        start = at;
    }
    return r < 0 ? r : put_run(fd, bytes + start, length - start, offset + start, is_zero);
}

/*
 * As of the list itself: a full file's has no pages of zeroes, of which a hole could have become,
 * and what is there is what it may cost to look at. Extents come in their order.
 */
static int check_is_there(struct input *in, uint64_t start, uint64_t end,
                          struct nestvirt_error **ret_error)
{
    while (in->there_end < end) {
        uint64_t from = NV_MAX(in->there_end, start);
        uint64_t data;

        if (!nv_ram_next_data(in->fd, from, in->size, &data, &in->there_end) || data > from)
            return damaged("its list of memory names a hole", ret_error);
    }
    return 0;
}

/* Goes over all memory in the file; fd: a memfd that it is copied to, -1: it is only checked. */
static int read_memory(struct input *in, int fd, struct nestvirt_error **ret_error)
{
    bool is_packed = in->header.flags & NV_STATE_CHANGES;
    uint64_t packed = 0;

    for (uint64_t i = 0; i < in->header.extent_count; i++) {
        const struct nv_state_extent extent = extent_at(in, i);
        uint64_t at = in->header.memory_offset + (is_packed ? packed : extent.offset);
        int r = is_packed ? 0 : check_is_there(in, at, at + extent.length, ret_error);

        if (r == 0)
            r = read_at(in->fd, at, in->bytes, extent.length, ret_error);
        if (r < 0)
            return r;
        if (nv_crc_add(&in->crc, 0, in->bytes, extent.length) != extent.crc)
            return damaged("the checksum of its memory is wrong", ret_error);
        r = fd < 0 ? 0 : put_pages(fd, in->bytes, extent.length, extent.offset);
        if (r < 0)
            return nv_fail_sys(ret_error, -r, object, "write to a memfd",
                               "free memory on the host");
        packed += extent.length;
    }
    return 0;
}

/* What does not differ from the base. */
static int copy_base(struct input *in, const struct nv_ram *base, int fd,
                     struct nestvirt_error **ret_error)
{
    uint64_t limit = base->offset + base->length;
    uint64_t start;
    uint64_t end = base->offset;

    while (nv_ram_next_data(base->fd, end, limit, &start, &end)) {
        int r;

        end = NV_MIN(end, start + NV_STATE_EXTENT_MAX);
        r = read_at(base->fd, start, in->bytes, end - start, ret_error);
        if (r < 0)
            return r;
        r = nv_ram_write(fd, in->bytes, end - start, start - base->offset);
        if (r < 0)
            return nv_fail_sys(ret_error, -r, object, "write to a memfd",
                               "free memory on the host");
    }
    return 0;
}

static int check_base(const struct input *in, const struct nestvirt_template *base,
                      struct nestvirt_error **ret_error)
{
    bool is_changes = in->header.flags & NV_STATE_CHANGES;

    if (!is_changes && base)
        return nv_fail(ret_error, -EINVAL, object, "open it without a base",
                       "the file is a full one and has no base");
    if (is_changes && !base)
        return nv_fail(ret_error, -EINVAL, object, "open its base first and pass that too",
                       "the file holds only what differs from another template");
    if (base && (memcmp(base->id, in->header.base_id, NV_TEMPLATE_ID) != 0 ||
                 base->image.length != in->header.memory_length))
        return nv_fail(ret_error, -EINVAL, object, "pass the template it was written against",
                       "the file belongs to another base");
    return 0;
}

static bool is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_WRITE);
}

/* Clones would copy huge pages, each of them all, even where the file has none. */
static bool has_huge_pages(int fd)
{
    struct statfs system;

    return fstatfs(fd, &system) < 0 || system.f_type == HUGETLBFS_MAGIC;
}

/* Memory stays in the file where nobody can change it, or the caller says that nobody will. */
static int keep_file(struct input *in, bool is_trusted, struct nv_ram *image,
                     struct nestvirt_error **ret_error)
{
    int r = is_trusted ? 0 : read_memory(in, -1, ret_error);

    if (r < 0)
        return r;
    image->fd = nv_fd_dup(in->fd);
    if (image->fd < 0)
        return nv_fail_sys(ret_error, -image->fd, object, "fcntl(F_DUPFD)",
                           nv_fd_hint(-image->fd, "give an open file"));
    image->offset = in->header.memory_offset;
    image->is_trusted = is_trusted;
    return 0;
}

static int take_memory(struct input *in, uint32_t flags, const struct nestvirt_template *base,
                       struct nv_ram *image, struct nestvirt_error **ret_error)
{
    bool is_trusted = flags & NESTVIRT_TEMPLATE_TRUST_FILE;
    int r;

    for (uint64_t i = 0; i < in->header.extent_count; i++)
        image->data += extent_at(in, i).length;
    if (!base && (is_trusted || is_sealed(in->fd)) && !has_huge_pages(in->fd))
        return keep_file(in, is_trusted, image, ret_error);
    r = nv_headroom_take(in->headroom, image->data + (base ? base->image.data : 0), object,
                         ret_error);
    if (r == 0)
        r = nv_ram_open_file(in->header.memory_length, &image->fd, ret_error);
    if (r == 0 && base)
        r = copy_base(in, &base->image, image->fd, ret_error);
    if (r == 0)
        r = read_memory(in, image->fd, ret_error);
    if (r == 0)
        nv_ram_seal(image);
    if (r == 0)
        image->data = nv_ram_measure(image->fd, image->length);
    return r;
}

static int read_all(struct input *in, uint32_t flags, const struct nestvirt_template *base,
                    struct nestvirt_template *template, struct nestvirt_error **ret_error)
{
    struct nv_reader records;
    int r = check_file(in, ret_error);

    if (r == 0)
        r = read_header(in, ret_error);
    if (r == 0)
        r = check_base(in, base, ret_error);
    if (r == 0)
        r = read_body(in, template, ret_error);
    if (r == 0)
        r = check_extents(in, ret_error);
    if (r < 0)
        return r;
    records =
        (struct nv_reader){ .bytes = template->config.bytes, .left = template->config.length };
    r = nv_ram_load(&records, &template->image, ret_error);
    if (r == 0 && template->image.length != in->header.memory_length)
        r = damaged("its list of memory regions is of another length", ret_error);
    if (r == 0)
        r = take_memory(in, flags, base, &template->image, ret_error);
    memcpy(template->id, in->header.id, sizeof(template->id));
    return r;
}

int nv_template_read(struct nestvirt_host *host, int fd, uint32_t flags,
                     const struct nestvirt_template *base, struct nestvirt_template **ret_template,
                     struct nestvirt_error **ret_error)
{
    struct nestvirt_template *template;
    struct input *in;
    int r = nv_template_new(host, &template, ret_error);

    if (r < 0)
        return r;
    in = calloc(1, sizeof(*in));
    if (in) {
        in->headroom = &host->headroom;
        in->fd = fd;
        nv_crc_init(&in->crc);
        r = read_all(in, flags, base, template, ret_error);
        free(in->extents);
        free(in);
    } else {
        r = nv_fail_sys(ret_error, ENOMEM, object, "malloc", "free memory in this process");
    }
    if (r < 0) {
        nv_template_unref(template);
        return r;
    }
    *ret_template = template;
    return 0;
}
