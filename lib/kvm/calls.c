/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the system calls on KVM descriptors: the real ops, retries and error texts. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "core/util.h"
#include "kvm/kvm.h"

static int real_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

static int real_ioctl(int fd, unsigned long request, void *argument)
{
    int r = ioctl(fd, request, argument);

    return r < 0 ? -errno : r;
}

static int real_map(int fd, size_t length, void **ret_pointer)
{
    void *pointer = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (pointer == MAP_FAILED)
        return -errno;
    *ret_pointer = pointer;
    return 0;
}

const struct nv_kvm_ops nv_kvm_real_ops = {
    .open = real_open,
    .ioctl = real_ioctl,
    .map = real_map,
};

/* KVM_CREATE_VM may be interrupted by a signal and must then be repeated; so may others. */
enum { EINTR_RETRIES_MAX = 1000 };

int nv_kvm_call(const struct nestvirt_host *host, int fd, unsigned long request, void *argument)
{
    int r = -EINTR;

    for (int i = 0; r == -EINTR && i < EINTR_RETRIES_MAX; i++)
        r = host->ops->ioctl(fd, request, argument);
    return r;
}

static const char *remedy(int code)
{
    switch (code) {
    case -ENOMEM:
        return "free memory on the host, or raise the limits on locked memory and mappings";
    case -ENOSPC:
        return "make fewer VMs or leave some out";
    case -EIO:
        return "KVM refuses this process; do not use handles inherited by fork";
    default:
        return "";
    }
}

int nv_kvm_call_named(const struct nestvirt_host *host, int fd, unsigned long request,
                      void *argument, const char *request_name, const char *object,
                      struct nestvirt_error **ret_error)
{
    int r = nv_kvm_call(host, fd, request, argument);

    if (r < 0)
        return nv_fail_sys(ret_error, -r, object, request_name, nv_limit_hint(-r, 0, remedy(r)).s);
    return r;
}

/* Of the host's memory, measured and rounded up. */
#define VM_BYTES NV_KIB(512)
#define VCPU_BYTES NV_KIB(128)
#define DEVICE_BYTES NV_KIB(128)

enum { SLOT_BYTES = 10 }; /* of a shadow page's bookkeeping: 2.5 MiB for each GiB */

uint64_t nv_kvm_idle_bytes(bool has_paging, uint32_t vcpus, uint32_t devices, uint64_t memory)
{
    const uint64_t slots = has_paging ? 0 : memory / NV_PAGE_SIZE * SLOT_BYTES;

    return VM_BYTES + vcpus * VCPU_BYTES + devices * DEVICE_BYTES + slots;
}
