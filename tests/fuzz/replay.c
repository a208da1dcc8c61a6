/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a corpus without a fuzzer: every file of the given folders goes to the target once. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NONE = 0, DONE = 1, FAILED = -1 };

static int replay_open(int fd)
{
    struct stat status;
    uint8_t *data;
    int result = FAILED;

    if (fstat(fd, &status) < 0)
        return FAILED;
    if (!S_ISREG(status.st_mode))
        return NONE;
    /* A block of exactly this size, so that a sanitizer sees reads behind its end. */
    data = malloc(status.st_size ? (size_t)status.st_size : 1);
    if (data && read(fd, data, (size_t)status.st_size) == status.st_size) {
        LLVMFuzzerTestOneInput(data, (size_t)status.st_size);
        result = DONE;
    }
    free(data);
    return result;
}

static int replay_file(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    int result;

    if (fd < 0)
        return FAILED;
    result = replay_open(fd);
    close(fd);
    return result;
}

/* Returns the number of files, or FAILED. */
static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!folder)
        return FAILED;
    while ((entry = readdir(folder))) {
        int result = replay_file(dirfd(folder), entry->d_name);

        if (result == FAILED) {
            fprintf(stderr, "cannot read %s/%s\n", path, entry->d_name);
            count = FAILED;
            break;
        }
        count += result;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);

        if (count == FAILED) {
            fprintf(stderr, "cannot replay %s\n", argv[i]);
            return 1;
        }
        total += count;
    }
    printf("replayed %d files\n", total);
    if (total == 0)
        fprintf(stderr, "no file to replay: name folders of a corpus\n");
    return total == 0;
}
