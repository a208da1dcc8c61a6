/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the declarations of the library for cgo. Made by bindings/generate/generate from
 * include/nestvirt. Do not edit. */
#ifndef NESTVIRT_GO_ABI_H
#define NESTVIRT_GO_ABI_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct nestvirt_error;
struct nestvirt_host;
struct nestvirt_loop;
struct nestvirt_vm;
struct nestvirt_device;
struct nestvirt_ksm_token;
struct nestvirt_numa;
struct nestvirt_observer;
struct nestvirt_report;
struct nestvirt_template;
struct nestvirt_vcpu;
struct nestvirt_chain;

struct nestvirt_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type;
    uint8_t present;
    uint8_t dpl;
    uint8_t db;
    uint8_t s;
    uint8_t l;
    uint8_t g;
    uint8_t avl;
    uint8_t unusable;
    uint8_t reserved;
};

struct nestvirt_host_info {
    uint32_t size;
    uint32_t flags;
    uint32_t api_version;
    uint32_t recommended_vcpus;
    uint32_t max_vcpus;
    uint32_t max_memory_slots;
    uint32_t vcpu_mmap_size;
    uint32_t features;
};

struct nestvirt_cpuid_entry {
    uint32_t size;
    uint32_t flags;
    uint32_t leaf;
    uint32_t index;
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};

struct nestvirt_exit {
    uint32_t size;
    uint32_t flags;
    uint32_t reason;
    uint32_t vcpu;
    uint64_t address;
    uint32_t length;
    uint32_t is_write;
    uint8_t data[8];
    uint64_t code;
    uint64_t rip;
    uint32_t instruction_length;
    uint32_t reserved;
    uint8_t instruction[16];
};

struct nestvirt_vm_config {
    uint32_t size;
    uint32_t flags;
    uint64_t memory_size;
    uint32_t memory_backing;
    uint32_t vcpus;
    uint32_t interrupt_chip;
    uint32_t reserved;
    const char *name;
};

struct nestvirt_vm_result {
    uint32_t size;
    uint32_t flags;
    uint32_t reason;
    int32_t exit_code;
    uint32_t vcpu;
    uint32_t suberror;
    uint64_t rip;
    uint32_t instruction_length;
    uint32_t reserved;
    uint8_t instruction[16];
};

struct nestvirt_event {
    uint32_t size;
    uint32_t flags;
    uint32_t kind;
    uint32_t vcpu;
    uint64_t time_ns;
    uint64_t values[4];
};

struct nestvirt_flat_config {
    uint32_t size;
    uint32_t flags;
    uint64_t address;
    uint64_t entry;
    uint64_t stack;
    uint32_t mode;
    uint32_t reserved;
};

struct nestvirt_thread_config {
    uint32_t size;
    uint32_t flags;
    uint32_t policy;
    int32_t priority;
    int32_t nice;
    uint32_t reserved;
    const char *cpus;
};

struct nestvirt_thread_info {
    uint32_t size;
    uint32_t flags;
    uint32_t kind;
    uint32_t index;
    int32_t tid;
    uint32_t policy;
    int32_t priority;
    int32_t nice;
    uint64_t core_cookie;
    uint64_t cpu_time_ns;
    uint64_t run_delay_ns;
    uint32_t last_cpu;
    uint32_t reserved;
    uint8_t name[16];
};

struct nestvirt_cgroup_usage {
    uint32_t size;
    uint32_t flags;
    uint64_t cpu_time_ns;
    uint64_t user_time_ns;
    uint64_t system_time_ns;
    uint64_t periods;
    uint64_t throttled_periods;
    uint64_t throttled_ns;
    uint64_t quota_us;
    uint64_t period_us;
};

struct nestvirt_device_property {
    uint32_t size;
    uint32_t flags;
    uint32_t type;
    uint32_t reserved;
    const char *name;
    const char *help;
};

struct nestvirt_access {
    uint32_t size;
    uint32_t flags;
    uint32_t space;
    uint32_t vcpu;
    uint64_t address;
    uint64_t offset;
    uint32_t length;
    uint32_t is_write;
    uint8_t data[8];
};

