/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands for the BPF program in builds without libbpf's headers or a compiler for it. */
#include <errno.h>

#include "core/error.h"
#include "observe/probe.h"

int nv_probe_open(struct nv_probe **ret_probe, struct nestvirt_error **ret_error)
{
    return nv_fail(ret_error, -ENOTSUP, "BPF program",
                   "install clang and libbpf-dev, then build with -Dbpf=enabled",
                   "this build of the library is without it");
}

void nv_probe_close(struct nv_probe *probe)
{
}

int nv_probe_add(struct nv_probe *probe, uint32_t id)
{
    return -ENOTSUP;
}

void nv_probe_remove(struct nv_probe *probe, uint32_t id)
{
}

int nv_probe_watch(struct nv_probe *probe, pid_t tid, uint32_t id)
{
    return -ENOTSUP;
}

void nv_probe_ignore(struct nv_probe *probe, pid_t tid)
{
}

int nv_probe_read(struct nv_probe *probe, uint32_t id, struct nv_wait_sums *ret_sums)
{
    return -ENOTSUP;
}

int nv_probe_clear(struct nv_probe *probe, uint32_t id)
{
    return -ENOTSUP;
}
