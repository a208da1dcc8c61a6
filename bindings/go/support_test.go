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
	"strings"
	"syscall"
	"testing"
	"time"
)

// A guest is a flat image, where it goes and how it is entered.
type guest struct {
	code    string
	address uint64
	mode    Mode
}

// The bare guests; tests/kvm/guests.S has their sources.
var (
	// mov $0x501,%dx; mov $7,%al; out %al,%dx; hlt
	guestExit = guest{"\xba\x01\x05\xb0\x07\xee\xf4", 0x1000, ModeReal}
	// xor %ax,%ax; mov %ax,%ds; 1: incl 0x3000; jmp 1b
	guestSpin = guest{"\x31\xc0\x8e\xd8\x66\xff\x06\x00\x30\xeb\xf9", 0x1000, ModeReal}
	// sti; 1: hlt; jmp 1b
	guestHalt = guest{"\xfb\xf4\xeb\xfd", 0x1000, ModeReal}
	// ud2, without an interrupt table
	guestTripleFault = guest{"\x0f\x0b", 0x10000, ModeProtected}
	// mov $0xfe,%al; out %al,$0x64; 1: jmp 1b
	guestReset = guest{"\xb0\xfe\xe6\x64\xeb\xfe", 0x1000, ModeReal}
	// mov $0x600,%dx; mov $0x34,%al; out %al,%dx; 1: jmp 1b
	guestPowerOff = guest{"\xba\x00\x06\xb0\x34\xee\xeb\xfe", 0x1000, ModeReal}
	// mov $0x999,%dx; in %dx,%al; mov $0x501,%dx; out %al,%dx; hlt
	guestUnclaimed = guest{"\xba\x99\x09\xec\xba\x01\x05\xee\xf4", 0x1000, ModeReal}
	// 1: mov $0x3fd,%dx; in %dx,%al; test $1,%al; jz 1b; mov $0x3f8,%dx; in %dx,%al; out %al,%dx; cmp $'q',%al;
	// jne 1b; mov $0x501,%dx; mov $4,%al; out %al,%dx; hlt
	guestEcho = guest{"\xba\xfd\x03\xec\xa8\x01\x74\xf8\xba\xf8\x03\xec\xee\x3c\x71\x75\xef\xba\x01\x05\xb0\x04\xee\xf4",
		0x1000, ModeReal}
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

// RoleVariable makes a test program do one of the roles below instead: some tests need a process of their own.
const roleVariable = "NESTVIRT_TEST_ROLE"

var roles = map[string]func() int{}

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
}

func takeCensus(t testing.TB) census {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return census{runtime.NumGoroutine(), len(threadNames(t)), len(files)}
}

// ThreadNames are those of the threads that have another name than the program.
func threadNames(t testing.TB) []string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	var names []string
	for _, task := range tasks {
		name, err := os.ReadFile("/proc/self/task/" + task.Name() + "/comm")
		if err == nil && string(name) != string(own) && !strings.HasPrefix(string(name), "kvm-") {
			names = append(names, strings.TrimSpace(string(name)))
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
		if now = takeCensus(t); now == before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	stacks := make([]byte, 64*1024)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Fatalf("%+v are left of %+v; threads %v; goroutines:\n%s", now, before, threadNames(t), stacks)
}