struct nestvirt_ioeventfd_config {
    uint32_t size;
    uint32_t flags;
    uint32_t space;
    uint32_t length;
    uint64_t address;
    uint64_t value;
    int32_t fd;
    uint32_t reserved;
};

struct nestvirt_ksm_settings {
    uint32_t size;
    uint32_t flags;
    uint32_t run;
    uint32_t pages_to_scan;
    uint32_t sleep_ms;
    uint32_t merge_across_nodes;
    uint32_t use_zero_pages;
    uint32_t max_page_sharing;
    uint32_t smart_scan;
    uint32_t advisor_mode;
    uint32_t advisor_max_cpu;
    uint32_t advisor_min_pages;
    uint32_t advisor_max_pages;
    uint32_t advisor_target_s;
};

struct nestvirt_ksm_stats {
    uint32_t size;
    uint32_t flags;
    uint64_t pages_shared;
    uint64_t pages_sharing;
    uint64_t pages_unshared;
    uint64_t pages_volatile;
    uint64_t full_scans;
    uint64_t pages_scanned;
    uint64_t pages_skipped;
    uint64_t zero_pages;
    int64_t general_profit;
};

struct nestvirt_memory_config {
    uint32_t size;
    uint32_t flags;
    uint64_t address;
    uint64_t length;
    uint32_t backing;
    uint32_t reserved;
    uint64_t offset;
    uint64_t page_size;
    int32_t fd;
    uint32_t huge_pages;
    uint32_t numa_policy;
    uint32_t guest_node;
    const char *numa_nodes;
};

struct nestvirt_memory_placement {
    uint32_t size;
    uint32_t flags;
    uint32_t policy;
    uint32_t reserved;
    uint64_t resident;
    uint64_t absent;
    uint64_t elsewhere;
};

struct nestvirt_memory_ksm {
    uint32_t size;
    uint32_t flags;
    uint64_t mergeable_bytes;
    uint64_t merged_bytes;
    uint64_t process_merging_pages;
    uint64_t process_zero_pages;
    uint64_t process_rmap_items;
    int64_t process_profit;
    uint32_t host_run;
    uint32_t reserved;
};

struct nestvirt_numa_config {
    uint32_t size;
    uint32_t flags;
    const char *root;
};

struct nestvirt_numa_node {
    uint32_t size;
    uint32_t flags;
    uint32_t node;
    uint32_t cpus;
    uint32_t cpus_allowed;
    uint32_t pools;
    uint64_t memory_total;
    uint64_t memory_free;
    uint64_t memory_available;
};

struct nestvirt_numa_pool {
    uint32_t size;
    uint32_t flags;
    uint64_t page_size;
    uint64_t total;
    uint64_t free;
};

struct nestvirt_numa_need {
    uint32_t size;
    uint32_t flags;
    uint64_t memory;
    uint64_t page_size;
    uint32_t vcpus;
    uint32_t reserved;
};

struct nestvirt_observer_config {
    uint32_t size;
    uint32_t flags;
};

struct nestvirt_waits {
    uint32_t size;
    uint32_t flags;
    uint64_t count;
    uint64_t time_ns;
    uint64_t max_ns;
    uint64_t lost;
    uint64_t preempted;
    uint64_t inferred;
    uint32_t threads;
    uint32_t vms;
};

struct nestvirt_privilege_config {
    uint32_t size;
    uint32_t flags;
    uint32_t uid;
    uint32_t gid;
    uint32_t group_count;
    uint32_t reserved;
    const uint32_t *groups;
};

struct nestvirt_need {
    uint32_t size;
    uint32_t flags;
    uint32_t role;
    uint32_t kind;
    uint64_t number;
    const char *name;
    const char *why;
};

struct nestvirt_report_config {
    uint32_t size;
    uint32_t flags;
    const char *root;
    const char *device;
};

struct nestvirt_report_item {
    uint32_t size;
    uint32_t flags;
    uint32_t answer;
    uint32_t group;
    uint64_t number;
    const char *name;
    const char *title;
    const char *value;
    const char *reason;
    const char *source;
    const char *remedy;
};

