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
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// VMConfig is what a VM is made from. Zero values mean the default.
type VMConfig struct {
	Name          string  // for messages and thread names; "vm" by default
	MemorySize    uint64  // bytes of RAM in the default layout; 0: regions are added by hand
	MemoryBacking Backing // of that RAM: BackingAnonymous, BackingMemfd or BackingHugetlb
	VCPUs         int     // 1 by default
	Chip          Chip    // the interrupt chip; ChipSplit by default
	Flags         VMFlag
}

// VM is a virtual machine. Its methods may be called by any goroutine; calls on one VM take turns.
//
// Close it when it is no longer needed. A VM that is no longer referred to is closed by the garbage collector some
// time later, also while it runs; but callbacks that refer to it keep it for ever.
type VM struct {
	m *machine
}

// A machine is what callbacks and goroutines of a VM refer to. They do not refer to the VM itself, which is so known
// to be forgotten while they are still there.
type machine struct {
	handle handle
	c      *cVM
	name   string
	events pump
	panic  atomic.Pointer[PanicError]
	sinks  sync.Map // numbers of the threads that are in the log sink

	ownDevices ownDevices
	vsock      vsockPlace
}

// NewVM makes a VM in state new. Nothing of KVM is created before Build.
func (h *Host) NewVM(config VMConfig) (*VM, error) {
	name, err := text("VMConfig.Name", config.Name)
	if err != nil {
		return nil, err
	}
	defer free(name)
	vcpus, err := word32("VMConfig.VCPUs", config.VCPUs)
	if err != nil {
		return nil, err
	}
	var c C.struct_nestvirt_vm_config
	C.go_nestvirt_vm_config_init(&c, C.sizeof_struct_nestvirt_vm_config)
	c.name = name
	c.memory_size = C.uint64_t(config.MemorySize)
	c.memory_backing = C.uint32_t(config.MemoryBacking)
	c.interrupt_chip = C.uint32_t(config.Chip)
	c.flags = C.uint32_t(config.Flags)
	if vcpus > 0 {
		c.vcpus = vcpus
	}
	m := &machine{name: config.Name}
	err = h.call("nestvirt_vm_new", func(host *C.struct_nestvirt_host, detail **cError) C.int {
		return C.go_nestvirt_vm_new(host, &c, &m.c, detail)
	})
	if err != nil {
		return nil, err
	}
	return newVM(m), nil
}

// NewVM is the VM of a machine that was just made.
func newVM(m *machine) *VM {
	if m.name == "" {
		m.name = "vm"
	}
	m.events.init(m)
	vm := &VM{m}
	runtime.SetFinalizer(vm, func(vm *VM) { go vm.Close() }) // it may have to wait for vCPUs
	return vm
}

// NoMachine is the machine of a nil VM, as a careless caller has where NewVM failed: it is closed.
var noMachine = &machine{handle: handle{closed: true}, events: pump{closed: true}}

func (vm *VM) machine() *machine {
	if vm == nil || vm.m == nil {
		return noMachine
	}
	return vm.m
}

// Call makes a call on the VM unless it is closed.
func (vm *VM) call(function string, f func(c *cVM, detail **cError) C.int) (int, error) {
	defer runtime.KeepAlive(vm)
	return vm.machine().call(function, f)
}

func (m *machine) call(function string, f func(c *cVM, detail **cError) C.int) (int, error) {
	if err := m.handle.enter(); err != nil {
		return 0, err
	}
	defer m.handle.leave()
	var detail *cError
	r := f(m.c, &detail)
	return int(r), check(function, r, detail)
}

// Close stops the VM if it runs and frees it with its vCPUs, devices and threads. Calls under way end first; all
// later ones give ErrClosed. Closing it again does nothing, also while another goroutine closes it.
//
// It is refused in the VM's own callbacks (syscall.EDEADLK), which may answer ActionStop instead; then nothing has
// changed. While a callback does not return, Close waits.
func (vm *VM) Close() error {
	defer runtime.KeepAlive(vm)
	m := vm.machine()
	if _, ok := m.sinks.Load(syscall.Gettid()); ok { // below a call on this VM, for which it would wait
		return &Error{Code: -int(syscall.EDEADLK), Object: "vm " + m.name,
			Message: fmt.Sprintf("vm %s: cannot be closed in its log sink; do it in another goroutine", m.name)}
	}
	if err := m.stopWithin(0); errors.Is(err, syscall.EDEADLK) { // before anybody sees it closed
		return err
	}
	if !m.handle.shut() {
		return nil
	}
	if err := m.handle.drain(m.interrupt); err != nil {
		m.handle.open()
		return err
	}
	m.events.stop()
	m.ownDevices.shut()
	if err := check("nestvirt_vm_free", C.go_nestvirt_vm_free(m.c), nil); err != nil {
		m.ownDevices.open()
		m.events.init(m)
		m.handle.open()
		return err
	}
	m.vsock.shut()
	runtime.SetFinalizer(vm, nil)
	return nil
}

