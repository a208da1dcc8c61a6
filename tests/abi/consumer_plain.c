/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the consumer that needs no field of a structure: even headers without most of them will do.
 */
#include "consumer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct nestvirt_host *host;
static struct nestvirt_report *report_made;

static int device_get_property(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_device_get_property("serial", 0, structure, ret_error);
}

static int host_get_info(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_host_get_info(host, structure, ret_error);
}

static int host_get_cpuid(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_host_get_cpuid(host, 0, structure, ret_error);
}

static int vm_new(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_vm *vm = NULL;
    int r = nestvirt_vm_new(host, structure, &vm, ret_error);

    if ((r == 0) != (vm != NULL))
        fail("vm_new", "returned %d with %s VM", r, vm ? "a" : "no");
    nestvirt_vm_free(vm);
    return r;
}

static int report_new(void *structure, struct nestvirt_error **ret_error)
{
    struct nestvirt_report *report = NULL;
    int r = nestvirt_report_new(structure, &report, ret_error);

    if ((r == 0) != (report != NULL))
        fail("report_new", "returned %d with %s report", r, report ? "a" : "no");
    nestvirt_report_free(report);
    return r;
}

static int report_get_item(void *structure, struct nestvirt_error **ret_error)
{
    return nestvirt_report_get_item(report_made, 0, structure, ret_error);
}

static const struct call plain_calls[] = {
    CALL(device_get_property, device_property, false),
    CALL(report_new, report_config, true),
    CALL(report_get_item, report_item, false),
};

static const struct call host_calls[] = {
    CALL(host_get_info, host_info, false),
    CALL(host_get_cpuid, cpuid_entry, false),
    CALL(vm_new, vm_config, true),
};

int main(int argc, char **argv)
{
    enum relation relation = get_relation(argc, argv);
    struct nestvirt_error *error = NULL;

    check_inits();
    if (nestvirt_report_new(NULL, &report_made, &error) < 0)
        fail("report_new", "%s", nestvirt_error_get_message(error));
    for (size_t i = 0; i < sizeof(plain_calls) / sizeof(*plain_calls); i++)
        check_call(&plain_calls[i], relation);
    nestvirt_report_free(report_made);
    if (argc < 3 || strcmp(argv[2], "kvm") != 0)
        return 0;
    if (nestvirt_host_open(NULL, &host, &error) < 0)
        fail("host_open", "%s", nestvirt_error_get_message(error));
    for (size_t i = 0; i < sizeof(host_calls) / sizeof(*host_calls); i++)
        check_call(&host_calls[i], relation);
    nestvirt_host_free(host);
    return 0;
}
