/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the boot test of what clones of Linux have for themselves beyond their sockets: a tap and a
 * MAC on one bridge, and a disk that is a reflink of the template's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "network.h"
#include "support.h"
#include "tools.h"

enum {
    BOOT_SECONDS = 400,
    LONG = 180,
    CLONES = 2,
    VMS = CLONES + 1, /* the source is number 0 */
    DISK_MIB = 8,
    WRITTEN_MIB = 1, /* by each clone at the start of its disk */
    ROUNDS = 8,      /* of bytes there and back */
    PORT = 5001,
    SEED = 70 /* of the template's disk; clones have those that follow */
};

/* Devices in the order of linux_start() and add(). */
enum { SERIAL, RESET, EXIT, NET, DISK };

/* Of each VM, by its number. */
static const char *const taps[VMS] = { "nvtap0", "nvtap1", "nvtap2" };
static const char *const macs[VMS] = { "02:00:00:00:70:00", "02:00:00:00:70:01",
                                       "02:00:00:00:70:02" };
static const char *const addresses[VMS] = { NETWORK_GUEST, "10.77.0.3", "10.77.0.4" };

static struct nestvirt_host *host;
static struct linux_vm vms[VMS];
static int disks[VMS];
static char mount_path[128];

/* --- A file system with reflinks --- */

/* In a mount namespace of this process, so that it goes with the process whatever happens. */
static void enter_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        support_skip("this process may not make a mount namespace; run the test as root");
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    snprintf(mount_path, sizeof(mount_path), "%s", tools_path("disks"));
    ck_assert_int_eq(mkdir(mount_path, 0700), 0);
}

/* Makes such a file system in a sparse file and mounts it. */
static void mount_image(const char *kind)
{
    const char *const xfs[] = { "mkfs.xfs", "-q", "-f", tools_path("image"), NULL };
    const char *const btrfs[] = { "mkfs.btrfs", "-q", "-f", tools_path("image"), NULL };
    const char *const mounting[] = { "mount", "-o",   "loop",     "-t", kind,
                                     "--",    xfs[3], mount_path, NULL };
    int fd = open(xfs[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 512ll * MIB), 0);
    close(fd);
    ck_assert_int_eq(tools_run(strcmp(kind, "xfs") == 0 ? xfs : btrfs), 0);
    ck_assert_int_eq(tools_run(mounting), 0);
}

/* The loop device goes with the mount. */
static void unmount_image(void)
{
    const char *const command[] = { "umount", mount_path, NULL };

    ck_assert_int_eq(tools_run(command), 0);
}

