/* SPDX-License-Identifier: Apache-2.0 */
/* Owns templates: a VM's saved state with its memory image, in this process or in files. */
#ifndef NV_STATE_TEMPLATE_H
#define NV_STATE_TEMPLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nestvirt/template.h>

#include "core/error.h"
#include "core/record.h"
#include "kvm/kvm.h"
#include "memory/image.h"

enum { NV_TEMPLATE_ID = 16 };

/* Immutable once made, but for its references: the caller's, and one of each VM cloned from it. */
struct nestvirt_template {
    uint32_t tag;
    atomic_uint references;
    struct nestvirt_host *host;
    uint8_t id[NV_TEMPLATE_ID]; /* random: what files of changes refer to */
    struct nv_ram image;
    /* Records that the room vm writes and reads: what a clone is made from, and how it stands. */
    struct nv_writer config;
    struct nv_writer machine;
};

/* Makes one with a new id and nothing in it. -ENOMEM, -EAGAIN (no random numbers yet). */
int nv_template_new(struct nestvirt_host *host, struct nestvirt_template **ret_template,
                    struct nestvirt_error **ret_error);

struct nestvirt_template *nv_template_ref(struct nestvirt_template *template);
void nv_template_unref(struct nestvirt_template *template);

/*
 * Writes a template to a regular file or memfd: all of it, or what differs from base. Errors:
 * template.h (public).
 */
int nv_template_write(const struct nestvirt_template *template,
                      const struct nestvirt_template *base, int fd,
                      struct nestvirt_error **ret_error);

/*
 * Reads one; all checksums and the places of all things are looked at first. What the records say
 * is for the room above to look at.
 */
int nv_template_read(struct nestvirt_host *host, int fd, uint32_t flags,
                     const struct nestvirt_template *base, struct nestvirt_template **ret_template,
                     struct nestvirt_error **ret_error);

#endif