struct nestvirt_plan_config {
    uint32_t size;
    uint32_t flags;
    uint64_t memory_size;
    uint32_t vms;
    uint32_t vcpus;
    uint32_t devices;
    uint32_t files;
};

struct nestvirt_plan {
    uint32_t size;
    uint32_t flags;
    uint32_t idle;
    uint32_t touched;
    uint64_t idle_vms;
    uint64_t touched_vms;
    uint64_t idle_memory;
    uint64_t touched_memory;
    uint64_t descriptors;
    uint64_t mappings;
    uint64_t threads;
    uint64_t needed;
    uint64_t available;
    const char *idle_limit;
    const char *touched_limit;
    const char *unknown;
};

struct nestvirt_template_info {
    uint32_t size;
    uint32_t flags;
    uint64_t memory_size;
    uint64_t data_size;
    uint64_t state_size;
    uint32_t vcpus;
    uint32_t devices;
};

struct nestvirt_clone_config {
    uint32_t size;
    uint32_t flags;
    const char *name;
};

struct nestvirt_regs {
    uint32_t size;
    uint32_t flags;
    uint64_t rax;
    uint64_t rbx;
    uint64_t rcx;
    uint64_t rdx;
    uint64_t rsi;
    uint64_t rdi;
    uint64_t rsp;
    uint64_t rbp;
    uint64_t r8;
    uint64_t r9;
    uint64_t r10;
    uint64_t r11;
    uint64_t r12;
    uint64_t r13;
    uint64_t r14;
    uint64_t r15;
    uint64_t rip;
    uint64_t rflags;
};

struct nestvirt_sregs {
    uint32_t size;
    uint32_t flags;
    struct nestvirt_segment cs;
    struct nestvirt_segment ds;
    struct nestvirt_segment es;
    struct nestvirt_segment fs;
    struct nestvirt_segment gs;
    struct nestvirt_segment ss;
    struct nestvirt_segment tr;
    struct nestvirt_segment ldt;
    uint64_t gdt_base;
    uint64_t idt_base;
    uint32_t gdt_limit;
    uint32_t idt_limit;
    uint64_t cr0;
    uint64_t cr2;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t cr8;
    uint64_t efer;
    uint64_t apic_base;
};

struct nestvirt_virtio_config {
    uint32_t size;
    uint32_t flags;
    uint32_t device_id;
    uint32_t queue_count;
    uint32_t queue_size;
    uint32_t config_length;
    uint64_t features;
    const void *config;
};

/* What a call returns that the library in use does not have. */
enum { NESTVIRT_GO_MISSING = INT_MIN };

/*
 * Fills the table of functions from a library that dlopen() has opened; returns how many it has.
 */
int go_nestvirt_fill(void *library);

/* Whether the library in use has a function, by its name. */
int go_nestvirt_has(const char *name);

uint32_t go_nestvirt_version(void);
const char *go_nestvirt_version_string(void);
int go_nestvirt_error_get_code(const struct nestvirt_error *error);
int go_nestvirt_error_get_errno(const struct nestvirt_error *error);
const char *go_nestvirt_error_get_message(const struct nestvirt_error *error);
const char *go_nestvirt_error_get_object(const struct nestvirt_error *error);
const char *go_nestvirt_error_get_hint(const struct nestvirt_error *error);
const struct nestvirt_error *go_nestvirt_error_get_next(const struct nestvirt_error *error);
void go_nestvirt_error_free(struct nestvirt_error *error);
const char *go_nestvirt_error_code_name(int code);
const char *go_nestvirt_error_code_text(int code);
int go_nestvirt_host_open(const char *path, struct nestvirt_host **ret_host,
                          struct nestvirt_error **ret_error);
int go_nestvirt_host_open_fd(int fd, struct nestvirt_host **ret_host,
                             struct nestvirt_error **ret_error);
int go_nestvirt_host_free(struct nestvirt_host *host);
void go_nestvirt_host_info_init(struct nestvirt_host_info *info, size_t caller_size);
int go_nestvirt_host_get_info(struct nestvirt_host *host, struct nestvirt_host_info *info,
                              struct nestvirt_error **ret_error);
