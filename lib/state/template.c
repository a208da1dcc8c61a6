/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the template object: making, counting and freeing it. */
#include "state/template.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/tags.h"

int nv_template_new(struct nestvirt_host *host, struct nestvirt_template **ret_template,
                    struct nestvirt_error **ret_error)
{
    struct nestvirt_template *template = calloc(1, sizeof(*template));

    if (!template)
        return nv_fail_sys(ret_error, ENOMEM, "template", "malloc", "free memory in this process");
    template->tag = NV_TAG_TEMPLATE;
    atomic_init(&template->references, 1);
    template->host = nv_host_ref(host);
    nv_ram_init(&template->image);
    if (getrandom(template->id, sizeof(template->id), GRND_NONBLOCK) !=
        (ssize_t)sizeof(template->id)) {
        nv_template_unref(template);
        return nv_fail(ret_error, -EAGAIN, "template", "try again",
                       "the host has no random numbers yet");
    }
    *ret_template = template;
    return 0;
}

struct nestvirt_template *nv_template_ref(struct nestvirt_template *template)
{
    atomic_fetch_add(&template->references, 1);
    return template;
}

void nv_template_unref(struct nestvirt_template *template)
{
    if (!template || atomic_fetch_sub(&template->references, 1) > 1)
        return;
    nv_ram_destroy(&template->image);
    nv_writer_destroy(&template->config);
    nv_writer_destroy(&template->machine);
    nv_host_unref(template->host);
    template->tag = NV_TAG_FREED;
    free(template);
}
