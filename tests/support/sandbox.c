/* SPDX-License-Identifier: Apache-2.0 */
/* Owns seccomp filters for the threads of a VM, made from what the library says that they need. */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"
#include "vm/vm.h"

enum { LISTENERS_MAX = 32, RULES_MAX = 512, NOTES_MAX = 32, POLL_MS = 5 };

/* Calls that a filter stopped and this thread let go on. */
struct note {
    uint32_t role;
    int number;
    uint64_t request; /* of ioctl */
    unsigned count;
};

static struct {
    pthread_t thread;
    atomic_bool is_to_quit;
    pthread_mutex_t lock;
    int fds[LISTENERS_MAX]; /* under the lock, as are the following */
    uint32_t roles[LISTENERS_MAX];
    unsigned count;
    struct note notes[NOTES_MAX];
    unsigned note_count;
} sandbox = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A program for one role. */
struct rules {
    struct sock_filter code[RULES_MAX];
    unsigned short count;
};

static void add(struct rules *rules, uint16_t operation, uint32_t value, uint8_t yes, uint8_t no)
{
    ck_assert_uint_lt(rules->count, RULES_MAX);
    rules->code[rules->count++] = (struct sock_filter){ operation, yes, no, value };
}

/* Allows what is loaded if it is this. */
static void allow(struct rules *rules, uint64_t value)
{
    add(rules, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)value, 0, 1);
    add(rules, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

static void allow_kind(struct rules *rules, uint32_t role, uint32_t kind, const char *without)
{
    struct nestvirt_need need;

    nestvirt_need_init(&need, sizeof(need));
    for (uint32_t i = 0; nestvirt_privilege_get_need(i, &need, NULL) == 0; i++)
        if (need.role == role && need.kind == kind &&
            !(kind == NESTVIRT_NEED_SYSCALL && need.number == SYS_ioctl) &&
            !(without && strcmp(need.name, without) == 0))
            allow(rules, need.number);
}

static void make_rules(struct rules *rules, uint32_t role, const char *without)
{
    const uint32_t load = BPF_LD | BPF_W | BPF_ABS;
    unsigned short jump;

    rules->count = 0;
    add(rules, load, offsetof(struct seccomp_data, arch), 0, 0);
    add(rules, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    add(rules, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    add(rules, load, offsetof(struct seccomp_data, nr), 0, 0);
    if (role == NESTVIRT_ROLE_CALLER)
        allow(rules, SYS_exit);
    allow_kind(rules, role, NESTVIRT_NEED_SYSCALL, without);
    jump = rules->count;
    add(rules, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0);
    add(rules, BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF, 0, 0);
    ck_assert_uint_gt(rules->count, jump);
    add(rules, load, offsetof(struct seccomp_data, args[1]), 0, 0);
    allow_kind(rules, role, NESTVIRT_NEED_IOCTL, without);
    add(rules, BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF, 0, 0);
}

static void note(uint32_t role, const struct seccomp_data *call)
{
    uint64_t request = call->nr == SYS_ioctl ? (uint32_t)call->args[1] : 0;
    unsigned i = 0;

    while (i < sandbox.note_count &&
           !(sandbox.notes[i].role == role && sandbox.notes[i].number == call->nr &&
             sandbox.notes[i].request == request))
        i++;
    if (i == NOTES_MAX)
        return;
    if (i == sandbox.note_count)
        sandbox.notes[sandbox.note_count++] =
            (struct note){ .role = role, .number = call->nr, .request = request };
    sandbox.notes[i].count++;
}

static void take_notice(int fd, uint32_t role)
{
    struct seccomp_notif notice = { 0 };
    struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notice) < 0)
        return;
    note(role, &notice.data);
    answer.id = notice.id;
    ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static void *watch(void *unused)
{
    struct pollfd pollers[LISTENERS_MAX];
    uint32_t roles[LISTENERS_MAX];

    while (!sandbox.is_to_quit) {
        unsigned count;

        pthread_mutex_lock(&sandbox.lock);
        count = sandbox.count;
        for (unsigned i = 0; i < count; i++) {
            pollers[i] = (struct pollfd){ .fd = sandbox.fds[i], .events = POLLIN };
            roles[i] = sandbox.roles[i];
        }
        pthread_mutex_unlock(&sandbox.lock);
        if (poll(pollers, count, POLL_MS) <= 0)
            continue;
        pthread_mutex_lock(&sandbox.lock);
        for (unsigned i = 0; i < count; i++) {
            if (pollers[i].revents & POLLIN)
                take_notice(pollers[i].fd, roles[i]);
        }
        pthread_mutex_unlock(&sandbox.lock);
        usleep(pollers[0].revents & POLLHUP ? 1000 : 0);
    }
    return NULL;
}

void sandbox_begin(void)
{
    const uint32_t action = SECCOMP_RET_USER_NOTIF;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        support_skip("this kernel's seccomp has no listeners");
    sandbox.is_to_quit = false;
    sandbox.count = sandbox.note_count = 0;
    ck_assert_int_eq(pthread_create(&sandbox.thread, NULL, watch, NULL), 0);
}

struct request {
    uint32_t role;
    const char *without;
};

/* On the thread that is to be filtered. The filter is in force when the call returns. */
static int install(void *user_data, uint32_t role, const char **ret_call)
{
    const struct request *request = user_data;
    struct rules rules;
    struct sock_fprog program = { .filter = rules.code };
    long fd;

    make_rules(&rules, role, request->role == role ? request->without : NULL);
    program.len = rules.count;
    pthread_mutex_lock(&sandbox.lock);
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd >= 0) {
        sandbox.fds[sandbox.count] = (int)fd;
        sandbox.roles[sandbox.count++] = role;
    }
    pthread_mutex_unlock(&sandbox.lock);
    *ret_call = "seccomp";
    return fd < 0 ? -errno : 0;
}

void sandbox_add_vm(struct nestvirt_vm *vm, uint32_t role, const char *without)
{
    struct request request = { role, without };
    struct nv_errand_result result = { 0 };

    nv_vm_send(vm, install, &request, &result);
    ck_assert_msg(result.code == 0, "seccomp: %s", strerror(-result.code));
}

void sandbox_add_caller(void)
{
    struct request request = { 0 };
    const char *call;

    ck_assert_int_eq(install(&request, NESTVIRT_ROLE_CALLER, &call), 0);
}

unsigned sandbox_count(uint32_t role)
{
    unsigned total = 0;

    pthread_mutex_lock(&sandbox.lock);
    for (unsigned i = 0; i < sandbox.note_count; i++) {
        const struct note *n = &sandbox.notes[i];

        if (role == 0)
            printf("role %u called %d (%#llx) %u times\n", n->role, n->number,
                   (unsigned long long)n->request, n->count);
        total += role == 0 || role == n->role ? n->count : 0;
    }
    pthread_mutex_unlock(&sandbox.lock);
    return total;
}

void sandbox_end(void)
{
    sandbox.is_to_quit = true;
    pthread_join(sandbox.thread, NULL);
    for (unsigned i = 0; i < sandbox.count; i++)
        close(sandbox.fds[i]);
    sandbox.count = 0;
}
