// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import "syscall"

// Ioeventfd lets guest writes signal an eventfd in the kernel, without an exit to the program.
type Ioeventfd struct {
	Space   Space
	Address uint64  // port or guest physical address
	Length  int     // bytes of the write: 1, 2, 4, 8; 0 any, of MMIO without Match
	Match   *uint64 // only writes of this value; see U64
	File    syscall.Conn
}

// AddIoeventfd adds a notification. Its File is duplicated. State new.
func (vm *VM) AddIoeventfd(config Ioeventfd) error {
	length, err := word32("Ioeventfd.Length", config.Length)
	if err != nil {
		return err
	}
	var c C.struct_nestvirt_ioeventfd_config
	C.go_nestvirt_ioeventfd_config_init(&c, C.sizeof_struct_nestvirt_ioeventfd_config)
	c.space, c.address, c.length = C.uint32_t(config.Space), C.uint64_t(config.Address), length
	if config.Match != nil {
		c.flags = C.uint32_t(IoeventfdDatamatch)
		c.value = C.uint64_t(*config.Match)
	}
	return withFD("Ioeventfd.File", config.File, func(fd C.int) error {
		c.fd = C.int32_t(fd)
		_, err := vm.call("nestvirt_ioeventfd_add", func(vm *cVM, detail **cError) C.int {
			return C.go_nestvirt_ioeventfd_add(vm, &c, detail)
		})
		return err
	})
}

// IRQ is an interrupt line of the program's own.
type IRQ struct {
	vm  *VM
	pin C.uint32_t
}

// AddIRQ claims a pin of the interrupt controller, 0 to 23 or IRQAny. It is edge-triggered without IRQLevel. State new.
func (vm *VM) AddIRQ(pin int, flags IRQFlag) (*IRQ, error) {
	number, err := word32("pin", pin)
	if err != nil {
		return nil, err
	}
	r, err := vm.call("nestvirt_irq_add", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_irq_add(c, number, C.uint32_t(flags), detail)
	})
	if err != nil {
		return nil, err
	}
	return &IRQ{vm, C.uint32_t(r)}, nil
}

// Pin is the line's pin, which is also its number in the guest's tables.
func (i *IRQ) Pin() int { return int(i.pin) }

// Set raises or lowers the line. An edge line interrupts at each rise. States built to paused; also in callbacks.
func (i *IRQ) Set(raised bool) error {
	var level C.uint32_t
	if raised {
		level = 1
	}
	_, err := i.vm.call("nestvirt_irq_set", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_irq_set(c, i.pin, level, detail)
	})
	return err
}

// SetEventfd lets an eventfd, which is duplicated, trigger an edge line without a call. State new.
func (i *IRQ) SetEventfd(file syscall.Conn) error {
	return withFD("file", file, func(fd C.int) error {
		_, err := i.vm.call("nestvirt_irqfd_add", func(c *cVM, detail **cError) C.int {
			return C.go_nestvirt_irqfd_add(c, i.pin, fd, detail)
		})
		return err
	})
}

// SendMSI sends a message-signalled interrupt; true if a vCPU took it. States built to paused.
func (vm *VM) SendMSI(address uint64, data uint32) (bool, error) {
	r, err := vm.call("nestvirt_msi_send", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_msi_send(c, C.uint64_t(address), C.uint32_t(data), detail)
	})
	return r == 1 && err == nil, err
}
