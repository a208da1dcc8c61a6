/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tags at the start of every handle, by which a wrong one is known. */
#ifndef NV_CORE_TAGS_H
#define NV_CORE_TAGS_H

#include <stdint.h>

enum {
    NV_TAG_HOST = 0x6e766801,
    NV_TAG_LOOP = 0x6e766802,
    NV_TAG_VM = 0x6e766803,
    NV_TAG_VCPU = 0x6e766804,
    NV_TAG_DEVICE = 0x6e766805,
    NV_TAG_CHAIN = 0x6e766806,
    NV_TAG_REPORT = 0x6e766807,
    NV_TAG_KSM_TOKEN = 0x6e766808,
    NV_TAG_NUMA = 0x6e766809,
    NV_TAG_OBSERVER = 0x6e76680c,
    NV_TAG_TEMPLATE = 0x6e76680a,
    NV_TAG_FREED = 0x6e7668ff
};

#endif
