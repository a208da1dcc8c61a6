// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include <stdlib.h>

#include "virtio_calls.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// VirtioConfig is a virtio device of the program's own (virtio 1.2, MMIO transport, split rings). The library keeps
// the registers, the rings and the interrupt, and checks everything that the guest hands over; the functions get
// requests (chains) and answer them.
//
// If one of the functions panics, the VM stops and Wait gives a *PanicError.
type VirtioConfig struct {
	DeviceID  int    // what the driver looks for: virtio 1.2, section 5; 1 to 0xffff
	Queues    int    // 1 to VirtioQueuesMax
	QueueSize int    // most descriptors of each queue, a power of two; 0: 256
	Features  uint64 // the device's own: bits 0 to 23 and 50 up; the library adds its own
	Config    []byte // what the configuration space starts with, and its length; at most VirtioConfigMax

	// OnQueue is called when a queue has requests, or may have: take them with Next until there is none. It runs on the
	// event loop's thread after the guest has notified, and once for each queue when the driver is ready.
	OnQueue func(device *VirtioDevice, queue int)
	// OnDrop, where it is not nil, is called when the guest resets the device or takes a queue away: complete every chain
	// of that queue soon, the guest's vCPU waits for it. Needed where chains are completed outside of OnQueue.
	OnDrop func(device *VirtioDevice, queue int)
	// OnConfig lets the guest write the configuration space; it is called when the guest has written length bytes at
	// offset. It runs on the vCPU's thread.
	OnConfig func(device *VirtioDevice, offset, length int)
}

// VirtioDevice is a virtio device of the program's own. It belongs to its VM and lives as long. Any goroutine may use
// it, also its functions.
type VirtioDevice struct {
	vm  *VM // nil in the device's functions: the VM may be forgotten while it runs
	own *ownDevice
}

// An ownDevice is what the device's functions refer to.
type ownDevice struct {
	handle  handle // of calls that may be made until the VM is freed, also while it is being closed
	machine *machine
	c       *cDevice
	config  VirtioConfig
	where   string      // in a panic, behind the function's name
	isOff   atomic.Bool // a function panicked: the others are not called any more
}

// AddVirtio adds a virtio device of the program's own to the VM. State new.
func (vm *VM) AddVirtio(config VirtioConfig) (*VirtioDevice, error) {
	c, err := config.c()
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(c.config))
	own := &ownDevice{machine: vm.machine(), config: config, where: fmt.Sprintf(" of virtio device %d", config.DeviceID)}
	own.config.Config = nil
	if err := own.supported(); err != nil {
		return nil, err
	}
	cell := cellOf(own)
	_, err = vm.call("nestvirt_virtio_add", func(vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_virtio_add(vm, &c, (*[0]byte)(C.go_virtio_queue), cell, (*[0]byte)(C.go_virtio_free),
			&own.c, detail)
	})
	if err != nil {
		discard(cell)
		return nil, err
	}
	vm.machine().ownDevices.add(own)
	return &VirtioDevice{vm, own}, own.setHandlers(vm)
}

// C checks the numbers and gives them to C; its config is to be freed.
func (config VirtioConfig) c() (c C.struct_nestvirt_virtio_config, err error) {
	C.go_nestvirt_virtio_config_init(&c, C.sizeof_struct_nestvirt_virtio_config)
	if config.OnQueue == nil {
		return c, invalid("VirtioConfig.OnQueue", "is nil; give it a function that takes the requests")
	}
	if config.DeviceID < 1 || config.DeviceID > 0xffff {
		return c, invalid("VirtioConfig.DeviceID", "is %d; use a number of virtio 1.2, section 5", config.DeviceID)
	}
	if config.Queues < 1 || config.Queues > VirtioQueuesMax {
		return c, invalid("VirtioConfig.Queues", "is %d; use 1 to %d", config.Queues, VirtioQueuesMax)
	}
	size := config.QueueSize
	if size < 0 || size > VirtioQueueSizeMax || size&(size-1) != 0 {
		return c, invalid("VirtioConfig.QueueSize", "is %d; use a power of two up to %d", size, VirtioQueueSizeMax)
	}
	if len(config.Config) > VirtioConfigMax {
		return c, invalid("VirtioConfig.Config", "has %d bytes; use at most %d", len(config.Config), VirtioConfigMax)
	}
	c.device_id, c.queue_count, c.queue_size = C.uint32_t(config.DeviceID), C.uint32_t(config.Queues), C.uint32_t(size)
	c.features = C.uint64_t(config.Features)
	if len(config.Config) > 0 {
		c.config, c.config_length = C.CBytes(config.Config), C.uint32_t(len(config.Config))
	}
	return c, nil
}

// Supported tells before anything is added whether the library can call all of the device's functions: without a
// device, a function that is there refuses.
func (own *ownDevice) supported() error {
	if own.config.OnDrop != nil && C.go_nestvirt_virtio_set_drop_handler(nil, nil, nil) == C.NESTVIRT_GO_MISSING {
		return unsupported("nestvirt_virtio_set_drop_handler")
	}
	if own.config.OnConfig != nil && C.go_nestvirt_virtio_set_config_handler(nil, nil, nil) == C.NESTVIRT_GO_MISSING {
		return unsupported("nestvirt_virtio_set_config_handler")
	}
	return nil
}

