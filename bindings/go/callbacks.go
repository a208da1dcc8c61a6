// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include <stdlib.h>

#include "callbacks.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Access is one access of the guest to a handler's range.
type Access struct {
	Space   Space
	VCPU    int
	Address uint64  // port or guest physical address
	Offset  uint64  // the same, from the start of the range
	Length  int     // bytes, 1 to 8
	IsWrite bool    // Data holds what the guest wrote; else put the answer there (zeroed)
	Data    [8]byte // little-endian
}

// Value is the number in Data, of Length bytes.
func (a *Access) Value() uint64 { return number(a.Data, a.Length) }

// SetValue puts a number into Data, the lowest Length bytes of it.
func (a *Access) SetValue(value uint64) { a.Data = bytesOf(value, a.Length) }

func number(data [8]byte, length int) uint64 {
	var value uint64
	for i := 0; i < length && i < len(data); i++ {
		value |= uint64(data[i]) << (8 * i)
	}
	return value
}

func bytesOf(value uint64, length int) (data [8]byte) {
	for i := 0; i < length && i < len(data); i++ {
		data[i] = byte(value >> (8 * i))
	}
	return data
}

// A callback is a function in Go that the library calls, found by a cell of C memory with a cgo.Handle.
type callback struct {
	machine *machine
	where   string
	access  func(*Access) Action
	exit    func(*VCPU, *Exit) Action
	log     func(LogLevel, string)
	isOff   atomic.Bool // a log sink that panicked
}

// CallbacksHeld counts the cells that the library has not freed yet.
var callbacksHeld atomic.Int64

// CellOf makes the cell of a *callback or an *ownDevice; goNestvirtFree frees it, by the library or by discard.
func cellOf(called interface{}) unsafe.Pointer {
	cell := C.malloc(C.size_t(unsafe.Sizeof(cgo.Handle(0))))
	*(*cgo.Handle)(cell) = cgo.NewHandle(called)
	callbacksHeld.Add(1)
	return cell
}

// Discard frees the cell of a call that failed.
func discard(cell unsafe.Pointer) { goNestvirtFree(cell) }

func callbackOf(cell unsafe.Pointer) *callback { return (*(*cgo.Handle)(cell)).Value().(*callback) }

// Enclose calls a function in Go for C. A panic in it goes no further than here.
//
// The thread is the library's, and has a vCPU's name, CPUs, nice value and cgroup. Threads that Go needs meanwhile and
// keeps for ever would inherit that; locked to this thread, it makes them from one of its own. One that it makes in its
// own few instructions before and after f still may inherit it.
func enclose(where string, f func()) *PanicError {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hasReturned := false
	defer func() {
		if !hasReturned { // no recover stops it, and Go's own words for it do not tell why the program ends
			panic("nestvirt: runtime.Goexit in the " + where + ": a callback must return (testing's FailNow does not)")
		}
	}()
	panicked := catch(where, f)
	hasReturned = true
	return panicked
}

func catch(where string, f func()) (panicked *PanicError) {
	isDone := false
	defer func() {
		if isDone {
			return
		}
		value := recover()
		if value == nil {
			value = "panic(nil)"
		}
		panicked = &PanicError{Where: where, Value: value, Stack: debug.Stack()}
	}()
	f()
	isDone = true
	return nil
}

// Run calls the callback by f; false if it panicked, which is then told to whoever waits for the VM.
func (one *callback) run(f func()) bool {
	panicked := enclose(one.where, f)
	if panicked != nil {
		one.machine.panic.Store(panicked)
	}
	return panicked == nil
}

//export goNestvirtFree
func goNestvirtFree(cell unsafe.Pointer) {
	(*(*cgo.Handle)(cell)).Delete()
	callbacksHeld.Add(-1)
	C.free(cell)
}

//export goNestvirtAccess
func goNestvirtAccess(cell unsafe.Pointer, c *C.struct_nestvirt_access) C.int32_t {
	one, action := callbackOf(cell), ActionStop
	one.run(func() {
		access := &Access{
			Space: Space(c.space), VCPU: int(c.vcpu), Address: uint64(c.address), Offset: uint64(c.offset),
			Length: int(c.length), IsWrite: c.is_write != 0, Data: *(*[8]byte)(unsafe.Pointer(&c.data)),
		}
		answer := one.access(access)
		if c.is_write == 0 {
			*(*[8]byte)(unsafe.Pointer(&c.data)) = access.Data
		}
		action = answer
	})
	return C.int32_t(action)
}

