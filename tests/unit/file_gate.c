/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a disk that does not answer: writes to one file wait, by the linker's --wrap=write. */
#include "file_gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* Whoever waits though nobody should is let go in the end, so that the test can say so. */
enum { PATIENCE_S = 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_shut;
static int waiting;
static atomic_ullong inode;

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);

static void wait_for_gate(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&lock);
    waiting++;
    while (is_shut && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    waiting--;
    pthread_mutex_unlock(&lock);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    struct stat info;

    if (atomic_load(&inode) && fstat(fd, &info) == 0 && info.st_ino == atomic_load(&inode))
        wait_for_gate();
    return __real_write(fd, bytes, length);
}

int file_gate_new(void)
{
    int fd = memfd_create("slow", MFD_CLOEXEC);
    struct stat info;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &info), 0);
    atomic_store(&inode, info.st_ino);
    file_gate_set(false);
    return fd;
}

void file_gate_set(bool shut)
{
    pthread_mutex_lock(&lock);
    is_shut = shut;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void file_gate_await(void)
{
    int now = 0;

    for (int i = 0; i < 20000 && now == 0; i++) {
        usleep(1000);
        pthread_mutex_lock(&lock);
        now = waiting;
        pthread_mutex_unlock(&lock);
    }
    ck_assert_int_ge(now, 1);
}