static int new_disk(void)
{
    int fd = open(mount_path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Bytes of a file that stand in blocks shared with others. */
static uint64_t count_shared(int fd)
{
    enum { EXTENTS = 64 };
    struct fiemap *map = calloc(1, sizeof(*map) + EXTENTS * sizeof(map->fm_extents[0]));
    uint64_t shared = 0;

    ck_assert_ptr_nonnull(map);
    map->fm_length = FIEMAP_MAX_OFFSET;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = EXTENTS;
    ck_assert_int_eq(ioctl(fd, FS_IOC_FIEMAP, map), 0);
    ck_assert_uint_lt(map->fm_mapped_extents, EXTENTS);
    for (unsigned i = 0; i < map->fm_mapped_extents; i++)
        if (map->fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED)
            shared += map->fm_extents[i].fe_length;
    free(map);
    return shared;
}

static void add(struct nestvirt_vm *vm, void *data)
{
    struct nestvirt_device *device;
    char path[160];

    snprintf(path, sizeof(path), "%s/source", mount_path);
    disks[0] = tools_make_file(path, DISK_MIB, SEED);
    ck_nv_ok(nestvirt_device_add(vm, "net", &device, &error));
    ck_nv_ok(nestvirt_device_set_string(device, "tap", taps[0], &error));
    ck_nv_ok(nestvirt_device_set_string(device, "mac", macs[0], &error));
    ck_nv_ok(nestvirt_device_set_u64(device, "mtu", NETWORK_MTU, &error));
    ck_nv_ok(nestvirt_device_add(vm, "blk", &device, &error));
    ck_nv_ok(nestvirt_device_set_fd(device, "fd", disks[0], &error));
}

static struct nestvirt_device *device_of(unsigned number, uint32_t device_number)
{
    struct nestvirt_device *device;

    ck_nv_ok(nestvirt_device_get(vms[number].vm, device_number, &device, &error));
    return device;
}

/* All blocks are the template's until the clone writes. */
static void make_disk(unsigned number)
{
    disks[number] = new_disk();
    ck_assert_int_eq(nestvirt_reflink_new(disks[0], disks[number], 0, NULL), 0);
    ck_assert_uint_eq(count_shared(disks[number]), DISK_MIB * MIB);
}

static void start_clone(struct nestvirt_template *template, unsigned number)
{
    struct linux_vm *l = &vms[number];

    linux_forget(l);
    ck_nv_ok(nestvirt_clone_new(template, NULL, &l->vm, &error));
    ck_assert_int_eq(pipe2(l->input, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(l->output, O_CLOEXEC), 0);
    ck_nv_ok(nestvirt_device_set_fd(device_of(number, SERIAL), "input", l->input[0], &error));
    ck_nv_ok(nestvirt_device_set_fd(device_of(number, SERIAL), "output", l->output[1], &error));
    ck_nv_ok(nestvirt_device_set_string(device_of(number, NET), "tap", taps[number], &error));
    ck_nv_ok(nestvirt_device_set_string(device_of(number, NET), "mac", macs[number], &error));
    make_disk(number);
    ck_nv_ok(nestvirt_device_set_fd(device_of(number, DISK), "fd", disks[number], &error));
    ck_nv_ok(nestvirt_vm_build(l->vm, &error));
    ck_nv_ok(nestvirt_vm_start(l->vm, &error));
}

/* --- Networks --- */

static void expect_mac(unsigned number, const char *mac)
{
    char answer[64];

    snprintf(answer, sizeof(answer), "cat %s", mac);
    linux_order(&vms[number], "cat:/sys/class/net/eth0/address", answer, LONG);
}

/* Linux reads a MAC when its driver starts: a clone has the template's until it is told. */
static void tell_mac(unsigned number)
{
    char order[64];

    expect_mac(number, macs[0]);
    linux_order(&vms[number], "rebind:virtio_net:virtio0:1:60", "rebind 1 ", LONG);
    expect_mac(number, macs[number]);
    snprintf(order, sizeof(order), "ifup:eth0:%s", addresses[number]);
    linux_order(&vms[number], order, "ifup ok", LONG);
}

/* The host reaches a guest at its address, by the MAC that is its own. */
static void ping(unsigned number)
{
    char mac[18];

    network_ping_at(addresses[number], LONG);
    network_get_mac(addresses[number], mac);
    ck_assert_str_eq(mac, macs[number]);
}

/* Bytes through both clones at the same time and back; each gets its own. */
static void stream(void)
{
    int fds[VMS];
    uint32_t sums[VMS] = { 0 };

    for (unsigned i = 1; i < VMS; i++) {
        linux_type(&vms[i], "reply:tcp:5001\n");
        linux_expect(&vms[i], "nv: waiting reply", LONG);
    }
    for (unsigned i = 1; i < VMS; i++)
        fds[i] = network_connect_at(addresses[i], PORT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 1; i < VMS; i++)
            network_send_round(fds[i], SEED + i, round);
        for (unsigned i = 1; i < VMS; i++)
            sums[i] = network_receive_round(fds[i], sums[i]);
    }
    for (unsigned i = 1; i < VMS; i++) {
        char answer[64];

        ck_assert_int_eq(shutdown(fds[i], SHUT_WR), 0);
        snprintf(answer, sizeof(answer), "nv: reply %d", ROUNDS * NETWORK_ROUND);
        linux_expect(&vms[i], answer, LONG);
        linux_expect(&vms[i], "nv: done", LONG);
        close(fds[i]);
        ck_assert_uint_eq(sums[i], tools_sum_bytes(ROUNDS * NETWORK_ROUND, SEED + i));
    }
}

/* What each got has come by its own tap, and nobody else's packets with it. */
static void count_bytes(void)
{
    enum { OTHERS = 4096 }; /* broadcasts, and answers to pings */
    uint64_t got, sent;

    for (unsigned i = 0; i < VMS; i++) {
        ck_nv_ok(nestvirt_device_get_u64(device_of(i, NET), "rx_bytes", &got, &error));
        ck_nv_ok(nestvirt_device_get_u64(device_of(i, NET), "tx_bytes", &sent, &error));
        printf("net %u: received %llu, sent %llu\n", i, (unsigned long long)got,
               (unsigned long long)sent);
        if (i == 0) {
            ck_assert_uint_lt(got, OTHERS);
            continue;
        }
        ck_assert_uint_ge(got, ROUNDS * NETWORK_ROUND);
        ck_assert_uint_lt(got, ROUNDS * NETWORK_ROUND + ROUNDS * NETWORK_ROUND / 2);
        ck_assert_uint_ge(sent, ROUNDS * NETWORK_ROUND);
    }
}

static void use_networks(void)
{
    for (unsigned i = 1; i < VMS; i++)
        tell_mac(i);
    for (unsigned i = 1; i < VMS; i++)
        ping(i);
    stream();
    count_bytes();
}

/* --- Disks --- */

static void expect_sum(unsigned number, uint32_t sum)
{
    char answer[64];

    snprintf(answer, sizeof(answer), "sum %d %u", DISK_MIB * MIB, sum);
    linux_order(&vms[number], "sum:/dev/vda:direct", answer, LONG);
}

/* Each writes to its own; what it has not written stays shared, and the template's is as it was. */
static void use_disks(void)
{
    const uint32_t sum = tools_sum_pattern(DISK_MIB, SEED);

    for (unsigned i = 1; i < VMS; i++) {
        char order[64];

        expect_sum(i, sum);
        snprintf(order, sizeof(order), "fill:/dev/vda:%d:%u:0:direct", WRITTEN_MIB, SEED + i);
        linux_order(&vms[i], order, "fill ", LONG);
    }
    for (unsigned i = 1; i < VMS; i++) {
        ck_assert_uint_eq(tools_sum_file(disks[i], 0, WRITTEN_MIB * MIB),
                          tools_sum_pattern(WRITTEN_MIB, SEED + i));
        ck_assert_uint_eq(tools_sum_file(disks[i], WRITTEN_MIB * MIB, 0),
                          tools_sum_file(disks[0], WRITTEN_MIB * MIB, 0));
        ck_assert_uint_eq(count_shared(disks[i]), (DISK_MIB - WRITTEN_MIB) * MIB);
        expect_sum(i, tools_sum_file(disks[i], 0, 0));
    }
    ck_assert_uint_eq(tools_sum_file(disks[0], 0, 0), sum);
    expect_sum(0, sum);
}

/* --- The tests --- */

static void boot(void)
{
    const struct linux_options options = {
        .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"),
        .steps = "ifup:eth0:" NETWORK_GUEST ",obey",
        .words = "clocksource=kvm-clock",
        .memory = 64 * MIB,
        .add = add,
    };

    linux_start(&vms[0], host, &options);
    linux_expect(&vms[0], "nv: waiting order", BOOT_SECONDS);
    ping(0);
    linux_note(&vms[0], "boot");
}

START_TEST(test_clones)
{
    struct nestvirt_template *template;

    network_enter_bridge(VMS);
    enter_mounts();
    mount_image("xfs");
    boot();
    ck_nv_ok(nestvirt_vm_pause(vms[0].vm, &error));
    ck_nv_ok(nestvirt_template_new(vms[0].vm, 0, &template, &error));
    for (unsigned i = 1; i < VMS; i++)
        start_clone(template, i);
    ck_assert_int_eq(nestvirt_template_free(template), 0);
    use_networks();
    linux_note(&vms[0], "networks");
    ck_nv_ok(nestvirt_vm_resume(vms[0].vm, &error));
    use_disks();
    linux_note(&vms[0], "disks");
    for (unsigned i = 0; i < VMS; i++)
        ping(i);
    expect_mac(0, macs[0]);
    for (unsigned i = 0; i < VMS; i++) {
        linux_free(&vms[i]);
        close(disks[i]);
    }
    unmount_image();
    network_leave();
}
END_TEST

/* Blocks are shared, and only what is written later takes room; not between two file systems. */
START_TEST(test_reflink)
{
    static const char *const kinds[] = { "xfs", "btrfs" };
    int elsewhere = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    ck_assert_int_ge(elsewhere, 0);
    enter_mounts();
    for (unsigned i = 0; i < 2; i++) {
        mount_image(kinds[i]);
        int from = tools_make_file(tools_path("disks/source"), DISK_MIB, SEED);
        int to = new_disk();

        ck_nv_ok(nestvirt_reflink_new(from, to, 0, &error));
        ck_assert_uint_eq(count_shared(to), DISK_MIB * MIB);
        ck_assert_uint_eq(tools_sum_file(to, 0, 0), tools_sum_pattern(DISK_MIB, SEED));
        ck_assert_int_eq(pwrite(to, macs[0], 4, 0), 4);
        ck_assert_int_eq(fsync(to), 0);
        ck_assert_uint_eq(tools_sum_file(from, 0, 0), tools_sum_pattern(DISK_MIB, SEED));
        ck_nv_fails_with(nestvirt_reflink_new(from, elsewhere, 0, &error), -EXDEV,
                         "the original's file system");
        close(from);
        close(to);
        unmount_image();
    }
    close(elsewhere);
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_clones");
    TCase *tcase = support_case(suite, "reflink", 60);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_reflink);
    tcase = support_case(suite, "clones", 900);
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_clones);
    return suite;
}