//export goNestvirtExit
func goNestvirtExit(cell unsafe.Pointer, c *C.struct_nestvirt_exit) C.int32_t {
	one, action := callbackOf(cell), ActionStop
	one.run(func() {
		var vcpu *cVCPU
		var detail *cError
		r := C.go_nestvirt_vm_get_vcpu(one.machine.c, c.vcpu, &vcpu, &detail)
		if err := check("nestvirt_vm_get_vcpu", r, detail); err != nil {
			panic(err)
		}
		exit := &Exit{}
		exit.read(c)
		answer := one.exit(&VCPU{machine: one.machine, c: vcpu, index: int(c.vcpu)}, exit)
		exit.answer(c)
		action = answer
	})
	return C.int32_t(action)
}

//export goNestvirtLog
func goNestvirtLog(cell unsafe.Pointer, level C.uint32_t, line *C.char) {
	one := callbackOf(cell)
	if one.isOff.Load() {
		return
	}
	thread := syscall.Gettid() // on which this goroutine stays until it returns
	if _, isNested := one.machine.sinks.LoadOrStore(thread, true); !isNested {
		// Else a call that the sink makes is logged: the outer one takes it away.
		defer one.machine.sinks.Delete(thread)
	}
	if !one.run(func() { one.log(LogLevel(level), C.GoString(line)) }) {
		one.isOff.Store(true)
		go one.machine.halt()
	}
}

// Halt stops the VM after a panic that could not answer ActionStop.
func (m *machine) halt() {
	m.call("nestvirt_vm_stop", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_stop(c, -1, detail)
	})
}

// HandlePort lets a function handle the guest's accesses to a range of ports. It is called on the vCPU's thread,
// several at a time if several vCPUs access it; ActionDefault treats the access as unclaimed. State new.
//
// If it panics, the VM stops and Wait gives a *PanicError. It must not call runtime.Goexit, as testing's FailNow does:
// that ends the program, as in every Go function that C has called.
func (vm *VM) HandlePort(port, count uint64, handler func(*Access) Action) (*Handler, error) {
	return vm.handle(SpacePort, port, count, handler)
}

// HandleMMIO does the same for a range of guest physical addresses.
func (vm *VM) HandleMMIO(address, length uint64, handler func(*Access) Action) (*Handler, error) {
	return vm.handle(SpaceMMIO, address, length, handler)
}

// Handler is a function that handles accesses to a range.
type Handler struct {
	vm     *VM
	number int
}

func (vm *VM) handle(space Space, address, length uint64, handler func(*Access) Action) (*Handler, error) {
	if handler == nil {
		return nil, invalid("handler", "is nil; give it a function")
	}
	word := "port"
	if space == SpaceMMIO {
		word = "address"
	}
	one := &callback{machine: vm.machine(), access: handler, where: fmt.Sprintf("handler of %s %#x", word, address)}
	cell := cellOf(one)
	r, err := vm.call("nestvirt_handler_add", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_handler_add(c, C.uint32_t(space), C.uint64_t(address), C.uint64_t(length),
			C.go_access(), cell, C.go_free(), detail)
	})
	if err != nil {
		discard(cell)
		return nil, err
	}
	return &Handler{vm, r}, nil
}

// Remove removes the handler. State new.
func (h *Handler) Remove() error {
	_, err := h.vm.call("nestvirt_handler_remove", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_handler_remove(c, C.uint32_t(h.number), detail)
	})
	return err
}

// SetLog sets where the VM's log lines up to a level go; nil for nowhere. It is called on whichever thread they arise.
// State new or built.
func (vm *VM) SetLog(level LogLevel, sink func(level LogLevel, line string)) error {
	if sink == nil {
		_, err := vm.call("nestvirt_vm_set_log", func(c *cVM, detail **cError) C.int {
			return C.go_nestvirt_vm_set_log(c, C.uint32_t(level), nil, nil, nil, detail)
		})
		return err
	}
	cell := cellOf(&callback{machine: vm.machine(), log: sink, where: "log sink"})
	_, err := vm.call("nestvirt_vm_set_log", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_set_log(c, C.uint32_t(level), C.go_log(), cell, C.go_free(), detail)
	})
	if err != nil {
		discard(cell)
	}
	return err
}

// SetExitHandler sets the function for exits that nobody handles: accesses to unclaimed ports and addresses, internal
// errors, debug exits. It runs on the vCPU's thread and may use the vCPU. For a read it may put the value into the
// exit and answer ActionResume. A panic does what it does in HandlePort; nil removes the function. State new or built.
func (vm *VM) SetExitHandler(handler func(*VCPU, *Exit) Action) error {
	if handler == nil {
		_, err := vm.call("nestvirt_vm_set_exit_handler", func(c *cVM, detail **cError) C.int {
			return C.go_nestvirt_vm_set_exit_handler(c, nil, nil, nil, detail)
		})
		return err
	}
	cell := cellOf(&callback{machine: vm.machine(), exit: handler, where: "exit handler"})
	_, err := vm.call("nestvirt_vm_set_exit_handler", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_set_exit_handler(c, C.go_exit(), cell, C.go_free(), detail)
	})
	if err != nil {
		discard(cell)
	}
	return err
}
