// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import "syscall"

// SetKernel sets the kernel to boot: a bzImage or an ELF file. State new. Content is judged by Build.
func (vm *VM) SetKernel(path string, format KernelFormat) error {
	return vm.setPath("nestvirt_boot_set_kernel", path, func(c *cVM, name *C.char, detail **cError) C.int {
		return C.go_nestvirt_boot_set_kernel(c, name, C.uint32_t(format), detail)
	})
}

// SetKernelFile does the same with an open file, which is duplicated.
func (vm *VM) SetKernelFile(file syscall.Conn, format KernelFormat) error {
	return vm.setFile("nestvirt_boot_set_kernel_fd", file, func(c *cVM, fd C.int, detail **cError) C.int {
		return C.go_nestvirt_boot_set_kernel_fd(c, fd, C.uint32_t(format), detail)
	})
}

// SetInitrd sets the initial file system. State new.
func (vm *VM) SetInitrd(path string) error {
	return vm.setPath("nestvirt_boot_set_initrd", path, func(c *cVM, name *C.char, detail **cError) C.int {
		return C.go_nestvirt_boot_set_initrd(c, name, detail)
	})
}

// SetInitrdFile does the same with an open file, which is duplicated.
func (vm *VM) SetInitrdFile(file syscall.Conn) error {
	return vm.setFile("nestvirt_boot_set_initrd_fd", file, func(c *cVM, fd C.int, detail **cError) C.int {
		return C.go_nestvirt_boot_set_initrd_fd(c, fd, detail)
	})
}

// SetCmdline sets the kernel's command line, "" for none; at most CmdlineMax bytes. State new.
func (vm *VM) SetCmdline(words string) error {
	line, err := text("words", words)
	if err != nil {
		return err
	}
	defer free(line)
	_, err = vm.call("nestvirt_boot_set_cmdline", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_boot_set_cmdline(c, line, detail)
	})
	return err
}

// SetDiscovery chooses how the guest finds processors, interrupts and devices; by default in all ways. State new.
func (vm *VM) SetDiscovery(discovery Discovery) error {
	_, err := vm.call("nestvirt_boot_set_discovery", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_boot_set_discovery(c, C.uint32_t(discovery), detail)
	})
	return err
}

// FlatConfig tells where a flat image goes, and how it is entered. Descriptor and page tables for protected and long
// mode stand at 0x500 to 0x8fff, which the image must not use.
type FlatConfig struct {
	Address uint64 // guest physical address of the image's first byte
	Entry   uint64 // guest physical address of the first instruction
	Stack   uint64 // initial stack pointer; 0: the page below the image, if there is one
	Mode    Mode   // ModeReal by default
}

func (config FlatConfig) c() *C.struct_nestvirt_flat_config {
	c := &C.struct_nestvirt_flat_config{}
	C.go_nestvirt_flat_config_init(c, C.sizeof_struct_nestvirt_flat_config)
	c.address = C.uint64_t(config.Address)
	c.entry = C.uint64_t(config.Entry)
	c.stack = C.uint64_t(config.Stack)
	c.mode = C.uint32_t(config.Mode)
	return c
}

// SetFlat sets a flat image (instead of a kernel) that is copied to memory as it is. State new.
func (vm *VM) SetFlat(path string, config FlatConfig) error {
	flat := config.c()
	return vm.setPath("nestvirt_boot_set_flat", path, func(c *cVM, name *C.char, detail **cError) C.int {
		return C.go_nestvirt_boot_set_flat(c, name, flat, detail)
	})
}

// SetFlatFile does the same with an open file, which is duplicated.
func (vm *VM) SetFlatFile(file syscall.Conn, config FlatConfig) error {
	flat := config.c()
	return vm.setFile("nestvirt_boot_set_flat_fd", file, func(c *cVM, fd C.int, detail **cError) C.int {
		return C.go_nestvirt_boot_set_flat_fd(c, fd, flat, detail)
	})
}

func (vm *VM) setPath(function, path string, f func(*cVM, *C.char, **cError) C.int) error {
	if path == "" {
		return invalid("path", "is empty; give it the path of a file")
	}
	name, err := text("path", path)
	if err != nil {
		return err
	}
	defer free(name)
	_, err = vm.call(function, func(c *cVM, detail **cError) C.int { return f(c, name, detail) })
	return err
}

func (vm *VM) setFile(function string, file syscall.Conn, f func(*cVM, C.int, **cError) C.int) error {
	return withFD("file", file, func(fd C.int) error {
		_, err := vm.call(function, func(c *cVM, detail **cError) C.int { return f(c, fd, detail) })
		return err
	})
}
