/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table through which Go calls the library. Made by bindings/generate/generate from
 * include/nestvirt. Do not edit. */
#include "abi.h"

#include <dlfcn.h>
#include <string.h>

struct table {
    uint32_t (*version)(void);
    const char *(*version_string)(void);
    int (*error_get_code)(const struct nestvirt_error *error);
    int (*error_get_errno)(const struct nestvirt_error *error);
    const char *(*error_get_message)(const struct nestvirt_error *error);
    const char *(*error_get_object)(const struct nestvirt_error *error);
    const char *(*error_get_hint)(const struct nestvirt_error *error);
    const struct nestvirt_error *(*error_get_next)(const struct nestvirt_error *error);
    void (*error_free)(struct nestvirt_error *error);
    const char *(*error_code_name)(int code);
    const char *(*error_code_text)(int code);
    int (*host_open)(const char *path, struct nestvirt_host **ret_host,
                     struct nestvirt_error **ret_error);
    int (*host_open_fd)(int fd, struct nestvirt_host **ret_host, struct nestvirt_error **ret_error);
    int (*host_free)(struct nestvirt_host *host);
    void (*host_info_init)(struct nestvirt_host_info *info, size_t caller_size);
    int (*host_get_info)(struct nestvirt_host *host, struct nestvirt_host_info *info,
                         struct nestvirt_error **ret_error);
    void (*cpuid_entry_init)(struct nestvirt_cpuid_entry *entry, size_t caller_size);
    int (*host_get_cpuid)(struct nestvirt_host *host, uint32_t position,
                          struct nestvirt_cpuid_entry *entry, struct nestvirt_error **ret_error);
    int (*loop_new)(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error);
    int (*loop_free)(struct nestvirt_loop *loop);
    void (*vm_config_init)(struct nestvirt_vm_config *config, size_t caller_size);
    int (*vm_new)(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                  struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error);
    int (*vm_free)(struct nestvirt_vm *vm);
    int (*vm_get_state)(struct nestvirt_vm *vm);
    const char *(*vm_state_name)(int state);
    int (*vm_set_loop)(struct nestvirt_vm *vm, struct nestvirt_loop *loop,
                       struct nestvirt_error **ret_error);
    int (*vm_set_log)(struct nestvirt_vm *vm, uint32_t level,
                      void (*fn)(void *user_data, uint32_t level, const char *text),
                      void *user_data, void (*free_data)(void *user_data),
                      struct nestvirt_error **ret_error);
    int (*vm_validate)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_build)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_start)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_pause)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_resume)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_request_stop)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_stop)(struct nestvirt_vm *vm, int32_t timeout_ms, struct nestvirt_error **ret_error);
    void (*vm_result_init)(struct nestvirt_vm_result *result, size_t caller_size);
    int (*vm_wait)(struct nestvirt_vm *vm, int32_t timeout_ms, struct nestvirt_vm_result *result,
                   struct nestvirt_error **ret_error);
    const char *(*vm_result_name)(uint32_t reason);
    void (*event_init)(struct nestvirt_event *event, size_t caller_size);
    int (*vm_get_event_fd)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    int (*vm_next_event)(struct nestvirt_vm *vm, struct nestvirt_event *event,
                         struct nestvirt_error **ret_error);
    int (*vm_set_exit_handler)(struct nestvirt_vm *vm,
                               int32_t (*fn)(void *user_data, struct nestvirt_exit *exit),
                               void *user_data, void (*free_data)(void *user_data),
                               struct nestvirt_error **ret_error);
    int (*boot_set_kernel)(struct nestvirt_vm *vm, const char *path, uint32_t format,
                           struct nestvirt_error **ret_error);
    int (*boot_set_kernel_fd)(struct nestvirt_vm *vm, int fd, uint32_t format,
                              struct nestvirt_error **ret_error);
    int (*boot_set_initrd)(struct nestvirt_vm *vm, const char *path,
                           struct nestvirt_error **ret_error);
    int (*boot_set_initrd_fd)(struct nestvirt_vm *vm, int fd, struct nestvirt_error **ret_error);
    int (*boot_set_cmdline)(struct nestvirt_vm *vm, const char *text,
                            struct nestvirt_error **ret_error);
    int (*boot_set_discovery)(struct nestvirt_vm *vm, uint32_t discovery,
                              struct nestvirt_error **ret_error);
    void (*flat_config_init)(struct nestvirt_flat_config *config, size_t caller_size);
    int (*boot_set_flat)(struct nestvirt_vm *vm, const char *path,
                         const struct nestvirt_flat_config *config,
                         struct nestvirt_error **ret_error);
    int (*boot_set_flat_fd)(struct nestvirt_vm *vm, int fd,
                            const struct nestvirt_flat_config *config,
                            struct nestvirt_error **ret_error);
    void (*thread_config_init)(struct nestvirt_thread_config *config, size_t caller_size);
    int (*thread_set)(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                      const struct nestvirt_thread_config *config,
                      struct nestvirt_error **ret_error);
    void (*thread_info_init)(struct nestvirt_thread_info *info, size_t caller_size);
    int (*thread_get)(struct nestvirt_vm *vm, uint32_t position, struct nestvirt_thread_info *info,
                      struct nestvirt_error **ret_error);
    int (*thread_get_cpus)(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                           size_t size, struct nestvirt_error **ret_error);
    int (*cgroup_set)(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                      struct nestvirt_error **ret_error);
    int (*cgroup_get)(struct nestvirt_vm *vm, uint32_t position, char *buffer, size_t size,
                      struct nestvirt_error **ret_error);
    void (*cgroup_usage_init)(struct nestvirt_cgroup_usage *usage, size_t caller_size);
    int (*cgroup_get_usage)(struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *usage,
                            struct nestvirt_error **ret_error);
    int (*cgroup_get_of_thread)(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                                size_t size, struct nestvirt_error **ret_error);
    void (*device_property_init)(struct nestvirt_device_property *property, size_t caller_size);
    const char *(*device_get_kind)(uint32_t position);
    int (*device_get_property)(const char *kind, uint32_t position,
                               struct nestvirt_device_property *property,
                               struct nestvirt_error **ret_error);
    int (*device_add)(struct nestvirt_vm *vm, const char *kind, struct nestvirt_device **ret_device,
                      struct nestvirt_error **ret_error);
    int (*device_get)(struct nestvirt_vm *vm, uint32_t number, struct nestvirt_device **ret_device,
                      struct nestvirt_error **ret_error);
    int (*device_set_u64)(struct nestvirt_device *device, const char *name, uint64_t value,
                          struct nestvirt_error **ret_error);
    int (*device_set_fd)(struct nestvirt_device *device, const char *name, int fd,
                         struct nestvirt_error **ret_error);
    int (*device_set_string)(struct nestvirt_device *device, const char *name, const char *value,
                             struct nestvirt_error **ret_error);
    int (*device_get_u64)(struct nestvirt_device *device, const char *name, uint64_t *ret_value,
                          struct nestvirt_error **ret_error);
    int (*handler_add)(struct nestvirt_vm *vm, uint32_t space, uint64_t address, uint64_t length,
                       int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                       void *user_data, void (*free_data)(void *user_data),
                       struct nestvirt_error **ret_error);
    int (*handler_remove)(struct nestvirt_vm *vm, uint32_t handler,
                          struct nestvirt_error **ret_error);
    void (*ioeventfd_config_init)(struct nestvirt_ioeventfd_config *config, size_t caller_size);
    int (*ioeventfd_add)(struct nestvirt_vm *vm, const struct nestvirt_ioeventfd_config *config,
                         struct nestvirt_error **ret_error);
    int (*irq_add)(struct nestvirt_vm *vm, uint32_t pin, uint32_t flags,
                   struct nestvirt_error **ret_error);
    int (*irq_set)(struct nestvirt_vm *vm, uint32_t pin, uint32_t level,
                   struct nestvirt_error **ret_error);
    int (*irqfd_add)(struct nestvirt_vm *vm, uint32_t pin, int fd,
                     struct nestvirt_error **ret_error);
    int (*msi_send)(struct nestvirt_vm *vm, uint64_t address, uint32_t data,
                    struct nestvirt_error **ret_error);
    void (*ksm_settings_init)(struct nestvirt_ksm_settings *settings, size_t caller_size);
    int (*ksm_get_settings)(struct nestvirt_ksm_settings *settings,
                            struct nestvirt_error **ret_error);
    void (*ksm_stats_init)(struct nestvirt_ksm_stats *stats, size_t caller_size);
    int (*ksm_get_stats)(struct nestvirt_ksm_stats *stats, struct nestvirt_error **ret_error);
    int (*ksm_set_settings)(const struct nestvirt_ksm_settings *settings, const char *record,
                            struct nestvirt_ksm_token **ret_token,
                            struct nestvirt_error **ret_error);
    int (*ksm_token_free)(struct nestvirt_ksm_token *token);
    int (*ksm_remove_record)(const char *record, struct nestvirt_error **ret_error);
    void (*memory_config_init)(struct nestvirt_memory_config *config, size_t caller_size);
    int (*memory_add)(struct nestvirt_vm *vm, const struct nestvirt_memory_config *config,
                      struct nestvirt_error **ret_error);
    int (*memory_remove)(struct nestvirt_vm *vm, uint32_t region,
                         struct nestvirt_error **ret_error);
    int (*memory_get)(struct nestvirt_vm *vm, uint32_t region,
                      struct nestvirt_memory_config *config, struct nestvirt_error **ret_error);
    int (*memory_read)(struct nestvirt_vm *vm, uint64_t address, void *buffer, size_t length,
                       struct nestvirt_error **ret_error);
    int (*memory_write)(struct nestvirt_vm *vm, uint64_t address, const void *buffer, size_t length,
                        struct nestvirt_error **ret_error);
    int (*memory_get_pointer)(struct nestvirt_vm *vm, uint64_t address, size_t length,
                              void **ret_pointer, struct nestvirt_error **ret_error);
    int (*memory_set_numa)(struct nestvirt_vm *vm, uint32_t region, uint32_t policy,
                           const char *nodes, uint32_t flags, struct nestvirt_error **ret_error);
    void (*memory_placement_init)(struct nestvirt_memory_placement *placement, size_t caller_size);
    int (*memory_get_placement)(struct nestvirt_vm *vm, uint32_t region,
                                struct nestvirt_memory_placement *placement, uint64_t *pages,
                                uint32_t count, struct nestvirt_error **ret_error);
    int (*memory_set_mergeable)(struct nestvirt_vm *vm, uint32_t region, uint32_t on,
                                struct nestvirt_error **ret_error);
    void (*memory_ksm_init)(struct nestvirt_memory_ksm *ksm, size_t caller_size);
    int (*memory_get_ksm)(struct nestvirt_vm *vm, uint32_t region, struct nestvirt_memory_ksm *ksm,
                          struct nestvirt_error **ret_error);
    void (*numa_config_init)(struct nestvirt_numa_config *config, size_t caller_size);
    int (*numa_new)(const struct nestvirt_numa_config *config, struct nestvirt_numa **ret_numa,
                    struct nestvirt_error **ret_error);
    int (*numa_free)(struct nestvirt_numa *numa);
    void (*numa_node_init)(struct nestvirt_numa_node *node, size_t caller_size);
    int (*numa_get_node)(const struct nestvirt_numa *numa, uint32_t position,
                         struct nestvirt_numa_node *node, struct nestvirt_error **ret_error);
    int (*numa_get_cpus)(const struct nestvirt_numa *numa, uint32_t node, uint32_t allowed,
                         char *buffer, size_t size, struct nestvirt_error **ret_error);
    int (*numa_get_distance)(const struct nestvirt_numa *numa, uint32_t from, uint32_t to,
                             struct nestvirt_error **ret_error);
    void (*numa_pool_init)(struct nestvirt_numa_pool *pool, size_t caller_size);
    int (*numa_get_pool)(const struct nestvirt_numa *numa, uint32_t node, uint32_t position,
                         struct nestvirt_numa_pool *pool, struct nestvirt_error **ret_error);
    void (*numa_need_init)(struct nestvirt_numa_need *need, size_t caller_size);
    int (*numa_get_place)(const struct nestvirt_numa *numa, const struct nestvirt_numa_need *need,
                          struct nestvirt_error **ret_error);
    int (*numa_add_guest_node)(struct nestvirt_vm *vm, const char *vcpus,
                               struct nestvirt_error **ret_error);
    int (*numa_set_guest_distance)(struct nestvirt_vm *vm, uint32_t from, uint32_t to,
                                   uint32_t distance, struct nestvirt_error **ret_error);
    void (*observer_config_init)(struct nestvirt_observer_config *config, size_t caller_size);
    int (*observer_new)(const struct nestvirt_observer_config *config,
                        struct nestvirt_observer **ret_observer, struct nestvirt_error **ret_error);
    int (*observer_free)(struct nestvirt_observer *observer);
    const char *(*observer_get_reason)(const struct nestvirt_observer *observer);
    int (*observer_add)(struct nestvirt_observer *observer, struct nestvirt_vm *vm, uint32_t kinds,
                        struct nestvirt_error **ret_error);
    int (*observer_add_thread)(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                               int32_t tid, struct nestvirt_error **ret_error);
    int (*observer_remove)(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                           struct nestvirt_error **ret_error);
    int (*observer_start)(struct nestvirt_observer *observer, struct nestvirt_error **ret_error);
    void (*waits_init)(struct nestvirt_waits *waits, size_t caller_size);
    uint64_t (*waits_get_limit)(uint32_t bucket);
    int (*observer_read)(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                         struct nestvirt_waits *waits, uint64_t *counts, uint64_t *times_ns,
                         uint32_t buckets, struct nestvirt_error **ret_error);
    int (*waits_get_percentile)(const struct nestvirt_waits *waits, const uint64_t *numbers,
                                uint32_t buckets, uint32_t per_million, uint64_t *ret_ns,
                                struct nestvirt_error **ret_error);
    int (*observer_get_text)(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                             uint32_t weight, char *buffer, size_t size,
                             struct nestvirt_error **ret_error);
    int (*observer_get_json)(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                             char *buffer, size_t size, struct nestvirt_error **ret_error);
    int (*vm_remove_privileges)(struct nestvirt_vm *vm, struct nestvirt_error **ret_error);
    void (*privilege_config_init)(struct nestvirt_privilege_config *config, size_t caller_size);
    int (*process_remove_privileges)(const struct nestvirt_privilege_config *config,
                                     struct nestvirt_error **ret_error);
    void (*need_init)(struct nestvirt_need *need, size_t caller_size);
    int (*privilege_get_need)(uint32_t position, struct nestvirt_need *need,
                              struct nestvirt_error **ret_error);
    void (*report_config_init)(struct nestvirt_report_config *config, size_t caller_size);
    void (*report_item_init)(struct nestvirt_report_item *item, size_t caller_size);
    int (*report_new)(const struct nestvirt_report_config *config,
                      struct nestvirt_report **ret_report, struct nestvirt_error **ret_error);
    int (*report_free)(struct nestvirt_report *report);
    int (*report_get_item)(const struct nestvirt_report *report, uint32_t position,
                           struct nestvirt_report_item *item, struct nestvirt_error **ret_error);
    int (*report_get_named)(const struct nestvirt_report *report, const char *name,
                            struct nestvirt_report_item *item, struct nestvirt_error **ret_error);
    const char *(*report_answer_name)(uint32_t answer);
    const char *(*report_group_name)(uint32_t group);
    void (*plan_config_init)(struct nestvirt_plan_config *config, size_t caller_size);
    void (*plan_init)(struct nestvirt_plan *plan, size_t caller_size);
    int (*report_get_plan)(const struct nestvirt_report *report,
                           const struct nestvirt_plan_config *config, struct nestvirt_plan *plan,
                           struct nestvirt_error **ret_error);
    int (*template_new)(struct nestvirt_vm *vm, uint32_t flags,
                        struct nestvirt_template **ret_template, struct nestvirt_error **ret_error);
    int (*template_free)(struct nestvirt_template *template_handle);
    void (*template_info_init)(struct nestvirt_template_info *info, size_t caller_size);
    int (*template_get_info)(const struct nestvirt_template *template_handle,
                             struct nestvirt_template_info *info,
                             struct nestvirt_error **ret_error);
    void (*clone_config_init)(struct nestvirt_clone_config *config, size_t caller_size);
    int (*clone_new)(struct nestvirt_template *template_handle,
                     const struct nestvirt_clone_config *config, struct nestvirt_vm **ret_vm,
                     struct nestvirt_error **ret_error);
    int (*template_write)(const struct nestvirt_template *template_handle,
                          const struct nestvirt_template *base, int fd,
                          struct nestvirt_error **ret_error);
    int (*template_open)(struct nestvirt_host *host, int fd, uint32_t flags,
                         const struct nestvirt_template *base,
                         struct nestvirt_template **ret_template,
                         struct nestvirt_error **ret_error);
    int (*reflink_new)(int from, int to, uint32_t flags, struct nestvirt_error **ret_error);
    int (*vm_get_generation)(struct nestvirt_vm *vm, void *buffer, size_t size,
                             struct nestvirt_error **ret_error);
    void (*regs_init)(struct nestvirt_regs *regs, size_t caller_size);
    void (*sregs_init)(struct nestvirt_sregs *sregs, size_t caller_size);
    int (*vm_get_vcpu)(struct nestvirt_vm *vm, uint32_t index, struct nestvirt_vcpu **ret_vcpu,
                       struct nestvirt_error **ret_error);
    int (*vm_add_cpuid_mask)(struct nestvirt_vm *vm, uint32_t leaf, uint32_t index,
                             uint32_t cpu_register, uint32_t clear, uint32_t set,
                             struct nestvirt_error **ret_error);
    int (*vcpu_get_regs)(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *regs,
                         struct nestvirt_error **ret_error);
    int (*vcpu_set_regs)(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                         struct nestvirt_error **ret_error);
    int (*vcpu_get_sregs)(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *sregs,
                          struct nestvirt_error **ret_error);
    int (*vcpu_set_sregs)(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                          struct nestvirt_error **ret_error);
    int (*vcpu_get_msr)(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                        struct nestvirt_error **ret_error);
    int (*vcpu_set_msr)(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                        struct nestvirt_error **ret_error);
    void (*exit_init)(struct nestvirt_exit *exit, size_t caller_size);
    int (*vcpu_run)(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                    struct nestvirt_error **ret_error);
    int (*vcpu_cancel)(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error);
    int (*vcpu_inject_exception)(struct nestvirt_vcpu *vcpu, uint32_t vector,
                                 uint32_t has_error_code, uint32_t error_code,
                                 struct nestvirt_error **ret_error);
    int (*vcpu_skip)(struct nestvirt_vcpu *vcpu, uint32_t length,
                     struct nestvirt_error **ret_error);
    void (*virtio_config_init)(struct nestvirt_virtio_config *config, size_t caller_size);
    int (*virtio_add)(struct nestvirt_vm *vm, const struct nestvirt_virtio_config *config,
                      void (*fn)(void *user_data, struct nestvirt_device *device, uint32_t queue),
                      void *user_data, void (*free_data)(void *user_data),
                      struct nestvirt_device **ret_device, struct nestvirt_error **ret_error);
    int (*virtio_set_drop_handler)(struct nestvirt_device *device,
                                   void (*fn)(void *user_data, struct nestvirt_device *device,
                                              uint32_t queue),
                                   struct nestvirt_error **ret_error);
    int (*virtio_set_config_handler)(struct nestvirt_device *device,
                                     void (*fn)(void *user_data, struct nestvirt_device *device,
                                                uint32_t offset, uint32_t length),
                                     struct nestvirt_error **ret_error);
    int (*virtio_next_chain)(struct nestvirt_device *device, uint32_t queue,
                             struct nestvirt_chain **ret_chain, struct nestvirt_error **ret_error);
    int (*chain_get_size)(struct nestvirt_chain *chain, uint64_t *ret_readable,
                          uint64_t *ret_writable, struct nestvirt_error **ret_error);
    int (*chain_read)(struct nestvirt_chain *chain, void *buffer, size_t length,
                      struct nestvirt_error **ret_error);
    int (*chain_write)(struct nestvirt_chain *chain, const void *buffer, size_t length,
                       struct nestvirt_error **ret_error);
    int (*chain_complete)(struct nestvirt_chain *chain, struct nestvirt_error **ret_error);
    int (*virtio_get_features)(struct nestvirt_device *device, uint64_t *ret_features,
                               struct nestvirt_error **ret_error);
    int (*virtio_get_config)(struct nestvirt_device *device, uint32_t offset, void *buffer,
                             uint32_t length, struct nestvirt_error **ret_error);
    int (*virtio_set_config)(struct nestvirt_device *device, uint32_t offset, const void *bytes,
                             uint32_t length, struct nestvirt_error **ret_error);
    int (*virtio_request_reset)(struct nestvirt_device *device, struct nestvirt_error **ret_error);
};

