/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking the kernel again for what it has not got at the moment. */
#include "observe/patience.h"

#include <errno.h>
#include <unistd.h>

enum { TRIES = 50, PAUSE_US = 1000 };

int nv_ask_patiently(int (*ask)(void *user_data, pid_t tid), void *user_data, pid_t tid)
{
    int r = ask(user_data, tid);

    for (int i = 1; i < TRIES && (r == -ENOMEM || r == -EAGAIN); i++) {
        usleep(PAUSE_US);
        r = ask(user_data, tid);
    }
    return r;
}
