/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that interrupt lines and the IOAPIC may be used from several threads at once. */
#include <pthread.h>
#include <unistd.h>

#include "bus/irq.h"
#include "core/util.h"
#include "fake_kvm.h"
#include "support.h"

enum { SELECT = 0x00, WINDOW = 0x10, ENTRIES = 0x10, VECTOR = 0x60, ROUNDS = 500, THREADS = 4 };
#define LEVEL (1u << 15)

static struct nestvirt_host *host;
static struct nv_irq irq;
static pthread_barrier_t barrier;

static uint32_t access_at(uint64_t offset, uint32_t value, bool is_write)
{
    struct nestvirt_access access = { .offset = offset, .length = 4, .is_write = is_write };

    nv_put_le32(access.data, value);
    nv_ioapic_access(&irq, &access);
    return nv_get_le32(access.data);
}

/* A device: raises and lowers its line, and the guest ends its interrupts. */
static void *line_mover(void *argument)
{
    uint32_t pin = (uint32_t)(uintptr_t)argument;

    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        nv_irq_set(&irq, pin, true);
        nv_irq_eoi(&irq, VECTOR);
        nv_irq_set(&irq, pin, false);
        nv_irq_pulse(&irq, pin);
    }
    return NULL;
}

/* A guest: programs entries and takes them back. */
static void *programmer(void *argument)
{
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        access_at(SELECT, ENTRIES + 2 * (10 + i % 2), true);
        access_at(WINDOW, (i % 3 ? LEVEL : 0) | VECTOR, true);
        nv_irq_is_enabled(&irq, 10);
    }
    return NULL;
}

START_TEST(test_misuse_06_lines_from_many_threads)
{
    pthread_t threads[THREADS];
    int vm_fd;

    fake_kvm_reset();
    host = fake_kvm_host();
    vm_fd = nv_kvm_call(host, host->fd, KVM_CREATE_VM, NULL);
    nv_irq_init(&irq, NESTVIRT_CHIP_SPLIT);
    ck_assert_int_eq(nv_irq_claim(&irq, 10, NESTVIRT_IRQ_LEVEL, false, NULL), 10);
    ck_assert_int_eq(nv_irq_claim(&irq, 11, 0, false, NULL), 11);
    ck_nv_ok(nv_irq_attach(&irq, host, vm_fd, &error));
    pthread_barrier_init(&barrier, NULL, THREADS);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, line_mover, (void *)10), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, line_mover, (void *)11), 0);
    ck_assert_int_eq(pthread_create(&threads[2], NULL, programmer, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[3], NULL, programmer, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    nv_irq_eoi(&irq, VECTOR);
    access_at(SELECT, ENTRIES + 20, true);
    access_at(WINDOW, LEVEL | VECTOR, true);
    ck_assert_uint_eq(access_at(WINDOW, 0, false), LEVEL | VECTOR); /* none is stuck */
    pthread_barrier_destroy(&barrier);
    nv_irq_destroy(&irq);
    close(vm_fd);
    nv_host_unref(host);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("irq_threads");
    TCase *tcase = support_case(suite, "threads", 60);

    tcase_add_test(tcase, test_misuse_06_lines_from_many_threads);
    return suite;
}
