// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#define _GNU_SOURCE
#include <signal.h>

#include "abi.h"

// Runs a vCPU with all signals blocked but those of faults: Go sends its threads signals of its own, and each would
// look like a cancel.
static int run_undisturbed(struct nestvirt_vcpu *vcpu, struct nestvirt_exit *exit, struct nestvirt_error **ret_error)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    sigset_t mask, old;
    int r;

    sigfillset(&mask);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_BLOCK, &mask, &old);
    r = go_nestvirt_vcpu_run(vcpu, exit, ret_error);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// VCPU is a virtual CPU of a VM.
//
// Calls on registers need one that is not running guest code: state built or paused, one driven by hand between two
// runs, its own exit handler, or state stopped and failed (to look at what was left). Otherwise they are refused with
// syscall.EBUSY.
type VCPU struct {
	vm      *VM // nil in an exit handler, where the VM is there anyway
	machine *machine
	c       *cVCPU
	index   int
}

// VCPU is the VM's virtual CPU of a number, from 0. Any state.
func (vm *VM) VCPU(index int) (*VCPU, error) {
	number, err := word32("index", index)
	if err != nil {
		return nil, err
	}
	vcpu := &VCPU{vm: vm, machine: vm.machine(), index: index}
	_, err = vm.call("nestvirt_vm_get_vcpu", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_get_vcpu(c, number, &vcpu.c, detail)
	})
	if err != nil {
		return nil, err
	}
	return vcpu, nil
}

// Index is the vCPU's number.
func (v *VCPU) Index() int { return v.index }

func (v *VCPU) call(function string, f func(c *cVCPU, detail **cError) C.int) error {
	defer runtime.KeepAlive(v)
	_, err := v.machine.call(function, func(_ *cVM, detail **cError) C.int { return f(v.c, detail) })
	return err
}

// AddCPUIDMask changes one register (0 EAX, 1 EBX, 2 ECX, 3 EDX) of one CPUID leaf for all vCPUs: bits in clear become
// 0, then bits in set become 1. Calls add up. State new.
func (vm *VM) AddCPUIDMask(leaf, index uint32, register int, clear, set uint32) error {
	number, err := word32("register", register)
	if err != nil {
		return err
	}
	_, err = vm.call("nestvirt_vm_add_cpuid_mask", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_add_cpuid_mask(c, C.uint32_t(leaf), C.uint32_t(index), number, C.uint32_t(clear),
			C.uint32_t(set), detail)
	})
	return err
}

// Exit is why a vCPU left guest mode.
type Exit struct {
	Reason      ExitReason
	VCPU        int
	Address     uint64  // port or guest physical address, of ExitPort and ExitMMIO
	Length      int     // bytes of the access, 1 to 8
	IsWrite     bool    // Data holds what the guest wrote; else put the answer there
	Data        [8]byte // little-endian
	Code        uint64  // the exception, suberror or reason, of the reasons that have one
	RIP         uint64  // of ExitDebug, ExitInternalError and ExitEntryFailed
	Instruction []byte  // at RIP, of ExitInternalError

	c C.struct_nestvirt_exit
}

// Value is the number in Data, of Length bytes.
func (e *Exit) Value() uint64 { return number(e.Data, e.Length) }

// SetValue puts a number into Data, the lowest Length bytes of it.
func (e *Exit) SetValue(value uint64) { e.Data = bytesOf(value, e.Length) }

// String tells the exit with what its reason has.
func (e *Exit) String() string {
	switch e.Reason {
	case ExitPort, ExitMMIO:
		return fmt.Sprintf("%v %#x, %d bytes, write %v: % x", e.Reason, e.Address, e.Length, e.IsWrite, e.Data)
	case ExitDebug, ExitInternalError, ExitEntryFailed, ExitUnknown:
		return fmt.Sprintf("%v %d at %#x: % x", e.Reason, e.Code, e.RIP, e.Instruction)
	}
	return e.Reason.String()
}

// Read takes what the library has filled in.
func (e *Exit) read(c *C.struct_nestvirt_exit) {
	e.Reason = ExitReason(c.reason)
	e.VCPU = int(c.vcpu)
	e.Address = uint64(c.address)
	e.Length = int(c.length)
	e.IsWrite = c.is_write != 0
	e.Data = *(*[8]byte)(unsafe.Pointer(&c.data))
	e.Code = uint64(c.code)
	e.RIP = uint64(c.rip)
	e.Instruction = instruction(c.instruction, c.instruction_length)
}

// Answer gives the library the data that a guest's read gets.
func (e *Exit) answer(c *C.struct_nestvirt_exit) {
	if !e.IsWrite {
		*(*[8]byte)(unsafe.Pointer(&c.data)) = e.Data
	}
}

// Run lets the vCPU run until something happens that no handler takes care of, which exit then tells: for a VM with
// VMManualVCPUs in state running. After a read, put the value into the exit and pass the same one to the next call.
// Guest trouble is an exit, not an error; a panic of a handler is a *PanicError, with ExitStopped.
//
// One goroutine at a time runs a vCPU. It may be another each time and needs no runtime.LockOSThread; but KVM is
// faster when a vCPU stays on its thread, so a loop of runs does well to call it. Run holds a thread all the time.
func (v *VCPU) Run(exit *Exit) error {
	if exit == nil {
		return invalid("exit", "is nil; give it an &Exit{}")
	}
	if exit.c.size == 0 {
		C.go_nestvirt_exit_init(&exit.c, C.sizeof_struct_nestvirt_exit)
	}
	exit.answer(&exit.c)
	err := v.call("nestvirt_vcpu_run", func(c *cVCPU, detail **cError) C.int {
		return C.run_undisturbed(c, &exit.c, detail)
	})
	if err != nil {
		return err
	}
	exit.read(&exit.c)
	if panicked := v.machine.panic.Load(); panicked != nil && exit.Reason == ExitStopped {
		return panicked
	}
	return nil
}

// Cancel makes a vCPU driven by hand leave Run with ExitCanceled: the present run, or the next one if none is under
// way. State running.
func (v *VCPU) Cancel() error {
	return v.call("nestvirt_vcpu_cancel", func(c *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_cancel(c, detail)
	})
}

// InjectException queues an exception without an error code for the next entry: vector 0 to 31 but 2. With Skip, this
// resolves an internal error instead of ending the run.
func (v *VCPU) InjectException(vector int) error { return v.inject(vector, 0, 0) }

// InjectExceptionCode queues an exception with its error code.
func (v *VCPU) InjectExceptionCode(vector int, code uint32) error { return v.inject(vector, 1, code) }

func (v *VCPU) inject(vector int, hasCode C.uint32_t, code uint32) error {
	number, err := word32("vector", vector)
	if err != nil {
		return err
	}
	return v.call("nestvirt_vcpu_inject_exception", func(c *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_inject_exception(c, number, hasCode, C.uint32_t(code), detail)
	})
}

// Skip moves the instruction pointer on by 1 to 15 bytes.
func (v *VCPU) Skip(length int) error {
	number, err := word32("length", length)
	if err != nil {
		return err
	}
	return v.call("nestvirt_vcpu_skip", func(c *cVCPU, detail **cError) C.int {
		return C.go_nestvirt_vcpu_skip(c, number, detail)
	})
}
