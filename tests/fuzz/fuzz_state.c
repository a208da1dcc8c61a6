/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reading of saved state: a file of any bytes, opened, cloned and built on a fake KVM.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/crc.h"
#include "core/util.h"
#include "fake_kvm.h"
#include "state/format.h"

enum { FILE_MAX = 16 * 1024 * 1024, DISK_BYTES = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct nestvirt_host *host;
static int disk = -1;

/* What is one VM's own, of those kinds that need it. */
static void set_identity(struct nestvirt_vm *vm)
{
    struct nestvirt_device *device;

    for (uint32_t i = 0; nestvirt_device_get(vm, i, &device, NULL) == 0; i++) {
        nestvirt_device_set_u64(device, "cid", 3, NULL);
        nestvirt_device_set_fd(device, "fd", disk, NULL);
        nestvirt_device_set_u64(device, "lock", 0, NULL); /* two VMs have it at a time */
    }
}

/* Only what the checksums let through is interesting: they are put right, as an attacker would. */
static void put_right(uint8_t *bytes, size_t size)
{
    struct nv_crc crc;
    uint64_t config, machine, extents, body;

    if (size < NV_STATE_HEADER)
        return;
    nv_crc_init(&crc);
    config = nv_get_le64(bytes + 48);
    machine = nv_get_le64(bytes + 56);
    extents = nv_get_le64(bytes + 64);
    if (config <= size && machine <= size && extents <= size / NV_STATE_EXTENT) {
        body = config + machine + extents * NV_STATE_EXTENT;
        if (nv_range_fits(NV_STATE_HEADER, body, size))
            nv_put_le32(bytes + 96, nv_crc_add(&crc, 0, bytes + NV_STATE_HEADER, body));
    }
    nv_put_le32(bytes + NV_STATE_HEADER - 4, nv_crc_add(&crc, 0, bytes, NV_STATE_HEADER - 4));
}

/* What was accepted can be saved, and that is accepted too. */
static void save_again(struct nestvirt_vm *vm)
{
    struct nestvirt_template *again;
    struct nestvirt_vm *clone;

    if (nestvirt_template_new(vm, 0, &again, NULL) < 0)
        return; /* in the middle of something */
    if (nestvirt_clone_new(again, NULL, &clone, NULL) < 0)
        abort();
    set_identity(clone);
    if (nestvirt_vm_build(clone, NULL) < 0)
        abort();
    nestvirt_vm_free(clone);
    nestvirt_template_free(again);
}

/* Builds and starts a clone, whatever the state makes of it; nothing may be left. */
static void use(struct nestvirt_template *template)
{
    struct nestvirt_vm *vm;

    if (nestvirt_clone_new(template, NULL, &vm, NULL) < 0)
        abort(); /* opening has tried that */
    set_identity(vm);
    if (nestvirt_vm_build(vm, NULL) == 0) {
        save_again(vm);
        nestvirt_vm_start(vm, NULL);
        nestvirt_vm_pause(vm, NULL);
        save_again(vm);
    }
    nestvirt_vm_free(vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nestvirt_template *template = NULL;
    uint8_t *bytes = malloc(size + 1);
    int fd = memfd_create("state", MFD_CLOEXEC);

    if (!host) {
        fake_kvm_reset();
        if (nv_host_open(&fake_kvm_ops, "fake", -1, &host, NULL) < 0)
            abort();
        disk = memfd_create("disk", MFD_CLOEXEC);
        if (disk < 0 || ftruncate(disk, DISK_BYTES) < 0)
            abort();
    }
    if (!bytes || fd < 0 || size > FILE_MAX)
        abort();
    memcpy(bytes, data, size);
    put_right(bytes, size);
    if (write(fd, bytes, size) != (ssize_t)size)
        abort();
    /* Half of the inputs without the checksums of memory, which nobody can guess. */
    if (nestvirt_template_open(host, fd, size & 1 ? 0 : NESTVIRT_TEMPLATE_TRUST_FILE, NULL,
                               &template, NULL) == 0) {
        use(template);
        nestvirt_template_free(template);
    } else if (template) {
        abort();
    }
    fake_kvm_reset();
    close(fd);
    free(bytes);
    return 0;
}
