/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KSM of the host: the settings of the kernel's thread that merges equal pages, and its figures.
 *
 * They belong to the whole host, not to a VM or a program: the library changes them only in
 * nestvirt_ksm_set_settings() and puts them back when its token is freed. Which memory takes part
 * is chosen for each region, and is off by default.
 *
 * Merged pages are a side channel: who can write to a page and measure how long that takes learns
 * whether somebody else has the same page. Do not let guests of different owners share. What
 * merging costs is a CPU's time: at the kernel's defaults about 20 MB/s are looked at.
 */
#ifndef NESTVIRT_KSM_H
#define NESTVIRT_KSM_H

#include <nestvirt/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nestvirt_ksm_token;

/* nestvirt_ksm_settings.flags: which fields count, or are known to this kernel. */
enum {
    NESTVIRT_KSM_RUN = 1 << 0,
    NESTVIRT_KSM_PAGES_TO_SCAN = 1 << 1,
    NESTVIRT_KSM_SLEEP_MS = 1 << 2,
    NESTVIRT_KSM_MERGE_ACROSS_NODES = 1 << 3,
    NESTVIRT_KSM_USE_ZERO_PAGES = 1 << 4,
    NESTVIRT_KSM_MAX_PAGE_SHARING = 1 << 5,
    NESTVIRT_KSM_SMART_SCAN = 1 << 6,
    NESTVIRT_KSM_ADVISOR_MODE = 1 << 7,
    NESTVIRT_KSM_ADVISOR_MAX_CPU = 1 << 8,
    NESTVIRT_KSM_ADVISOR_MIN_PAGES = 1 << 9,
    NESTVIRT_KSM_ADVISOR_MAX_PAGES = 1 << 10,
    NESTVIRT_KSM_ADVISOR_TARGET_S = 1 << 11
};

/* nestvirt_ksm_settings.run */
enum {
    NESTVIRT_KSM_STOP = 0,   /* nothing more is merged; what is merged stays so */
    NESTVIRT_KSM_MERGE = 1,  /* the thread runs */
    NESTVIRT_KSM_UNMERGE = 2 /* nothing more is merged, and every merged page becomes its own */
};

/* nestvirt_ksm_settings.advisor_mode */
enum {
    NESTVIRT_KSM_ADVISOR_NONE = 0,
    NESTVIRT_KSM_ADVISOR_SCAN_TIME = 1 /* the kernel chooses pages_to_scan itself */
};