// Interrupt stops the VM, so that all calls on it come back.
func (m *machine) interrupt() error {
	var detail *cError
	err := check("nestvirt_vm_stop", C.go_nestvirt_vm_stop(m.c, -1, &detail), detail)
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ECHILD) {
		return nil // it was never built, or belongs to the parent of this process
	}
	return err
}

// State is the VM's state now.
func (vm *VM) State() (State, error) {
	r, err := vm.call("nestvirt_vm_get_state", func(c *cVM, _ **cError) C.int {
		return C.go_nestvirt_vm_get_state(c)
	})
	return State(r), err
}

// SetLoop gives the VM an event loop to share with others. State new.
func (vm *VM) SetLoop(loop *Loop) error {
	if loop == nil {
		return invalid("loop", "is nil; make one with NewLoop")
	}
	defer runtime.KeepAlive(loop)
	if err := loop.handle.enter(); err != nil {
		return err
	}
	defer loop.handle.leave()
	_, err := vm.call("nestvirt_vm_set_loop", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_set_loop(c, loop.c, detail)
	})
	return err
}

// Validate lists every problem that would make Build fail (Error.Problems), without creating anything. State new.
func (vm *VM) Validate() error {
	_, err := vm.call("nestvirt_vm_validate", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_validate(c, detail)
	})
	return err
}

// Build creates all that the VM needs and loads the kernel. State new; also stopped or failed, to prepare another
// start before changing memory or registers.
func (vm *VM) Build() error {
	_, err := vm.call("nestvirt_vm_build", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_build(c, detail)
	})
	return err
}

// Start lets the guest run and returns at once. States built, stopped, failed (the last two build first).
func (vm *VM) Start() error {
	before := vm.machine().panic.Load()
	_, err := vm.call("nestvirt_vm_start", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_start(c, detail)
	})
	if err == nil {
		vm.machine().panic.CompareAndSwap(before, nil)
	}
	return err
}

// Pause stops all vCPUs and returns when none runs any more. State running.
func (vm *VM) Pause() error {
	_, err := vm.call("nestvirt_vm_pause", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_pause(c, detail)
	})
	return err
}

// Resume lets a paused VM run on.
func (vm *VM) Resume() error {
	_, err := vm.call("nestvirt_vm_resume", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_resume(c, detail)
	})
	return err
}

// RequestStop asks the guest to shut down, by the ACPI power button; it may take its time or not obey. State running.
func (vm *VM) RequestStop() error {
	_, err := vm.call("nestvirt_vm_request_stop", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_request_stop(c, detail)
	})
	return err
}

// Patience is how long Stop holds a thread while a callback delays it, and how long it lets go of it then.
const patience = 100 * time.Millisecond

// Stop stops the VM whatever the guest does and waits until it has stopped, which a callback may delay. At the end of
// ctx it returns ctx.Err(), and the VM stops as soon as the callback returns. A built VM becomes stopped too.
func (vm *VM) Stop(ctx context.Context) error {
	defer runtime.KeepAlive(vm)
	if ctx == nil {
		return invalid("ctx", "is nil; use context.Background()")
	}
	for {
		err := vm.machine().stopWithin(left(ctx))
		if !errors.Is(err, syscall.ETIMEDOUT) {
			return err
		}
		// The callback may last, or another call kept this one from being heard.
		pause, cancel := context.WithTimeout(ctx, patience)
		_, err = vm.machine().wait(pause)
		cancel()
		if ctx.Err() != nil && err != nil {
			return ctx.Err()
		}
		if err == nil || errors.Is(err, ErrClosed) {
			return err
		}
	}
}

// Left is as much patience as ctx leaves.
func left(ctx context.Context) time.Duration {
	left := patience
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < left {
		left = time.Until(deadline)
	}
	if ctx.Err() != nil || left < 0 {
		return 0
	}
	return left
}

// StopWithin stops, and waits no longer than that.
func (m *machine) stopWithin(left time.Duration) error {
	_, err := m.call("nestvirt_vm_stop", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_stop(c, C.int32_t(left.Milliseconds()), detail)
	})
	return err
}
