/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the test that the library can be loaded and unloaded again and again and leaves nothing. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nestvirt/nestvirt.h>

enum { WARM_UP = 5, CYCLES = 100, LEAKY_CYCLES = 5 };

/* What a self-test does wrong in each cycle. */
enum leak { LEAK_NONE, LEAK_FD, LEAK_MAPPING, LEAK_THREAD, LEAK_LIBRARY };

struct counts {
    long fds;
    long threads;
    long mappings;
    long mapped;
    long libraries;
};

static void die(const char *what)
{
    printf("FAIL: %s\n", what);
    exit(1);
}

static long count_entries(const char *path)
{
    DIR *folder = opendir(path);
    long count = 0;

    if (!folder)
        die(path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* The heap is left out: malloc's own growth is no leak of a mapping. */
static void count_mappings(struct counts *counts)
{
    FILE *file = fopen("/proc/self/maps", "re");
    uintptr_t start, end;
    char line[4096];

    if (!file)
        die("/proc/self/maps");
    while (fgets(line, sizeof(line), file)) {
        if (strstr(line, "[heap]") || sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2)
            continue;
        counts->mappings++;
        counts->mapped += (long)(end - start);
    }
    fclose(file);
}

static int count_library(struct dl_phdr_info *info, size_t size, void *counts)
{
    (void)size;
    if (strstr(info->dlpi_name, "libnestvirt"))
        ((struct counts *)counts)->libraries++;
    return 0;
}

static struct counts count_all(void)
{
    struct counts counts = { .fds = count_entries("/proc/self/fd"),
                             .threads = count_entries("/proc/self/task") };

    count_mappings(&counts);
    dl_iterate_phdr(count_library, &counts);
    return counts;
}

static void *find(void *library, const char *name)
{
    void *found = dlsym(library, name);

    if (!found)
        die(name);
    return found;
}

/* Loads, calls and unloads the library; the event loop is there for its thread. */
static void cycle(const char *path)
{
    uint32_t (*version)(void);
    int (*loop_new)(struct nestvirt_loop **, struct nestvirt_error **);
    int (*loop_free)(struct nestvirt_loop *);
    struct nestvirt_loop *loop = NULL;
    struct counts counts = { 0 };
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        die(dlerror());
    *(void **)&version = find(library, "nestvirt_version");
    *(void **)&loop_new = find(library, "nestvirt_loop_new");
    *(void **)&loop_free = find(library, "nestvirt_loop_free");
    if (version() >> 16 != NESTVIRT_VERSION_MAJOR)
        die("nestvirt_version() does not fit the headers");
    if (loop_new(&loop, NULL) != 0 || loop_free(loop) != 0)
        die("an event loop cannot be made and freed");
    dl_iterate_phdr(count_library, &counts);
    if (counts.libraries == 0)
        die("dl_iterate_phdr does not list the loaded library");
    if (dlclose(library) != 0)
        die(dlerror());
}

static void *wait_for_ever(void *unused)
{
    pause();
    return unused;
}

static void leak_one(enum leak leak, const char *path)
{
    pthread_t thread;

    if (leak == LEAK_FD && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        die("/dev/null");
    if (leak == LEAK_MAPPING &&
        mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        die("mmap");
    if (leak == LEAK_THREAD && pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        die("pthread_create");
    if (leak == LEAK_LIBRARY && !dlopen(path, RTLD_NOW | RTLD_LOCAL))
        die(dlerror());
}

/* Whether the process is as it was after a number of cycles. */
static bool is_clean(const char *path, int cycles, enum leak leak)
{
    struct counts before = count_all();
    struct counts after;

    for (int i = 0; i < cycles; i++) {
        cycle(path);
        leak_one(leak, path);
    }
    after = count_all();
    printf("%d cycles: fds %ld -> %ld, threads %ld -> %ld, mappings %ld -> %ld (%+ld bytes), "
           "libraries %ld\n",
           cycles, before.fds, after.fds, before.threads, after.threads, before.mappings,
           after.mappings, after.mapped - before.mapped, after.libraries);
    return after.libraries == 0 && memcmp(&before, &after, sizeof(before)) == 0;
}

int main(int argc, char **argv)
{
    static const char *const leaks[] = { "", "a descriptor", "a mapping", "a thread", "a library" };

    if (argc != 2)
        die("usage: unload LIBRARY");
    for (int i = 0; i < WARM_UP; i++)
        cycle(argv[1]);
    if (!is_clean(argv[1], CYCLES, LEAK_NONE))
        die("the library left something behind");
    for (enum leak leak = LEAK_FD; leak <= LEAK_LIBRARY; leak++) {
        if (is_clean(argv[1], LEAKY_CYCLES, leak))
            die("self-test: a leak was not seen");
        printf("  self-test: leaking %s: caught\n", leaks[leak]);
    }
    puts("OK");
    return 0;
}