void go_nestvirt_cpuid_entry_init(struct nestvirt_cpuid_entry *entry, size_t caller_size);
int go_nestvirt_host_get_cpuid(struct nestvirt_host *host, uint32_t position,
                               struct nestvirt_cpuid_entry *entry,
                               struct nestvirt_error **ret_error);
int go_nestvirt_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error);
int go_nestvirt_loop_free(struct nestvirt_loop *loop);
void go_nestvirt_vm_config_init(struct nestvirt_vm_config *config, size_t caller_size);
int go_nestvirt_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                       struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_free(struct nestvirt_vm *vm);
int go_nestvirt_vm_get_state(struct nestvirt_vm *vm);
const char *go_nestvirt_vm_state_name(int state);
int go_nestvirt_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop,
                            struct nestvirt_error **ret_error);
int go_nestvirt_vm_set_log(struct nestvirt_vm *vm, uint32_t level,
                           void (*fn)(void *user_data, uint32_t level, const char *text),
                           void *user_data, void (*free_data)(void *user_data),
                           struct nestvirt_error **ret_error);
int go_nestvirt_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_stop(struct nestvirt_vm *vm, int32_t timeout_ms,
                        struct nestvirt_error **ret_error);
void go_nestvirt_vm_result_init(struct nestvirt_vm_result *result, size_t caller_size);
int go_nestvirt_vm_wait(struct nestvirt_vm *vm, int32_t timeout_ms,
                        struct nestvirt_vm_result *result, struct nestvirt_error **ret_error);