func (own *ownDevice) setHandlers(vm *VM) error {
	if own.config.OnDrop != nil {
		_, err := vm.call("nestvirt_virtio_set_drop_handler", func(_ *cVM, detail **cError) C.int {
			return C.go_nestvirt_virtio_set_drop_handler(own.c, (*[0]byte)(C.go_virtio_drop), detail)
		})
		if err != nil {
			return err
		}
	}
	if own.config.OnConfig == nil {
		return nil
	}
	_, err := vm.call("nestvirt_virtio_set_config_handler", func(_ *cVM, detail **cError) C.int {
		return C.go_nestvirt_virtio_set_config_handler(own.c, (*[0]byte)(C.go_virtio_config), detail)
	})
	return err
}

// Run calls one of the device's functions; a panic in it stops the VM and goes no further than here.
func run(cell unsafe.Pointer, where string, f func(own *ownDevice, device *VirtioDevice)) {
	own := (*(*cgo.Handle)(cell)).Value().(*ownDevice)
	if own.isOff.Load() {
		return
	}
	panicked := enclose(where+own.where, func() { f(own, &VirtioDevice{own: own}) })
	if panicked == nil {
		return
	}
	own.isOff.Store(true)
	own.machine.panic.Store(panicked)
	go own.machine.halt() // not from here: it waits for this function
}

//export goNestvirtQueue
func goNestvirtQueue(cell unsafe.Pointer, queue C.uint32_t) {
	run(cell, "OnQueue", func(own *ownDevice, device *VirtioDevice) { own.config.OnQueue(device, int(queue)) })
}

//export goNestvirtDrop
func goNestvirtDrop(cell unsafe.Pointer, queue C.uint32_t) {
	run(cell, "OnDrop", func(own *ownDevice, device *VirtioDevice) { own.config.OnDrop(device, int(queue)) })
}

//export goNestvirtConfig
func goNestvirtConfig(cell unsafe.Pointer, offset, length C.uint32_t) {
	run(cell, "OnConfig", func(own *ownDevice, device *VirtioDevice) {
		own.config.OnConfig(device, int(offset), int(length))
	})
}

// Call makes a call on the device unless its VM is freed.
func (d *VirtioDevice) call(function string, f func(c *cDevice, detail **cError) C.int) (int, error) {
	defer runtime.KeepAlive(d.vm)
	if err := d.own.handle.enter(); err != nil {
		return 0, err
	}
	defer d.own.handle.leave()
	var detail *cError
	r := f(d.own.c, &detail)
	return int(r), check(function, r, detail)
}

// Features are those that the driver has accepted; 0 before. syscall.EBUSY before Build.
func (d *VirtioDevice) Features() (uint64, error) {
	var features C.uint64_t
	_, err := d.call("nestvirt_virtio_get_features", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_virtio_get_features(c, &features, detail)
	})
	return uint64(features), err
}

// Counter reads a number of the device: "faults", "ignored" or "notified".
func (d *VirtioDevice) Counter(name string) (uint64, error) {
	if name == "" {
		return 0, invalid("name", "is empty; use faults, ignored or notified")
	}
	named, err := text("name", name)
	if err != nil {
		return 0, err
	}
	defer free(named)
	var value C.uint64_t
	_, err = d.call("nestvirt_device_get_u64", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_device_get_u64(c, named, &value, detail)
	})
	return uint64(value), err
}

// ReadConfigAt fills p from the configuration space. syscall.EINVAL when that is not within it, EBUSY before Build.
func (d *VirtioDevice) ReadConfigAt(p []byte, offset int) error {
	at, err := word32("offset", offset)
	if err != nil || len(p) == 0 {
		return err
	}
	length, err := word32("p", len(p))
	if err != nil {
		return err
	}
	_, err = d.call("nestvirt_virtio_get_config", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_virtio_get_config(c, at, unsafe.Pointer(&p[0]), length, detail)
	})
	return err
}

// WriteConfigAt writes p to the configuration space and tells the driver. Errors as for ReadConfigAt.
func (d *VirtioDevice) WriteConfigAt(p []byte, offset int) error {
	at, err := word32("offset", offset)
	if err != nil || len(p) == 0 {
		return err
	}
	length, err := word32("p", len(p))
	if err != nil {
		return err
	}
	_, err = d.call("nestvirt_virtio_set_config", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_virtio_set_config(c, at, unsafe.Pointer(&p[0]), length, detail)
	})
	return err
}

// RequestReset tells the driver that it broke the device's protocol (virtio 1.2, 2.1.2). The device stops until the
// driver resets it. syscall.EBUSY before Build.
func (d *VirtioDevice) RequestReset() error {
	_, err := d.call("nestvirt_virtio_request_reset", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_virtio_request_reset(c, detail)
	})
	return err
}

// The index of a queue that the device has.
func (d *VirtioDevice) queue(queue int) (C.uint32_t, error) {
	if queue < 0 || queue >= d.own.config.Queues {
		return 0, &Error{Code: -int(syscall.EINVAL), Object: "queue",
			Message: fmt.Sprintf("queue: is %d; this device has %d", queue, d.own.config.Queues)}
	}
	return C.uint32_t(queue), nil
}
