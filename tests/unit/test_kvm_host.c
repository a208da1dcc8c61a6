/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the host object: what it refuses, what it learns, and that errors name the remedy. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_kvm.h"
#include "support.h"

static void setup(void)
{
    fake_kvm_reset();
}

static void open_fails(int code, const char *text)
{
    struct nestvirt_host *host = NULL;

    ck_nv_fails_with(nv_host_open(&fake_kvm_ops, "/dev/fake", -1, &host, &error), code, text);
    ck_nv_fails_with(nv_host_open(&fake_kvm_ops, "/dev/fake", -1, &host, &error), code,
                     "/dev/fake");
    ck_assert_ptr_null(host);
}

static const struct {
    int error, code;
    const char *text;
} openings[] = {
    { ENOENT, -ENOENT, "enable virtualization" },
    { ENXIO, -ENOENT, "load kvm_intel" },
    { ENODEV, -ENOENT, "no KVM" },
    { EACCES, -EACCES, "usually kvm" },
    { EPERM, -EACCES, "permission denied" },
    { EMFILE, -EMFILE, "open files" },
    { ENFILE, -ENFILE, "open" },
    { EBUSY, -EBUSY, "open" },
};

START_TEST(test_misuse_10_opening_fails)
{
    fake_kvm_fail_request(FAKE_OPEN, openings[_i].error);
    open_fails(openings[_i].code, openings[_i].text);
}
END_TEST

START_TEST(test_misuse_10_old_api)
{
    fake_kvm_set_version(11);
    open_fails(-ENOTSUP, "version 11 instead of 12");
    fake_kvm_set_version(13);
    open_fails(-ENOTSUP, "version 13");
    fake_kvm_reset();
    fake_kvm_fail_request(KVM_GET_API_VERSION, ENOTTY);
    open_fails(-ENOTSUP, "is not KVM");
}
END_TEST

static const struct {
    int capability;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
    { KVM_CAP_CHECK_EXTENSION_VM, "KVM_CAP_CHECK_EXTENSION_VM" },
};

START_TEST(test_misuse_10_missing_capability)
{
    fake_kvm_set_capability(needed[_i].capability, 0);
    open_fails(-ENOTSUP, needed[_i].name);
}
END_TEST

START_TEST(test_size_of_the_shared_area)
{
    struct nestvirt_host *host;

    fake_kvm_set_mmap_size((int)sizeof(struct kvm_run) - 1);
    open_fails(-ENOTSUP, "KVM_GET_VCPU_MMAP_SIZE");
    fake_kvm_set_mmap_size(-1);
    open_fails(-ENOTSUP, "KVM_GET_VCPU_MMAP_SIZE");
    fake_kvm_set_mmap_size((int)sizeof(struct kvm_run));
    host = fake_kvm_host();
    ck_assert_uint_eq(host->info.vcpu_mmap_size, sizeof(struct kvm_run));
    nv_host_unref(host);
}
END_TEST

START_TEST(test_cpuid_that_cannot_be_read)
{
    fake_kvm_fail_request(KVM_GET_SUPPORTED_CPUID, E2BIG);
    open_fails(-E2BIG, "KVM_GET_SUPPORTED_CPUID");
}
END_TEST

START_TEST(test_info)
{
    struct nestvirt_host *host = fake_kvm_host();
    struct nestvirt_host_info info;

    nestvirt_host_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_host_get_info(host, &info, &error));
    ck_assert_uint_eq(info.size, sizeof(info));
    ck_assert_uint_eq(info.api_version, 12);
    ck_assert_uint_eq(info.recommended_vcpus, 4);
    ck_assert_uint_eq(info.max_vcpus, 254); /* APIC ids of 8 bits */
    ck_assert_uint_eq(info.max_memory_slots, 32764);
    ck_assert_uint_eq(info.vcpu_mmap_size, 3 * 4096);
    ck_assert_uint_eq(info.features & ~(uint32_t)NESTVIRT_HOST_INTERPRETED,
                      NESTVIRT_HOST_SPLIT_IRQCHIP | NESTVIRT_HOST_IRQFD | NESTVIRT_HOST_IOEVENTFD |
                          NESTVIRT_HOST_X2APIC | NESTVIRT_HOST_TSC_DEADLINE |
                          NESTVIRT_HOST_KVMCLOCK | NESTVIRT_HOST_NESTED_VMX |
                          NESTVIRT_HOST_READONLY_MEMORY);
    ck_assert_int_eq(nestvirt_host_free(host), 0);
}
END_TEST

START_TEST(test_modest_hosts)
{
    struct nestvirt_host *host;

    fake_kvm_set_capability(KVM_CAP_MAX_VCPUS, 0);
    fake_kvm_set_capability(KVM_CAP_NR_VCPUS, 0);
    fake_kvm_set_capability(KVM_CAP_NR_MEMSLOTS, 0);
    host = fake_kvm_host(); /* the values of the KVM API documentation, 4.4 */
    ck_assert_uint_eq(host->info.recommended_vcpus, 4);
    ck_assert_uint_eq(host->info.max_vcpus, 4);
    ck_assert_uint_eq(host->info.max_memory_slots, 32);
    nv_host_unref(host);
}
END_TEST

