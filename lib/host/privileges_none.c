/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands for libcap-ng in builds without its header. */
#include <errno.h>

#include "core/error.h"
#include "host/privileges.h"

int nv_privileges_open(struct nv_privileges **ret_privileges, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOTSUP, "privileges", "build it with -Dcap_ng=enabled",
                   "this build of the library is without libcap-ng");
}

void nv_privileges_close(struct nv_privileges *privileges)
{
}

void nv_privileges_limit(const struct nv_privileges *privileges)
{
}

int nv_privileges_drop(const struct nv_privileges *privileges, const char **ret_call)
{
    *ret_call = "libcap-ng";
    return -ENOTSUP;
}
