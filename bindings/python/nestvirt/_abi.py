# SPDX-License-Identifier: Apache-2.0
"""
Structures and prototypes of the library.

Made by bindings/generate/generate from include/nestvirt. Do not edit.
"""

from ctypes import (CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint8,
                    c_uint16, c_uint32, c_uint64, c_void_p)
from typing import Any, Dict, Tuple


class nestvirt_segment(Structure):
    """include/nestvirt/vcpu.h"""

    _fields_ = [
        ("base", c_uint64),
        ("limit", c_uint32),
        ("selector", c_uint16),
        ("type", c_uint8),
        ("present", c_uint8),
        ("dpl", c_uint8),
        ("db", c_uint8),
        ("s", c_uint8),
        ("l", c_uint8),
        ("g", c_uint8),
        ("avl", c_uint8),
        ("unusable", c_uint8),
        ("reserved", c_uint8),
    ]


class nestvirt_host_info(Structure):
    """include/nestvirt/host.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("api_version", c_uint32),
        ("recommended_vcpus", c_uint32),
        ("max_vcpus", c_uint32),
        ("max_memory_slots", c_uint32),
        ("vcpu_mmap_size", c_uint32),
        ("features", c_uint32),
    ]


class nestvirt_cpuid_entry(Structure):
    """include/nestvirt/host.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("leaf", c_uint32),
        ("index", c_uint32),
        ("eax", c_uint32),
        ("ebx", c_uint32),
        ("ecx", c_uint32),
        ("edx", c_uint32),
    ]


class nestvirt_exit(Structure):
    """include/nestvirt/vcpu.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("reason", c_uint32),
        ("vcpu", c_uint32),
        ("address", c_uint64),
        ("length", c_uint32),
        ("is_write", c_uint32),
        ("data", c_uint8 * 8),
        ("code", c_uint64),
        ("rip", c_uint64),
        ("instruction_length", c_uint32),
        ("reserved", c_uint32),
        ("instruction", c_uint8 * 16),
    ]


class nestvirt_vm_config(Structure):
    """include/nestvirt/vm.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("memory_size", c_uint64),
        ("memory_backing", c_uint32),
        ("vcpus", c_uint32),
        ("interrupt_chip", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
    ]


class nestvirt_vm_result(Structure):
    """include/nestvirt/vm.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("reason", c_uint32),
        ("exit_code", c_int32),
        ("vcpu", c_uint32),
        ("suberror", c_uint32),
        ("rip", c_uint64),
        ("instruction_length", c_uint32),
        ("reserved", c_uint32),
        ("instruction", c_uint8 * 16),
    ]


class nestvirt_event(Structure):
    """include/nestvirt/vm.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("kind", c_uint32),
        ("vcpu", c_uint32),
        ("time_ns", c_uint64),
        ("values", c_uint64 * 4),
    ]


class nestvirt_flat_config(Structure):
    """include/nestvirt/boot.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("address", c_uint64),
        ("entry", c_uint64),
        ("stack", c_uint64),
        ("mode", c_uint32),
        ("reserved", c_uint32),
    ]


class nestvirt_thread_config(Structure):
    """include/nestvirt/thread.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("policy", c_uint32),
        ("priority", c_int32),
        ("nice", c_int32),
        ("reserved", c_uint32),
        ("cpus", c_char_p),
    ]


class nestvirt_thread_info(Structure):
    """include/nestvirt/thread.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("kind", c_uint32),
        ("index", c_uint32),
        ("tid", c_int32),
        ("policy", c_uint32),
        ("priority", c_int32),
        ("nice", c_int32),
        ("core_cookie", c_uint64),
        ("cpu_time_ns", c_uint64),
        ("run_delay_ns", c_uint64),
        ("last_cpu", c_uint32),
        ("reserved", c_uint32),
        ("name", c_uint8 * 16),
    ]


class nestvirt_cgroup_usage(Structure):
    """include/nestvirt/cgroup.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("cpu_time_ns", c_uint64),
        ("user_time_ns", c_uint64),
        ("system_time_ns", c_uint64),
        ("periods", c_uint64),
        ("throttled_periods", c_uint64),
        ("throttled_ns", c_uint64),
        ("quota_us", c_uint64),
        ("period_us", c_uint64),
    ]


