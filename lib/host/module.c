/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is known of kernel modules: loaded, built in or loadable, and their parameters. */
#include "host/module.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "host/facts.h"

/* True if a line of the lists, "kernel/arch/x86/kvm/kvm-intel.ko.xz: ...", is of a module. */
static bool is_of(const char *line, const char *name)
{
    const char *end = strchr(line, ':');
    const char *file = line;

    for (const char *at = line; *at && at != end; at++)
        if (*at == '/')
            file = at + 1;
    for (; *name; name++, file++)
        if (*file != *name && !(*name == '_' && *file == '-'))
            return false;
    return strncmp(file, ".ko", 3) == 0;
}

struct search {
    struct nv_module *modules;
    size_t count;
    enum nv_module_state state; /* of what the list has */
};

static int match_line(void *data, const char *line)
{
    const struct search *search = data;

    for (size_t i = 0; i < search->count; i++)
        if (search->modules[i].state == NV_MODULE_ABSENT && is_of(line, search->modules[i].name))
            search->modules[i].state = search->state;
    return 0;
}

static bool exists(const struct nv_tree *tree, const char *path)
{
    NV_AUTO_FD fd = nv_tree_open_at(tree, path, O_PATH);

    return fd >= 0;
}

/* A folder in sys/module is of a loaded module, which has a state, or of one that is built in. */
static enum nv_module_state look_up(const struct nv_tree *tree, const char *name)
{
    if (!exists(tree, nv_text("sys/module/%s", name).s))
        return NV_MODULE_UNKNOWN;
    if (exists(tree, nv_text("sys/module/%s/initstate", name).s))
        return NV_MODULE_LOADED;
    return NV_MODULE_BUILT_IN;
}

void nv_modules_find(const struct nv_tree *tree, struct nv_module *modules, size_t count,
                     char *folder, size_t folder_size)
{
    struct search search = { .modules = modules, .count = count };
    char release[65];
    bool is_listed;

    folder[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        modules[i].state = look_up(tree, modules[i].name);
        if (modules[i].state == NV_MODULE_UNKNOWN)
            modules[i].state = NV_MODULE_ABSENT; /* until a list has it */
    }
    if (nv_facts_text(tree, "proc/sys/kernel/osrelease", release, sizeof(release)) == 0 &&
        !strchr(release, '/'))
        snprintf(folder, folder_size, "lib/modules/%s", release);
    search.state = NV_MODULE_BUILT_IN;
    is_listed = folder[0] && nv_facts_lines(tree, nv_text("%s/modules.builtin", folder).s,
                                            match_line, &search) == 0;
    search.state = NV_MODULE_LOADABLE;
    is_listed &= folder[0] && nv_facts_lines(tree, nv_text("%s/modules.dep", folder).s, match_line,
                                             &search) == 0;
    for (size_t i = 0; i < count && !is_listed; i++)
        if (modules[i].state == NV_MODULE_ABSENT)
            modules[i].state = NV_MODULE_UNKNOWN;
}

enum nv_switch nv_module_parameter(const struct nv_tree *tree, const char *module, const char *name,
                                   char *text, size_t size)
{
    const struct nv_text path = nv_text("sys/module/%s/parameters/%s", module, name);
    uint64_t number;

    text[0] = '\0';
    if (nv_facts_text(tree, path.s, text, size) < 0)
        return NV_SWITCH_UNKNOWN;
    if (strcmp(text, "Y") == 0 || strcmp(text, "y") == 0)
        return NV_SWITCH_ON;
    if (strcmp(text, "N") == 0 || strcmp(text, "n") == 0)
        return NV_SWITCH_OFF;
    if (!nv_facts_number(text, &number))
        return NV_SWITCH_UNKNOWN;
    return number ? NV_SWITCH_ON : NV_SWITCH_OFF;
}
