/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the boot test of all virtio devices but disks, in one guest. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "network.h"
#include "sandbox.h"
#include "support.h"
#include "tools.h"

enum {
    BOOT_SECONDS = 400,
    LONG = 180,   /* seconds for what takes few: other tests may run beside this one */
    REBIND = 300, /* for 240 seconds of the guest */
    PORTS = 3,    /* of the console: two terminals and a stream */
    CID = 77,
    TRANSFER_MIB = 16, /* over TCP, each way */
    MEMORY_MIB = 64,
    BALLOON_MIB = 32, /* leaves the guest less than it uses later */
    SEED = 5
};

struct devices {
    struct nestvirt_device *net, *console, *balloon, *vsock, *rng;
    int input[PORTS][2];
    int output[PORTS][2];
};

static struct nestvirt_host *host;
static struct linux_vm linux_vm;

static void add_console(struct nestvirt_vm *vm, struct devices *d)
{
    static const char *const inputs[PORTS] = { "input", "input1", "input2" };
    static const char *const outputs[PORTS] = { "output", "output1", "output2" };

    ck_nv_ok(nestvirt_device_add(vm, "console", &d->console, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->console, "ports", PORTS, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->console, "consoles", 2, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->console, "cols", 80, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->console, "rows", 24, &error));
    ck_nv_ok(nestvirt_device_set_string(d->console, "name2", "nestvirt.data", &error));
    for (unsigned i = 0; i < PORTS; i++) {
        ck_assert_int_eq(pipe2(d->input[i], O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(d->output[i], O_CLOEXEC), 0);
        ck_nv_ok(nestvirt_device_set_fd(d->console, inputs[i], d->input[i][0], &error));
        ck_nv_ok(nestvirt_device_set_fd(d->console, outputs[i], d->output[i][1], &error));
    }
}

static void close_console(struct devices *d)
{
    for (unsigned i = 0; i < PORTS; i++) {
        for (unsigned j = 0; j < 2; j++) {
            close(d->input[i][j]);
            close(d->output[i][j]);
        }
    }
}

/* The network first: its interface is configured while the kernel boots. */
static void add(struct nestvirt_vm *vm, void *data)
{
    struct devices *d = data;

    ck_nv_ok(nestvirt_device_add(vm, "net", &d->net, &error));
    ck_nv_ok(nestvirt_device_set_string(d->net, "tap", NETWORK_TAP, &error));
    ck_nv_ok(nestvirt_device_set_string(d->net, "mac", "02:00:00:00:07:07", &error));
    ck_nv_ok(nestvirt_device_set_u64(d->net, "mtu", NETWORK_MTU, &error));
    add_console(vm, d);
    ck_nv_ok(nestvirt_device_add(vm, "balloon", &d->balloon, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->balloon, "stats_interval_ms", 1000, &error));
    ck_nv_ok(nestvirt_device_add(vm, "vsock", &d->vsock, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->vsock, "cid", CID, &error));
    ck_nv_ok(nestvirt_device_set_string(d->vsock, "path", tools_path("vsock"), &error));
    ck_nv_ok(nestvirt_device_add(vm, "rng", &d->rng, &error));
}

static uint64_t get(struct nestvirt_device *device, const char *name)
{
    uint64_t value = 0;

    ck_nv_ok(nestvirt_device_get_u64(device, name, &value, &error));
    return value;
}

/* Waits until a counter is at least, or at most, a value. */
static void expect_counter(struct nestvirt_device *device, const char *name, uint64_t value,
                           bool is_least, int seconds)
{
    uint64_t now = get(device, name);

    for (int i = 0; is_least ? now < value : now > value; i++) {
        ck_assert_msg(i < seconds * 10, "%s is %llu, not %llu, after %d s", name,
                      (unsigned long long)now, (unsigned long long)value, seconds);
        linux_listen(&linux_vm, 100);
        now = get(device, name);
    }
}

/* --- Entropy --- */

static void use_rng(const struct devices *d)
{
    linux_order(&linux_vm, "cat:/sys/class/misc/hw_random/rng_current", "cat virtio_rng.0", LONG);
    linux_order(&linux_vm, "random:/dev/hwrng", "random differs", LONG);
    ck_assert_uint_ge(get(d->rng, "bytes"), 128);
}

/* --- Network --- */

static void send_to_guest(int fd, uint64_t mib)
{
    char answer[64];

    network_send(fd, mib, SEED);
    snprintf(answer, sizeof(answer), "nv: sink %llu %u", (unsigned long long)(mib * MIB),
             tools_sum_pattern(mib, SEED));
    linux_expect(&linux_vm, answer, LONG);
    linux_expect(&linux_vm, "nv: done", LONG);
    close(fd);
}

static void receive_from_guest(int fd, uint64_t mib)
{
    uint32_t sum;

    ck_assert_uint_eq(network_receive(fd, &sum), mib * MIB);
    ck_assert_uint_eq(sum, tools_sum_pattern(mib, SEED));
    close(fd);
    linux_expect(&linux_vm, "nv: done", LONG);
}

static void use_net(const struct devices *d)
{
    linux_order(&linux_vm, "cat:/sys/class/net/eth0/address", "cat 02:00:00:00:07:07", LONG);
    linux_order(&linux_vm, "cat:/sys/class/net/eth0/mtu", "cat 9000", LONG);
    network_ping(LONG);
    linux_type(&linux_vm, "sink:tcp:5001\n");
    linux_expect(&linux_vm, "nv: waiting sink", LONG);
    send_to_guest(network_connect(5001), TRANSFER_MIB);
    linux_type(&linux_vm, "source:tcp:5002:16:5\n");
    linux_expect(&linux_vm, "nv: waiting source", LONG);
    receive_from_guest(network_connect(5002), TRANSFER_MIB);
    ck_assert_uint_ge(get(d->net, "rx_packets"), TRANSFER_MIB * MIB / 65536);
    ck_assert_uint_ge(get(d->net, "tx_packets"), TRANSFER_MIB * MIB / 65536);
}

/* The cable, and the driver: taken away and given back, 100 times. */
static void rebind_net(const struct devices *d)
{
    ck_nv_ok(nestvirt_device_set_u64(d->net, "link", 0, &error));
    linux_order(&linux_vm, "await:/sys/class/net/eth0/carrier:0", "await ok", LONG);
    ck_nv_ok(nestvirt_device_set_u64(d->net, "link", 1, &error));
    linux_order(&linux_vm, "await:/sys/class/net/eth0/carrier:1", "await ok", LONG);
    network_ping(LONG);
    linux_order(&linux_vm, "rebind:virtio_net:virtio0:100:240", "rebind ", REBIND);
    printf("net: %llu rebinds in %llu ms\n", (unsigned long long)linux_number(&linux_vm, "rebind"),
           (unsigned long long)linux_second_number(&linux_vm, "rebind"));
    ck_assert_uint_eq(linux_number(&linux_vm, "rebind"), 100);
    linux_order(&linux_vm, "ifup:eth0:" NETWORK_GUEST, "ifup ok", LONG);
    network_ping(LONG);
}

/* --- Console --- */

/* What the guest has written to a port, until `text` is there. */
static void expect_on_port(const struct devices *d, unsigned port, const char *text)
{
    char got[1024] = "";
    size_t used = 0;

    while (!strstr(got, text)) {
        ssize_t done;

        network_wait(d->output[port][0], LONG);
        done = read(d->output[port][0], got + used, sizeof(got) - 1 - used);
        ck_assert_msg(done > 0, "port %u gave \"%s\", not \"%s\"", port, got, text);
        used += (size_t)done;
        got[used] = '\0';
    }
}

static void talk_on_port(const struct devices *d, unsigned port, const char *path)
{
    static const char text[] = "a line for the guest\n", quit[] = "quit\n";
    char order[64];

    snprintf(order, sizeof(order), "talk:%s\n", path);
    linux_type(&linux_vm, order);
    linux_expect(&linux_vm, "nv: waiting talk", LONG);
    ck_assert_int_eq(write(d->input[port][1], text, sizeof(text) - 1), sizeof(text) - 1);
    linux_expect(&linux_vm, "nv: talk a line for the guest", LONG);
    expect_on_port(d, port, "heard a line for the guest");
    ck_assert_int_eq(write(d->input[port][1], quit, sizeof(quit) - 1), sizeof(quit) - 1);
    linux_expect(&linux_vm, "nv: done", LONG);
}

/* 256 KiB through a port whose reader waits first. */
static void flood_port(const struct devices *d, unsigned port, const char *path)
{
    static uint8_t bytes[65536];
    uint64_t total = 0;
    char order[64];

    snprintf(order, sizeof(order), "flood:%s:256\n", path);
    linux_type(&linux_vm, order);
    linux_listen(&linux_vm, 2000);
    while (total < 256 * 1024) {
        ssize_t got;

        network_wait(d->output[port][0], LONG);
        got = read(d->output[port][0], bytes, sizeof(bytes));
        ck_assert_int_gt(got, 0);
        for (ssize_t i = 0; i < got; i++)
            ck_assert_uint_eq(bytes[i], 'a' + (total + (uint64_t)i) % 26);
        total += (uint64_t)got;
    }
    linux_expect(&linux_vm, "nv: flood end", LONG);
    linux_expect(&linux_vm, "nv: done", LONG);
}

static void use_console(const struct devices *d)
{
    linux_order(&linux_vm, "winsize:/dev/hvc0:80:24", "winsize ok", LONG);
    ck_nv_ok(nestvirt_device_set_u64(d->console, "cols", 132, &error));
    ck_nv_ok(nestvirt_device_set_u64(d->console, "rows", 43, &error));
    linux_order(&linux_vm, "winsize:/dev/hvc0:132:43", "winsize ok", LONG);
    linux_order(&linux_vm, "cat:/sys/class/virtio-ports/vport1p2/name", "cat nestvirt.data", LONG);
    talk_on_port(d, 0, "/dev/hvc0");
    talk_on_port(d, 1, "/dev/hvc1");
    talk_on_port(d, 2, "/dev/vport1p2");
    flood_port(d, 2, "/dev/vport1p2");
    ck_assert_uint_eq(get(d->console, "malformed"), 0);
}

/* --- Balloon --- */

/* Memory of this process that is there, in bytes. */
static uint64_t resident(void)
{
    unsigned long long size, pages;
    FILE *file = fopen("/proc/self/statm", "re");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%llu %llu", &size, &pages), 2);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* All of the guest's memory is there; what it gives back is the host's, until it has it again. */
static void use_balloon(const struct devices *d)
{
    uint64_t before, after;

    before = resident();
    ck_assert_uint_ge(before, (uint64_t)MEMORY_MIB * MIB);
    ck_nv_ok(nestvirt_device_set_u64(d->balloon, "target", BALLOON_MIB * MIB, &error));
    expect_counter(d->balloon, "actual", BALLOON_MIB * MIB, true, LONG);
    after = resident();
    printf("balloon: %llu MiB resident before, %llu after\n", (unsigned long long)(before / MIB),
           (unsigned long long)(after / MIB));
    ck_assert_uint_le(after + BALLOON_MIB * MIB * 9 / 10, before);
    ck_nv_ok(nestvirt_device_set_u64(d->balloon, "target", 0, &error));
    expect_counter(d->balloon, "actual", 0, false, LONG);
    linux_order(&linux_vm, "memtest:24", "memtest 24", LONG);
    ck_assert_uint_gt(resident(), after);
    expect_counter(d->balloon, "stats_updates", 2, true, LONG);
    ck_assert_uint_gt(get(d->balloon, "stat_total_memory"), (uint64_t)MEMORY_MIB * MIB / 2);
    ck_assert_uint_eq(get(d->balloon, "refused"), 0);
}

/* --- Sockets --- */

/* The answer's line; what the guest sends stands right behind it. */
static int connect_to_guest(unsigned port)
{
    char text[64] = "";
    size_t used = 0;
    int fd = network_connect_unix(tools_path("vsock"));

    snprintf(text, sizeof(text), "CONNECT %u\n", port);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    do {
        network_wait(fd, LONG);
        ck_assert_int_eq(read(fd, text + used, 1), 1);
    } while (text[used++] != '\n' && used < sizeof(text) - 1);
    text[used] = '\0';
    ck_assert_msg(strncmp(text, "OK ", 3) == 0, "\"%s\"", text);
    return fd;
}

static void call_host(void)
{
    static const char answer[] = "good day from the host";
    int listener = network_listen_unix(tools_path("vsock_5000"));
    char text[64] = "";
    size_t used = 0;
    ssize_t got;
    int fd;

    linux_type(&linux_vm, "call:5000:good day\n");
    fd = network_accept(listener);
    do {
        network_wait(fd, LONG);
        got = read(fd, text + used, sizeof(text) - 1 - used);
        ck_assert_int_ge(got, 0);
        used += (size_t)got;
    } while (got);
    ck_assert_str_eq(text, "good day");
    ck_assert_int_eq(write(fd, answer, sizeof(answer) - 1), sizeof(answer) - 1);
    close(fd);
    close(listener);
    linux_expect(&linux_vm, "nv: call good day from the host", LONG);
    linux_expect(&linux_vm, "nv: done", LONG);
    linux_order(&linux_vm, "call:5001:nobody listens", "call error", LONG);
}

static void use_vsock(const struct devices *d)
{
    uint32_t sum = 0;
    int fd;

    call_host();
    linux_type(&linux_vm, "reply:vsock:6000\n");
    linux_expect(&linux_vm, "nv: waiting reply", LONG);
    fd = connect_to_guest(6000);
    sum = network_echo(fd, SEED, MIB / NETWORK_ROUND);
    close(fd);
    ck_assert_uint_eq(sum, tools_sum_pattern(1, SEED));
    linux_expect(&linux_vm, "nv: reply 1048576", LONG);
    linux_expect(&linux_vm, "nv: done", LONG);
    linux_type(&linux_vm, "sink:vsock:6001\n");
    linux_expect(&linux_vm, "nv: waiting sink", LONG);
    send_to_guest(connect_to_guest(6001), 1);
    linux_type(&linux_vm, "source:vsock:6002:1:5\n");
    linux_expect(&linux_vm, "nv: waiting source", LONG);
    receive_from_guest(connect_to_guest(6002), 1);
    expect_counter(d->vsock, "connections_open", 0, false, LONG);
}

static void expect_no_faults(const struct devices *d)
{
    ck_assert_uint_eq(get(d->net, "faults"), 0);
    ck_assert_uint_eq(get(d->console, "faults"), 0);
    ck_assert_uint_eq(get(d->balloon, "faults"), 0);
    ck_assert_uint_eq(get(d->vsock, "faults"), 0);
    ck_assert_uint_eq(get(d->rng, "faults"), 0);
}

/* Every thread gives up its privileges and may call only what the library says that it needs. */
static void confine(struct nestvirt_vm *vm)
{
    ck_nv_ok(nestvirt_vm_remove_privileges(vm, &error));
    sandbox_begin();
    sandbox_add_vm(vm, 0, NULL);
}

START_TEST(test_devices)
{
    struct devices devices;
    const struct linux_options options = {
        .kernel = linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux"),
        .discovery = NESTVIRT_DISCOVERY_MPTABLE | NESTVIRT_DISCOVERY_CMDLINE,
        .words = "ip=" NETWORK_GUEST "::" NETWORK_HOST ":255.255.255.0::eth0:off",
        .steps = "obey",
        .memory = MEMORY_MIB * MIB,
        .is_resident = true,
        .add = add,
        .data = &devices,
        .built = confine,
    };

    network_enter();
    linux_start(&linux_vm, host, &options);
    linux_expect(&linux_vm, "nv: waiting order", BOOT_SECONDS);
    linux_note(&linux_vm, "booted");
    use_rng(&devices);
    linux_note(&linux_vm, "rng");
    use_console(&devices);
    linux_note(&linux_vm, "console");
    use_vsock(&devices);
    linux_note(&linux_vm, "vsock");
    use_balloon(&devices);
    linux_note(&linux_vm, "balloon");
    use_net(&devices);
    linux_note(&linux_vm, "net");
    rebind_net(&devices);
    linux_note(&linux_vm, "net again");
    linux_type(&linux_vm, "quit\n");
    linux_expect_end(&linux_vm, NESTVIRT_RESULT_GUEST_RESET, 60, NULL);
    expect_no_faults(&devices);
    linux_free(&linux_vm);
    ck_assert_uint_eq(sandbox_count(0), 0);
    sandbox_end();
    close_console(&devices);
    network_leave();
}
END_TEST

Suite *nv_test_suite(void)
{
    Suite *suite = suite_create("boot_devices");
    TCase *tcase = support_case(suite, "devices", 1200);

    host = support_host();
    linux_file("NESTVIRT_TEST_KERNEL_FAST", "vmlinux");
    linux_file("NESTVIRT_TEST_INITRD", "");
    tcase_add_unchecked_fixture(tcase, tools_make_folder, tools_remove_folder);
    tcase_add_test(tcase, test_devices);
    return suite;
}
