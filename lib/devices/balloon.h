/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the balloon device's files share: its state. */
#ifndef NV_DEVICES_BALLOON_H
#define NV_DEVICES_BALLOON_H

#include "devices/device.h"

enum {
    NV_BALLOON_INFLATE,
    NV_BALLOON_DEFLATE,
    NV_BALLOON_QUEUES = 5, /* with those for statistics, hints (not offered) and reports */
    NV_BALLOON_PAGE = 4096,
    NV_BALLOON_STATS = 16 /* tags that are known (virtio 1.2, 5.5.6.4, and those of Linux 6.12) */
};

struct nv_balloon {
    struct nv_virtio virtio;
    /* Properties. */
    uint64_t target; /* bytes */
    uint64_t actual; /* bytes, as the guest says */
    uint64_t deflate_on_oom;
    uint64_t free_page_reporting;
    uint64_t has_stats;
    uint64_t stats_interval_ms;
    uint64_t inflated; /* bytes */
    uint64_t deflated;
    uint64_t reported;
    uint64_t refused; /* page numbers that are no memory, or parts of one */
    uint64_t failed;  /* times the host did not take pages back */
    uint64_t stats_updates;
    uint64_t stats[NV_BALLOON_STATS];

    bool has_chain[NV_BALLOON_QUEUES]; /* the queue's chain is held */
    struct nv_timer timer;             /* asks for statistics */
};

/*
 * Takes a queue's next chain, or the one that a pass before this has left half done: true if there
 * is one. It stays held until it is given back.
 */
bool nv_balloon_take(struct nv_balloon *balloon, uint32_t queue);
void nv_balloon_give_back(struct nv_balloon *balloon, uint32_t queue);

/* --- balloon_pages.c: serve a queue that tells of pages --- */
void nv_balloon_serve_inflate(struct nv_balloon *balloon, uint32_t queue);
void nv_balloon_serve_deflate(struct nv_balloon *balloon, uint32_t queue);
void nv_balloon_serve_reports(struct nv_balloon *balloon, uint32_t queue);

#endif
