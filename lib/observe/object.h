/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the declaration of the compiled BPF program, which embed.py makes a table of bytes. */
#ifndef NV_OBSERVE_OBJECT_H
#define NV_OBSERVE_OBJECT_H

#include <stddef.h>

extern const unsigned char nv_runqueue_object[];
extern const size_t nv_runqueue_object_size;

#endif
