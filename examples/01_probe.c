/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what KVM on this host offers.
 *
 *     01_probe [DEVICE]
 */
#include "common.h"

static const struct {
    uint32_t bit;
    const char *name;
} features[] = {
    { NESTVIRT_HOST_SPLIT_IRQCHIP, "interrupt chip split between kernel and library" },
    { NESTVIRT_HOST_IRQFD, "interrupts by eventfd" },
    { NESTVIRT_HOST_IOEVENTFD, "guest writes signal an eventfd" },
    { NESTVIRT_HOST_X2APIC, "x2APIC" },
    { NESTVIRT_HOST_TSC_DEADLINE, "TSC deadline timer" },
    { NESTVIRT_HOST_KVMCLOCK, "paravirtual clock" },
    { NESTVIRT_HOST_READONLY_MEMORY, "read-only memory slots" },
    { NESTVIRT_HOST_NESTED_VMX, "guests may use VMX" },
    { NESTVIRT_HOST_NESTED_SVM, "guests may use SVM" },
    { NESTVIRT_HOST_INTERPRETED, "software KVM that interprets guest ring 0" },
};

static void print_info(const struct nestvirt_host_info *info)
{
    printf("KVM API version   %u\n", info->api_version);
    printf("vCPUs per VM      %u (recommended %u)\n", info->max_vcpus, info->recommended_vcpus);
    printf("memory slots      %u\n", info->max_memory_slots);
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        printf("%-3s  %s\n", info->features & features[i].bit ? "yes" : "no", features[i].name);
}

/* The supported CPUID leaves, one line each. */
static void print_cpuid(struct nestvirt_host *host)
{
    struct nestvirt_cpuid_entry entry;

    printf("CPUID for guests:\n      leaf     index  eax      ebx      ecx      edx\n");
    for (uint32_t i = 0;; i++) {
        nestvirt_cpuid_entry_init(&entry, sizeof(entry));
        if (nestvirt_host_get_cpuid(host, i, &entry, NULL) < 0)
            break;
        printf("  %08x  %8x  %08x %08x %08x %08x\n", entry.leaf, entry.index, entry.eax, entry.ebx,
               entry.ecx, entry.edx);
    }
}

static void print_devices(void)
{
    struct nestvirt_device_property property;
    const char *kind;

    printf("devices of libnestvirt %s:\n", nestvirt_version_string());
    for (uint32_t i = 0; (kind = nestvirt_device_get_kind(i)); i++) {
        printf("  %s\n", kind);
        for (uint32_t j = 0;; j++) {
            nestvirt_device_property_init(&property, sizeof(property));
            if (nestvirt_device_get_property(kind, j, &property, NULL) < 0)
                break;
            printf("    %-10s %s\n", property.name, property.help);
        }
    }
}

int main(int argc, char **argv)
{
    struct nestvirt_error *error = NULL;
    struct nestvirt_host_info info;
    struct nestvirt_host *host;

    TRY(nestvirt_host_open(argc > 1 ? argv[1] : NULL, &host, &error));
    nestvirt_host_info_init(&info, sizeof(info));
    TRY(nestvirt_host_get_info(host, &info, &error));
    print_info(&info);
    print_cpuid(host);
    print_devices();
    nestvirt_host_free(host);
    return 0;
}
