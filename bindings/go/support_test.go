// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain leaves the test with status 77 where there is no KVM, as the suite's other tests do.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(roles[role]())
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		fmt.Println("SKIP: there is no /dev/kvm on this machine")
		os.Exit(77)
	}
	os.Exit(m.Run())
}

// Must ends a test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantErrno ends a test unless an error is that error number.
func wantErrno(t testing.TB, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, not %q", err, want)
	}
}

// WantParameter ends a test unless an error is EINVAL (or another number) and names the parameter.
func wantParameter(t testing.TB, err error, want syscall.Errno, parameter string) {
	t.Helper()
	wantErrno(t, err, want)
	var found *Error
	if !errors.As(err, &found) || !strings.Contains(found.Message, parameter) {
		t.Fatalf("%q does not name %q", err, parameter)
	}
}

// OpenTestHost opens a host for the time of a test.
func openTestHost(t testing.TB) *Host {
	t.Helper()
	host, err := OpenHost("")
	must(t, err)
	t.Cleanup(func() { must(t, host.Close()) })
	return host
}

// ImageFile is a guest's image as a file, for the time of a test.
func imageFile(t testing.TB, code string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guest")
	must(t, os.WriteFile(path, []byte(code), 0o600))
	return path
}

// NewTestVM makes a VM in state new with a guest and a device "exit", for the time of a test.
func newTestVM(t testing.TB, host *Host, config VMConfig, image guest) *VM {
	t.Helper()
	if config.MemorySize == 0 {
		config.MemorySize = 1 << 20
	}
	vm, err := host.NewVM(config)
	must(t, err)
	t.Cleanup(func() { must(t, vm.Close()) })
	_, err = vm.AddDevice("exit", nil)
	must(t, err)
	must(t, vm.SetFlat(imageFile(t, image.code), FlatConfig{Address: image.address, Entry: image.address,
		Mode: image.mode}))
	return vm
}

// RunTestVM builds and starts a VM.
func runTestVM(t testing.TB, vm *VM) {
	t.Helper()
	must(t, vm.Build())
	must(t, vm.Start())
}

// Seconds is a context that ends a test which hangs.
func seconds(t testing.TB, count int) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(count)*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// WantResult waits for a VM's end.
func wantResult(t testing.TB, vm *VM, reason ResultReason) Result {
	t.Helper()
	result, err := vm.Wait(seconds(t, 30))
	must(t, err)
	if result.Reason != reason {
		t.Fatalf("ended by %v, not %v", result, reason)
	}
	return result
}

// WantState ends a test unless the VM is in a state.
func wantState(t testing.TB, vm *VM, want State) {
	t.Helper()
	state, err := vm.State()
	must(t, err)
	if state != want {
		t.Fatalf("state %v, not %v", state, want)
	}
}

// Eventually waits until something is so.
func eventually(t testing.TB, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !isSo(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 30 seconds", what)
		}
	}
}

// A census is what a process has that may leak.
type census struct {
	goroutines int
	threads    int // but those of Go, which keeps them for later, and of the kernel for KVM
	files      int
	callbacks  int64
}

func takeCensus(t testing.TB) census {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return census{runtime.NumGoroutine(), len(threadNames(t)), len(files), callbacksHeld.Load()}
}

// IsWithin tells whether there is nothing more than before; what was about to end then may be gone.
func (c census) isWithin(before census) bool {
	return c.goroutines <= before.goroutines && c.threads <= before.threads && c.files <= before.files &&
		c.callbacks <= before.callbacks
}

// ThreadNames are those of the threads that have another name than the program. Those of the library block signals; a
// thread of Go blocks none, and may have the name of a vCPU's, on which it was made.
func threadNames(t testing.TB) []string {
	t.Helper()
	threads, err := threadStatus()
	must(t, err)
	own := threads[strconv.Itoa(os.Getpid())]["Name"]
	var names []string
	for _, thread := range threads {
		name, blocked := thread["Name"], strings.Trim(thread["SigBlk"], "0")
		if name != own && blocked != "" && !strings.HasPrefix(name, "kvm-") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// WantCensus ends a test unless nothing of what it made is left.
func wantCensus(t testing.TB, before census) {
	t.Helper()
	var now census
	for i := 0; i < 400; i++ {
		if now = takeCensus(t); now.isWithin(before) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	stacks := make([]byte, 64*1024)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Fatalf("%+v are left of %+v; threads %v; goroutines:\n%s", now, before, threadNames(t), stacks)
}