const char *go_nestvirt_vm_result_name(uint32_t reason);
void go_nestvirt_event_init(struct nestvirt_event *event, size_t caller_size);
int go_nestvirt_vm_get_event_fd(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
int go_nestvirt_vm_next_event(struct nestvirt_vm *vm, struct nestvirt_event *event,
                              struct nestvirt_error **ret_error);
int go_nestvirt_vm_set_exit_handler(struct nestvirt_vm *vm,
                                    int32_t (*fn)(void *user_data, struct nestvirt_exit *exit),
                                    void *user_data, void (*free_data)(void *user_data),
                                    struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_kernel(struct nestvirt_vm *vm, const char *path, uint32_t format,
                                struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_kernel_fd(struct nestvirt_vm *vm, int fd, uint32_t format,
                                   struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_initrd(struct nestvirt_vm *vm, const char *path,
                                struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_initrd_fd(struct nestvirt_vm *vm, int fd,
                                   struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_cmdline(struct nestvirt_vm *vm, const char *text,
                                 struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_discovery(struct nestvirt_vm *vm, uint32_t discovery,
                                   struct nestvirt_error **ret_error);
void go_nestvirt_flat_config_init(struct nestvirt_flat_config *config, size_t caller_size);
int go_nestvirt_boot_set_flat(struct nestvirt_vm *vm, const char *path,
                              const struct nestvirt_flat_config *config,
                              struct nestvirt_error **ret_error);
int go_nestvirt_boot_set_flat_fd(struct nestvirt_vm *vm, int fd,
                                 const struct nestvirt_flat_config *config,
                                 struct nestvirt_error **ret_error);
void go_nestvirt_thread_config_init(struct nestvirt_thread_config *config, size_t caller_size);
int go_nestvirt_thread_set(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                           const struct nestvirt_thread_config *config,
                           struct nestvirt_error **ret_error);
void go_nestvirt_thread_info_init(struct nestvirt_thread_info *info, size_t caller_size);
int go_nestvirt_thread_get(struct nestvirt_vm *vm, uint32_t position,
                           struct nestvirt_thread_info *info, struct nestvirt_error **ret_error);
int go_nestvirt_thread_get_cpus(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                                size_t size, struct nestvirt_error **ret_error);
int go_nestvirt_cgroup_set(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                           struct nestvirt_error **ret_error);
int go_nestvirt_cgroup_get(struct nestvirt_vm *vm, uint32_t position, char *buffer, size_t size,
                           struct nestvirt_error **ret_error);
void go_nestvirt_cgroup_usage_init(struct nestvirt_cgroup_usage *usage, size_t caller_size);
int go_nestvirt_cgroup_get_usage(struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *usage,
                                 struct nestvirt_error **ret_error);
int go_nestvirt_cgroup_get_of_thread(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                     char *buffer, size_t size, struct nestvirt_error **ret_error);
void go_nestvirt_device_property_init(struct nestvirt_device_property *property,
                                      size_t caller_size);
const char *go_nestvirt_device_get_kind(uint32_t position);
int go_nestvirt_device_get_property(const char *kind, uint32_t position,
                                    struct nestvirt_device_property *property,
                                    struct nestvirt_error **ret_error);
int go_nestvirt_device_add(struct nestvirt_vm *vm, const char *kind,
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);
int go_nestvirt_device_get(struct nestvirt_vm *vm, uint32_t number,
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);
int go_nestvirt_device_set_u64(struct nestvirt_device *device, const char *name, uint64_t value,
                               struct nestvirt_error **ret_error);
int go_nestvirt_device_set_fd(struct nestvirt_device *device, const char *name, int fd,
                              struct nestvirt_error **ret_error);
int go_nestvirt_device_set_string(struct nestvirt_device *device, const char *name,
                                  const char *value, struct nestvirt_error **ret_error);
int go_nestvirt_device_get_u64(struct nestvirt_device *device, const char *name,
                               uint64_t *ret_value, struct nestvirt_error **ret_error);
int go_nestvirt_handler_add(struct nestvirt_vm *vm, uint32_t space, uint64_t address,
                            uint64_t length,
                            int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                            void *user_data, void (*free_data)(void *user_data),
                            struct nestvirt_error **ret_error);
int go_nestvirt_handler_remove(struct nestvirt_vm *vm, uint32_t handler,
                               struct nestvirt_error **ret_error);
void go_nestvirt_ioeventfd_config_init(struct nestvirt_ioeventfd_config *config,
                                       size_t caller_size);
int go_nestvirt_ioeventfd_add(struct nestvirt_vm *vm,
                              const struct nestvirt_ioeventfd_config *config,
                              struct nestvirt_error **ret_error);
int go_nestvirt_irq_add(struct nestvirt_vm *vm, uint32_t pin, uint32_t flags,
                        struct nestvirt_error **ret_error);
int go_nestvirt_irq_set(struct nestvirt_vm *vm, uint32_t pin, uint32_t level,
                        struct nestvirt_error **ret_error);
int go_nestvirt_irqfd_add(struct nestvirt_vm *vm, uint32_t pin, int fd,
                          struct nestvirt_error **ret_error);
int go_nestvirt_msi_send(struct nestvirt_vm *vm, uint64_t address, uint32_t data,
                         struct nestvirt_error **ret_error);
void go_nestvirt_ksm_settings_init(struct nestvirt_ksm_settings *settings, size_t caller_size);
int go_nestvirt_ksm_get_settings(struct nestvirt_ksm_settings *settings,
                                 struct nestvirt_error **ret_error);
void go_nestvirt_ksm_stats_init(struct nestvirt_ksm_stats *stats, size_t caller_size);
int go_nestvirt_ksm_get_stats(struct nestvirt_ksm_stats *stats, struct nestvirt_error **ret_error);
int go_nestvirt_ksm_set_settings(const struct nestvirt_ksm_settings *settings, const char *record,
                                 struct nestvirt_ksm_token **ret_token,
                                 struct nestvirt_error **ret_error);
int go_nestvirt_ksm_token_free(struct nestvirt_ksm_token *token);
int go_nestvirt_ksm_remove_record(const char *record, struct nestvirt_error **ret_error);
void go_nestvirt_memory_config_init(struct nestvirt_memory_config *config, size_t caller_size);
int go_nestvirt_memory_add(struct nestvirt_vm *vm, const struct nestvirt_memory_config *config,
                           struct nestvirt_error **ret_error);
int go_nestvirt_memory_remove(struct nestvirt_vm *vm, uint32_t region,
                              struct nestvirt_error **ret_error);
int go_nestvirt_memory_get(struct nestvirt_vm *vm, uint32_t region,
                           struct nestvirt_memory_config *config,
                           struct nestvirt_error **ret_error);
int go_nestvirt_memory_read(struct nestvirt_vm *vm, uint64_t address, void *buffer, size_t length,
                            struct nestvirt_error **ret_error);
int go_nestvirt_memory_write(struct nestvirt_vm *vm, uint64_t address, const void *buffer,
                             size_t length, struct nestvirt_error **ret_error);
int go_nestvirt_memory_get_pointer(struct nestvirt_vm *vm, uint64_t address, size_t length,
                                   void **ret_pointer, struct nestvirt_error **ret_error);
int go_nestvirt_memory_set_numa(struct nestvirt_vm *vm, uint32_t region, uint32_t policy,
                                const char *nodes, uint32_t flags,
                                struct nestvirt_error **ret_error);
void go_nestvirt_memory_placement_init(struct nestvirt_memory_placement *placement,
                                       size_t caller_size);
int go_nestvirt_memory_get_placement(struct nestvirt_vm *vm, uint32_t region,
                                     struct nestvirt_memory_placement *placement, uint64_t *pages,
                                     uint32_t count, struct nestvirt_error **ret_error);
int go_nestvirt_memory_set_mergeable(struct nestvirt_vm *vm, uint32_t region, uint32_t on,
                                     struct nestvirt_error **ret_error);
void go_nestvirt_memory_ksm_init(struct nestvirt_memory_ksm *ksm, size_t caller_size);
int go_nestvirt_memory_get_ksm(struct nestvirt_vm *vm, uint32_t region,
                               struct nestvirt_memory_ksm *ksm, struct nestvirt_error **ret_error);
void go_nestvirt_numa_config_init(struct nestvirt_numa_config *config, size_t caller_size);
int go_nestvirt_numa_new(const struct nestvirt_numa_config *config, struct nestvirt_numa **ret_numa,
                         struct nestvirt_error **ret_error);
int go_nestvirt_numa_free(struct nestvirt_numa *numa);
void go_nestvirt_numa_node_init(struct nestvirt_numa_node *node, size_t caller_size);
int go_nestvirt_numa_get_node(const struct nestvirt_numa *numa, uint32_t position,
                              struct nestvirt_numa_node *node, struct nestvirt_error **ret_error);
int go_nestvirt_numa_get_cpus(const struct nestvirt_numa *numa, uint32_t node, uint32_t allowed,
                              char *buffer, size_t size, struct nestvirt_error **ret_error);
int go_nestvirt_numa_get_distance(const struct nestvirt_numa *numa, uint32_t from, uint32_t to,
                                  struct nestvirt_error **ret_error);
void go_nestvirt_numa_pool_init(struct nestvirt_numa_pool *pool, size_t caller_size);
int go_nestvirt_numa_get_pool(const struct nestvirt_numa *numa, uint32_t node, uint32_t position,
                              struct nestvirt_numa_pool *pool, struct nestvirt_error **ret_error);
void go_nestvirt_numa_need_init(struct nestvirt_numa_need *need, size_t caller_size);
int go_nestvirt_numa_get_place(const struct nestvirt_numa *numa,
                               const struct nestvirt_numa_need *need,
                               struct nestvirt_error **ret_error);
int go_nestvirt_numa_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                                    struct nestvirt_error **ret_error);
int go_nestvirt_numa_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to,
                                        uint32_t distance, struct nestvirt_error **ret_error);
void go_nestvirt_observer_config_init(struct nestvirt_observer_config *config, size_t caller_size);
int go_nestvirt_observer_new(const struct nestvirt_observer_config *config,
                             struct nestvirt_observer **ret_observer,
                             struct nestvirt_error **ret_error);
int go_nestvirt_observer_free(struct nestvirt_observer *observer);
const char *go_nestvirt_observer_get_reason(const struct nestvirt_observer *observer);
int go_nestvirt_observer_add(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                             uint32_t kinds, struct nestvirt_error **ret_error);
int go_nestvirt_observer_add_thread(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                    int32_t tid, struct nestvirt_error **ret_error);
int go_nestvirt_observer_remove(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                struct nestvirt_error **ret_error);
int go_nestvirt_observer_start(struct nestvirt_observer *observer,
                               struct nestvirt_error **ret_error);
void go_nestvirt_waits_init(struct nestvirt_waits *waits, size_t caller_size);
uint64_t go_nestvirt_waits_get_limit(uint32_t bucket);
int go_nestvirt_observer_read(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                              struct nestvirt_waits *waits, uint64_t *counts, uint64_t *times_ns,
                              uint32_t buckets, struct nestvirt_error **ret_error);
int go_nestvirt_waits_get_percentile(const struct nestvirt_waits *waits, const uint64_t *numbers,
                                     uint32_t buckets, uint32_t per_million, uint64_t *ret_ns,
                                     struct nestvirt_error **ret_error);
int go_nestvirt_observer_get_text(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                  uint32_t weight, char *buffer, size_t size,
                                  struct nestvirt_error **ret_error);
int go_nestvirt_observer_get_json(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                  char *buffer, size_t size, struct nestvirt_error **ret_error);
int go_nestvirt_vm_remove_privileges(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
void go_nestvirt_privilege_config_init(struct nestvirt_privilege_config *config,
                                       size_t caller_size);
int go_nestvirt_process_remove_privileges(const struct nestvirt_privilege_config *config,
                                          struct nestvirt_error **ret_error);
void go_nestvirt_need_init(struct nestvirt_need *need, size_t caller_size);
int go_nestvirt_privilege_get_need(uint32_t position, struct nestvirt_need *need,
                                   struct nestvirt_error **ret_error);
void go_nestvirt_report_config_init(struct nestvirt_report_config *config, size_t caller_size);
void go_nestvirt_report_item_init(struct nestvirt_report_item *item, size_t caller_size);
int go_nestvirt_report_new(const struct nestvirt_report_config *config,
                           struct nestvirt_report **ret_report, struct nestvirt_error **ret_error);
int go_nestvirt_report_free(struct nestvirt_report *report);
int go_nestvirt_report_get_item(const struct nestvirt_report *report, uint32_t position,
                                struct nestvirt_report_item *item,
                                struct nestvirt_error **ret_error);
int go_nestvirt_report_get_named(const struct nestvirt_report *report, const char *name,
                                 struct nestvirt_report_item *item,
                                 struct nestvirt_error **ret_error);
const char *go_nestvirt_report_answer_name(uint32_t answer);
const char *go_nestvirt_report_group_name(uint32_t group);
void go_nestvirt_plan_config_init(struct nestvirt_plan_config *config, size_t caller_size);
void go_nestvirt_plan_init(struct nestvirt_plan *plan, size_t caller_size);
int go_nestvirt_report_get_plan(const struct nestvirt_report *report,
                                const struct nestvirt_plan_config *config,
                                struct nestvirt_plan *plan, struct nestvirt_error **ret_error);
int go_nestvirt_template_new(struct nestvirt_vm *vm, uint32_t flags,
                             struct nestvirt_template **ret_template,
                             struct nestvirt_error **ret_error);
int go_nestvirt_template_free(struct nestvirt_template *template_handle);
void go_nestvirt_template_info_init(struct nestvirt_template_info *info, size_t caller_size);
int go_nestvirt_template_get_info(const struct nestvirt_template *template_handle,
                                  struct nestvirt_template_info *info,
                                  struct nestvirt_error **ret_error);
void go_nestvirt_clone_config_init(struct nestvirt_clone_config *config, size_t caller_size);
int go_nestvirt_clone_new(struct nestvirt_template *template_handle,
                          const struct nestvirt_clone_config *config, struct nestvirt_vm **ret_vm,
                          struct nestvirt_error **ret_error);
int go_nestvirt_template_write(const struct nestvirt_template *template_handle,
                               const struct nestvirt_template *base, int fd,
                               struct nestvirt_error **ret_error);
int go_nestvirt_template_open(struct nestvirt_host *host, int fd, uint32_t flags,
                              const struct nestvirt_template *base,
                              struct nestvirt_template **ret_template,
                              struct nestvirt_error **ret_error);
int go_nestvirt_reflink_new(int from, int to, uint32_t flags, struct nestvirt_error **ret_error);
int go_nestvirt_vm_get_generation(struct nestvirt_vm *vm, void *buffer, size_t size,
                                  struct nestvirt_error **ret_error);
void go_nestvirt_regs_init(struct nestvirt_regs *regs, size_t caller_size);
void go_nestvirt_sregs_init(struct nestvirt_sregs *sregs, size_t caller_size);
int go_nestvirt_vm_get_vcpu(struct nestvirt_vm *vm, uint32_t index, struct nestvirt_vcpu **ret_vcpu,
                            struct nestvirt_error **ret_error);
int go_nestvirt_vm_add_cpuid_mask(struct nestvirt_vm *vm, uint32_t leaf, uint32_t index,
                                  uint32_t cpu_register, uint32_t clear, uint32_t set,
                                  struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *regs,
                              struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                              struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *sregs,
                               struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_set_sregs(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                               struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                             struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                             struct nestvirt_error **ret_error);
void go_nestvirt_exit_init(struct nestvirt_exit *exit, size_t caller_size);
int go_nestvirt_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                         struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_cancel(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_inject_exception(struct nestvirt_vcpu *vcpu, uint32_t vector,
                                      uint32_t has_error_code, uint32_t error_code,
                                      struct nestvirt_error **ret_error);
int go_nestvirt_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length,
                          struct nestvirt_error **ret_error);
void go_nestvirt_virtio_config_init(struct nestvirt_virtio_config *config, size_t caller_size);
int go_nestvirt_virtio_add(struct nestvirt_vm *vm, const struct nestvirt_virtio_config *config,
                           void (*fn)(void *user_data, struct nestvirt_device *device,
                                      uint32_t queue),
                           void *user_data, void (*free_data)(void *user_data),
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);
int go_nestvirt_virtio_set_drop_handler(struct nestvirt_device *device,
                                        void (*fn)(void *user_data, struct nestvirt_device *device,
                                                   uint32_t queue),
                                        struct nestvirt_error **ret_error);
int go_nestvirt_virtio_set_config_handler(struct nestvirt_device *device,
                                          void (*fn)(void *user_data,
                                                     struct nestvirt_device *device,
                                                     uint32_t offset, uint32_t length),
                                          struct nestvirt_error **ret_error);
int go_nestvirt_virtio_next_chain(struct nestvirt_device *device, uint32_t queue,
                                  struct nestvirt_chain **ret_chain,
                                  struct nestvirt_error **ret_error);
int go_nestvirt_chain_get_size(struct nestvirt_chain *chain, uint64_t *ret_readable,
                               uint64_t *ret_writable, struct nestvirt_error **ret_error);
int go_nestvirt_chain_read(struct nestvirt_chain *chain, void *buffer, size_t length,
                           struct nestvirt_error **ret_error);
int go_nestvirt_chain_write(struct nestvirt_chain *chain, const void *buffer, size_t length,
                            struct nestvirt_error **ret_error);
int go_nestvirt_chain_complete(struct nestvirt_chain *chain, struct nestvirt_error **ret_error);
int go_nestvirt_virtio_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                                    struct nestvirt_error **ret_error);
int go_nestvirt_virtio_get_config(struct nestvirt_device *device, uint32_t offset, void *buffer,
                                  uint32_t length, struct nestvirt_error **ret_error);
int go_nestvirt_virtio_set_config(struct nestvirt_device *device, uint32_t offset,
                                  const void *bytes, uint32_t length,
                                  struct nestvirt_error **ret_error);
int go_nestvirt_virtio_request_reset(struct nestvirt_device *device,
                                     struct nestvirt_error **ret_error);

#endif
