// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"nestvirt/internal/beside"
)

// LibraryPath is what load opens.
func libraryPath() string {
	if path := os.Getenv(LibraryVariable); path != "" {
		return path
	}
	return fmt.Sprintf("libnestvirt.so.%d", VersionMajor)
}

// A child without exec, which Go itself never makes, is refused by each call; the parent's VM goes on.
func TestS08ForkWithoutExec(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	runTestVM(t, vm)
	library, err := beside.Open(libraryPath())
	must(t, err)
	for i := 0; i < 3; i++ {
		found, err := library.Fork(unsafe.Pointer(vm.m.c))
		must(t, err)
		refused := -int(syscall.ECHILD)
		if found != (beside.Forked{State: refused, Start: refused, Stop: refused, Read: refused}) {
			t.Fatalf("calls in the child returned %+v", found)
		}
		wantState(t, vm, StateRunning)
		count := counter(t, vm)
		eventually(t, "the guest goes on", func() bool { return counter(t, vm) != count })
	}
	must(t, vm.Stop(seconds(t, 10)))
}

// A program that is started while a VM runs inherits nothing of it, and does not disturb it.
func TestS08Exec(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	vm.Events()
	serial, err := vm.OpenSerial(Serial{})
	must(t, err)
	defer serial.Close()
	runTestVM(t, vm)
	for i := 0; i < 10; i++ {
		output, err := exec.Command("/bin/sh", "-c", "ls -l /proc/self/fd").CombinedOutput()
		must(t, err)
		for _, word := range []string{"kvm", "eventfd", "eventpoll"} {
			if strings.Contains(string(output), word) {
				t.Fatalf("a child inherits:\n%s", output)
			}
		}
	}
	count := counter(t, vm)
	eventually(t, "the guest goes on", func() bool { return counter(t, vm) != count })
	must(t, vm.Stop(seconds(t, 10)))
}
