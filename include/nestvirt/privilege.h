/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Privileges: giving them up between build and start, and what is needed afterwards.
 *
 * Capabilities and no_new_privs belong to each thread. A program that is to run guests without them
 * builds its VMs, calls nestvirt_process_remove_privileges() once and
 * nestvirt_vm_remove_privileges() for each VM, installs its filters if it has some, and starts the
 * VMs. In this order: the C library changes the user in every thread, and ends the process if one
 * thread cannot do it while others can.
 *
 * What build opens stays open: disks, taps, consoles, /dev/kvm. A start after a stop builds anew
 * and opens again what was given by name; as another user it fails with -EACCES or -EPERM, naming
 * the device, where that user may not open it. Descriptors given to devices, the host object, and
 * taps that belong to the new user are good for any number of starts.
 */
#ifndef NESTVIRT_PRIVILEGE_H
#define NESTVIRT_PRIVILEGE_H

#include <nestvirt/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Lets every library thread of a VM (its vCPUs, its event loop, its workers) give up all its
 * capabilities (effective, permitted, inheritable, ambient; bounding too where the thread may) and
 * set no_new_privs. Threads of later starts do the same before they do anything else. The caller's
 * own threads keep theirs, and so does a vCPU that the caller runs by hand. A loop that VMs share
 * gives up its privileges for all of them: build those that need them first. Filters that the
 * program's threads have are not touched; new threads inherit them from whoever starts the VM.
 *
 * State built, before the first start. Any thread but the VM's own.
 * Errors: -EBUSY in another state or after a start, -EALREADY the second time, -ENOTSUP if
 * libcap-ng is missing (nothing has changed), -EDEADLK. If a thread fails (a seccomp filter may
 * forbid it), the code is that of its call and the text names the thread: the VM is failed then and
 * will not start (-EBUSY); free it.
 */
int nestvirt_vm_remove_privileges(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);

/* nestvirt_privilege_config.flags: which fields count. */
enum {
    NESTVIRT_PRIVILEGE_UID = 1 << 0,
    NESTVIRT_PRIVILEGE_GID = 1 << 1,
    NESTVIRT_PRIVILEGE_GROUPS = 1 << 2
};

enum {
    NESTVIRT_PRIVILEGE_GROUPS_MAX = 65536 /* supplementary groups, Linux's own limit */
};

struct nestvirt_privilege_config {
    uint32_t size;
    uint32_t flags;         /* NESTVIRT_PRIVILEGE_* */
    uint32_t uid;           /* user: real, effective and saved */
    uint32_t gid;           /* group: real, effective and saved */
    uint32_t group_count;   /* supplementary groups, 0 for none */
    uint32_t reserved;      /* 0 */
    const uint32_t *groups; /* they replace what the process has; only read during the call */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_privilege_config_init(struct nestvirt_privilege_config *config, size_t caller_size);

/*
 * Gives up the privileges of the whole process, as far as one call can:
 * 1. changes supplementary groups, group and user through the C library, which takes all threads
 *    along. A change from root to another user takes their capabilities too;
 * 2. takes the calling thread's capabilities, all sets, and sets its no_new_privs. Other threads of
 *    the program keep the no_new_privs they have; threads made from now on inherit the caller's;
 * 3. reads the status of every thread of the process and fails naming one that still has a
 *    capability. Programs whose user does not change, or with threads that the C library does not
 *    know, see this; so do Go programs without a change of user, which always have several threads.
 *
 * What may fail for lack of permission, in any thread, is looked at before the first step. A
 * failure behind that cannot be undone, and the text says so: end the process then. A seccomp
 * filter that forbids setresuid() and the like to some threads only cannot be seen before; the C
 * library ends the process there. The call may be repeated: what is so already needs no permission.
 * Afterwards /proc/self/fd and the like belong to root, so paths through them do not open any more.
 *
 * config: NULL for capabilities and no_new_privs alone.
 * Any state of any VM; while vCPUs run they are interrupted for a moment. Any thread; not two at
 * once.
 * Errors: -EPERM, CAP_SETUID or CAP_SETGID is missing in a thread (nothing has changed), or a
 * thread kept a capability (all else is done); -EINVAL, unknown flags, fields that do not count and
 * are not zero, the id 4294967295, an id that the user namespace does not map; -EFAULT, groups are
 * missing; -ENOTSUP, libcap-ng is missing; -E2BIG.
 */
int nestvirt_process_remove_privileges(const struct nestvirt_privilege_config *config,
                                       struct nestvirt_error **ret_error);

/* nestvirt_need.role: whose need. */
enum {
    NESTVIRT_ROLE_VCPU = 1,   /* a vCPU's thread */
    NESTVIRT_ROLE_LOOP = 2,   /* an event loop's */
    NESTVIRT_ROLE_WORKER = 3, /* a disk's workers; who writes a console's output to a file */
    NESTVIRT_ROLE_CALLER = 4  /* program threads in calls of a VM that is built: start to free */
};

/* nestvirt_need.kind */
enum {
    NESTVIRT_NEED_SYSCALL = 1, /* number: of the system call on this architecture */
    NESTVIRT_NEED_IOCTL = 2,   /* number: of the request; the role needs ioctl() for these alone */
    NESTVIRT_NEED_FD = 3       /* number: 0; what the role's descriptors are */
};

/* Filled by nestvirt_privilege_get_need(). */
struct nestvirt_need {
    uint32_t size;    /* the caller's sizeof; in and out */
    uint32_t flags;   /* 0 */
    uint32_t role;    /* NESTVIRT_ROLE_* */
    uint32_t kind;    /* NESTVIRT_NEED_* */
    uint64_t number;  /* see the kinds */
    const char *name; /* "futex", "KVM_RUN", "tap"; static */
    const char *why;  /* for people; static */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_need_init(struct nestvirt_need *need, size_t caller_size);

/*
 * Reads entry number position (from 0) of what threads will need after build: every system call,
 * every ioctl request and every kind of descriptor, for each role, the C library's own calls
 * included. A seccomp filter that allows a role this list and nothing else does not disturb it; put
 * it on the thread of the role, never on all at once (SECCOMP_FILTER_FLAG_TSYNC). The list is for
 * all devices and engines of this release on glibc; a program's callbacks run on these threads too
 * and need what they need. It does not cover a start after a stop, which needs what build needs,
 * placing threads, nodes and merging of memory that a VM has (nestvirt_memory_set_numa() and the
 * like, which read sysfs and may load libnuma), control groups, reports and the host's settings,
 * nor nestvirt_vm_remove_privileges() itself. Of templates it covers a clone that is built, from
 * its start to its end, but not making, writing or opening a template, and of observers (observe.h)
 * nothing: a VM that is observed is freed, and its figures are read, on a thread without a filter.
 * Errors: -ENOENT behind the last, -EFAULT, -EINVAL for a bad size.
 */
int nestvirt_privilege_get_need(uint32_t position, struct nestvirt_need *need,
                                struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
