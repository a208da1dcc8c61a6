/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the boot tests share: a Linux VM with its console at hand. */
#include "console.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* For hosts that interpret ring 0 (see README.md here); harmless elsewhere. */
static const char interpreted_words[] =
    "nokaslr mitigations=off noxsave "
    "clearcpuid=308,295,514,151,141,288,158,306,298,145,534 no_timer_check lpj=1000000 rodata=off "
    "rcupdate.rcu_cpu_stall_suppress=1";

const char *linux_file(const char *variable, const char *name)
{
    static char paths[8][512];
    static unsigned next;
    const char *folder = getenv(variable);
    char *path = paths[next++ % 8];

    if (!folder) {
        snprintf(path, sizeof(paths[0]), "%s is not set; use tests/run boot", variable);
        support_skip(path);
    }
    snprintf(path, sizeof(paths[0]), "%s%s%s", folder, name[0] ? "/" : "", name);
    return path;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add_devices(struct linux_vm *l, const struct linux_options *options)
{
    struct nestvirt_device *serial;

    ck_nv_ok(nestvirt_device_add(l->vm, "serial", &serial, &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "input", l->input[0], &error));
    ck_nv_ok(nestvirt_device_set_fd(serial, "output", l->output[1], &error));
    ck_nv_ok(nestvirt_device_add(l->vm, "reset", NULL, &error));
    ck_nv_ok(nestvirt_device_add(l->vm, "exit", NULL, &error));
    if (options->add)
        options->add(l->vm, options->data);
}

static void set_boot(struct linux_vm *l, const struct linux_options *options)
{
    char cmdline[1024];

    snprintf(cmdline, sizeof(cmdline), "console=ttyS0 reboot=k panic=-1 %s %s nv.do=%s",
             interpreted_words, options->words ? options->words : "", options->steps);
    ck_nv_ok(nestvirt_boot_set_kernel(l->vm, options->kernel, options->format, &error));
    ck_nv_ok(nestvirt_boot_set_initrd(l->vm, linux_file("NESTVIRT_TEST_INITRD", ""), &error));
    ck_nv_ok(nestvirt_boot_set_cmdline(l->vm, cmdline, &error));
    if (options->discovery)
        ck_nv_ok(nestvirt_boot_set_discovery(l->vm, options->discovery, &error));
}

/* Writes what is there already. */
static void touch_memory(struct nestvirt_vm *vm, uint64_t size)
{
    uint8_t byte;

    for (uint64_t at = 0; at < size; at += 4096) {
        ck_nv_ok(nestvirt_memory_read(vm, at, &byte, 1, &error));
        ck_nv_ok(nestvirt_memory_write(vm, at, &byte, 1, &error));
    }
}

void linux_start(struct linux_vm *l, struct nestvirt_host *host,
                 const struct linux_options *options)
{
    struct nestvirt_host_info info;
    struct nestvirt_vm_config config;

    nestvirt_host_info_init(&info, sizeof(info));
    ck_nv_ok(nestvirt_host_get_info(host, &info, &error));
    l->used = l->mark = l->order = 0;
    l->text[0] = '\0';
    l->noted_ms = now_ms();
    ck_assert_int_eq(pipe2(l->input, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(l->output, O_CLOEXEC), 0);
    nestvirt_vm_config_init(&config, sizeof(config));
    config.name = "linux";
    config.memory_size = options->memory ? options->memory : 128 << 20;
    config.memory_backing = options->backing;
    config.vcpus = options->vcpus ? options->vcpus : 1;
    if (info.features & NESTVIRT_HOST_INTERPRETED)
        config.flags |= NESTVIRT_VM_FIXUPS;
    ck_nv_ok(nestvirt_vm_new(host, &config, &l->vm, &error));
    add_devices(l, options);
    set_boot(l, options);
    ck_nv_ok(nestvirt_vm_build(l->vm, &error));
    if (options->is_resident)
        touch_memory(l->vm, config.memory_size);
    if (options->built)
        options->built(l->vm);
    ck_nv_ok(nestvirt_vm_start(l->vm, &error));
}

/* Reads what comes within milliseconds, at least what is there already. */
static unsigned read_some(struct linux_vm *l, int milliseconds)
{
    struct pollfd poller = { .fd = l->output[0], .events = POLLIN };
    ssize_t done;

    if (poll(&poller, 1, milliseconds) <= 0)
        return 0;
    ck_assert_uint_lt(l->used, CONSOLE_SIZE - 1);
    done = read(l->output[0], l->text + l->used, CONSOLE_SIZE - 1 - l->used);
    ck_assert_int_gt(done, 0);
    if (getenv("NESTVIRT_TEST_CONSOLE"))
        fwrite(l->text + l->used, 1, (size_t)done, stderr);
    l->used += (unsigned)done;
    l->text[l->used] = '\0';
    return (unsigned)done;
}

/* Why a wait failed, with the console's last words. */
static void report(struct linux_vm *l, const char *what)
{
    const char *tail = l->text + (l->used > 1500 ? l->used - 1500 : 0);

    ck_abort_msg("%s; state %s; the console ends with:\n%s", what,
                 nestvirt_vm_state_name(nestvirt_vm_get_state(l->vm)), tail);
}

void linux_expect(struct linux_vm *l, const char *text, int seconds)
{
    int64_t deadline = now_ms() + (int64_t)seconds * 1000;
    char what[256];
    char *found;

    while (!(found = strstr(l->text + l->mark, text))) {
        bool has_ended = nestvirt_vm_wait(l->vm, 0, NULL, NULL) == 0;

        if (read_some(l, 100) > 0)
            continue;
        if (!has_ended && now_ms() < deadline)
            continue;
        snprintf(what, sizeof(what), "\"%s\" did not come in %d s", text, seconds);
        report(l, what);
    }
    l->mark = (unsigned)(found - l->text) + (unsigned)strlen(text);
}

unsigned linux_listen(struct linux_vm *l, int milliseconds)
{
    int64_t deadline = now_ms() + milliseconds;
    unsigned bytes = 0;

    while (now_ms() < deadline)
        bytes += read_some(l, 10);
    return bytes;
}

void linux_type(struct linux_vm *l, const char *text)
{
    ck_assert_int_eq(write(l->input[1], text, strlen(text)), (ssize_t)strlen(text));
}

void linux_order(struct linux_vm *l, const char *steps, const char *expected, int seconds)
{
    char what[512], text[256];

    snprintf(text, sizeof(text), "%s\n", steps);
    linux_type(l, text);
    l->order = l->mark;
    linux_expect(l, "nv: done", seconds);
    snprintf(text, sizeof(text), "nv: %s", expected ? expected : "");
    if (strstr(l->text + l->order, text))
        return;
    snprintf(what, sizeof(what), "\"%s\" was not answered by \"%s\"", steps, text);
    report(l, what);
}

const char *linux_answer(struct linux_vm *l, const char *key)
{
    char text[128];
    const char *found;

    snprintf(text, sizeof(text), "nv: %s ", key);
    found = strstr(l->text + l->order, text);
    if (!found)
        report(l, text);
    return found + strlen(text);
}

uint64_t linux_number(struct linux_vm *l, const char *key)
{
    return strtoull(linux_answer(l, key), NULL, 10);
}

uint64_t linux_second_number(struct linux_vm *l, const char *key)
{
    char *end;

    strtoull(linux_answer(l, key), &end, 10);
    return strtoull(end, NULL, 10);
}

void linux_note(struct linux_vm *l, const char *what)
{
    int64_t now = now_ms();

    printf("%s: %.1f s\n", what, (double)(now - l->noted_ms) / 1000);
    l->noted_ms = now;
}

void linux_expect_end(struct linux_vm *l, uint32_t reason, int seconds,
                      struct nestvirt_vm_result *result)
{
    int64_t deadline = now_ms() + (int64_t)seconds * 1000;
    struct nestvirt_vm_result own;
    char what[256];

    result = result ? result : &own;
    nestvirt_vm_result_init(result, sizeof(*result));
    while (nestvirt_vm_wait(l->vm, 0, result, NULL) < 0) {
        read_some(l, 100);
        if (now_ms() > deadline)
            report(l, "the guest did not end");
    }
    while (read_some(l, 0) > 0)
        ;
    if (result->reason == reason)
        return;
    snprintf(what, sizeof(what), "ended by %s, not %s, at 0x%llx",
             nestvirt_vm_result_name(result->reason), nestvirt_vm_result_name(reason),
             (unsigned long long)result->rip);
    report(l, what);
}

void linux_forget(struct linux_vm *l)
{
    l->used = l->mark = l->order = 0;
    l->text[0] = '\0';
}

void linux_free(struct linux_vm *l)
{
    ck_assert_int_eq(nestvirt_vm_free(l->vm), 0);
    for (int i = 0; i < 2; i++) {
        close(l->input[i]);
        close(l->output[i]);
    }
}
