// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"runtime"
	"syscall"
	"unsafe"
)

type cTemplate = C.struct_nestvirt_template

// Template is a VM's whole state, from which any number of clones start at once, sharing its memory copy-on-write.
// Any goroutine may use it. Clones keep what they need of it: it may be closed while they live.
type Template struct {
	handle handle
	c      *cTemplate
}

// NewTemplate makes a template of a VM in state built or paused. Of a VM that was never started clones begin at its
// first instruction, else where it stands.
//
// Without flags its pages with data are copied once, and the VM may go on. With TemplateConsume it is used up: stopped,
// without memory, so that slices of it are invalid, and only to be closed. A failed call leaves the VM as it was.
//
// syscall.EBUSY in other states, while a disk does not finish its requests, or while a vCPU driven by hand waits for
// the answer to an exit; syscall.ENOTSUP for a VM with virtio devices of the program's own, or with VMNested.
func (vm *VM) NewTemplate(flags TemplateFlag) (*Template, error) {
	template := &Template{}
	_, err := vm.call("nestvirt_template_new", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_template_new(c, C.uint32_t(flags), &template.c, detail)
	})
	return template.made(err)
}

// OpenTemplate reads a template from a file that Template.Write has written, in this process or another, on this host
// or one whose KVM and processor are of the same kind. The file stays the caller's. Its memory is copied, but mapped
// from a memfd that is sealed against shrinking and writing, or with TemplateTrustFile. Base is nil; or, for a file of
// changes, the template that it was written against, which may come from a file too.
//
// EBadState with the reason for what is cut off, damaged or something else; syscall.EINVAL for a wrong base or another
// kind of file.
func (h *Host) OpenTemplate(file syscall.Conn, flags TemplateFlag, base *Template) (*Template, error) {
	template := &Template{}
	err := withFD("file", file, func(fd C.int) error {
		return base.with(func(base *cTemplate) error {
			return h.call("nestvirt_template_open", func(host *C.struct_nestvirt_host, detail **cError) C.int {
				return C.go_nestvirt_template_open(host, fd, C.uint32_t(flags), base, &template.c, detail)
			})
		})
	})
	return template.made(err)
}

// Made is a new template that the garbage collector closes if nobody does.
func (t *Template) made(err error) (*Template, error) {
	if err != nil {
		return nil, err
	}
	runtime.SetFinalizer(t, func(t *Template) { go t.Close() }) // its memory may be much
	return t, nil
}

// Close gives the template back; its clones go on. Closing it again does nothing.
func (t *Template) Close() error {
	defer runtime.KeepAlive(t)
	if t == nil || !t.handle.shut() {
		return nil
	}
	t.handle.drain(nothing) // which does not fail
	runtime.SetFinalizer(t, nil)
	return check("nestvirt_template_free", C.go_nestvirt_template_free(t.c), nil)
}

// With calls f with the template unless it is closed; with NULL for nil.
func (t *Template) with(f func(c *cTemplate) error) error {
	if t == nil {
		return f(nil)
	}
	defer runtime.KeepAlive(t)
	if err := t.handle.enter(); err != nil {
		return err
	}
	defer t.handle.leave()
	return f(t.c)
}

// Call makes a call on the template unless it is closed.
func (t *Template) call(function string, f func(c *cTemplate, detail **cError) C.int) error {
	if t == nil {
		return ErrClosed
	}
	return t.with(func(c *cTemplate) error {
		var detail *cError
		return check(function, f(c, &detail), detail)
	})
}

// TemplateInfo is what a template holds.
type TemplateInfo struct {
	MemorySize uint64 // bytes of guest memory
	DataSize   uint64 // bytes of it that the template holds; the others are zeroes
	StateSize  uint64 // bytes of vCPUs, interrupt controllers and devices
	VCPUs      int
	Devices    int
}