class nestvirt_device_property(Structure):
    """include/nestvirt/device.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("type", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("help", c_char_p),
    ]


class nestvirt_access(Structure):
    """include/nestvirt/device.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("space", c_uint32),
        ("vcpu", c_uint32),
        ("address", c_uint64),
        ("offset", c_uint64),
        ("length", c_uint32),
        ("is_write", c_uint32),
        ("data", c_uint8 * 8),
    ]


class nestvirt_ioeventfd_config(Structure):
    """include/nestvirt/device.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("space", c_uint32),
        ("length", c_uint32),
        ("address", c_uint64),
        ("value", c_uint64),
        ("fd", c_int32),
        ("reserved", c_uint32),
    ]


class nestvirt_ksm_settings(Structure):
    """include/nestvirt/ksm.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("run", c_uint32),
        ("pages_to_scan", c_uint32),
        ("sleep_ms", c_uint32),
        ("merge_across_nodes", c_uint32),
        ("use_zero_pages", c_uint32),
        ("max_page_sharing", c_uint32),
        ("smart_scan", c_uint32),
        ("advisor_mode", c_uint32),
        ("advisor_max_cpu", c_uint32),
        ("advisor_min_pages", c_uint32),
        ("advisor_max_pages", c_uint32),
        ("advisor_target_s", c_uint32),
    ]


class nestvirt_ksm_stats(Structure):
    """include/nestvirt/ksm.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("pages_shared", c_uint64),
        ("pages_sharing", c_uint64),
        ("pages_unshared", c_uint64),
        ("pages_volatile", c_uint64),
        ("full_scans", c_uint64),
        ("pages_scanned", c_uint64),
        ("pages_skipped", c_uint64),
        ("zero_pages", c_uint64),
        ("general_profit", c_int64),
    ]


class nestvirt_memory_config(Structure):
    """include/nestvirt/memory.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("address", c_uint64),
        ("length", c_uint64),
        ("backing", c_uint32),
        ("reserved", c_uint32),
        ("offset", c_uint64),
        ("page_size", c_uint64),
        ("fd", c_int32),
        ("huge_pages", c_uint32),
        ("numa_policy", c_uint32),
        ("guest_node", c_uint32),
        ("numa_nodes", c_char_p),
    ]


class nestvirt_memory_placement(Structure):
    """include/nestvirt/memory.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("policy", c_uint32),
        ("reserved", c_uint32),
        ("resident", c_uint64),
        ("absent", c_uint64),
        ("elsewhere", c_uint64),
    ]


class nestvirt_memory_ksm(Structure):
    """include/nestvirt/memory.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("mergeable_bytes", c_uint64),
        ("merged_bytes", c_uint64),
        ("process_merging_pages", c_uint64),
        ("process_zero_pages", c_uint64),
        ("process_rmap_items", c_uint64),
        ("process_profit", c_int64),
        ("host_run", c_uint32),
        ("reserved", c_uint32),
    ]


class nestvirt_numa_config(Structure):
    """include/nestvirt/numa.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("root", c_char_p),
    ]


class nestvirt_numa_node(Structure):
    """include/nestvirt/numa.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("node", c_uint32),
        ("cpus", c_uint32),
        ("cpus_allowed", c_uint32),
        ("pools", c_uint32),
        ("memory_total", c_uint64),
        ("memory_free", c_uint64),
        ("memory_available", c_uint64),
    ]


class nestvirt_numa_pool(Structure):
    """include/nestvirt/numa.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("page_size", c_uint64),
        ("total", c_uint64),
        ("free", c_uint64),
    ]


class nestvirt_numa_need(Structure):
    """include/nestvirt/numa.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("memory", c_uint64),
        ("page_size", c_uint64),
        ("vcpus", c_uint32),
        ("reserved", c_uint32),
    ]


class nestvirt_observer_config(Structure):
    """include/nestvirt/observe.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
    ]


class nestvirt_waits(Structure):
    """include/nestvirt/observe.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("count", c_uint64),
        ("time_ns", c_uint64),
        ("max_ns", c_uint64),
        ("lost", c_uint64),
        ("preempted", c_uint64),
        ("inferred", c_uint64),
        ("threads", c_uint32),
        ("vms", c_uint32),
    ]


class nestvirt_privilege_config(Structure):
    """include/nestvirt/privilege.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("uid", c_uint32),
        ("gid", c_uint32),
        ("group_count", c_uint32),
        ("reserved", c_uint32),
        ("groups", POINTER(c_uint32)),
    ]


class nestvirt_need(Structure):
    """include/nestvirt/privilege.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("role", c_uint32),
        ("kind", c_uint32),
        ("number", c_uint64),
        ("name", c_char_p),
        ("why", c_char_p),
    ]


