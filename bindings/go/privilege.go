// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include <stdlib.h>

#include "abi.h"
*/
import "C"

import (
	"errors"
	"syscall"
	"unsafe"
)

// RemovePrivileges lets every library thread of the VM give up all its capabilities and set no_new_privs. Threads of
// later starts do the same before they do anything else. The program's own threads keep theirs. State built, before
// the first start.
//
// Errors: syscall.EBUSY in another state, EALREADY the second time, ENOTSUP without libcap-ng. If a thread fails, the
// VM is failed and will not start; close it.
func (vm *VM) RemovePrivileges() error {
	_, err := vm.call("nestvirt_vm_remove_privileges", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_remove_privileges(c, detail)
	})
	return err
}

// PrivilegeConfig is what a process becomes. Its zero value changes no user or group.
type PrivilegeConfig struct {
	Flags  PrivilegeFlag // which fields count
	UID    uint32        // user: real, effective and saved
	GID    uint32        // group: real, effective and saved
	Groups []uint32      // supplementary groups; they replace what the process has
}

// RemoveProcessPrivileges gives up the privileges of the whole process: it changes groups and user in all threads,
// takes the calling thread's capabilities, and then looks at every thread for one that still has any.
//
// A Go program always has several threads, of which each has capabilities of its own. The change from root to another
// user takes them from all; without such a change the call does its part and fails with syscall.EPERM, naming a thread
// that kept one. A failure behind the first step cannot be undone; the text says so: end the process then.
//
// Call it when the VMs are built, before they start. See include/nestvirt/privilege.h for the order.
func RemoveProcessPrivileges(config PrivilegeConfig) error {
	if len(config.Groups) > PrivilegeGroupsMax {
		return invalid("PrivilegeConfig.Groups", "has %d groups; at most %d", len(config.Groups), PrivilegeGroupsMax)
	}
	if len(config.Groups) > 0 && config.Flags&PrivilegeGroups == 0 {
		return invalid("PrivilegeConfig.Groups", "is given, but Flags lacks PrivilegeGroups")
	}
	if err := load(); err != nil {
		return err
	}
	var c C.struct_nestvirt_privilege_config
	C.go_nestvirt_privilege_config_init(&c, C.sizeof_struct_nestvirt_privilege_config)
	c.flags, c.uid, c.gid = C.uint32_t(config.Flags), C.uint32_t(config.UID), C.uint32_t(config.GID)
	if count := len(config.Groups); count > 0 {
		groups := C.malloc(C.size_t(count) * C.sizeof_uint32_t)
		defer C.free(groups)
		copy(unsafe.Slice((*uint32)(groups), count), config.Groups)
		c.groups, c.group_count = (*C.uint32_t)(groups), C.uint32_t(count)
	}
	var detail *cError
	r := C.go_nestvirt_process_remove_privileges(&c, &detail)
	return check("nestvirt_process_remove_privileges", r, detail)
}

// Need is a system call, an ioctl request or a kind of descriptor that a thread needs after build.
type Need struct {
	Role   Role
	Kind   NeedKind
	Number uint64 // of the system call on this architecture, or of the request
	Name   string // "futex", "KVM_RUN", "tap"
	Why    string // for people
}

// PrivilegeNeeds lists what threads will need after build, for each role, the C library's own calls included. It is
// what a seccomp filter must allow; callbacks in Go need what Go's runtime needs in addition. It does not cover a start
// after a stop, which needs what build needs.
func PrivilegeNeeds() ([]Need, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var needs []Need
	for {
		var c C.struct_nestvirt_need
		C.go_nestvirt_need_init(&c, C.sizeof_struct_nestvirt_need)
		var detail *cError
		r := C.go_nestvirt_privilege_get_need(C.uint32_t(len(needs)), &c, &detail)
		err := check("nestvirt_privilege_get_need", r, detail)
		if errors.Is(err, syscall.ENOENT) {
			return needs, nil
		}
		if err != nil {
			return nil, err
		}
		needs = append(needs, Need{
			Role: Role(c.role), Kind: NeedKind(c.kind), Number: uint64(c.number), Name: C.GoString(c.name),
			Why: C.GoString(c.why),
		})
	}
}
