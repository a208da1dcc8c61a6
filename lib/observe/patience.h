/* SPDX-License-Identifier: Apache-2.0 */
/* Owns asking the kernel again for what it has not got at the moment. */
#ifndef NV_OBSERVE_PATIENCE_H
#define NV_OBSERVE_PATIENCE_H

#include <sys/types.h>

/*
 * Calls ask(user_data, tid) until it answers something else than -ENOMEM or -EAGAIN, some 50 times
 * at most, a millisecond apart. The last answer.
 *
 * The kernel refuses task storage, as if memory were short, where another thread was interrupted on
 * this CPU while it changed some: one that ends, or that clears up after another observer. It is
 * done soon.
 */
int nv_ask_patiently(int (*ask)(void *user_data, pid_t tid), void *user_data, pid_t tid);

#endif