class nestvirt_report_config(Structure):
    """include/nestvirt/report.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("root", c_char_p),
        ("device", c_char_p),
    ]


class nestvirt_report_item(Structure):
    """include/nestvirt/report.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("answer", c_uint32),
        ("group", c_uint32),
        ("number", c_uint64),
        ("name", c_char_p),
        ("title", c_char_p),
        ("value", c_char_p),
        ("reason", c_char_p),
        ("source", c_char_p),
        ("remedy", c_char_p),
    ]


class nestvirt_plan_config(Structure):
    """include/nestvirt/report.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("memory_size", c_uint64),
        ("vms", c_uint32),
        ("vcpus", c_uint32),
        ("devices", c_uint32),
        ("files", c_uint32),
    ]


class nestvirt_plan(Structure):
    """include/nestvirt/report.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("idle", c_uint32),
        ("touched", c_uint32),
        ("idle_vms", c_uint64),
        ("touched_vms", c_uint64),
        ("idle_memory", c_uint64),
        ("touched_memory", c_uint64),
        ("descriptors", c_uint64),
        ("mappings", c_uint64),
        ("threads", c_uint64),
        ("needed", c_uint64),
        ("available", c_uint64),
        ("idle_limit", c_char_p),
        ("touched_limit", c_char_p),
        ("unknown", c_char_p),
    ]


class nestvirt_template_info(Structure):
    """include/nestvirt/template.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("memory_size", c_uint64),
        ("data_size", c_uint64),
        ("state_size", c_uint64),
        ("vcpus", c_uint32),
        ("devices", c_uint32),
    ]


class nestvirt_clone_config(Structure):
    """include/nestvirt/template.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("name", c_char_p),
    ]


class nestvirt_regs(Structure):
    """include/nestvirt/vcpu.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("rax", c_uint64),
        ("rbx", c_uint64),
        ("rcx", c_uint64),
        ("rdx", c_uint64),
        ("rsi", c_uint64),
        ("rdi", c_uint64),
        ("rsp", c_uint64),
        ("rbp", c_uint64),
        ("r8", c_uint64),
        ("r9", c_uint64),
        ("r10", c_uint64),
        ("r11", c_uint64),
        ("r12", c_uint64),
        ("r13", c_uint64),
        ("r14", c_uint64),
        ("r15", c_uint64),
        ("rip", c_uint64),
        ("rflags", c_uint64),
    ]


class nestvirt_sregs(Structure):
    """include/nestvirt/vcpu.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("cs", nestvirt_segment),
        ("ds", nestvirt_segment),
        ("es", nestvirt_segment),
        ("fs", nestvirt_segment),
        ("gs", nestvirt_segment),
        ("ss", nestvirt_segment),
        ("tr", nestvirt_segment),
        ("ldt", nestvirt_segment),
        ("gdt_base", c_uint64),
        ("idt_base", c_uint64),
        ("gdt_limit", c_uint32),
        ("idt_limit", c_uint32),
        ("cr0", c_uint64),
        ("cr2", c_uint64),
        ("cr3", c_uint64),
        ("cr4", c_uint64),
        ("cr8", c_uint64),
        ("efer", c_uint64),
        ("apic_base", c_uint64),
    ]


