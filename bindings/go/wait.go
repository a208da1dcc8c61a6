// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Result is how a VM's run has ended.
type Result struct {
	Reason      ResultReason
	ExitCode    int    // of ResultGuestExit
	VCPU        int    // the vCPU that ended the run, if one did
	Suberror    uint32 // of ResultInternalError, as KVM reports it
	RIP         uint64 // of ResultInternalError and ResultTripleFault, where known
	Instruction []byte // at RIP, as far as known
}

// String is the reason, and what belongs to it.
func (r Result) String() string {
	name := resultName(r.Reason)
	switch r.Reason {
	case ResultGuestExit:
		return fmt.Sprintf("%s, code %d", name, r.ExitCode)
	case ResultInternalError:
		return fmt.Sprintf("%s %d at %#x: % x", name, r.Suberror, r.RIP, r.Instruction)
	}
	return name
}

// ResultName is the library's name of a reason, which may be one that this package does not know.
func resultName(reason ResultReason) string {
	return libraryName(C.go_nestvirt_vm_result_name(C.uint32_t(reason)), reason)
}

func stateName(state State) string {
	return libraryName(C.go_nestvirt_vm_state_name(C.int(state)), state)
}

// LibraryName is the library's name for a value, if it is there and has one.
func libraryName(name *C.char, value fmt.Stringer) string {
	if found := C.GoString(name); found != "" && found != "unknown" {
		return found
	}
	return value.String()
}

// PanicError is a panic of a callback in Go. It stopped the VM, and comes back from Wait.
type PanicError struct {
	Where string      // which callback, such as "handler of port 0x700"
	Value interface{} // what was given to panic
	Stack []byte      // of the goroutine, as debug.Stack gives it
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("nestvirt: panic in the %s: %v", e.Where, e.Value)
}

// Unwrap is the value of the panic, if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Wait waits until the VM has stopped, and holds no thread meanwhile. At the end of ctx it returns ctx.Err(); the VM
// goes on. If a callback of this run panicked, there is a result and the error is a *PanicError.
// Any state but new and built (syscall.EBUSY).
func (vm *VM) Wait(ctx context.Context) (Result, error) {
	defer runtime.KeepAlive(vm)
	if ctx == nil {
		return Result{}, invalid("ctx", "is nil; use context.Background()")
	}
	result, err := vm.machine().wait(ctx)
	if err != nil {
		return Result{}, err
	}
	if panicked := vm.machine().panic.Load(); panicked != nil {
		return result, panicked
	}
	return result, nil
}

func (m *machine) wait(ctx context.Context) (Result, error) {
	for {
		result, err := m.look()
		if !errors.Is(err, syscall.ETIMEDOUT) {
			return result, err
		}
		changed, err := m.watch()
		if err != nil {
			return Result{}, err
		}
		// It may have stopped between the two.
		if result, err = m.look(); !errors.Is(err, syscall.ETIMEDOUT) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-changed:
		}
	}
}

// Look gives the result, or ETIMEDOUT if there is none yet.
func (m *machine) look() (Result, error) {
	var c C.struct_nestvirt_vm_result
	C.go_nestvirt_vm_result_init(&c, C.sizeof_struct_nestvirt_vm_result)
	_, err := m.call("nestvirt_vm_wait", func(vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_wait(vm, 0, &c, detail)
	})
	if err != nil {
		return Result{}, err
	}
	return Result{
		Reason:      ResultReason(c.reason),
		ExitCode:    int(c.exit_code),
		VCPU:        int(c.vcpu),
		Suberror:    uint32(c.suberror),
		RIP:         uint64(c.rip),
		Instruction: instruction(c.instruction, c.instruction_length),
	}, nil
}

// Instruction copies the bytes that are known.
func instruction(bytes [16]C.uint8_t, length C.uint32_t) []byte {
	var found []byte
	for i := 0; i < int(length) && i < len(bytes); i++ {
		found = append(found, byte(bytes[i]))
	}
	return found
}