/* Written once, before the first call; then only read. */
static struct table table;

static const struct {
    const char *name;
    size_t offset;
} names[] = {
    { "nestvirt_version", offsetof(struct table, version) },
    { "nestvirt_version_string", offsetof(struct table, version_string) },
    { "nestvirt_error_get_code", offsetof(struct table, error_get_code) },
    { "nestvirt_error_get_errno", offsetof(struct table, error_get_errno) },
    { "nestvirt_error_get_message", offsetof(struct table, error_get_message) },
    { "nestvirt_error_get_object", offsetof(struct table, error_get_object) },
    { "nestvirt_error_get_hint", offsetof(struct table, error_get_hint) },
    { "nestvirt_error_get_next", offsetof(struct table, error_get_next) },
    { "nestvirt_error_free", offsetof(struct table, error_free) },
    { "nestvirt_error_code_name", offsetof(struct table, error_code_name) },
    { "nestvirt_error_code_text", offsetof(struct table, error_code_text) },
    { "nestvirt_host_open", offsetof(struct table, host_open) },
    { "nestvirt_host_open_fd", offsetof(struct table, host_open_fd) },
    { "nestvirt_host_free", offsetof(struct table, host_free) },
    { "nestvirt_host_info_init", offsetof(struct table, host_info_init) },
    { "nestvirt_host_get_info", offsetof(struct table, host_get_info) },
    { "nestvirt_cpuid_entry_init", offsetof(struct table, cpuid_entry_init) },
    { "nestvirt_host_get_cpuid", offsetof(struct table, host_get_cpuid) },
    { "nestvirt_loop_new", offsetof(struct table, loop_new) },
    { "nestvirt_loop_free", offsetof(struct table, loop_free) },
    { "nestvirt_vm_config_init", offsetof(struct table, vm_config_init) },
    { "nestvirt_vm_new", offsetof(struct table, vm_new) },
    { "nestvirt_vm_free", offsetof(struct table, vm_free) },
    { "nestvirt_vm_get_state", offsetof(struct table, vm_get_state) },
    { "nestvirt_vm_state_name", offsetof(struct table, vm_state_name) },
    { "nestvirt_vm_set_loop", offsetof(struct table, vm_set_loop) },
    { "nestvirt_vm_set_log", offsetof(struct table, vm_set_log) },
    { "nestvirt_vm_validate", offsetof(struct table, vm_validate) },
    { "nestvirt_vm_build", offsetof(struct table, vm_build) },
    { "nestvirt_vm_start", offsetof(struct table, vm_start) },
    { "nestvirt_vm_pause", offsetof(struct table, vm_pause) },
    { "nestvirt_vm_resume", offsetof(struct table, vm_resume) },
    { "nestvirt_vm_request_stop", offsetof(struct table, vm_request_stop) },
    { "nestvirt_vm_stop", offsetof(struct table, vm_stop) },
    { "nestvirt_vm_result_init", offsetof(struct table, vm_result_init) },
    { "nestvirt_vm_wait", offsetof(struct table, vm_wait) },
    { "nestvirt_vm_result_name", offsetof(struct table, vm_result_name) },
    { "nestvirt_event_init", offsetof(struct table, event_init) },
    { "nestvirt_vm_get_event_fd", offsetof(struct table, vm_get_event_fd) },
    { "nestvirt_vm_next_event", offsetof(struct table, vm_next_event) },
    { "nestvirt_vm_set_exit_handler", offsetof(struct table, vm_set_exit_handler) },
    { "nestvirt_boot_set_kernel", offsetof(struct table, boot_set_kernel) },
    { "nestvirt_boot_set_kernel_fd", offsetof(struct table, boot_set_kernel_fd) },
    { "nestvirt_boot_set_initrd", offsetof(struct table, boot_set_initrd) },
    { "nestvirt_boot_set_initrd_fd", offsetof(struct table, boot_set_initrd_fd) },
    { "nestvirt_boot_set_cmdline", offsetof(struct table, boot_set_cmdline) },
    { "nestvirt_boot_set_discovery", offsetof(struct table, boot_set_discovery) },
    { "nestvirt_flat_config_init", offsetof(struct table, flat_config_init) },
    { "nestvirt_boot_set_flat", offsetof(struct table, boot_set_flat) },
    { "nestvirt_boot_set_flat_fd", offsetof(struct table, boot_set_flat_fd) },
    { "nestvirt_thread_config_init", offsetof(struct table, thread_config_init) },
    { "nestvirt_thread_set", offsetof(struct table, thread_set) },
    { "nestvirt_thread_info_init", offsetof(struct table, thread_info_init) },
    { "nestvirt_thread_get", offsetof(struct table, thread_get) },
    { "nestvirt_thread_get_cpus", offsetof(struct table, thread_get_cpus) },
    { "nestvirt_cgroup_set", offsetof(struct table, cgroup_set) },
    { "nestvirt_cgroup_get", offsetof(struct table, cgroup_get) },
    { "nestvirt_cgroup_usage_init", offsetof(struct table, cgroup_usage_init) },
    { "nestvirt_cgroup_get_usage", offsetof(struct table, cgroup_get_usage) },
    { "nestvirt_cgroup_get_of_thread", offsetof(struct table, cgroup_get_of_thread) },
    { "nestvirt_device_property_init", offsetof(struct table, device_property_init) },
    { "nestvirt_device_get_kind", offsetof(struct table, device_get_kind) },
    { "nestvirt_device_get_property", offsetof(struct table, device_get_property) },
    { "nestvirt_device_add", offsetof(struct table, device_add) },
    { "nestvirt_device_get", offsetof(struct table, device_get) },
    { "nestvirt_device_set_u64", offsetof(struct table, device_set_u64) },
    { "nestvirt_device_set_fd", offsetof(struct table, device_set_fd) },
    { "nestvirt_device_set_string", offsetof(struct table, device_set_string) },
    { "nestvirt_device_get_u64", offsetof(struct table, device_get_u64) },
    { "nestvirt_handler_add", offsetof(struct table, handler_add) },
    { "nestvirt_handler_remove", offsetof(struct table, handler_remove) },
    { "nestvirt_ioeventfd_config_init", offsetof(struct table, ioeventfd_config_init) },
    { "nestvirt_ioeventfd_add", offsetof(struct table, ioeventfd_add) },
    { "nestvirt_irq_add", offsetof(struct table, irq_add) },
    { "nestvirt_irq_set", offsetof(struct table, irq_set) },
    { "nestvirt_irqfd_add", offsetof(struct table, irqfd_add) },
    { "nestvirt_msi_send", offsetof(struct table, msi_send) },
    { "nestvirt_ksm_settings_init", offsetof(struct table, ksm_settings_init) },
    { "nestvirt_ksm_get_settings", offsetof(struct table, ksm_get_settings) },
    { "nestvirt_ksm_stats_init", offsetof(struct table, ksm_stats_init) },
    { "nestvirt_ksm_get_stats", offsetof(struct table, ksm_get_stats) },
    { "nestvirt_ksm_set_settings", offsetof(struct table, ksm_set_settings) },
    { "nestvirt_ksm_token_free", offsetof(struct table, ksm_token_free) },
    { "nestvirt_ksm_remove_record", offsetof(struct table, ksm_remove_record) },
    { "nestvirt_memory_config_init", offsetof(struct table, memory_config_init) },
    { "nestvirt_memory_add", offsetof(struct table, memory_add) },
    { "nestvirt_memory_remove", offsetof(struct table, memory_remove) },
    { "nestvirt_memory_get", offsetof(struct table, memory_get) },
    { "nestvirt_memory_read", offsetof(struct table, memory_read) },
    { "nestvirt_memory_write", offsetof(struct table, memory_write) },
    { "nestvirt_memory_get_pointer", offsetof(struct table, memory_get_pointer) },
    { "nestvirt_memory_set_numa", offsetof(struct table, memory_set_numa) },
    { "nestvirt_memory_placement_init", offsetof(struct table, memory_placement_init) },
    { "nestvirt_memory_get_placement", offsetof(struct table, memory_get_placement) },
    { "nestvirt_memory_set_mergeable", offsetof(struct table, memory_set_mergeable) },
    { "nestvirt_memory_ksm_init", offsetof(struct table, memory_ksm_init) },
    { "nestvirt_memory_get_ksm", offsetof(struct table, memory_get_ksm) },
    { "nestvirt_numa_config_init", offsetof(struct table, numa_config_init) },
    { "nestvirt_numa_new", offsetof(struct table, numa_new) },
    { "nestvirt_numa_free", offsetof(struct table, numa_free) },
    { "nestvirt_numa_node_init", offsetof(struct table, numa_node_init) },
    { "nestvirt_numa_get_node", offsetof(struct table, numa_get_node) },
    { "nestvirt_numa_get_cpus", offsetof(struct table, numa_get_cpus) },
    { "nestvirt_numa_get_distance", offsetof(struct table, numa_get_distance) },
    { "nestvirt_numa_pool_init", offsetof(struct table, numa_pool_init) },
    { "nestvirt_numa_get_pool", offsetof(struct table, numa_get_pool) },
    { "nestvirt_numa_need_init", offsetof(struct table, numa_need_init) },
    { "nestvirt_numa_get_place", offsetof(struct table, numa_get_place) },
    { "nestvirt_numa_add_guest_node", offsetof(struct table, numa_add_guest_node) },
    { "nestvirt_numa_set_guest_distance", offsetof(struct table, numa_set_guest_distance) },
    { "nestvirt_observer_config_init", offsetof(struct table, observer_config_init) },
    { "nestvirt_observer_new", offsetof(struct table, observer_new) },
    { "nestvirt_observer_free", offsetof(struct table, observer_free) },
    { "nestvirt_observer_get_reason", offsetof(struct table, observer_get_reason) },
    { "nestvirt_observer_add", offsetof(struct table, observer_add) },
    { "nestvirt_observer_add_thread", offsetof(struct table, observer_add_thread) },
    { "nestvirt_observer_remove", offsetof(struct table, observer_remove) },
    { "nestvirt_observer_start", offsetof(struct table, observer_start) },
    { "nestvirt_waits_init", offsetof(struct table, waits_init) },
    { "nestvirt_waits_get_limit", offsetof(struct table, waits_get_limit) },
    { "nestvirt_observer_read", offsetof(struct table, observer_read) },
    { "nestvirt_waits_get_percentile", offsetof(struct table, waits_get_percentile) },
    { "nestvirt_observer_get_text", offsetof(struct table, observer_get_text) },
    { "nestvirt_observer_get_json", offsetof(struct table, observer_get_json) },
    { "nestvirt_vm_remove_privileges", offsetof(struct table, vm_remove_privileges) },
    { "nestvirt_privilege_config_init", offsetof(struct table, privilege_config_init) },
    { "nestvirt_process_remove_privileges", offsetof(struct table, process_remove_privileges) },
    { "nestvirt_need_init", offsetof(struct table, need_init) },
    { "nestvirt_privilege_get_need", offsetof(struct table, privilege_get_need) },
    { "nestvirt_report_config_init", offsetof(struct table, report_config_init) },
    { "nestvirt_report_item_init", offsetof(struct table, report_item_init) },
    { "nestvirt_report_new", offsetof(struct table, report_new) },
    { "nestvirt_report_free", offsetof(struct table, report_free) },
    { "nestvirt_report_get_item", offsetof(struct table, report_get_item) },
    { "nestvirt_report_get_named", offsetof(struct table, report_get_named) },
    { "nestvirt_report_answer_name", offsetof(struct table, report_answer_name) },
    { "nestvirt_report_group_name", offsetof(struct table, report_group_name) },
    { "nestvirt_plan_config_init", offsetof(struct table, plan_config_init) },
    { "nestvirt_plan_init", offsetof(struct table, plan_init) },
    { "nestvirt_report_get_plan", offsetof(struct table, report_get_plan) },
    { "nestvirt_template_new", offsetof(struct table, template_new) },
    { "nestvirt_template_free", offsetof(struct table, template_free) },
    { "nestvirt_template_info_init", offsetof(struct table, template_info_init) },
    { "nestvirt_template_get_info", offsetof(struct table, template_get_info) },
    { "nestvirt_clone_config_init", offsetof(struct table, clone_config_init) },
    { "nestvirt_clone_new", offsetof(struct table, clone_new) },
    { "nestvirt_template_write", offsetof(struct table, template_write) },
    { "nestvirt_template_open", offsetof(struct table, template_open) },
    { "nestvirt_reflink_new", offsetof(struct table, reflink_new) },
    { "nestvirt_vm_get_generation", offsetof(struct table, vm_get_generation) },
    { "nestvirt_regs_init", offsetof(struct table, regs_init) },
    { "nestvirt_sregs_init", offsetof(struct table, sregs_init) },
    { "nestvirt_vm_get_vcpu", offsetof(struct table, vm_get_vcpu) },
    { "nestvirt_vm_add_cpuid_mask", offsetof(struct table, vm_add_cpuid_mask) },
    { "nestvirt_vcpu_get_regs", offsetof(struct table, vcpu_get_regs) },
    { "nestvirt_vcpu_set_regs", offsetof(struct table, vcpu_set_regs) },
    { "nestvirt_vcpu_get_sregs", offsetof(struct table, vcpu_get_sregs) },
    { "nestvirt_vcpu_set_sregs", offsetof(struct table, vcpu_set_sregs) },
    { "nestvirt_vcpu_get_msr", offsetof(struct table, vcpu_get_msr) },
    { "nestvirt_vcpu_set_msr", offsetof(struct table, vcpu_set_msr) },
    { "nestvirt_exit_init", offsetof(struct table, exit_init) },
    { "nestvirt_vcpu_run", offsetof(struct table, vcpu_run) },
    { "nestvirt_vcpu_cancel", offsetof(struct table, vcpu_cancel) },
    { "nestvirt_vcpu_inject_exception", offsetof(struct table, vcpu_inject_exception) },
    { "nestvirt_vcpu_skip", offsetof(struct table, vcpu_skip) },
    { "nestvirt_virtio_config_init", offsetof(struct table, virtio_config_init) },
    { "nestvirt_virtio_add", offsetof(struct table, virtio_add) },
    { "nestvirt_virtio_set_drop_handler", offsetof(struct table, virtio_set_drop_handler) },
    { "nestvirt_virtio_set_config_handler", offsetof(struct table, virtio_set_config_handler) },
    { "nestvirt_virtio_next_chain", offsetof(struct table, virtio_next_chain) },
    { "nestvirt_chain_get_size", offsetof(struct table, chain_get_size) },
    { "nestvirt_chain_read", offsetof(struct table, chain_read) },
    { "nestvirt_chain_write", offsetof(struct table, chain_write) },
    { "nestvirt_chain_complete", offsetof(struct table, chain_complete) },
    { "nestvirt_virtio_get_features", offsetof(struct table, virtio_get_features) },
    { "nestvirt_virtio_get_config", offsetof(struct table, virtio_get_config) },
    { "nestvirt_virtio_set_config", offsetof(struct table, virtio_set_config) },
    { "nestvirt_virtio_request_reset", offsetof(struct table, virtio_request_reset) },
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

int go_nestvirt_fill(void *library)
{
    int found = 0;

    for (size_t i = 0; i < NAMES; i++) {
        void *symbol = dlsym(library, names[i].name);

        memcpy((char *)&table + names[i].offset, &symbol, sizeof(symbol));
        found += symbol != NULL;
    }
    return found;
}

int go_nestvirt_has(const char *name)
{
    void *symbol;

    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(names[i].name, name))
            continue;
        memcpy(&symbol, (const char *)&table + names[i].offset, sizeof(symbol));
        return symbol != NULL;
    }
    return 0;
}