class nestvirt_virtio_config(Structure):
    """include/nestvirt/virtio.h"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("device_id", c_uint32),
        ("queue_count", c_uint32),
        ("queue_size", c_uint32),
        ("config_length", c_uint32),
        ("features", c_uint64),
        ("config", c_void_p),
    ]


callback_0 = CFUNCTYPE(None, c_void_p, c_uint32, c_char_p)
callback_1 = CFUNCTYPE(None, c_void_p)
callback_2 = CFUNCTYPE(c_int32, c_void_p, POINTER(nestvirt_exit))
callback_3 = CFUNCTYPE(c_int32, c_void_p, POINTER(nestvirt_access))
callback_4 = CFUNCTYPE(None, c_void_p, c_void_p, c_uint32)
callback_5 = CFUNCTYPE(None, c_void_p, c_void_p, c_uint32, c_uint32)

# Of each function: what it returns, and what it takes.
PROTOTYPES: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {
    "nestvirt_version": (c_uint32, ()),
    "nestvirt_version_string": (c_char_p, ()),
    "nestvirt_error_get_code": (c_int, (c_void_p,)),
    "nestvirt_error_get_errno": (c_int, (c_void_p,)),
    "nestvirt_error_get_message": (c_char_p, (c_void_p,)),
    "nestvirt_error_get_object": (c_char_p, (c_void_p,)),
    "nestvirt_error_get_hint": (c_char_p, (c_void_p,)),
    "nestvirt_error_get_next": (c_void_p, (c_void_p,)),
    "nestvirt_error_free": (None, (c_void_p,)),
    "nestvirt_error_code_name": (c_char_p, (c_int,)),
    "nestvirt_error_code_text": (c_char_p, (c_int,)),
    "nestvirt_host_open": (c_int, (c_char_p, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_host_open_fd": (c_int, (c_int, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_host_free": (c_int, (c_void_p,)),
    "nestvirt_host_info_init": (None, (POINTER(nestvirt_host_info), c_size_t,)),
    "nestvirt_host_get_info": (c_int, (c_void_p, POINTER(nestvirt_host_info), POINTER(c_void_p),)),
    "nestvirt_cpuid_entry_init": (None, (POINTER(nestvirt_cpuid_entry), c_size_t,)),
    "nestvirt_host_get_cpuid": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_cpuid_entry), POINTER(c_void_p),)),
    "nestvirt_loop_new": (c_int, (POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_loop_free": (c_int, (c_void_p,)),
    "nestvirt_vm_config_init": (None, (POINTER(nestvirt_vm_config), c_size_t,)),
    "nestvirt_vm_new": (c_int, (c_void_p, POINTER(nestvirt_vm_config), POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_vm_free": (c_int, (c_void_p,)),
    "nestvirt_vm_get_state": (c_int, (c_void_p,)),
    "nestvirt_vm_state_name": (c_char_p, (c_int,)),
    "nestvirt_vm_set_loop": (c_int, (c_void_p, c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_set_log": (c_int, (c_void_p, c_uint32, callback_0, c_void_p, callback_1, POINTER(c_void_p),)),
    "nestvirt_vm_validate": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_build": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_start": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_pause": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_resume": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_request_stop": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_stop": (c_int, (c_void_p, c_int32, POINTER(c_void_p),)),
    "nestvirt_vm_result_init": (None, (POINTER(nestvirt_vm_result), c_size_t,)),
    "nestvirt_vm_wait": (c_int, (c_void_p, c_int32, POINTER(nestvirt_vm_result), POINTER(c_void_p),)),
    "nestvirt_vm_result_name": (c_char_p, (c_uint32,)),
    "nestvirt_event_init": (None, (POINTER(nestvirt_event), c_size_t,)),
    "nestvirt_vm_get_event_fd": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vm_next_event": (c_int, (c_void_p, POINTER(nestvirt_event), POINTER(c_void_p),)),
    "nestvirt_vm_set_exit_handler": (c_int, (c_void_p, callback_2, c_void_p, callback_1, POINTER(c_void_p),)),
    "nestvirt_boot_set_kernel": (c_int, (c_void_p, c_char_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_boot_set_kernel_fd": (c_int, (c_void_p, c_int, c_uint32, POINTER(c_void_p),)),
    "nestvirt_boot_set_initrd": (c_int, (c_void_p, c_char_p, POINTER(c_void_p),)),
    "nestvirt_boot_set_initrd_fd": (c_int, (c_void_p, c_int, POINTER(c_void_p),)),
    "nestvirt_boot_set_cmdline": (c_int, (c_void_p, c_char_p, POINTER(c_void_p),)),
    "nestvirt_boot_set_discovery": (c_int, (c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_flat_config_init": (None, (POINTER(nestvirt_flat_config), c_size_t,)),
    "nestvirt_boot_set_flat": (c_int, (c_void_p, c_char_p, POINTER(nestvirt_flat_config), POINTER(c_void_p),)),
    "nestvirt_boot_set_flat_fd": (c_int, (c_void_p, c_int, POINTER(nestvirt_flat_config), POINTER(c_void_p),)),
    "nestvirt_thread_config_init": (None, (POINTER(nestvirt_thread_config), c_size_t,)),
    "nestvirt_thread_set": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(nestvirt_thread_config), POINTER(c_void_p),)),
    "nestvirt_thread_info_init": (None, (POINTER(nestvirt_thread_info), c_size_t,)),
    "nestvirt_thread_get": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_thread_info), POINTER(c_void_p),)),
    "nestvirt_thread_get_cpus": (c_int, (c_void_p, c_uint32, c_uint32, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_cgroup_set": (c_int, (c_void_p, c_char_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_cgroup_get": (c_int, (c_void_p, c_uint32, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_cgroup_usage_init": (None, (POINTER(nestvirt_cgroup_usage), c_size_t,)),
    "nestvirt_cgroup_get_usage": (c_int, (c_void_p, POINTER(nestvirt_cgroup_usage), POINTER(c_void_p),)),
    "nestvirt_cgroup_get_of_thread": (c_int, (c_void_p, c_uint32, c_uint32, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_device_property_init": (None, (POINTER(nestvirt_device_property), c_size_t,)),
    "nestvirt_device_get_kind": (c_char_p, (c_uint32,)),
    "nestvirt_device_get_property": (c_int, (c_char_p, c_uint32, POINTER(nestvirt_device_property), POINTER(c_void_p),)),
    "nestvirt_device_add": (c_int, (c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_device_get": (c_int, (c_void_p, c_uint32, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_device_set_u64": (c_int, (c_void_p, c_char_p, c_uint64, POINTER(c_void_p),)),
    "nestvirt_device_set_fd": (c_int, (c_void_p, c_char_p, c_int, POINTER(c_void_p),)),
    "nestvirt_device_set_string": (c_int, (c_void_p, c_char_p, c_char_p, POINTER(c_void_p),)),
    "nestvirt_device_get_u64": (c_int, (c_void_p, c_char_p, POINTER(c_uint64), POINTER(c_void_p),)),
    "nestvirt_handler_add": (c_int, (c_void_p, c_uint32, c_uint64, c_uint64, callback_3, c_void_p, callback_1, POINTER(c_void_p),)),
    "nestvirt_handler_remove": (c_int, (c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_ioeventfd_config_init": (None, (POINTER(nestvirt_ioeventfd_config), c_size_t,)),
    "nestvirt_ioeventfd_add": (c_int, (c_void_p, POINTER(nestvirt_ioeventfd_config), POINTER(c_void_p),)),
    "nestvirt_irq_add": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_irq_set": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_irqfd_add": (c_int, (c_void_p, c_uint32, c_int, POINTER(c_void_p),)),
    "nestvirt_msi_send": (c_int, (c_void_p, c_uint64, c_uint32, POINTER(c_void_p),)),
    "nestvirt_ksm_settings_init": (None, (POINTER(nestvirt_ksm_settings), c_size_t,)),
    "nestvirt_ksm_get_settings": (c_int, (POINTER(nestvirt_ksm_settings), POINTER(c_void_p),)),
    "nestvirt_ksm_stats_init": (None, (POINTER(nestvirt_ksm_stats), c_size_t,)),
    "nestvirt_ksm_get_stats": (c_int, (POINTER(nestvirt_ksm_stats), POINTER(c_void_p),)),
    "nestvirt_ksm_set_settings": (c_int, (POINTER(nestvirt_ksm_settings), c_char_p, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_ksm_token_free": (c_int, (c_void_p,)),
    "nestvirt_ksm_remove_record": (c_int, (c_char_p, POINTER(c_void_p),)),
    "nestvirt_memory_config_init": (None, (POINTER(nestvirt_memory_config), c_size_t,)),
    "nestvirt_memory_add": (c_int, (c_void_p, POINTER(nestvirt_memory_config), POINTER(c_void_p),)),
    "nestvirt_memory_remove": (c_int, (c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_memory_get": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_memory_config), POINTER(c_void_p),)),
    "nestvirt_memory_read": (c_int, (c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_memory_write": (c_int, (c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_memory_get_pointer": (c_int, (c_void_p, c_uint64, c_size_t, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_memory_set_numa": (c_int, (c_void_p, c_uint32, c_uint32, c_char_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_memory_placement_init": (None, (POINTER(nestvirt_memory_placement), c_size_t,)),
    "nestvirt_memory_get_placement": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_memory_placement), POINTER(c_uint64), c_uint32, POINTER(c_void_p),)),
    "nestvirt_memory_set_mergeable": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_memory_ksm_init": (None, (POINTER(nestvirt_memory_ksm), c_size_t,)),
    "nestvirt_memory_get_ksm": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_memory_ksm), POINTER(c_void_p),)),
    "nestvirt_numa_config_init": (None, (POINTER(nestvirt_numa_config), c_size_t,)),
    "nestvirt_numa_new": (c_int, (POINTER(nestvirt_numa_config), POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_numa_free": (c_int, (c_void_p,)),
    "nestvirt_numa_node_init": (None, (POINTER(nestvirt_numa_node), c_size_t,)),
    "nestvirt_numa_get_node": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_numa_node), POINTER(c_void_p),)),
    "nestvirt_numa_get_cpus": (c_int, (c_void_p, c_uint32, c_uint32, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_numa_get_distance": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_numa_pool_init": (None, (POINTER(nestvirt_numa_pool), c_size_t,)),
    "nestvirt_numa_get_pool": (c_int, (c_void_p, c_uint32, c_uint32, POINTER(nestvirt_numa_pool), POINTER(c_void_p),)),
    "nestvirt_numa_need_init": (None, (POINTER(nestvirt_numa_need), c_size_t,)),
    "nestvirt_numa_get_place": (c_int, (c_void_p, POINTER(nestvirt_numa_need), POINTER(c_void_p),)),
    "nestvirt_numa_add_guest_node": (c_int, (c_void_p, c_char_p, POINTER(c_void_p),)),
    "nestvirt_numa_set_guest_distance": (c_int, (c_void_p, c_uint32, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_observer_config_init": (None, (POINTER(nestvirt_observer_config), c_size_t,)),
    "nestvirt_observer_new": (c_int, (POINTER(nestvirt_observer_config), POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_observer_free": (c_int, (c_void_p,)),
    "nestvirt_observer_get_reason": (c_char_p, (c_void_p,)),
    "nestvirt_observer_add": (c_int, (c_void_p, c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_observer_add_thread": (c_int, (c_void_p, c_void_p, c_int32, POINTER(c_void_p),)),
    "nestvirt_observer_remove": (c_int, (c_void_p, c_void_p, POINTER(c_void_p),)),
    "nestvirt_observer_start": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_waits_init": (None, (POINTER(nestvirt_waits), c_size_t,)),
    "nestvirt_waits_get_limit": (c_uint64, (c_uint32,)),
    "nestvirt_observer_read": (c_int, (c_void_p, c_void_p, POINTER(nestvirt_waits), POINTER(c_uint64), POINTER(c_uint64), c_uint32, POINTER(c_void_p),)),
    "nestvirt_waits_get_percentile": (c_int, (POINTER(nestvirt_waits), POINTER(c_uint64), c_uint32, c_uint32, POINTER(c_uint64), POINTER(c_void_p),)),
    "nestvirt_observer_get_text": (c_int, (c_void_p, c_void_p, c_uint32, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_observer_get_json": (c_int, (c_void_p, c_void_p, c_char_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_vm_remove_privileges": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_privilege_config_init": (None, (POINTER(nestvirt_privilege_config), c_size_t,)),
    "nestvirt_process_remove_privileges": (c_int, (POINTER(nestvirt_privilege_config), POINTER(c_void_p),)),
    "nestvirt_need_init": (None, (POINTER(nestvirt_need), c_size_t,)),
    "nestvirt_privilege_get_need": (c_int, (c_uint32, POINTER(nestvirt_need), POINTER(c_void_p),)),
    "nestvirt_report_config_init": (None, (POINTER(nestvirt_report_config), c_size_t,)),
    "nestvirt_report_item_init": (None, (POINTER(nestvirt_report_item), c_size_t,)),
    "nestvirt_report_new": (c_int, (POINTER(nestvirt_report_config), POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_report_free": (c_int, (c_void_p,)),
    "nestvirt_report_get_item": (c_int, (c_void_p, c_uint32, POINTER(nestvirt_report_item), POINTER(c_void_p),)),
    "nestvirt_report_get_named": (c_int, (c_void_p, c_char_p, POINTER(nestvirt_report_item), POINTER(c_void_p),)),
    "nestvirt_report_answer_name": (c_char_p, (c_uint32,)),
    "nestvirt_report_group_name": (c_char_p, (c_uint32,)),
    "nestvirt_plan_config_init": (None, (POINTER(nestvirt_plan_config), c_size_t,)),
    "nestvirt_plan_init": (None, (POINTER(nestvirt_plan), c_size_t,)),
    "nestvirt_report_get_plan": (c_int, (c_void_p, POINTER(nestvirt_plan_config), POINTER(nestvirt_plan), POINTER(c_void_p),)),
    "nestvirt_template_new": (c_int, (c_void_p, c_uint32, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_template_free": (c_int, (c_void_p,)),
    "nestvirt_template_info_init": (None, (POINTER(nestvirt_template_info), c_size_t,)),
    "nestvirt_template_get_info": (c_int, (c_void_p, POINTER(nestvirt_template_info), POINTER(c_void_p),)),
    "nestvirt_clone_config_init": (None, (POINTER(nestvirt_clone_config), c_size_t,)),
    "nestvirt_clone_new": (c_int, (c_void_p, POINTER(nestvirt_clone_config), POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_template_write": (c_int, (c_void_p, c_void_p, c_int, POINTER(c_void_p),)),
    "nestvirt_template_open": (c_int, (c_void_p, c_int, c_uint32, c_void_p, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_reflink_new": (c_int, (c_int, c_int, c_uint32, POINTER(c_void_p),)),
    "nestvirt_vm_get_generation": (c_int, (c_void_p, c_void_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_regs_init": (None, (POINTER(nestvirt_regs), c_size_t,)),
    "nestvirt_sregs_init": (None, (POINTER(nestvirt_sregs), c_size_t,)),
    "nestvirt_vm_get_vcpu": (c_int, (c_void_p, c_uint32, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_vm_add_cpuid_mask": (c_int, (c_void_p, c_uint32, c_uint32, c_uint32, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_vcpu_get_regs": (c_int, (c_void_p, POINTER(nestvirt_regs), POINTER(c_void_p),)),
    "nestvirt_vcpu_set_regs": (c_int, (c_void_p, POINTER(nestvirt_regs), POINTER(c_void_p),)),
    "nestvirt_vcpu_get_sregs": (c_int, (c_void_p, POINTER(nestvirt_sregs), POINTER(c_void_p),)),
    "nestvirt_vcpu_set_sregs": (c_int, (c_void_p, POINTER(nestvirt_sregs), POINTER(c_void_p),)),
    "nestvirt_vcpu_get_msr": (c_int, (c_void_p, c_uint32, POINTER(c_uint64), POINTER(c_void_p),)),
    "nestvirt_vcpu_set_msr": (c_int, (c_void_p, c_uint32, c_uint64, POINTER(c_void_p),)),
    "nestvirt_exit_init": (None, (POINTER(nestvirt_exit), c_size_t,)),
    "nestvirt_vcpu_run": (c_int, (c_void_p, POINTER(nestvirt_exit), POINTER(c_void_p),)),
    "nestvirt_vcpu_cancel": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_vcpu_inject_exception": (c_int, (c_void_p, c_uint32, c_uint32, c_uint32, POINTER(c_void_p),)),
    "nestvirt_vcpu_skip": (c_int, (c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_virtio_config_init": (None, (POINTER(nestvirt_virtio_config), c_size_t,)),
    "nestvirt_virtio_add": (c_int, (c_void_p, POINTER(nestvirt_virtio_config), callback_4, c_void_p, callback_1, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_virtio_set_drop_handler": (c_int, (c_void_p, callback_4, POINTER(c_void_p),)),
    "nestvirt_virtio_set_config_handler": (c_int, (c_void_p, callback_5, POINTER(c_void_p),)),
    "nestvirt_virtio_next_chain": (c_int, (c_void_p, c_uint32, POINTER(c_void_p), POINTER(c_void_p),)),
    "nestvirt_chain_get_size": (c_int, (c_void_p, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_void_p),)),
    "nestvirt_chain_read": (c_int, (c_void_p, c_void_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_chain_write": (c_int, (c_void_p, c_void_p, c_size_t, POINTER(c_void_p),)),
    "nestvirt_chain_complete": (c_int, (c_void_p, POINTER(c_void_p),)),
    "nestvirt_virtio_get_features": (c_int, (c_void_p, POINTER(c_uint64), POINTER(c_void_p),)),
    "nestvirt_virtio_get_config": (c_int, (c_void_p, c_uint32, c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_virtio_set_config": (c_int, (c_void_p, c_uint32, c_void_p, c_uint32, POINTER(c_void_p),)),
    "nestvirt_virtio_request_reset": (c_int, (c_void_p, POINTER(c_void_p),)),
}