// Info tells what the template holds.
func (t *Template) Info() (TemplateInfo, error) {
	var c C.struct_nestvirt_template_info
	C.go_nestvirt_template_info_init(&c, C.sizeof_struct_nestvirt_template_info)
	err := t.call("nestvirt_template_get_info", func(template *cTemplate, detail **cError) C.int {
		return C.go_nestvirt_template_get_info(template, &c, detail)
	})
	if err != nil {
		return TemplateInfo{}, err
	}
	return TemplateInfo{MemorySize: uint64(c.memory_size), DataSize: uint64(c.data_size),
		StateSize: uint64(c.state_size), VCPUs: int(c.vcpus), Devices: int(c.devices)}, nil
}

// Write writes the template to a file, from its start on; what it held is lost. The file is a regular one or a memfd,
// open for writing, and stays the caller's. Base is nil to write all; or a template of the same memory, of which only
// the pages that differ are written.
//
// The file is not brought to the disk (os.File.Sync does), and is empty after a failure.
func (t *Template) Write(file syscall.Conn, base *Template) error {
	return withFD("file", file, func(fd C.int) error {
		return base.with(func(base *cTemplate) error {
			return t.call("nestvirt_template_write", func(c *cTemplate, detail **cError) C.int {
				return C.go_nestvirt_template_write(c, base, fd, detail)
			})
		})
	})
}

// Reflink makes a clone's disk: the file to gets what the file from holds, and shares its blocks until one of them is
// written. From is the template's disk, open for reading, which no VM that runs is writing; to is an empty file of the
// same file system, open for writing. Both are regular files and stay the caller's. With ReflinkOrCopy all data is
// copied where blocks cannot be shared. Shared tells which it was.
//
// syscall.EOPNOTSUPP where the file system cannot share (XFS and Btrfs can, ext4 and tmpfs cannot), syscall.EXDEV for
// files on two file systems, syscall.EINVAL for another kind of file or one that is not empty.
func Reflink(from, to syscall.Conn, flags ReflinkFlag) (shared bool, err error) {
	err = withFD("from", from, func(from C.int) error {
		return withFD("to", to, func(to C.int) error {
			var detail *cError
			result := C.go_nestvirt_reflink_new(from, to, C.uint32_t(flags), &detail)
			shared = result == 0
			return check("nestvirt_reflink_new", result, detail)
		})
	})
	return shared, err
}

// CloneConfig is what a clone does not have from its template.
type CloneConfig struct {
	Name string // of the VM; "vm" by default
}

// Clone makes a VM in state new, with the vCPUs, memory and devices of the template's VM. Devices have their
// properties, but for those with PropertyIdentity, which name what one VM has for itself: set them with VM.Device and
// Device.Set, Device.OpenStream for consoles, before Build. A disk's file has to hold what the template's held when it
// was made.
//
// Handlers, ioeventfds, interrupt pins, callbacks and the event loop are added again, pins in the same order. More
// devices, memory and a kernel cannot be added (syscall.EBUSY). Start lets the guest go on where the template stood; a
// clone that has stopped and is started again begins there once more.
func (t *Template) Clone(config CloneConfig) (*VM, error) {
	name, err := text("CloneConfig.Name", config.Name)
	if err != nil {
		return nil, err
	}
	defer free(name)
	var c C.struct_nestvirt_clone_config
	C.go_nestvirt_clone_config_init(&c, C.sizeof_struct_nestvirt_clone_config)
	c.name = name
	m := &machine{name: config.Name}
	err = t.call("nestvirt_clone_new", func(template *cTemplate, detail **cError) C.int {
		return C.go_nestvirt_clone_new(template, &c, &m.c, detail)
	})
	if err != nil {
		return nil, err
	}
	return newVM(m), nil
}

// Generation is the VM generation ID that the guest finds now: random at the first Build, another one for each clone
// and each time that a clone goes back to its template. Any state but new.
//
// syscall.ENOENT for a VM without a device "vmgenid", syscall.EBUSY before the first Build.
func (vm *VM) Generation() ([GenerationSize]byte, error) {
	var id [GenerationSize]byte
	_, err := vm.call("nestvirt_vm_get_generation", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_get_generation(c, unsafe.Pointer(&id[0]), GenerationSize, detail)
	})
	return id, err
}