/* What an _init function does that has no defaults but zeroes. */
static void zero(void *structure, size_t size)
{
    uint32_t size32 = (uint32_t)size;

    memset(structure, 0, size);
    memcpy(structure, &size32, sizeof(size32));
}

uint32_t go_nestvirt_version(void)
{
    if (table.version)
        return table.version();
    return 0;
}

const char *go_nestvirt_version_string(void)
{
    if (table.version_string)
        return table.version_string();
    return NULL;
}

int go_nestvirt_error_get_code(const struct nestvirt_error *error)
{
    if (table.error_get_code)
        return table.error_get_code(error);
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_error_get_errno(const struct nestvirt_error *error)
{
    if (table.error_get_errno)
        return table.error_get_errno(error);
    return NESTVIRT_GO_MISSING;
}

const char *go_nestvirt_error_get_message(const struct nestvirt_error *error)
{
    if (table.error_get_message)
        return table.error_get_message(error);
    return NULL;
}

const char *go_nestvirt_error_get_object(const struct nestvirt_error *error)
{
    if (table.error_get_object)
        return table.error_get_object(error);
    return NULL;
}

const char *go_nestvirt_error_get_hint(const struct nestvirt_error *error)
{
    if (table.error_get_hint)
        return table.error_get_hint(error);
    return NULL;
}

const struct nestvirt_error *go_nestvirt_error_get_next(const struct nestvirt_error *error)
{
    if (table.error_get_next)
        return table.error_get_next(error);
    return NULL;
}

void go_nestvirt_error_free(struct nestvirt_error *error)
{
    if (table.error_free)
        table.error_free(error);
}

const char *go_nestvirt_error_code_name(int code)
{
    if (table.error_code_name)
        return table.error_code_name(code);
    return NULL;
}

const char *go_nestvirt_error_code_text(int code)
{
    if (table.error_code_text)
        return table.error_code_text(code);
    return NULL;
}

int go_nestvirt_host_open(const char *path, struct nestvirt_host **ret_host,
                          struct nestvirt_error **ret_error)
{
    if (table.host_open)
        return table.host_open(path, ret_host, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_host_open_fd(int fd, struct nestvirt_host **ret_host,
                             struct nestvirt_error **ret_error)
{
    if (table.host_open_fd)
        return table.host_open_fd(fd, ret_host, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_host_free(struct nestvirt_host *host)
{
    if (table.host_free)
        return table.host_free(host);
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_host_info_init(struct nestvirt_host_info *info, size_t caller_size)
{
    if (table.host_info_init)
        table.host_info_init(info, caller_size);
    else
        zero(info, caller_size);
}

int go_nestvirt_host_get_info(struct nestvirt_host *host, struct nestvirt_host_info *info,
                              struct nestvirt_error **ret_error)
{
    if (table.host_get_info)
        return table.host_get_info(host, info, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_cpuid_entry_init(struct nestvirt_cpuid_entry *entry, size_t caller_size)
{
    if (table.cpuid_entry_init)
        table.cpuid_entry_init(entry, caller_size);
    else
        zero(entry, caller_size);
}

int go_nestvirt_host_get_cpuid(struct nestvirt_host *host, uint32_t position,
                               struct nestvirt_cpuid_entry *entry,
                               struct nestvirt_error **ret_error)
{
    if (table.host_get_cpuid)
        return table.host_get_cpuid(host, position, entry, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_loop_new(struct nestvirt_loop **ret_loop, struct nestvirt_error **ret_error)
{
    if (table.loop_new)
        return table.loop_new(ret_loop, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_loop_free(struct nestvirt_loop *loop)
{
    if (table.loop_free)
        return table.loop_free(loop);
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_vm_config_init(struct nestvirt_vm_config *config, size_t caller_size)
{
    if (table.vm_config_init)
        table.vm_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_vm_new(struct nestvirt_host *host, const struct nestvirt_vm_config *config,
                       struct nestvirt_vm **ret_vm, struct nestvirt_error **ret_error)
{
    if (table.vm_new)
        return table.vm_new(host, config, ret_vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_free(struct nestvirt_vm *vm)
{
    if (table.vm_free)
        return table.vm_free(vm);
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_get_state(struct nestvirt_vm *vm)
{
    if (table.vm_get_state)
        return table.vm_get_state(vm);
    return NESTVIRT_GO_MISSING;
}

const char *go_nestvirt_vm_state_name(int state)
{
    if (table.vm_state_name)
        return table.vm_state_name(state);
    return NULL;
}

int go_nestvirt_vm_set_loop(struct nestvirt_vm *vm, struct nestvirt_loop *loop,
                            struct nestvirt_error **ret_error)
{
    if (table.vm_set_loop)
        return table.vm_set_loop(vm, loop, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_set_log(struct nestvirt_vm *vm, uint32_t level,
                           void (*fn)(void *user_data, uint32_t level, const char *text),
                           void *user_data, void (*free_data)(void *user_data),
                           struct nestvirt_error **ret_error)
{
    if (table.vm_set_log)
        return table.vm_set_log(vm, level, fn, user_data, free_data, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_validate(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_validate)
        return table.vm_validate(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_build(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_build)
        return table.vm_build(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_start(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_start)
        return table.vm_start(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_pause(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_pause)
        return table.vm_pause(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_resume(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_resume)
        return table.vm_resume(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_request_stop(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_request_stop)
        return table.vm_request_stop(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_stop(struct nestvirt_vm *vm, int32_t timeout_ms,
                        struct nestvirt_error **ret_error)
{
    if (table.vm_stop)
        return table.vm_stop(vm, timeout_ms, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_vm_result_init(struct nestvirt_vm_result *result, size_t caller_size)
{
    if (table.vm_result_init)
        table.vm_result_init(result, caller_size);
    else
        zero(result, caller_size);
}

int go_nestvirt_vm_wait(struct nestvirt_vm *vm, int32_t timeout_ms,
                        struct nestvirt_vm_result *result, struct nestvirt_error **ret_error)
{
    if (table.vm_wait)
        return table.vm_wait(vm, timeout_ms, result, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

const char *go_nestvirt_vm_result_name(uint32_t reason)
{
    if (table.vm_result_name)
        return table.vm_result_name(reason);
    return NULL;
}

void go_nestvirt_event_init(struct nestvirt_event *event, size_t caller_size)
{
    if (table.event_init)
        table.event_init(event, caller_size);
    else
        zero(event, caller_size);
}

int go_nestvirt_vm_get_event_fd(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_get_event_fd)
        return table.vm_get_event_fd(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_next_event(struct nestvirt_vm *vm, struct nestvirt_event *event,
                              struct nestvirt_error **ret_error)
{
    if (table.vm_next_event)
        return table.vm_next_event(vm, event, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_set_exit_handler(struct nestvirt_vm *vm,
                                    int32_t (*fn)(void *user_data, struct nestvirt_exit *exit),
                                    void *user_data, void (*free_data)(void *user_data),
                                    struct nestvirt_error **ret_error)
{
    if (table.vm_set_exit_handler)
        return table.vm_set_exit_handler(vm, fn, user_data, free_data, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_kernel(struct nestvirt_vm *vm, const char *path, uint32_t format,
                                struct nestvirt_error **ret_error)
{
    if (table.boot_set_kernel)
        return table.boot_set_kernel(vm, path, format, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_kernel_fd(struct nestvirt_vm *vm, int fd, uint32_t format,
                                   struct nestvirt_error **ret_error)
{
    if (table.boot_set_kernel_fd)
        return table.boot_set_kernel_fd(vm, fd, format, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_initrd(struct nestvirt_vm *vm, const char *path,
                                struct nestvirt_error **ret_error)
{
    if (table.boot_set_initrd)
        return table.boot_set_initrd(vm, path, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_initrd_fd(struct nestvirt_vm *vm, int fd,
                                   struct nestvirt_error **ret_error)
{
    if (table.boot_set_initrd_fd)
        return table.boot_set_initrd_fd(vm, fd, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_cmdline(struct nestvirt_vm *vm, const char *text,
                                 struct nestvirt_error **ret_error)
{
    if (table.boot_set_cmdline)
        return table.boot_set_cmdline(vm, text, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_discovery(struct nestvirt_vm *vm, uint32_t discovery,
                                   struct nestvirt_error **ret_error)
{
    if (table.boot_set_discovery)
        return table.boot_set_discovery(vm, discovery, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_flat_config_init(struct nestvirt_flat_config *config, size_t caller_size)
{
    if (table.flat_config_init)
        table.flat_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_boot_set_flat(struct nestvirt_vm *vm, const char *path,
                              const struct nestvirt_flat_config *config,
                              struct nestvirt_error **ret_error)
{
    if (table.boot_set_flat)
        return table.boot_set_flat(vm, path, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_boot_set_flat_fd(struct nestvirt_vm *vm, int fd,
                                 const struct nestvirt_flat_config *config,
                                 struct nestvirt_error **ret_error)
{
    if (table.boot_set_flat_fd)
        return table.boot_set_flat_fd(vm, fd, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_thread_config_init(struct nestvirt_thread_config *config, size_t caller_size)
{
    if (table.thread_config_init)
        table.thread_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_thread_set(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                           const struct nestvirt_thread_config *config,
                           struct nestvirt_error **ret_error)
{
    if (table.thread_set)
        return table.thread_set(vm, kind, index, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_thread_info_init(struct nestvirt_thread_info *info, size_t caller_size)
{
    if (table.thread_info_init)
        table.thread_info_init(info, caller_size);
    else
        zero(info, caller_size);
}

int go_nestvirt_thread_get(struct nestvirt_vm *vm, uint32_t position,
                           struct nestvirt_thread_info *info, struct nestvirt_error **ret_error)
{
    if (table.thread_get)
        return table.thread_get(vm, position, info, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_thread_get_cpus(struct nestvirt_vm *vm, uint32_t kind, uint32_t index, char *buffer,
                                size_t size, struct nestvirt_error **ret_error)
{
    if (table.thread_get_cpus)
        return table.thread_get_cpus(vm, kind, index, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_cgroup_set(struct nestvirt_vm *vm, const char *path, uint32_t flags,
                           struct nestvirt_error **ret_error)
{
    if (table.cgroup_set)
        return table.cgroup_set(vm, path, flags, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_cgroup_get(struct nestvirt_vm *vm, uint32_t position, char *buffer, size_t size,
                           struct nestvirt_error **ret_error)
{
    if (table.cgroup_get)
        return table.cgroup_get(vm, position, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_cgroup_usage_init(struct nestvirt_cgroup_usage *usage, size_t caller_size)
{
    if (table.cgroup_usage_init)
        table.cgroup_usage_init(usage, caller_size);
    else
        zero(usage, caller_size);
}

int go_nestvirt_cgroup_get_usage(struct nestvirt_vm *vm, struct nestvirt_cgroup_usage *usage,
                                 struct nestvirt_error **ret_error)
{
    if (table.cgroup_get_usage)
        return table.cgroup_get_usage(vm, usage, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_cgroup_get_of_thread(struct nestvirt_vm *vm, uint32_t kind, uint32_t index,
                                     char *buffer, size_t size, struct nestvirt_error **ret_error)
{
    if (table.cgroup_get_of_thread)
        return table.cgroup_get_of_thread(vm, kind, index, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_device_property_init(struct nestvirt_device_property *property, size_t caller_size)
{
    if (table.device_property_init)
        table.device_property_init(property, caller_size);
    else
        zero(property, caller_size);
}

const char *go_nestvirt_device_get_kind(uint32_t position)
{
    if (table.device_get_kind)
        return table.device_get_kind(position);
    return NULL;
}

int go_nestvirt_device_get_property(const char *kind, uint32_t position,
                                    struct nestvirt_device_property *property,
                                    struct nestvirt_error **ret_error)
{
    if (table.device_get_property)
        return table.device_get_property(kind, position, property, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_add(struct nestvirt_vm *vm, const char *kind,
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    if (table.device_add)
        return table.device_add(vm, kind, ret_device, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_get(struct nestvirt_vm *vm, uint32_t number,
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    if (table.device_get)
        return table.device_get(vm, number, ret_device, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_set_u64(struct nestvirt_device *device, const char *name, uint64_t value,
                               struct nestvirt_error **ret_error)
{
    if (table.device_set_u64)
        return table.device_set_u64(device, name, value, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_set_fd(struct nestvirt_device *device, const char *name, int fd,
                              struct nestvirt_error **ret_error)
{
    if (table.device_set_fd)
        return table.device_set_fd(device, name, fd, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_set_string(struct nestvirt_device *device, const char *name,
                                  const char *value, struct nestvirt_error **ret_error)
{
    if (table.device_set_string)
        return table.device_set_string(device, name, value, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_device_get_u64(struct nestvirt_device *device, const char *name,
                               uint64_t *ret_value, struct nestvirt_error **ret_error)
{
    if (table.device_get_u64)
        return table.device_get_u64(device, name, ret_value, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_handler_add(struct nestvirt_vm *vm, uint32_t space, uint64_t address,
                            uint64_t length,
                            int32_t (*fn)(void *user_data, struct nestvirt_access *access),
                            void *user_data, void (*free_data)(void *user_data),
                            struct nestvirt_error **ret_error)
{
    if (table.handler_add)
        return table.handler_add(vm, space, address, length, fn, user_data, free_data, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_handler_remove(struct nestvirt_vm *vm, uint32_t handler,
                               struct nestvirt_error **ret_error)
{
    if (table.handler_remove)
        return table.handler_remove(vm, handler, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_ioeventfd_config_init(struct nestvirt_ioeventfd_config *config, size_t caller_size)
{
    if (table.ioeventfd_config_init)
        table.ioeventfd_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_ioeventfd_add(struct nestvirt_vm *vm,
                              const struct nestvirt_ioeventfd_config *config,
                              struct nestvirt_error **ret_error)
{
    if (table.ioeventfd_add)
        return table.ioeventfd_add(vm, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_irq_add(struct nestvirt_vm *vm, uint32_t pin, uint32_t flags,
                        struct nestvirt_error **ret_error)
{
    if (table.irq_add)
        return table.irq_add(vm, pin, flags, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_irq_set(struct nestvirt_vm *vm, uint32_t pin, uint32_t level,
                        struct nestvirt_error **ret_error)
{
    if (table.irq_set)
        return table.irq_set(vm, pin, level, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_irqfd_add(struct nestvirt_vm *vm, uint32_t pin, int fd,
                          struct nestvirt_error **ret_error)
{
    if (table.irqfd_add)
        return table.irqfd_add(vm, pin, fd, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_msi_send(struct nestvirt_vm *vm, uint64_t address, uint32_t data,
                         struct nestvirt_error **ret_error)
{
    if (table.msi_send)
        return table.msi_send(vm, address, data, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_ksm_settings_init(struct nestvirt_ksm_settings *settings, size_t caller_size)
{
    if (table.ksm_settings_init)
        table.ksm_settings_init(settings, caller_size);
    else
        zero(settings, caller_size);
}

int go_nestvirt_ksm_get_settings(struct nestvirt_ksm_settings *settings,
                                 struct nestvirt_error **ret_error)
{
    if (table.ksm_get_settings)
        return table.ksm_get_settings(settings, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_ksm_stats_init(struct nestvirt_ksm_stats *stats, size_t caller_size)
{
    if (table.ksm_stats_init)
        table.ksm_stats_init(stats, caller_size);
    else
        zero(stats, caller_size);
}

int go_nestvirt_ksm_get_stats(struct nestvirt_ksm_stats *stats, struct nestvirt_error **ret_error)
{
    if (table.ksm_get_stats)
        return table.ksm_get_stats(stats, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_ksm_set_settings(const struct nestvirt_ksm_settings *settings, const char *record,
                                 struct nestvirt_ksm_token **ret_token,
                                 struct nestvirt_error **ret_error)
{
    if (table.ksm_set_settings)
        return table.ksm_set_settings(settings, record, ret_token, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_ksm_token_free(struct nestvirt_ksm_token *token)
{
    if (table.ksm_token_free)
        return table.ksm_token_free(token);
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_ksm_remove_record(const char *record, struct nestvirt_error **ret_error)
{
    if (table.ksm_remove_record)
        return table.ksm_remove_record(record, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_memory_config_init(struct nestvirt_memory_config *config, size_t caller_size)
{
    if (table.memory_config_init)
        table.memory_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_memory_add(struct nestvirt_vm *vm, const struct nestvirt_memory_config *config,
                           struct nestvirt_error **ret_error)
{
    if (table.memory_add)
        return table.memory_add(vm, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_remove(struct nestvirt_vm *vm, uint32_t region,
                              struct nestvirt_error **ret_error)
{
    if (table.memory_remove)
        return table.memory_remove(vm, region, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_get(struct nestvirt_vm *vm, uint32_t region,
                           struct nestvirt_memory_config *config, struct nestvirt_error **ret_error)
{
    if (table.memory_get)
        return table.memory_get(vm, region, config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_read(struct nestvirt_vm *vm, uint64_t address, void *buffer, size_t length,
                            struct nestvirt_error **ret_error)
{
    if (table.memory_read)
        return table.memory_read(vm, address, buffer, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_write(struct nestvirt_vm *vm, uint64_t address, const void *buffer,
                             size_t length, struct nestvirt_error **ret_error)
{
    if (table.memory_write)
        return table.memory_write(vm, address, buffer, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_get_pointer(struct nestvirt_vm *vm, uint64_t address, size_t length,
                                   void **ret_pointer, struct nestvirt_error **ret_error)
{
    if (table.memory_get_pointer)
        return table.memory_get_pointer(vm, address, length, ret_pointer, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_set_numa(struct nestvirt_vm *vm, uint32_t region, uint32_t policy,
                                const char *nodes, uint32_t flags,
                                struct nestvirt_error **ret_error)
{
    if (table.memory_set_numa)
        return table.memory_set_numa(vm, region, policy, nodes, flags, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_memory_placement_init(struct nestvirt_memory_placement *placement,
                                       size_t caller_size)
{
    if (table.memory_placement_init)
        table.memory_placement_init(placement, caller_size);
    else
        zero(placement, caller_size);
}

int go_nestvirt_memory_get_placement(struct nestvirt_vm *vm, uint32_t region,
                                     struct nestvirt_memory_placement *placement, uint64_t *pages,
                                     uint32_t count, struct nestvirt_error **ret_error)
{
    if (table.memory_get_placement)
        return table.memory_get_placement(vm, region, placement, pages, count, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_memory_set_mergeable(struct nestvirt_vm *vm, uint32_t region, uint32_t on,
                                     struct nestvirt_error **ret_error)
{
    if (table.memory_set_mergeable)
        return table.memory_set_mergeable(vm, region, on, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_memory_ksm_init(struct nestvirt_memory_ksm *ksm, size_t caller_size)
{
    if (table.memory_ksm_init)
        table.memory_ksm_init(ksm, caller_size);
    else
        zero(ksm, caller_size);
}

int go_nestvirt_memory_get_ksm(struct nestvirt_vm *vm, uint32_t region,
                               struct nestvirt_memory_ksm *ksm, struct nestvirt_error **ret_error)
{
    if (table.memory_get_ksm)
        return table.memory_get_ksm(vm, region, ksm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_numa_config_init(struct nestvirt_numa_config *config, size_t caller_size)
{
    if (table.numa_config_init)
        table.numa_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_numa_new(const struct nestvirt_numa_config *config, struct nestvirt_numa **ret_numa,
                         struct nestvirt_error **ret_error)
{
    if (table.numa_new)
        return table.numa_new(config, ret_numa, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_numa_free(struct nestvirt_numa *numa)
{
    if (table.numa_free)
        return table.numa_free(numa);
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_numa_node_init(struct nestvirt_numa_node *node, size_t caller_size)
{
    if (table.numa_node_init)
        table.numa_node_init(node, caller_size);
    else
        zero(node, caller_size);
}

int go_nestvirt_numa_get_node(const struct nestvirt_numa *numa, uint32_t position,
                              struct nestvirt_numa_node *node, struct nestvirt_error **ret_error)
{
    if (table.numa_get_node)
        return table.numa_get_node(numa, position, node, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_numa_get_cpus(const struct nestvirt_numa *numa, uint32_t node, uint32_t allowed,
                              char *buffer, size_t size, struct nestvirt_error **ret_error)
{
    if (table.numa_get_cpus)
        return table.numa_get_cpus(numa, node, allowed, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_numa_get_distance(const struct nestvirt_numa *numa, uint32_t from, uint32_t to,
                                  struct nestvirt_error **ret_error)
{
    if (table.numa_get_distance)
        return table.numa_get_distance(numa, from, to, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_numa_pool_init(struct nestvirt_numa_pool *pool, size_t caller_size)
{
    if (table.numa_pool_init)
        table.numa_pool_init(pool, caller_size);
    else
        zero(pool, caller_size);
}

int go_nestvirt_numa_get_pool(const struct nestvirt_numa *numa, uint32_t node, uint32_t position,
                              struct nestvirt_numa_pool *pool, struct nestvirt_error **ret_error)
{
    if (table.numa_get_pool)
        return table.numa_get_pool(numa, node, position, pool, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_numa_need_init(struct nestvirt_numa_need *need, size_t caller_size)
{
    if (table.numa_need_init)
        table.numa_need_init(need, caller_size);
    else
        zero(need, caller_size);
}

int go_nestvirt_numa_get_place(const struct nestvirt_numa *numa,
                               const struct nestvirt_numa_need *need,
                               struct nestvirt_error **ret_error)
{
    if (table.numa_get_place)
        return table.numa_get_place(numa, need, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_numa_add_guest_node(struct nestvirt_vm *vm, const char *vcpus,
                                    struct nestvirt_error **ret_error)
{
    if (table.numa_add_guest_node)
        return table.numa_add_guest_node(vm, vcpus, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_numa_set_guest_distance(struct nestvirt_vm *vm, uint32_t from, uint32_t to,
                                        uint32_t distance, struct nestvirt_error **ret_error)
{
    if (table.numa_set_guest_distance)
        return table.numa_set_guest_distance(vm, from, to, distance, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_observer_config_init(struct nestvirt_observer_config *config, size_t caller_size)
{
    if (table.observer_config_init)
        table.observer_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_observer_new(const struct nestvirt_observer_config *config,
                             struct nestvirt_observer **ret_observer,
                             struct nestvirt_error **ret_error)
{
    if (table.observer_new)
        return table.observer_new(config, ret_observer, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_free(struct nestvirt_observer *observer)
{
    if (table.observer_free)
        return table.observer_free(observer);
    return NESTVIRT_GO_MISSING;
}

const char *go_nestvirt_observer_get_reason(const struct nestvirt_observer *observer)
{
    if (table.observer_get_reason)
        return table.observer_get_reason(observer);
    return NULL;
}

int go_nestvirt_observer_add(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                             uint32_t kinds, struct nestvirt_error **ret_error)
{
    if (table.observer_add)
        return table.observer_add(observer, vm, kinds, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_add_thread(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                    int32_t tid, struct nestvirt_error **ret_error)
{
    if (table.observer_add_thread)
        return table.observer_add_thread(observer, vm, tid, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_remove(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                struct nestvirt_error **ret_error)
{
    if (table.observer_remove)
        return table.observer_remove(observer, vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_start(struct nestvirt_observer *observer,
                               struct nestvirt_error **ret_error)
{
    if (table.observer_start)
        return table.observer_start(observer, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_waits_init(struct nestvirt_waits *waits, size_t caller_size)
{
    if (table.waits_init)
        table.waits_init(waits, caller_size);
    else
        zero(waits, caller_size);
}

uint64_t go_nestvirt_waits_get_limit(uint32_t bucket)
{
    if (table.waits_get_limit)
        return table.waits_get_limit(bucket);
    return 0;
}

int go_nestvirt_observer_read(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                              struct nestvirt_waits *waits, uint64_t *counts, uint64_t *times_ns,
                              uint32_t buckets, struct nestvirt_error **ret_error)
{
    if (table.observer_read)
        return table.observer_read(observer, vm, waits, counts, times_ns, buckets, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_waits_get_percentile(const struct nestvirt_waits *waits, const uint64_t *numbers,
                                     uint32_t buckets, uint32_t per_million, uint64_t *ret_ns,
                                     struct nestvirt_error **ret_error)
{
    if (table.waits_get_percentile)
        return table.waits_get_percentile(waits, numbers, buckets, per_million, ret_ns, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_get_text(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                  uint32_t weight, char *buffer, size_t size,
                                  struct nestvirt_error **ret_error)
{
    if (table.observer_get_text)
        return table.observer_get_text(observer, vm, weight, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_observer_get_json(struct nestvirt_observer *observer, struct nestvirt_vm *vm,
                                  char *buffer, size_t size, struct nestvirt_error **ret_error)
{
    if (table.observer_get_json)
        return table.observer_get_json(observer, vm, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_remove_privileges(struct nestvirt_vm *vm, struct nestvirt_error **ret_error)
{
    if (table.vm_remove_privileges)
        return table.vm_remove_privileges(vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_privilege_config_init(struct nestvirt_privilege_config *config, size_t caller_size)
{
    if (table.privilege_config_init)
        table.privilege_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_process_remove_privileges(const struct nestvirt_privilege_config *config,
                                          struct nestvirt_error **ret_error)
{
    if (table.process_remove_privileges)
        return table.process_remove_privileges(config, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_need_init(struct nestvirt_need *need, size_t caller_size)
{
    if (table.need_init)
        table.need_init(need, caller_size);
    else
        zero(need, caller_size);
}

int go_nestvirt_privilege_get_need(uint32_t position, struct nestvirt_need *need,
                                   struct nestvirt_error **ret_error)
{
    if (table.privilege_get_need)
        return table.privilege_get_need(position, need, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_report_config_init(struct nestvirt_report_config *config, size_t caller_size)
{
    if (table.report_config_init)
        table.report_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

void go_nestvirt_report_item_init(struct nestvirt_report_item *item, size_t caller_size)
{
    if (table.report_item_init)
        table.report_item_init(item, caller_size);
    else
        zero(item, caller_size);
}

int go_nestvirt_report_new(const struct nestvirt_report_config *config,
                           struct nestvirt_report **ret_report, struct nestvirt_error **ret_error)
{
    if (table.report_new)
        return table.report_new(config, ret_report, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_report_free(struct nestvirt_report *report)
{
    if (table.report_free)
        return table.report_free(report);
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_report_get_item(const struct nestvirt_report *report, uint32_t position,
                                struct nestvirt_report_item *item,
                                struct nestvirt_error **ret_error)
{
    if (table.report_get_item)
        return table.report_get_item(report, position, item, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_report_get_named(const struct nestvirt_report *report, const char *name,
                                 struct nestvirt_report_item *item,
                                 struct nestvirt_error **ret_error)
{
    if (table.report_get_named)
        return table.report_get_named(report, name, item, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

const char *go_nestvirt_report_answer_name(uint32_t answer)
{
    if (table.report_answer_name)
        return table.report_answer_name(answer);
    return NULL;
}

const char *go_nestvirt_report_group_name(uint32_t group)
{
    if (table.report_group_name)
        return table.report_group_name(group);
    return NULL;
}

void go_nestvirt_plan_config_init(struct nestvirt_plan_config *config, size_t caller_size)
{
    if (table.plan_config_init)
        table.plan_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

void go_nestvirt_plan_init(struct nestvirt_plan *plan, size_t caller_size)
{
    if (table.plan_init)
        table.plan_init(plan, caller_size);
    else
        zero(plan, caller_size);
}

int go_nestvirt_report_get_plan(const struct nestvirt_report *report,
                                const struct nestvirt_plan_config *config,
                                struct nestvirt_plan *plan, struct nestvirt_error **ret_error)
{
    if (table.report_get_plan)
        return table.report_get_plan(report, config, plan, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_template_new(struct nestvirt_vm *vm, uint32_t flags,
                             struct nestvirt_template **ret_template,
                             struct nestvirt_error **ret_error)
{
    if (table.template_new)
        return table.template_new(vm, flags, ret_template, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_template_free(struct nestvirt_template *template_handle)
{
    if (table.template_free)
        return table.template_free(template_handle);
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_template_info_init(struct nestvirt_template_info *info, size_t caller_size)
{
    if (table.template_info_init)
        table.template_info_init(info, caller_size);
    else
        zero(info, caller_size);
}

int go_nestvirt_template_get_info(const struct nestvirt_template *template_handle,
                                  struct nestvirt_template_info *info,
                                  struct nestvirt_error **ret_error)
{
    if (table.template_get_info)
        return table.template_get_info(template_handle, info, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_clone_config_init(struct nestvirt_clone_config *config, size_t caller_size)
{
    if (table.clone_config_init)
        table.clone_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_clone_new(struct nestvirt_template *template_handle,
                          const struct nestvirt_clone_config *config, struct nestvirt_vm **ret_vm,
                          struct nestvirt_error **ret_error)
{
    if (table.clone_new)
        return table.clone_new(template_handle, config, ret_vm, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_template_write(const struct nestvirt_template *template_handle,
                               const struct nestvirt_template *base, int fd,
                               struct nestvirt_error **ret_error)
{
    if (table.template_write)
        return table.template_write(template_handle, base, fd, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_template_open(struct nestvirt_host *host, int fd, uint32_t flags,
                              const struct nestvirt_template *base,
                              struct nestvirt_template **ret_template,
                              struct nestvirt_error **ret_error)
{
    if (table.template_open)
        return table.template_open(host, fd, flags, base, ret_template, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_reflink_new(int from, int to, uint32_t flags, struct nestvirt_error **ret_error)
{
    if (table.reflink_new)
        return table.reflink_new(from, to, flags, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_get_generation(struct nestvirt_vm *vm, void *buffer, size_t size,
                                  struct nestvirt_error **ret_error)
{
    if (table.vm_get_generation)
        return table.vm_get_generation(vm, buffer, size, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_regs_init(struct nestvirt_regs *regs, size_t caller_size)
{
    if (table.regs_init)
        table.regs_init(regs, caller_size);
    else
        zero(regs, caller_size);
}

void go_nestvirt_sregs_init(struct nestvirt_sregs *sregs, size_t caller_size)
{
    if (table.sregs_init)
        table.sregs_init(sregs, caller_size);
    else
        zero(sregs, caller_size);
}

int go_nestvirt_vm_get_vcpu(struct nestvirt_vm *vm, uint32_t index, struct nestvirt_vcpu **ret_vcpu,
                            struct nestvirt_error **ret_error)
{
    if (table.vm_get_vcpu)
        return table.vm_get_vcpu(vm, index, ret_vcpu, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vm_add_cpuid_mask(struct nestvirt_vm *vm, uint32_t leaf, uint32_t index,
                                  uint32_t cpu_register, uint32_t clear, uint32_t set,
                                  struct nestvirt_error **ret_error)
{
    if (table.vm_add_cpuid_mask)
        return table.vm_add_cpuid_mask(vm, leaf, index, cpu_register, clear, set, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_get_regs(struct nestvirt_vcpu *vcpu, struct nestvirt_regs *regs,
                              struct nestvirt_error **ret_error)
{
    if (table.vcpu_get_regs)
        return table.vcpu_get_regs(vcpu, regs, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_set_regs(struct nestvirt_vcpu *vcpu, const struct nestvirt_regs *regs,
                              struct nestvirt_error **ret_error)
{
    if (table.vcpu_set_regs)
        return table.vcpu_set_regs(vcpu, regs, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_get_sregs(struct nestvirt_vcpu *vcpu, struct nestvirt_sregs *sregs,
                               struct nestvirt_error **ret_error)
{
    if (table.vcpu_get_sregs)
        return table.vcpu_get_sregs(vcpu, sregs, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_set_sregs(struct nestvirt_vcpu *vcpu, const struct nestvirt_sregs *sregs,
                               struct nestvirt_error **ret_error)
{
    if (table.vcpu_set_sregs)
        return table.vcpu_set_sregs(vcpu, sregs, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_get_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t *ret_value,
                             struct nestvirt_error **ret_error)
{
    if (table.vcpu_get_msr)
        return table.vcpu_get_msr(vcpu, index, ret_value, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_set_msr(struct nestvirt_vcpu *vcpu, uint32_t index, uint64_t value,
                             struct nestvirt_error **ret_error)
{
    if (table.vcpu_set_msr)
        return table.vcpu_set_msr(vcpu, index, value, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_exit_init(struct nestvirt_exit *exit, size_t caller_size)
{
    if (table.exit_init)
        table.exit_init(exit, caller_size);
    else
        zero(exit, caller_size);
}

int go_nestvirt_vcpu_run(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit,
                         struct nestvirt_error **ret_error)
{
    if (table.vcpu_run)
        return table.vcpu_run(vcpu, exit, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_cancel(struct nestvirt_vcpu *vcpu, struct nestvirt_error **ret_error)
{
    if (table.vcpu_cancel)
        return table.vcpu_cancel(vcpu, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_inject_exception(struct nestvirt_vcpu *vcpu, uint32_t vector,
                                      uint32_t has_error_code, uint32_t error_code,
                                      struct nestvirt_error **ret_error)
{
    if (table.vcpu_inject_exception)
        return table.vcpu_inject_exception(vcpu, vector, has_error_code, error_code, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_vcpu_skip(struct nestvirt_vcpu *vcpu, uint32_t length,
                          struct nestvirt_error **ret_error)
{
    if (table.vcpu_skip)
        return table.vcpu_skip(vcpu, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

void go_nestvirt_virtio_config_init(struct nestvirt_virtio_config *config, size_t caller_size)
{
    if (table.virtio_config_init)
        table.virtio_config_init(config, caller_size);
    else
        zero(config, caller_size);
}

int go_nestvirt_virtio_add(struct nestvirt_vm *vm, const struct nestvirt_virtio_config *config,
                           void (*fn)(void *user_data, struct nestvirt_device *device,
                                      uint32_t queue),
                           void *user_data, void (*free_data)(void *user_data),
                           struct nestvirt_device **ret_device, struct nestvirt_error **ret_error)
{
    if (table.virtio_add)
        return table.virtio_add(vm, config, fn, user_data, free_data, ret_device, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_set_drop_handler(struct nestvirt_device *device,
                                        void (*fn)(void *user_data, struct nestvirt_device *device,
                                                   uint32_t queue),
                                        struct nestvirt_error **ret_error)
{
    if (table.virtio_set_drop_handler)
        return table.virtio_set_drop_handler(device, fn, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_set_config_handler(struct nestvirt_device *device,
                                          void (*fn)(void *user_data,
                                                     struct nestvirt_device *device,
                                                     uint32_t offset, uint32_t length),
                                          struct nestvirt_error **ret_error)
{
    if (table.virtio_set_config_handler)
        return table.virtio_set_config_handler(device, fn, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_next_chain(struct nestvirt_device *device, uint32_t queue,
                                  struct nestvirt_chain **ret_chain,
                                  struct nestvirt_error **ret_error)
{
    if (table.virtio_next_chain)
        return table.virtio_next_chain(device, queue, ret_chain, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_chain_get_size(struct nestvirt_chain *chain, uint64_t *ret_readable,
                               uint64_t *ret_writable, struct nestvirt_error **ret_error)
{
    if (table.chain_get_size)
        return table.chain_get_size(chain, ret_readable, ret_writable, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_chain_read(struct nestvirt_chain *chain, void *buffer, size_t length,
                           struct nestvirt_error **ret_error)
{
    if (table.chain_read)
        return table.chain_read(chain, buffer, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_chain_write(struct nestvirt_chain *chain, const void *buffer, size_t length,
                            struct nestvirt_error **ret_error)
{
    if (table.chain_write)
        return table.chain_write(chain, buffer, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_chain_complete(struct nestvirt_chain *chain, struct nestvirt_error **ret_error)
{
    if (table.chain_complete)
        return table.chain_complete(chain, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_get_features(struct nestvirt_device *device, uint64_t *ret_features,
                                    struct nestvirt_error **ret_error)
{
    if (table.virtio_get_features)
        return table.virtio_get_features(device, ret_features, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_get_config(struct nestvirt_device *device, uint32_t offset, void *buffer,
                                  uint32_t length, struct nestvirt_error **ret_error)
{
    if (table.virtio_get_config)
        return table.virtio_get_config(device, offset, buffer, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_set_config(struct nestvirt_device *device, uint32_t offset,
                                  const void *bytes, uint32_t length,
                                  struct nestvirt_error **ret_error)
{
    if (table.virtio_set_config)
        return table.virtio_set_config(device, offset, bytes, length, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}

int go_nestvirt_virtio_request_reset(struct nestvirt_device *device,
                                     struct nestvirt_error **ret_error)
{
    if (table.virtio_request_reset)
        return table.virtio_request_reset(device, ret_error);
    if (ret_error)
        *ret_error = NULL;
    return NESTVIRT_GO_MISSING;
}