/* The kernel's own words for these are in its documentation, admin-guide/mm/ksm. */
struct nestvirt_ksm_settings {
    uint32_t size;
    uint32_t flags;              /* NESTVIRT_KSM_*: of those below */
    uint32_t run;                /* NESTVIRT_KSM_STOP, _MERGE or _UNMERGE */
    uint32_t pages_to_scan;      /* pages between two sleeps, from 1; not while an advisor is on */
    uint32_t sleep_ms;           /* milliseconds */
    uint32_t merge_across_nodes; /* 0 or 1; can only change while no page is merged */
    uint32_t use_zero_pages;     /* 0 or 1: empty pages become the kernel's zero page */
    uint32_t max_page_sharing;   /* of one page, from 2; as merge_across_nodes */
    uint32_t smart_scan;         /* 0 or 1; Linux 6.7 */
    uint32_t advisor_mode;       /* NESTVIRT_KSM_ADVISOR_*; Linux 6.8, as those below */
    uint32_t advisor_max_cpu;    /* percent of a CPU, 1 to 100 */
    uint32_t advisor_min_pages;  /* least pages_to_scan, from 1 */
    uint32_t advisor_max_pages;  /* most */
    uint32_t advisor_target_s;   /* seconds for all pages, from 1 */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_ksm_settings_init(struct nestvirt_ksm_settings *settings, size_t caller_size);

/*
 * Reads the host's settings; flags tells which this kernel has, others are 0. Any thread, no
 * privilege. Errors: -ENOTSUP, a kernel without KSM; -EFAULT, -EINVAL for a bad size; -EACCES.
 */
int nestvirt_ksm_get_settings(struct nestvirt_ksm_settings *settings,
                              struct nestvirt_error **ret_error);

/* nestvirt_ksm_stats.flags: which this kernel counts. */
enum {
    NESTVIRT_KSM_HAS_PAGES_SHARED = 1 << 0,
    NESTVIRT_KSM_HAS_PAGES_SHARING = 1 << 1,
    NESTVIRT_KSM_HAS_PAGES_UNSHARED = 1 << 2,
    NESTVIRT_KSM_HAS_PAGES_VOLATILE = 1 << 3,
    NESTVIRT_KSM_HAS_FULL_SCANS = 1 << 4,
    NESTVIRT_KSM_HAS_PAGES_SCANNED = 1 << 5,
    NESTVIRT_KSM_HAS_PAGES_SKIPPED = 1 << 6,
    NESTVIRT_KSM_HAS_ZERO_PAGES = 1 << 7,
    NESTVIRT_KSM_HAS_GENERAL_PROFIT = 1 << 8
};

/* Figures of the whole host, in pages of 4096 bytes. */
struct nestvirt_ksm_stats {
    uint32_t size;           /* the caller's sizeof; in and out */
    uint32_t flags;          /* NESTVIRT_KSM_HAS_* */
    uint64_t pages_shared;   /* merged pages that exist */
    uint64_t pages_sharing;  /* places more that use them: what is saved */
    uint64_t pages_unshared; /* looked at again and again, and unique */
    uint64_t pages_volatile; /* changing too fast */
    uint64_t full_scans;     /* of all memory that takes part */
    uint64_t pages_scanned;
    uint64_t pages_skipped; /* by smart_scan */
    uint64_t zero_pages;    /* places that use the kernel's zero page, with use_zero_pages */
    int64_t general_profit; /* bytes saved less those that KSM itself takes */
};

/* Zeroes the structure and sets its size; never writes past caller_size bytes. */
void nestvirt_ksm_stats_init(struct nestvirt_ksm_stats *stats, size_t caller_size);

/* Reads the host's figures. As nestvirt_ksm_get_settings(). */
int nestvirt_ksm_get_stats(struct nestvirt_ksm_stats *stats, struct nestvirt_error **ret_error);

/*
 * Changes settings of the host, until the token is freed. Before the first of them is changed, a
 * record of the former ones is on the disk, so that nestvirt_ksm_remove_record() can put them back
 * when this program has died. If one cannot be changed, those before it are put back.
 *
 * settings: flags says which fields count, at least one.
 * record: path of the record, which must not exist; no part of it may be a symbolic link, and its
 * folder must belong to root or this user and be writable for nobody else (or sticky). NULL:
 * /run/nestvirt-ksm. All programs of a host should use the same, which is what keeps two of them
 * from changing the settings at once.
 * ret_token: free it with nestvirt_ksm_token_free().
 * Any thread; NESTVIRT_KSM_UNMERGE returns when all is unmerged, which may take seconds.
 * Errors: -EBUSY, another program holds the record (the text names it) or has changed a setting in
 * this very moment, or merge_across_nodes or max_page_sharing is to change while pages are merged;
 * -ESTALE, a program that died has left a record; -EACCES, -EPERM or -EROFS, not permitted (only
 * root is); -ENOTSUP, a kernel without KSM or without that setting; -EINVAL, a value out of range,
 * no or unknown flags, pages_to_scan while an advisor chooses it; -ELOOP, a symbolic link; -ENOENT,
 * no such folder; -EFAULT, -E2BIG, -ENOMEM.
 */
int nestvirt_ksm_set_settings(const struct nestvirt_ksm_settings *settings, const char *record,
                              struct nestvirt_ksm_token **ret_token,
                              struct nestvirt_error **ret_error);

/*
 * Puts back the settings that were changed for this token and removes the record. Where a former
 * merge_across_nodes or max_page_sharing needs it, merged pages are unmerged for a moment. NULL is
 * allowed. In a child process after fork, and if the record is another program's by now (somebody
 * who does not see this one has put the settings back): frees the handle only. Any thread.
 * Errors: -EBADF; what the kernel answers where a setting could not be put back: the others are,
 * and nothing was freed, so that the call can be repeated.
 */
int nestvirt_ksm_token_free(struct nestvirt_ksm_token *token);

/*
 * Puts back what a program changed that died before it could, and removes its record. Call it where
 * programs of this kind are started or looked after.
 *
 * record: as in nestvirt_ksm_set_settings().
 * Returns 1 if settings were put back, 0 if there was nothing to do (no record, or one from before
 * the host's last boot). Errors: -EBUSY, its owner lives (another PID namespace's processes are not
 * seen: call it where the owner ran), or another program is putting them back; -EINVAL, it is no
 * record; -EPERM, it belongs to another user or others may write to it; -ELOOP; those of writing
 * settings.
 */
int nestvirt_ksm_remove_record(const char *record, struct nestvirt_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
