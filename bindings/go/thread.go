// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"bytes"
	"errors"
	"math"
	"syscall"
	"time"
	"unsafe"
)

// ThreadConfig is where and how urgently threads run. What is left out stays as it is.
type ThreadConfig struct {
	CPUs     string      // "0-3,8", as taskset and numactl take it
	Policy   SchedPolicy // see sched(7)
	Priority int         // of SchedFIFO and SchedRR, 1 to 99
	Nice     int         // -20 (most urgent) to 19, with ThreadSetNice
	Flags    ThreadFlag
}

// SetThreads sets where and how urgently the library's threads of the VM run: those that there are at once, also while
// the guest runs, and those that a later build makes. Index is the thread's, or ThreadEvery for all of the kind. It
// returns the number of threads that were changed, 0 in state new.
//
// All is read back from the kernel, which silently leaves out CPUs that are absent or not allowed: here that is an
// error. When one thread cannot be set, all are put back as they were. Any state.
func (vm *VM) SetThreads(kind ThreadKind, index int, config ThreadConfig) (int, error) {
	number, err := word32("index", index)
	if err != nil {
		return 0, err
	}
	cpus, err := text("ThreadConfig.CPUs", config.CPUs)
	if err != nil {
		return 0, err
	}
	defer free(cpus)
	var c C.struct_nestvirt_thread_config
	C.go_nestvirt_thread_config_init(&c, C.sizeof_struct_nestvirt_thread_config)
	c.flags, c.policy, c.cpus = C.uint32_t(config.Flags), C.uint32_t(config.Policy), cpus
	if c.priority, err = signed32("ThreadConfig.Priority", config.Priority); err != nil {
		return 0, err
	}
	if c.nice, err = signed32("ThreadConfig.Nice", config.Nice); err != nil {
		return 0, err
	}
	return vm.call("nestvirt_thread_set", func(vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_thread_set(vm, C.uint32_t(kind), number, &c, detail)
	})
}

func signed32(parameter string, value int) (C.int32_t, error) {
	if value < math.MinInt32 || value > math.MaxInt32 {
		return 0, invalid(parameter, "is %d, which does not fit into 32 bits", value)
	}
	return C.int32_t(value), nil
}

// Thread is a thread of a VM as the kernel sees it.
type Thread struct {
	Kind       ThreadKind
	Index      int            // within its kind
	TID        int            // its id, as in /proc/self/task
	Name       string         // as ps and top show it
	Flags      ThreadInfoFlag // which of the fields below are known
	Policy     SchedPolicy
	Priority   int           // of SchedFIFO and SchedRR
	Nice       int           // -20 to 19
	CoreCookie uint64        // equal for threads that may share a core; 0: none
	CPUTime    time.Duration // on a CPU since the thread began
	RunDelay   time.Duration // ready to run, and waiting for a CPU
	LastCPU    int           // where it runs, or ran last
}

// Threads lists the library's threads of the VM: vCPUs, the loop, workers. Any state; none in state new.
func (vm *VM) Threads() ([]Thread, error) {
	var threads []Thread
	for {
		var c C.struct_nestvirt_thread_info
		C.go_nestvirt_thread_info_init(&c, C.sizeof_struct_nestvirt_thread_info)
		_, err := vm.call("nestvirt_thread_get", func(vm *cVM, detail **cError) C.int {
			return C.go_nestvirt_thread_get(vm, C.uint32_t(len(threads)), &c, detail)
		})
		if errors.Is(err, syscall.ENOENT) {
			return threads, nil
		}
		if err != nil {
			return nil, err
		}
		threads = append(threads, Thread{
			Kind: ThreadKind(c.kind), Index: int(c.index), TID: int(c.tid), Name: threadName(&c),
			Flags: ThreadInfoFlag(c.flags), Policy: SchedPolicy(c.policy), Priority: int(c.priority), Nice: int(c.nice),
			CoreCookie: uint64(c.core_cookie), CPUTime: nanoseconds(c.cpu_time_ns),
			RunDelay: nanoseconds(c.run_delay_ns), LastCPU: int(c.last_cpu),
		})
	}
}

func threadName(c *C.struct_nestvirt_thread_info) string {
	name := *(*[16]byte)(unsafe.Pointer(&c.name))
	if end := bytes.IndexByte(name[:], 0); end >= 0 {
		return string(name[:end])
	}
	return string(name[:])
}

// ThreadCPUs lists the CPUs that a thread may run on, read from the kernel, as "0-3,8". Any state.
func (vm *VM) ThreadCPUs(kind ThreadKind, index int) (string, error) {
	number, err := word32("index", index)
	if err != nil {
		return "", err
	}
	return grown(func(buffer []byte) (int, error) {
		return vm.call("nestvirt_thread_get_cpus", func(c *cVM, detail **cError) C.int {
			return C.go_nestvirt_thread_get_cpus(c, C.uint32_t(kind), number,
				(*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), detail)
		})
	})
}
