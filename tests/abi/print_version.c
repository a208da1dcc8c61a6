/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the program that is compiled against an installed libnestvirt. */
#include <stdio.h>

#include <nestvirt/nestvirt.h>

int main(void)
{
    printf("%s %u\n", nestvirt_version_string(), (unsigned)nestvirt_version());
    return 0;
}
