/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is known of kernel modules: loaded, built in or loadable, and their parameters. */
#ifndef NV_HOST_MODULE_H
#define NV_HOST_MODULE_H

#include <stddef.h>

#include "host/tree.h"

enum nv_module_state {
    NV_MODULE_UNKNOWN,  /* not loaded; the list of what there is cannot be read */
    NV_MODULE_ABSENT,   /* this kernel has none */
    NV_MODULE_LOADABLE, /* there, not loaded */
    NV_MODULE_LOADED,
    NV_MODULE_BUILT_IN
};

struct nv_module {
    const char *name; /* "kvm_intel" */
    enum nv_module_state state;
};

/*
 * Finds out the states of modules, reading the lists of the running kernel's modules once.
 * folder gets their place, "lib/modules/6.1.0", or "".
 */
void nv_modules_find(const struct nv_tree *tree, struct nv_module *modules, size_t count,
                     char *folder, size_t folder_size);

enum nv_switch { NV_SWITCH_UNKNOWN, NV_SWITCH_OFF, NV_SWITCH_ON };

/*
 * Reads a parameter that is on or off, as modules print it: Y, N or a number. text gets what is
 * there. Unknown: it is something else, or cannot be read.
 */
enum nv_switch nv_module_parameter(const struct nv_tree *tree, const char *module, const char *name,
                                   char *text, size_t size);

#endif
