/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the main function of every test program, and the parts of support.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leak.h"
#include "support.h"

static struct leak_count before;

static void leak_setup(void)
{
    before = leak_count();
}

static void leak_teardown(void)
{
    char text[256];

    if (leak_compare(&before, text, sizeof(text)))
        ck_abort_msg("left behind: %s", text);
}

TCase *support_case(Suite *suite, const char *name, double timeout)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, timeout);
    tcase_add_checked_fixture(tcase, leak_setup, leak_teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int support_is_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "valgrind");
}

uint32_t support_rounds(uint32_t count)
{
    return support_is_valgrind() ? (count + 19) / 20 : count;
}

void support_skip(const char *reason)
{
    printf("SKIP: %s\n", reason);
    fflush(stdout);
    _exit(77);
}

void support_skip_host(const char *reason)
{
    printf("SKIP: host: %s\n", reason); /* results.py knows the word */
    fflush(stdout);
    _exit(77);
}

struct nestvirt_host *support_host(void)
{
    struct nestvirt_host *host = NULL;
    struct nestvirt_error *error = NULL;

    if (access("/dev/kvm", F_OK) < 0)
        support_skip("there is no /dev/kvm on this machine");
    if (nestvirt_host_open(NULL, &host, &error) < 0) {
        printf("FAIL: %s\n", nestvirt_error_get_message(error));
        exit(1);
    }
    return host;
}

static void *do_nothing(void *argument)
{
    return argument;
}

/* The thread sanitizer starts a thread of its own with the first of the program: before counting.
 */
static void start_helpers(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

/* One process for all tests of a file: check's forks would hide leaks and lose KVM handles. */
int main(void)
{
    SRunner *runner;
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    start_helpers();
    runner = srunner_create(nv_test_suite());
    if (!getenv("CK_FORK"))
        srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
