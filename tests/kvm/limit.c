/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the child processes in which VMs are made until one fails. */
#include "limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "support.h"

enum { AT_LEAST = 5 /* VMs before the limit */, MEMORY = 4 << 20 };

static int kvm_fd;

int limit_complain(const char *what, const char *more)
{
    printf("%s: %s\n", what, more ? more : "");
    return 1;
}

int limit_open_host(struct nestvirt_host **ret_host)
{
    struct nestvirt_error *error = NULL;
    int r = nestvirt_host_open_fd(kvm_fd, ret_host, &error);

    if (r < 0)
        limit_complain("host", nestvirt_error_get_message(error));
    return r;
}

void limit_begin(void)
{
    kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

/* Makes VMs until one fails; checks how. */
static int fill(struct crowd *crowd, const struct limit *limit)
{
    struct nestvirt_error *error = NULL;
    const char *text;
    int r;

    do
        r = crowd_add(crowd, &error);
    while (r == 0);
    text = nestvirt_error_get_message(error);
    printf("VM %u: %d: %s\n", crowd->count, r, text);
    if (r != limit->code || !strstr(text, limit->text))
        return limit_complain("no such error, but", text);
    nestvirt_error_free(error);
    if (crowd->count < AT_LEAST)
        return limit_complain("too few VMs", NULL);
    return crowd_find_bad(crowd) < crowd->count ? limit_complain("not all VMs live on", NULL) : 0;
}

/* In the child. */
static int run_into(void *user_data)
{
    const struct limit *limit = user_data;
    struct nestvirt_host *host;
    struct nestvirt_error *error = NULL;
    struct crowd *crowd;
    int r = 0;

    if (limit->group && dprintf(open(limit->group, O_WRONLY), "%d\n", getpid()) < 0)
        return limit_complain(limit->group, strerror(errno));
    if (limit->set && limit->set() != 0)
        return limit_complain("the limit cannot be set", strerror(errno));
    if (limit_open_host(&host) < 0)
        return 1;
    crowd = crowd_new(host, limit->memory ? limit->memory : MEMORY, false);
    if (!crowd)
        return 1;
    for (int round = 0; round < 3 && r == 0; round++) {
        r = fill(crowd, limit);
        if (r == 0)
            crowd_remove(crowd);
        if (r == 0 && crowd_add(crowd, &error) < 0)
            r = limit_complain("no new VM after one was freed", nestvirt_error_get_message(error));
        if (r == 0 && crowd_find_bad(crowd) < crowd->count)
            r = limit_complain("the new VM does not run", NULL);
    }
    crowd_free(crowd);
    nestvirt_host_free(host);
    return r;
}

void limit_check(const struct limit *limit)
{
    ck_assert_int_eq(crowd_run_child(run_into, (void *)limit), 0);
}
