// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func init() {
	roles["threads"] = func() int {
		if err := blockInHandler(); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
}

// ThreadStatus is /proc/self/task/TID/status by TID and field.
func threadStatus() (map[string]map[string]string, error) {
	tasks, err := os.ReadDir("/proc/self/task")
	found := map[string]map[string]string{}
	for _, task := range tasks {
		status, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		fields := map[string]string{}
		for _, line := range strings.Split(string(status), "\n") {
			if name, value, isOne := strings.Cut(line, ":"); isOne {
				fields[name] = strings.TrimSpace(value)
			}
		}
		found[task.Name()] = fields
	}
	return found, err
}

// BlockInHandler makes Go need new threads while a handler runs on the thread of a vCPU that has a CPU of its own, and
// prints of each thread that is there after the VM how it differs from the program's first.
func blockInHandler() error {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	own := strconv.Itoa(os.Getpid())
	host, err := OpenHost("")
	if err != nil {
		return err
	}
	defer host.Close()
	before, err := threadStatus()
	if err != nil {
		return err
	}
	cpus, name := before[own]["Cpus_allowed_list"], before[own]["Name"]
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // there is room for one more
	var isPlaced atomic.Bool
	called := make(chan bool)
	var once sync.Once
	vm, err := makeSpinning(host, func(*VCPU, *Exit) Action {
		once.Do(func() {
			for !isPlaced.Load() { // without letting go of the thread, which would be taken for the next goroutine
			}
			var begun atomic.Int32
			for i := int32(1); i <= 20; i++ {
				go func() {
					begun.Add(1)
					syscall.Read(pipe[0], make([]byte, 1)) // keeps a thread
				}()
				for begun.Load() < i {
				}
			}
			called <- true
		})
		return ActionStop
	})
	if err != nil {
		return err
	}
	first := strings.FieldsFunc(cpus, func(r rune) bool { return r == ',' || r == '-' })[0]
	if _, err := vm.SetThreads(ThreadVCPU, ThreadEvery, ThreadConfig{CPUs: first}); err != nil {
		return err
	}
	isPlaced.Store(true)
	<-called
	if err := vm.Close(); err != nil {
		return err
	}
	now, err := threadStatus()
	for thread, fields := range now {
		if strings.HasPrefix(fields["Name"], "kvm-") {
			continue // the kernel's
		}
		if fields["Name"] != name || fields["Cpus_allowed_list"] != cpus {
			fmt.Printf("thread %s is named %s, not %s, and runs on CPUs %s, not %s\n",
				thread, fields["Name"], name, fields["Cpus_allowed_list"], cpus)
		}
	}
	if len(now) < len(before)+10 {
		fmt.Printf("only %d threads were made\n", len(now)-len(before))
	}
	return err
}

// Threads that Go makes while a handler runs have neither the CPUs nor the name of the vCPU's thread.
func TestProgramThreads(t *testing.T) {
	for i := 0; i < 10; i++ {
		if output, status := runRole(t, "threads"); status != 0 || output != "" {
			t.Fatalf("status %d, output %q", status, output)
		}
	}
}
