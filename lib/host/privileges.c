/* SPDX-License-Identifier: Apache-2.0 */
/* Owns giving up privileges: capabilities by libcap-ng, loaded at first use, and no_new_privs. */
#include "host/privileges.h"

#include <cap-ng.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "core/error.h"

enum { CLEAR, APPLY, READ, HAVE_ALL, SYMBOLS };
static const char *const names[SYMBOLS] = {
    [CLEAR] = "capng_clear",
    [APPLY] = "capng_apply",
    [READ] = "capng_get_caps_process",
    [HAVE_ALL] = "capng_have_capabilities",
};

struct nv_privileges {
    void *library;
    void *symbols[SYMBOLS];
};

static int load(struct nv_privileges *privileges, struct nestvirt_error **ret_error)
{
    privileges->library = dlopen("libcap-ng.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!privileges->library)
        return nv_fail(ret_error, -ENOTSUP, "privileges", "install libcap-ng0",
                       "libcap-ng.so.0 cannot be loaded");
    for (int i = 0; i < SYMBOLS; i++) {
        privileges->symbols[i] = dlsym(privileges->library, names[i]);
        if (!privileges->symbols[i])
            return nv_fail(ret_error, -ENOTSUP, "privileges", "install libcap-ng 0.7 or later",
                           "libcap-ng.so.0 has no %s", names[i]);
    }
    return 0;
}

int nv_privileges_open(struct nv_privileges **ret_privileges, struct nestvirt_error **ret_error)
{
    struct nv_privileges *privileges = calloc(1, sizeof(*privileges));
    int r;

    if (!privileges)
        return nv_fail_sys(ret_error, ENOMEM, "privileges", "calloc",
                           "free memory in this process");
    r = load(privileges, ret_error);
    if (r < 0) {
        nv_privileges_close(privileges);
        return r;
    }
    *ret_privileges = privileges;
    return 0;
}

void nv_privileges_close(struct nv_privileges *privileges)
{
    if (!privileges)
        return;
    if (privileges->library)
        dlclose(privileges->library);
    free(privileges);
}

/* Without CAP_SETPCAP it stays as it is, and is of no use to a thread with no_new_privs. */
void nv_privileges_limit(const struct nv_privileges *privileges)
{
    __typeof__(&capng_clear) clear = privileges->symbols[CLEAR];
    __typeof__(&capng_apply) apply = privileges->symbols[APPLY];

    clear(CAPNG_SELECT_BOTH);
    apply(CAPNG_SELECT_BOUNDS);
}

/* The ambient set goes with the inheritable one, in the kernel. */
int nv_privileges_drop(const struct nv_privileges *privileges, const char **ret_call)
{
    __typeof__(&capng_clear) clear = privileges->symbols[CLEAR];
    __typeof__(&capng_apply) apply = privileges->symbols[APPLY];
    __typeof__(&capng_get_caps_process) read = privileges->symbols[READ];
    __typeof__(&capng_have_capabilities) have = privileges->symbols[HAVE_ALL];

    nv_privileges_limit(privileges);
    clear(CAPNG_SELECT_BOTH);
    *ret_call = "capset";
    errno = 0;
    if (apply(CAPNG_SELECT_CAPS) < 0)
        return errno ? -errno : -EPERM;
    *ret_call = "capget";
    if (read() < 0)
        return errno ? -errno : -EPERM;
    if (have(CAPNG_SELECT_CAPS) != CAPNG_NONE)
        return -EPERM;
    *ret_call = "prctl(PR_SET_NO_NEW_PRIVS)";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