START_TEST(test_cpuid_entries)
{
    struct nestvirt_host *host = fake_kvm_host();
    struct nestvirt_cpuid_entry entry;
    uint32_t count = 0;

    nestvirt_cpuid_entry_init(&entry, sizeof(entry));
    ck_nv_ok(nestvirt_host_get_cpuid(host, 2, &entry, &error));
    ck_assert_uint_eq(entry.leaf, 4);
    ck_assert_uint_eq(entry.flags, 1);
    ck_assert_uint_eq(entry.index, 0);
    ck_assert_uint_eq(entry.ebx, 0x2c0003f);
    while (nestvirt_host_get_cpuid(host, count, &entry, NULL) == 0)
        count++;
    ck_assert_uint_eq(count, host->cpuid.list.nent);
    ck_nv_fails(nestvirt_host_get_cpuid(host, count, &entry, &error), -ENOENT);
    ck_nv_fails(nestvirt_host_get_cpuid(host, UINT32_MAX, &entry, &error), -ENOENT);
    nv_host_unref(host);
}
END_TEST

/* The public doors, on files that are not KVM. */
START_TEST(test_misuse_10_public_open)
{
    struct nestvirt_host *host = (struct nestvirt_host *)1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    ck_nv_fails_with(nestvirt_host_open("/nonexistent/kvm", &host, &error), -ENOENT, "/nonexist");
    ck_assert_ptr_null(host);
    ck_nv_fails_with(nestvirt_host_open("/dev/null", &host, &error), -ENOTSUP, "/dev/null");
    ck_assert_int_lt(nestvirt_host_open("/", &host, NULL), 0);
    ck_nv_fails(nestvirt_host_open_fd(null, &host, &error), -ENOTSUP);
    ck_nv_fails(nestvirt_host_open_fd(-1, &host, &error), -EBADF);
    ck_nv_fails_with(nestvirt_host_open_fd(19999, &host, &error), -EBADF, "19999");
    ck_assert_ptr_null(host);
    ck_nv_fails(nestvirt_host_open("/dev/null", NULL, &error), -EFAULT);
    ck_nv_fails(nestvirt_host_open_fd(null, NULL, &error), -EFAULT);
    ck_assert_int_eq(nestvirt_host_free(NULL), 0);
    close(null);
}
END_TEST

START_TEST(test_fault_16_interrupted_calls)
{
    struct nestvirt_host *host = fake_kvm_host();
    int fd;

    fake_kvm_fail(1, EINTR);
    fd = nv_kvm_call(host, host->fd, KVM_CREATE_VM, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert(fake_kvm_has_failed());
    close(fd);
    fake_kvm_fail_request(KVM_CREATE_VM, EINTR);
    ck_assert_int_eq(nv_kvm_call(host, host->fd, KVM_CREATE_VM, NULL), -EINTR);
    nv_host_unref(host);
}
END_TEST

START_TEST(test_errors_of_calls_name_the_remedy)
{
    static const struct {
        int error;
        const char *text;
    } rows[] = { { EMFILE, "ulimit -n" }, { ENFILE, "file-max" }, { ENOMEM, "free memory" },
                 { ENOSPC, "fewer" },     { EIO, "fork" },        { EPERM, "EPERM" } };
    struct nestvirt_host *host = fake_kvm_host();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_kvm_fail(1, rows[i].error);
        ck_nv_fails_with(nv_kvm_try(host, host->fd, KVM_CREATE_VM, 0, "vm x", &error),
                         -rows[i].error, rows[i].text);
        fake_kvm_fail(1, rows[i].error);
        ck_nv_fails_with(nv_kvm_try(host, host->fd, KVM_CREATE_VM, 0, "vm x", &error),
                         -rows[i].error, "vm x: KVM_CREATE_VM");
    }
    nv_host_unref(host);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("kvm_host");
    TCase *tcase = support_case(suite, "host", 30);

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, test_misuse_10_opening_fails, 0,
                        sizeof(openings) / sizeof(openings[0]));
    tcase_add_test(tcase, test_misuse_10_old_api);
    tcase_add_loop_test(tcase, test_misuse_10_missing_capability, 0,
                        sizeof(needed) / sizeof(needed[0]));
    tcase_add_test(tcase, test_size_of_the_shared_area);
    tcase_add_test(tcase, test_cpuid_that_cannot_be_read);
    tcase_add_test(tcase, test_info);
    tcase_add_test(tcase, test_modest_hosts);
    tcase_add_test(tcase, test_cpuid_entries);
    tcase_add_test(tcase, test_misuse_10_public_open);
    tcase_add_test(tcase, test_fault_16_interrupted_calls);
    tcase_add_test(tcase, test_errors_of_calls_name_the_remedy);
    return suite;
}
