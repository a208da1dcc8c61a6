/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the version functions. */
#include "api/api.h"

NV_EXPORT uint32_t nestvirt_version(void)
{
    return NESTVIRT_VERSION_MAJOR << 16 | NESTVIRT_VERSION_MINOR << 8 | NESTVIRT_VERSION_MICRO;
}

NV_EXPORT const char *nestvirt_version_string(void)
{
    return NV_VERSION;
}
