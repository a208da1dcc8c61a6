// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"errors"
	"syscall"
	"time"
	"unsafe"
)

// SetCgroup puts threads of the VM into a control group that the caller has made: those there are at once, also while
// the guest runs, and those that a later build makes. Path is an absolute folder below a mounted cgroup file system;
// in version 1, call it once for each hierarchy. A group of version 2 must be of type "threaded". It returns the
// number of threads that were moved, 0 in state new.
//
// Flags say which threads, all of them without one of CgroupVCPU, CgroupLoop and CgroupWorker, and what the group must
// be able to do. Memory of a VM cannot be counted this way: the kernel charges it to the process. Any state.
func (vm *VM) SetCgroup(path string, flags CgroupFlag) (int, error) {
	if path == "" {
		return 0, invalid("path", "is empty; give it the folder of a control group")
	}
	folder, err := text("path", path)
	if err != nil {
		return 0, err
	}
	defer free(folder)
	return vm.call("nestvirt_cgroup_set", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_cgroup_set(c, folder, C.uint32_t(flags), detail)
	})
}

// Cgroups lists the paths of the groups that were set; links are resolved. Any state.
func (vm *VM) Cgroups() ([]string, error) {
	var paths []string
	for {
		path, err := grown(func(buffer []byte) (int, error) {
			return vm.call("nestvirt_cgroup_get", func(c *cVM, detail **cError) C.int {
				return C.go_nestvirt_cgroup_get(c, C.uint32_t(len(paths)),
					(*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), detail)
			})
		})
		if errors.Is(err, syscall.ENOENT) {
			return paths, nil
		}
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
}

// CgroupUsage is the CPU figures of a VM's groups, of all that run in them and below.
type CgroupUsage struct {
	Flags            CgroupUsageFlag // which fields are known
	CPUTime          time.Duration
	UserTime         time.Duration
	SystemTime       time.Duration
	Periods          uint64        // of the limit that have passed with something to run
	ThrottledPeriods uint64        // in how many the quota was used up
	Throttled        time.Duration // for how long, added up over CPUs
	Quota            time.Duration // CPU time in each period; 0: no limit
	Period           time.Duration
}

// CgroupUsage reads the CPU figures of the groups that were set; what several have is added up, the smallest limit
// counts. syscall.ENOENT if none was set, or one was removed. Any state.
func (vm *VM) CgroupUsage() (CgroupUsage, error) {
	var c C.struct_nestvirt_cgroup_usage
	C.go_nestvirt_cgroup_usage_init(&c, C.sizeof_struct_nestvirt_cgroup_usage)
	_, err := vm.call("nestvirt_cgroup_get_usage", func(vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_cgroup_get_usage(vm, &c, detail)
	})
	if err != nil {
		return CgroupUsage{}, err
	}
	return CgroupUsage{
		Flags: CgroupUsageFlag(c.flags), CPUTime: nanoseconds(c.cpu_time_ns), UserTime: nanoseconds(c.user_time_ns),
		SystemTime: nanoseconds(c.system_time_ns), Periods: uint64(c.periods),
		ThrottledPeriods: uint64(c.throttled_periods), Throttled: nanoseconds(c.throttled_ns),
		Quota: time.Duration(c.quota_us) * time.Microsecond, Period: time.Duration(c.period_us) * time.Microsecond,
	}, nil
}

// ThreadCgroups is the groups that a thread of the VM is in now, in the kernel's form (cgroups(7), /proc/PID/cgroup):
// a line for each hierarchy, "2:cpuacct:/vm1", version 2 as "0::/vm1". Any state.
func (vm *VM) ThreadCgroups(kind ThreadKind, index int) (string, error) {
	number, err := word32("index", index)
	if err != nil {
		return "", err
	}
	return grown(func(buffer []byte) (int, error) {
		return vm.call("nestvirt_cgroup_get_of_thread", func(c *cVM, detail **cError) C.int {
			return C.go_nestvirt_cgroup_get_of_thread(c, C.uint32_t(kind), number,
				(*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), detail)
		})
	})
}
