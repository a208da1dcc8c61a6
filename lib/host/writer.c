/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the thread that writes to a file for those who must not wait for the file's disk. */
#include "host/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <nestvirt/privilege.h>

#include "core/cleanup.h"
#include "core/util.h"
#include "host/thread.h"

enum { KEPT_MAX = 65536 }; /* bytes; what a pipe holds, so that files are no other than those */

/* At its greatest value an eventfd is not writable, at any other it is. */
static const eventfd_t NO_ROOM = UINT64_MAX - 1;

struct nv_writer {
    int file;
    int room_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* the following; nothing else is taken inside */
    pthread_cond_t wake;
    pthread_cond_t drained; /* CLOCK_MONOTONIC */
    struct nv_errand errand;
    uint32_t errand_seen;
    bool quit;
    bool is_full; /* as room_fd tells */
    uint64_t lost;
    uint32_t start;
    uint32_t length; /* with what is being written now */
    uint8_t bytes[KEPT_MAX];
};

/* Returns how many bytes the file took: what fails once is not tried again. */
static size_t write_all(int fd, const uint8_t *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t r = write(fd, bytes + done, length - done);

        if (r == 0 || (r < 0 && errno != EINTR))
            break;
        done += r > 0 ? (size_t)r : 0;
    }
    return done;
}

/* The next bytes that lie together; 0: the writer is to end. */
static uint32_t await_bytes(struct nv_writer *writer)
{
    NV_GUARD(&writer->lock);
    while (writer->length == 0 && !writer->quit)
        if (!nv_errand_serve(&writer->errand, &writer->lock, &writer->errand_seen))
            pthread_cond_wait(&writer->wake, &writer->lock);
    return NV_MIN(writer->length, KEPT_MAX - writer->start);
}

static void forget_bytes(struct nv_writer *writer, uint32_t length, uint64_t lost)
{
    eventfd_t value;

    NV_GUARD(&writer->lock);
    writer->lost += lost;
    writer->start = (writer->start + length) % KEPT_MAX;
    writer->length -= length;
    if (writer->is_full)
        eventfd_read(writer->room_fd, &value);
    writer->is_full = false;
    if (writer->length == 0)
        pthread_cond_broadcast(&writer->drained);
}

static void *writer_main(void *argument)
{
    struct nv_writer *writer = argument;
    uint32_t length;

    nv_thread_set_name("nv-file");
    while ((length = await_bytes(writer)) > 0)
        forget_bytes(writer, length,
                     length - write_all(writer->file, writer->bytes + writer->start, length));
    return NULL;
}

static void destroy(struct nv_writer *writer)
{
    pthread_cond_destroy(&writer->wake);
    pthread_cond_destroy(&writer->drained);
    nv_errand_destroy(&writer->errand);
    pthread_mutex_destroy(&writer->lock);
    close(writer->room_fd);
    free(writer);
}

int nv_writer_start(int fd, struct nv_writer **ret_writer)
{
    struct nv_writer *writer = calloc(1, sizeof(*writer));
    pthread_condattr_t attributes;
    int r;

    if (!writer)
        return -ENOMEM;
    writer->file = fd;
    writer->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer->room_fd < 0) {
        r = -errno;
        free(writer);
        return r;
    }
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->drained, &attributes);
    pthread_condattr_destroy(&attributes);
    nv_errand_init(&writer->errand, NESTVIRT_ROLE_WORKER);
    r = nv_thread_create(&writer->thread, NULL, writer_main, writer);
    if (r < 0) {
        destroy(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

void nv_writer_send(struct nv_writer *writer, nv_errand_fn *fn, void *user_data,
                    struct nv_errand_result *result)
{
    NV_GUARD(&writer->lock);
    nv_errand_run(&writer->errand, &writer->lock, &writer->wake, 1, fn, user_data, result);
}

int nv_writer_fd(const struct nv_writer *writer)
{
    return writer->room_fd;
}

pthread_t nv_writer_thread(const struct nv_writer *writer)
{
    return writer->thread;
}

ssize_t nv_writer_write(struct nv_writer *writer, const void *bytes, size_t length)
{
    uint32_t end;
    size_t run;
    size_t first;

    NV_GUARD(&writer->lock);
    run = NV_MIN(length, (size_t)(KEPT_MAX - writer->length));
    if (run == 0 && length > 0) {
        if (!writer->is_full)
            eventfd_write(writer->room_fd, NO_ROOM);
        writer->is_full = true;
        return -EAGAIN;
    }
    end = (writer->start + writer->length) % KEPT_MAX;
    first = NV_MIN(run, (size_t)(KEPT_MAX - end));
    memcpy(writer->bytes + end, bytes, first);
    memcpy(writer->bytes, (const uint8_t *)bytes + first, run - first);
    if (writer->length == 0)
        pthread_cond_signal(&writer->wake);
    writer->length += (uint32_t)run;
    return (ssize_t)run;
}

bool nv_writer_drain(struct nv_writer *writer, uint64_t deadline_ns)
{
    const struct timespec when = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };

    NV_GUARD(&writer->lock);
    while (writer->length > 0)
        if (pthread_cond_timedwait(&writer->drained, &writer->lock, &when) != 0)
            return writer->length == 0;
    return true;
}

uint64_t nv_writer_take_lost(struct nv_writer *writer)
{
    uint64_t lost;

    NV_GUARD(&writer->lock);
    lost = writer->lost;
    writer->lost = 0;
    return lost;
}

static void tell_to_quit(struct nv_writer *writer)
{
    NV_GUARD(&writer->lock);
    writer->quit = true;
    pthread_cond_signal(&writer->wake);
}

uint64_t nv_writer_stop(struct nv_writer *writer)
{
    uint64_t lost;

    tell_to_quit(writer);
    pthread_join(writer->thread, NULL);
    lost = writer->lost;
    close(writer->file);
    destroy(writer);
    return lost;
}
