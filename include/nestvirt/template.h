/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: a VM's whole state, from which any number of clones start at once, sharing its memory
 * copy-on-write; and the same in files.
 *
 * A clone is an ordinary VM in state new. It has the vCPUs, memory and devices of the template's
 * VM with their properties, but for those with NESTVIRT_PROPERTY_IDENTITY, which name what one VM
 * has for itself (a disk's file, a tap and its MAC, descriptors of consoles, a CID): set them with
 * nestvirt_device_get() and nestvirt_device_set_...() before the build. A disk's file has to hold
 * what the template's held when it was made: a reflink (nestvirt_reflink_new()), a copy or an
 * overlay of it. Handlers, ioeventfds, interrupt pins, callbacks and the event loop are the
 * caller's and are added again, pins in the same order. nestvirt_vm_build() maps memory and puts
 * all state back (-ENOTSUP where this host's processor or KVM lacks what the guest uses, or where
 * its time stamp counter goes at another rate and cannot be scaled);
 * nestvirt_vm_start() lets the guest go on where the template stood. A clone that has stopped and
 * is started again begins there once more.
 *
 * What the guest notices: requests that its devices had not finished are done once more by the
 * clone's devices; the virtio socket tells its driver that connections are gone and the CID may be
 * another; a disk's size and other changes of configuration are told as always; a MAC is only read
 * by drivers when they start, so that a running Linux keeps the template's until it is told
 * otherwise: its driver is taken from the device and given back (unbind and bind in
 * /sys/bus/virtio/drivers/virtio_net), after which the interface has the clone's MAC and needs its
 * addresses again. kvm-clock goes on from the moment of saving and neither leaps nor goes back; the
 * time of day does not know that time has passed. A VM with the device "vmgenid" finds another VM
 * generation ID in each clone, and ACPI tells it so: Linux then makes its random numbers anew. A
 * guest without ACPI finds the ID at guest address 0xef000 too, but nobody tells it to look there.
 *
 * A Linux guest takes what it is told of its virtio socket about 100 ms after the start, and drops
 * without a word all connections that it has then, those too that programs have opened to the clone
 * until that moment: such a program has got its "OK", and its connection may stay silent instead of
 * being closed. So those who connect right after the start wait for the first answer with a
 * timeout, and connect again where none comes.
 *
 * Memory pages are shared until they are written. Where the template has none, the kernel puts one
 * of zeroes into the template when a clone first touches it: so a template whose clones touch all
 * of their memory takes as much as that, once for all of them, until it and the last clone are
 * freed. A clone's regions lie where the template's VM had them, read-only, left out of core dumps
 * and mergeable as those were. NESTVIRT_MEMORY_PREFAULT and _LOCK, the backing, the kind of huge
 * pages and the NUMA policy are not kept: they would copy each page, or cannot be had of a file's
 * private pages. A balloon of a clone, and its reporting of free pages, give nothing back to the
 * host and cost memory: pages that the guest drops have to read as zero, not as the template's, and
 * are zeroed, by which they become the clone's own.
 */
#ifndef NESTVIRT_TEMPLATE_H
#define NESTVIRT_TEMPLATE_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_template;

/* Flags of nestvirt_template_new() and nestvirt_template_open(). */
enum {
    /*
     * new: the VM is used up. It is stopped (result NESTVIRT_RESULT_STOPPED) and can only be
     * freed. Pointers into its memory stay valid, but what is there is no longer the guest's. One
     * region with NESTVIRT_BACKING_MEMFD becomes the template's memory without a copy.
     */
    NESTVIRT_TEMPLATE_CONSUME = 1 << 0,
    /*
     * open: nobody will change or shorten the file while the template or a clone is there. Its
     * memory is then mapped and read only when it is used, unchecked; if the file does get shorter,
     * this process ends by SIGBUS.
     */
    NESTVIRT_TEMPLATE_TRUST_FILE = 1 << 1
};

/*
 * Makes a template of a VM. Without NESTVIRT_TEMPLATE_CONSUME its pages with data are copied once,
 * and the VM may go on. ret_template is freed with nestvirt_template_free(). State built or paused;
 * of a VM that was built and never started, clones start from its first instruction, and their
 * devices as after a reset.
 * Errors: -EBUSY in other states, while a disk does not finish its requests, or while a vCPU
 * driven by hand waits for the answer to an exit, or one is in the middle of an instruction (then
 * resume, pause and try again); -ENOTSUP for a VM with devices of the caller's
 * own (nestvirt_virtio_add()) or NESTVIRT_VM_NESTED; -EINVAL for unknown flags; -EDEADLK from a
 * callback or vCPU of the VM; -ENOMEM, also where the copy would leave this host or cgroup too
 * little memory; -EMFILE, -EAGAIN. A failed call leaves the VM as it was.
 */
int nestvirt_template_new(struct nestvirt_vm *vm, uint32_t flags,
                          struct nestvirt_template **ret_template,
                          struct nestvirt_error **ret_error);

/*
 * Gives a template back. Clones keep what they need: it may be freed while they live. NULL is
 * allowed. Any thread. Errors: -EBADF.
 */
int nestvirt_template_free(struct nestvirt_template *template_handle);

struct nestvirt_template_info {
    uint32_t size;
    uint32_t flags;       /* 0 */
    uint64_t memory_size; /* bytes of guest memory */
    uint64_t data_size;   /* bytes of it that the template holds; the others are zeroes */
    uint64_t state_size;  /* bytes of vCPUs, interrupt controllers and devices */
    uint32_t vcpus;
    uint32_t devices;
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_template_info_init(struct nestvirt_template_info *info, size_t caller_size);

/* Tells what a template holds. Any thread. Errors: -EFAULT, -EBADF, -EINVAL, -ECHILD. */
int nestvirt_template_get_info(const struct nestvirt_template *template_handle,
                               struct nestvirt_template_info *info,
                               struct nestvirt_error **ret_error);

struct nestvirt_clone_config {
    uint32_t size;
    uint32_t flags;   /* 0 */
    const char *name; /* of the VM, copied; NULL: "vm" */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_clone_config_init(struct nestvirt_clone_config *config, size_t caller_size);

/*
 * Makes a VM from a template, in state new; see above for what is to be set before it is built.
 * More devices, memory and a kernel cannot be added (-EBUSY). config: copied; NULL for the
 * defaults. Any thread. Errors: -EINVAL for a name that is too long or an unknown flag;
 * NESTVIRT_E_BAD_STATE and others for a template whose file said what cannot be; -ENOMEM, -EMFILE.
 */
int nestvirt_clone_new(struct nestvirt_template *template_handle,
                       const struct nestvirt_clone_config *config, struct nestvirt_vm **ret_vm,
                       struct nestvirt_error **ret_error);

/*
 * Writes a template to a file, from its start on; what it held is lost. fd: a regular file or a
 * memfd, open for writing; it stays the caller's. base: NULL to write all, with holes where memory
 * has no data; or a template of the same memory, of which only the pages that differ are written.
 * The file is not brought to the disk (fsync), and is empty after a failure. Any thread.
 * Errors: -EBADF, -EACCES, -EINVAL for another kind of file or a base that does not fit; -ENOMEM;
 * those of write(2): -EIO, and others.
 */
int nestvirt_template_write(const struct nestvirt_template *template_handle,
                            const struct nestvirt_template *base, int fd,
                            struct nestvirt_error **ret_error);

/*
 * Reads a template from such a file, in this process or another, on this host or one whose KVM and
 * processor are of the same kind. fd: open for reading; it stays the caller's. Memory is copied;
 * from a memfd that is sealed against shrinking and writing, or with NESTVIRT_TEMPLATE_TRUST_FILE,
 * it is mapped, unless the file has huge pages. flags: NESTVIRT_TEMPLATE_TRUST_FILE or 0. base: for
 * a file of changes the template that it was written against, which may itself come from a file;
 * else NULL. All checksums and places, what describes the VM, and that there is a record of each of
 * its vCPUs, interrupt controllers and devices, are looked at before anything is made. What these
 * remember is looked at by nestvirt_vm_build() of a clone, which then fails with
 * NESTVIRT_E_BAD_STATE for what cannot be, -EINVAL where pins or properties are others than in the
 * template, and -ENOTSUP for what this host lacks. What the properties of its devices are is the
 * word of the file's author, but for those with NESTVIRT_PROPERTY_IDENTITY: of a file that is not
 * trusted, set in each clone what guards the host, such as read_only and lock of a disk, and
 * limits. Any thread.
 * Errors: NESTVIRT_E_BAD_STATE with the reason for what is cut off, damaged or something else;
 * -EINVAL for a wrong base, unknown flags or another kind of file; those of nestvirt_memory_add()
 * and nestvirt_device_set_...() for a region or a property that cannot be, -ENOTSUP for more vCPUs
 * than this host's KVM has; -ENOMEM, also where the copy would leave this host or cgroup too little
 * memory; -EBADF, -EACCES, -EMFILE.
 */
int nestvirt_template_open(struct nestvirt_host *host, int fd, uint32_t flags,
                           const struct nestvirt_template *base,
                           struct nestvirt_template **ret_template,
                           struct nestvirt_error **ret_error);

/* Flags of nestvirt_reflink_new(). */
enum {
    /* Where blocks cannot be shared, all data is copied, which takes its time and its room. */
    NESTVIRT_REFLINK_OR_COPY = 1 << 0
};

/*
 * Makes a clone's disk: the file `to` gets what the file `from` holds, and shares its blocks until
 * one of the two is written, as `cp --reflink=always` does. from: the template's disk, open for
 * reading, which no VM that runs is writing. to: an empty file of the same file system, open for
 * writing, such as one made with O_TMPFILE. Both are regular files and stay the caller's; holes
 * stay holes. flags: NESTVIRT_REFLINK_OR_COPY or 0. Returns 0 if the blocks are shared, 1 if they
 * were copied. Any thread; no part of the calls of NESTVIRT_ROLE_CALLER (privilege.h).
 * Errors: -EOPNOTSUPP where the file system cannot share (XFS and Btrfs can, ext4 and tmpfs
 * cannot), -EXDEV for files on two file systems, -EINVAL for another kind of file, one that is not
 * empty, or unknown flags; -EBADF, -ENOMEM, and those of write(2): -ENOSPC, -EIO, and others. After
 * a failure `to` is empty.
 */
int nestvirt_reflink_new(int from, int to, uint32_t flags, struct nestvirt_error **ret_error);

enum {
    NESTVIRT_GENERATION_SIZE = 16 /* bytes of a VM generation ID */
};

/*
 * Copies the VM generation ID that the guest finds now: random at the first build, another one for
 * each clone and each time that a clone goes back to its template. size: of buffer, at least
 * NESTVIRT_GENERATION_SIZE. Returns NESTVIRT_GENERATION_SIZE. Any state but new.
 * Errors: -ENOENT for a VM without the device "vmgenid", -EBUSY before the first build, -EINVAL,
 * -EDEADLK from a callback or vCPU of the VM.
 */
int nestvirt_vm_get_generation(struct nestvirt_vm *vm, void *buffer, size_t size,
                               struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
