/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the counting of descriptors, threads and mappings around each test. */
#include "leak.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* KVM adds a kernel thread of this name for each VM; it goes when the VM closes. */
static bool is_kvm_thread(const char *task)
{
    char path[64];
    char name[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task);
    file = fopen(path, "re");
    if (!file)
        return true; /* gone meanwhile */
    if (!fgets(name, sizeof(name), file))
        name[0] = '\0';
    fclose(file);
    return strncmp(name, "kvm-", 4) == 0;
}

static int count_entries(const char *path, bool are_tasks)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && !(are_tasks && is_kvm_thread(entry->d_name)))
            count++;
    closedir(dir);
    return count;
}

/*
 * glibc keeps arenas and thread stacks, so only mappings of the library's own kinds count: those
 * not copied or wiped on fork (VmFlags dc, wf), vCPU areas and memfds.
 */
static int count_mappings(void)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    int count = 0;
    bool is_named = false;

    if (!file)
        return -1;
    while (fgets(line, sizeof(line), file)) {
        if (strstr(line, "kvm-vcpu") || strstr(line, "memfd:nestvirt"))
            is_named = true;
        if (strncmp(line, "VmFlags:", 8) != 0)
            continue;
        if (is_named || strstr(line, " dc") || strstr(line, " wf"))
            count++;
        is_named = false;
    }
    fclose(file);
    return count;
}

struct leak_count leak_count(void)
{
    return (struct leak_count){
        .fds = count_entries("/proc/self/fd", false),
        .threads = count_entries("/proc/self/task", true),
        .mappings = count_mappings(),
    };
}

int leak_compare(const struct leak_count *before, char *text, unsigned size)
{
    struct leak_count now = leak_count();

    /* A joined thread leaves /proc a moment later. */
    for (int i = 0; i < 100 && memcmp(&now, before, sizeof(now)) != 0; i++) {
        usleep(10000);
        now = leak_count();
    }
    snprintf(text, size, "descriptors %d -> %d, threads %d -> %d, mappings %d -> %d", before->fds,
             now.fds, before->threads, now.threads, before->mappings, now.mappings);
    return memcmp(&now, before, sizeof(now)) != 0;
}
