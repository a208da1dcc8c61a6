// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errOnPurpose = errors.New("on purpose")

// WantPanic waits for a VM that a panic stopped.
func wantPanic(t *testing.T, vm *VM, where string) *PanicError {
	t.Helper()
	result, err := vm.Wait(seconds(t, 30))
	var found *PanicError
	if !errors.As(err, &found) {
		t.Fatalf("%v and error %v, not a panic", result, err)
	}
	if result.Reason != ResultStopped {
		t.Errorf("ended by %v", result)
	}
	if found.Where != where || !strings.Contains(string(found.Stack), "s05_panic_test.go") {
		t.Errorf("panic in the %q, stack %s", found.Where, found.Stack)
	}
	return found
}

// A panic in each kind of callback stops its VM, and no other; the VM can be started again.
func TestS05PanicInHandler(t *testing.T) {
	host := openTestHost(t)
	other := newTestVM(t, host, VMConfig{Name: "other"}, guestSpin)
	runTestVM(t, other)
	for _, one := range []struct {
		name  string
		image guest
		where string
		set   func(vm *VM, fail func()) error
	}{
		{"port", guestPorts, "handler of port 0x700", func(vm *VM, fail func()) error {
			_, err := vm.HandlePort(0x700, 4, func(*Access) Action { fail(); return ActionResume })
			return err
		}},
		{"mmio", guestMMIO, "handler of address 0xd0000000", func(vm *VM, fail func()) error {
			_, err := vm.HandleMMIO(0xd0000000, 0x1000, func(*Access) Action { fail(); return ActionResume })
			return err
		}},
		{"exit", guestUnclaimed, "exit handler", func(vm *VM, fail func()) error {
			return vm.SetExitHandler(func(*VCPU, *Exit) Action { fail(); return ActionDefault })
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			vm := newTestVM(t, host, VMConfig{Name: one.name}, one.image)
			runs := 0
			must(t, one.set(vm, func() {
				switch runs {
				case 0:
					panic(errOnPurpose)
				case 1:
					var nothing *Exit
					nothing.Reason = ExitPort
				}
			}))
			runTestVM(t, vm)
			if err := wantPanic(t, vm, one.where); !errors.Is(err, errOnPurpose) {
				t.Errorf("%v is not what was given to panic", err)
			}
			runs++
			must(t, vm.Start())
			if err := wantPanic(t, vm, one.where); !strings.Contains(err.Error(), "nil pointer") {
				t.Errorf("%v tells of no nil pointer", err)
			}
			runs++
			must(t, vm.Start())
			wantResult(t, vm, ResultGuestExit)
		})
	}
	wantState(t, other, StateRunning)
}

// A log sink cannot answer; its panic stops the VM all the same.
func TestS05PanicInLog(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestStorm)
	must(t, vm.SetLog(LogDebug, func(LogLevel, string) { panic("in the log") }))
	runTestVM(t, vm)
	if err := wantPanic(t, vm, "log sink"); err.Value != "in the log" {
		t.Errorf("value %v", err.Value)
	}
}

// A vCPU driven by hand: the panic comes back from Run.
func TestS05PanicByHand(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Flags: VMManualVCPUs}, guestPorts)
	_, err := vm.HandlePort(0x700, 1, func(*Access) Action { panic(errOnPurpose) })
	must(t, err)
	runTestVM(t, vm)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	var exit Exit
	if err := vcpu.Run(&exit); !errors.Is(err, errOnPurpose) || exit.Reason != ExitStopped {
		t.Fatalf("%v, exit %v", err, &exit)
	}
	wantPanic(t, vm, "handler of port 0x700")
	wantErrno(t, vcpu.Run(&exit), syscall.EBUSY)
}

func init() {
	roles["goexit"] = func() int {
		host, err := OpenHost("")
		if err == nil {
			_, err = makeSpinning(host, func(*VCPU, *Exit) Action { runtime.Goexit(); return ActionDefault })
		}
		fmt.Println(err)
		time.Sleep(time.Minute)
		return 1
	}
}

// What cannot be stopped, runtime.Goexit, ends the program with a word of where and why.
func TestS05Goexit(t *testing.T) {
	output, status := runRole(t, "goexit")
	if status != 2 || !strings.Contains(output, "runtime.Goexit in the exit handler: a callback must return") ||
		!strings.Contains(output, "s05_panic_test.go") {
		t.Fatalf("status %d, output %s", status, output)
	}
}
