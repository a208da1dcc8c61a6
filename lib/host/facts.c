/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the kernel's text files say: their lines, fields, words, counts and limits. */
#include "host/facts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/cleanup.h"

/* Lines are cut out of this much at a time. */
enum { CHUNK = 65536 };

/* A line as it grows from chunk to chunk. */
struct line {
    size_t length;
    char text[NV_LINE_MAX];
};

/* Takes bytes up to a newline or the end; the bytes used, and whether the line is whole. */
static size_t take(struct line *line, const char *bytes, size_t length, bool *ret_is_whole)
{
    const char *end = memchr(bytes, '\n', length);
    size_t used = end ? (size_t)(end - bytes) : length;
    size_t room = sizeof(line->text) - 1 - line->length;
    size_t copied = used < room ? used : room;

    memcpy(line->text + line->length, bytes, copied);
    line->length += copied;
    line->text[line->length] = '\0';
    *ret_is_whole = end;
    return end ? used + 1 : used;
}

static int feed(struct line *line, const char *bytes, size_t length,
                int (*fn)(void *data, const char *line), void *data)
{
    bool is_whole;
    int r = 0;

    while (length > 0 && r == 0) {
        size_t used = take(line, bytes, length, &is_whole);

        bytes += used;
        length -= used;
        if (is_whole) {
            r = fn(data, line->text);
            line->length = 0;
        }
    }
    return r;
}

int nv_facts_lines(const struct nv_tree *tree, const char *path,
                   int (*fn)(void *data, const char *line), void *data)
{
    NV_AUTO_FD fd = nv_tree_open_file(tree, path, O_RDONLY);
    NV_AUTO_FREE char *chunk = malloc(CHUNK);
    NV_AUTO_FREE struct line *line = malloc(sizeof(*line));
    size_t total = 0;
    int r = 0;

    if (fd < 0)
        return fd;
    if (!chunk || !line)
        return -ENOMEM;
    line->length = 0;
    while (r == 0 && total < NV_FACTS_BYTES_MAX) {
        ssize_t done = read(fd, chunk, CHUNK);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        if (done == 0)
            break;
        total += (size_t)done;
        r = feed(line, chunk, (size_t)done, fn, data);
    }
    return r == 0 && line->length > 0 ? fn(data, line->text) : r;
}

/* Copies a text without the blanks around it. */
static void copy_trimmed(const char *text, char *value, size_t size)
{
    size_t length;

    while (isspace((unsigned char)*text))
        text++;
    length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    snprintf(value, size, "%.*s", (int)length, text);
}

struct field {
    const char *key;
    char *value;
    size_t size;
};

static int match_field(void *data, const char *line)
{
    const struct field *field = data;
    size_t length = strlen(field->key);

    if (strncmp(line, field->key, length) != 0)
        return 0;
    line += length;
    while (*line == ' ' || *line == '\t')
        line++;
    if (*line != ':')
        return 0;
    copy_trimmed(line + 1, field->value, field->size);
    return 1;
}

int nv_facts_field(const struct nv_tree *tree, const char *path, const char *key, char *value,
                   size_t size)
{
    struct field field = { .key = key, .value = value, .size = size };
    int r = nv_facts_lines(tree, path, match_field, &field);

    if (r < 0)
        return r;
    return r > 0 ? 0 : -ENOENT;
}

int nv_facts_text(const struct nv_tree *tree, const char *path, char *text, size_t size)
{
    char raw[1024];
    ssize_t length = nv_tree_read(tree, path, raw, sizeof(raw));

    if (length < 0)
        return (int)length;
    copy_trimmed(raw, text, size);
    return 0;
}

bool nv_facts_number(const char *text, uint64_t *ret_number)
{
    unsigned long long number;
    char *end;

    while (*text == ' ' || *text == '\t')
        text++;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || (*end != '\0' && !isspace((unsigned char)*end)))
        return false;
    *ret_number = number;
    return true;
}

bool nv_facts_has_word(const char *text, const char *word)
{
    static const char between[] = " \t\n,";
    size_t length = strlen(word);

    while (*text) {
        size_t end = strcspn(text, between);

        if (end == length && end > 0 && strncmp(text, word, length) == 0)
            return true;
        text += end + (text[end] != '\0');
    }
    return false;
}

static int count_one(void *data, const char *text)
{
    uint64_t *count = data;

    (void)text;
    ++*count;
    return 0;
}

int nv_facts_count_lines(const struct nv_tree *tree, const char *path, uint64_t *ret_count)
{
    uint64_t count = 0;
    int r = nv_facts_lines(tree, path, count_one, &count);

    if (r == 0)
        *ret_count = count;
    return r;
}

int nv_facts_entries(const struct nv_tree *tree, const char *path,
                     int (*fn)(void *data, const char *name), void *data)
{
    int fd = nv_tree_open_at(tree, path, O_RDONLY | O_DIRECTORY);
    struct dirent *entry;
    DIR *folder;
    int r = 0;

    if (fd < 0)
        return fd;
    folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return -ENOMEM;
    }
    while (r == 0 && (entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = fn(data, entry->d_name);
    closedir(folder);
    return r;
}

int nv_facts_count_entries(const struct nv_tree *tree, const char *path, uint64_t *ret_count)
{
    uint64_t count = 0;
    int r = nv_facts_entries(tree, path, count_one, &count);

    if (r == 0)
        *ret_count = count;
    return r;
}

/* One number of a line of limits, or "unlimited". */
static const char *take_limit(const char *at, uint64_t *ret_value)
{
    while (*at == ' ')
        at++;
    if (strncmp(at, "unlimited", 9) == 0) {
        *ret_value = UINT64_MAX;
        return at + 9;
    }
    if (!nv_facts_number(at, ret_value))
        return NULL;
    while (isdigit((unsigned char)*at))
        at++;
    return at;
}

struct limit {
    const char *name;
    uint64_t soft;
    uint64_t hard;
};

static int match_limit(void *data, const char *line)
{
    struct limit *limit = data;
    size_t length = strlen(limit->name);

    if (strncmp(line, limit->name, length) != 0 || line[length] != ' ')
        return 0;
    line = take_limit(line + length, &limit->soft);
    return line && take_limit(line, &limit->hard) ? 1 : -EINVAL;
}

int nv_facts_limit(const struct nv_tree *tree, const char *name, uint64_t *ret_soft,
                   uint64_t *ret_hard)
{
    struct limit limit = { .name = name };
    int r = nv_facts_lines(tree, "proc/self/limits", match_limit, &limit);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret_soft = limit.soft;
    *ret_hard = limit.hard;
    return 0;
}

int nv_facts_may_use(const struct nv_tree *tree, const char *path)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, path, O_PATH);

    if (fd < 0)
        return fd;
    if (syscall(SYS_faccessat2, fd, "", R_OK | W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
        return -errno;
    return 0;
}
