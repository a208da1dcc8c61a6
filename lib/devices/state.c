/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the saved state of devices: their kinds and properties, and how each of them stands. */
#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "devices/device.h"

enum { CONFIG_RECORD = NV_RECORD('D', 'C', 'F', 'G'), CONFIG_VERSION = 1 };
enum { STATE_RECORD = NV_RECORD('D', 'E', 'V', 'C'), STATE_VERSION = 2 };

enum { NAME_SIZE = 64, TEXT_SIZE = 4096, PROPERTIES_MAX = 256 };

static bool is_text(const struct nv_property *row)
{
    return row->type == NESTVIRT_PROPERTY_STRING;
}

/* Counters are not set, and what one VM has for itself is the caller's to say: a file never does.
 */
static bool is_saved(const struct nv_property *row)
{
    return !(row->flags & (NESTVIRT_PROPERTY_READ_ONLY | NESTVIRT_PROPERTY_IDENTITY)) &&
           row->type != NESTVIRT_PROPERTY_FD;
}

/* What a clone has to have too, where it is not the default. */
static bool is_common(const struct nestvirt_device *device, const struct nv_property *row)
{
    const void *at = (const uint8_t *)device->state + row->offset;

    if (!is_saved(row))
        return false;
    if (is_text(row))
        return *(char *const *)at;
    return *(const uint64_t *)at != row->initial;
}

void nv_device_save_config(const struct nestvirt_device *device, struct nv_writer *writer)
{
    const struct nv_device_class *class = device->class;
    size_t mark = nv_write_begin(writer, CONFIG_RECORD, CONFIG_VERSION);
    uint32_t count = 0;

    nv_write_text(writer, class->name);
    for (size_t i = 0; i < class->property_count; i++)
        count += is_common(device, &class->properties[i]) ? 1 : 0;
    nv_write_u32(writer, count);
    for (size_t i = 0; i < class->property_count; i++) {
        const struct nv_property *row = &class->properties[i];
        const void *at = (const uint8_t *)device->state + row->offset;

        if (!is_common(device, row))
            continue;
        nv_write_text(writer, row->name);
        nv_write_u8(writer, is_text(row));
        if (is_text(row))
            nv_write_text(writer, *(char *const *)at);
        else
            nv_write_u64(writer, *(const uint64_t *)at);
    }
    nv_write_end(writer, mark);
}

static int load_property(struct nestvirt_device *device, struct nv_reader *body,
                         struct nestvirt_error **ret_error)
{
    char name[NAME_SIZE];
    char text[TEXT_SIZE] = "";
    uint64_t number = 0;
    const struct nv_property *row;
    bool has_text;

    nv_read_text(body, name, sizeof(name));
    has_text = nv_read_bool(body);
    if (has_text)
        nv_read_text(body, text, sizeof(text));
    else
        number = nv_read_u64(body);
    if (body->is_bad)
        return nv_bad_state(device->class->name, "its properties are cut off", ret_error);
    row = nv_device_find_property(device, name);
    if (!row || !is_saved(row) || is_text(row) != has_text)
        return nv_bad_state(device->class->name, "it sets a property that is not saved", ret_error);
    return nv_device_set(device, name, has_text ? NESTVIRT_PROPERTY_STRING : NESTVIRT_PROPERTY_U64,
                         true, number, text, ret_error);
}

static int load_properties(struct nestvirt_device *device, struct nv_reader *body,
                           struct nestvirt_error **ret_error)
{
    uint32_t count = nv_read_u32(body);
    int r = 0;

    if (count > PROPERTIES_MAX)
        return nv_bad_state(device->class->name, "it has too many properties", ret_error);
    while (count-- > 0 && r == 0)
        r = load_property(device, body, ret_error);
    return r < 0 ? r : nv_read_end(body, device->class->name, ret_error);
}

int nv_device_load_config(struct nv_reader *reader, uint32_t number, void *owner,
                          struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    const struct nv_device_class *class;
    struct nestvirt_device *device;
    struct nv_reader body;
    char name[NAME_SIZE];
    int r = nv_read_begin(reader, CONFIG_RECORD, CONFIG_VERSION, "device", &body, ret_error);

    if (r < 0)
        return r;
    nv_read_text(&body, name, sizeof(name));
    class = nv_device_find_class(name);
    if (!class)
        return nv_bad_state("device", "it is of a kind that is not known", ret_error);
    r = nv_device_new(class, number, owner, &device, ret_error);
    if (r < 0)
        return r;
    r = load_properties(device, &body, ret_error);
    if (r < 0) {
        nv_device_free(device);
        return r;
    }
    *ret_device = device;
    return 0;
}

int nv_device_settle(struct nestvirt_device *device, uint64_t deadline_ns,
                     struct nestvirt_error **ret_error)
{
    int r = device->class->settle ? device->class->settle(device, deadline_ns, ret_error) : 0;

    if (r < 0 && ret_error)
        nv_error_prefix(ret_error, nv_device_name(device).s);
    return r;
}

static int save_virtio(struct nestvirt_device *device, struct nv_writer *writer,
                       struct nestvirt_error **ret_error)
{
    NV_VIRTIO_GUARD((struct nv_virtio *)device->state);
    return nv_virtio_save(device->state, writer, ret_error);
}

int nv_device_save(struct nestvirt_device *device, struct nv_writer *writer,
                   struct nestvirt_error **ret_error)
{
    size_t mark = nv_write_begin(writer, STATE_RECORD, STATE_VERSION);
    int r = 0;

    nv_write_text(writer, device->class->name);
    if (device->class->virtio)
        r = save_virtio(device, writer, ret_error);
    if (r >= 0 && device->class->save)
        r = device->class->save(device, writer, ret_error);
    nv_write_end(writer, mark);
    if (r < 0 && ret_error)
        nv_error_prefix(ret_error, nv_device_name(device).s);
    return r;
}

static int load_state(struct nestvirt_device *device, struct nv_reader *reader,
                      struct nestvirt_error **ret_error)
{
    struct nv_reader body;
    char name[NAME_SIZE];
    int r = nv_read_begin(reader, STATE_RECORD, STATE_VERSION, "device", &body, ret_error);

    if (r < 0)
        return r;
    nv_read_text(&body, name, sizeof(name));
    if (strcmp(name, device->class->name) != 0)
        return nv_bad_state("device", "it is of another kind", ret_error);
    if (device->class->virtio)
        r = nv_virtio_load(device->state, &body, ret_error);
    if (r >= 0 && device->class->load)
        r = device->class->load(device, &body, ret_error);
    return r < 0 ? r : nv_read_end(&body, device->class->name, ret_error);
}

int nv_device_load(struct nestvirt_device *device, struct nv_reader *reader,
                   struct nestvirt_error **ret_error)
{
    int r = load_state(device, reader, ret_error);

    if (r < 0 && ret_error)
        nv_error_prefix(ret_error, nv_device_name(device).s);
    return r;
}

int nv_device_pass(const struct nestvirt_device *device, struct nv_reader *reader,
                   struct nestvirt_error **ret_error)
{
    return nv_read_begin(reader, STATE_RECORD, STATE_VERSION, nv_device_name(device).s,
                         &(struct nv_reader){ 0 }, ret_error);
}
