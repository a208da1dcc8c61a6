// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"syscall"
)

// Host is KVM, opened once and shared by all VMs. Its methods may be called by any goroutine.
type Host struct {
	handle handle
	c      *C.struct_nestvirt_host
}

// OpenHost opens KVM and learns what it can do. Path is the device, "" for /dev/kvm.
func OpenHost(path string) (*Host, error) {
	if err := load(); err != nil {
		return nil, err
	}
	name, err := text("path", path)
	if err != nil {
		return nil, err
	}
	defer free(name)
	var c *C.struct_nestvirt_host
	var detail *cError
	r := C.go_nestvirt_host_open(name, &c, &detail)
	return newHost("nestvirt_host_open", r, c, detail)
}

// OpenHostFD is OpenHost on an open /dev/kvm, which is duplicated.
func OpenHostFD(file syscall.Conn) (*Host, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var host *Host
	err := withFD("file", file, func(fd C.int) (err error) {
		var c *C.struct_nestvirt_host
		var detail *cError
		r := C.go_nestvirt_host_open_fd(fd, &c, &detail)
		host, err = newHost("nestvirt_host_open_fd", r, c, detail)
		return err
	})
	return host, err
}

func newHost(function string, r C.int, c *C.struct_nestvirt_host, detail *cError) (*Host, error) {
	if err := check(function, r, detail); err != nil {
		return nil, err
	}
	host := &Host{c: c}
	runtime.SetFinalizer(host, (*Host).Close)
	return host, nil
}

// Close gives the host back. VMs made from it go on. Closing it again does nothing.
func (h *Host) Close() error {
	if h == nil || !h.handle.shut() {
		return nil
	}
	h.handle.drain(nothing) // which does not fail
	runtime.SetFinalizer(h, nil)
	return check("nestvirt_host_free", C.go_nestvirt_host_free(h.c), nil)
}

// Call makes a call on the host unless it is closed.
func (h *Host) call(function string, f func(c *C.struct_nestvirt_host, detail **cError) C.int) error {
	defer runtime.KeepAlive(h)
	if h == nil {
		return ErrClosed
	}
	if err := h.handle.enter(); err != nil {
		return err
	}
	defer h.handle.leave()
	var detail *cError
	return check(function, f(h.c, &detail), detail)
}

// HostInfo is what a host offers.
type HostInfo struct {
	APIVersion       int // of KVM: 12
	RecommendedVCPUs int // per VM, by KVM
	MaxVCPUs         int // per VM, that this library allows here
	MaxMemorySlots   int // per VM
	VCPUMmapSize     int // bytes of each vCPU's shared area
	Features         HostFeature
}

// Info tells what the host offers.
func (h *Host) Info() (HostInfo, error) {
	var c C.struct_nestvirt_host_info
	C.go_nestvirt_host_info_init(&c, C.sizeof_struct_nestvirt_host_info)
	err := h.call("nestvirt_host_get_info", func(host *C.struct_nestvirt_host, detail **cError) C.int {
		return C.go_nestvirt_host_get_info(host, &c, detail)
	})
	if err != nil {
		return HostInfo{}, err
	}
	return HostInfo{
		APIVersion:       int(c.api_version),
		RecommendedVCPUs: int(c.recommended_vcpus),
		MaxVCPUs:         int(c.max_vcpus),
		MaxMemorySlots:   int(c.max_memory_slots),
		VCPUMmapSize:     int(c.vcpu_mmap_size),
		Features:         HostFeature(c.features),
	}, nil
}

// CPUIDEntry is one leaf as KVM supports it for guests on this host.
type CPUIDEntry struct {
	Leaf, Index        uint32
	HasIndex           bool // Index is significant
	EAX, EBX, ECX, EDX uint32
}

// CPUID lists the leaves that KVM supports for guests on this host.
func (h *Host) CPUID() ([]CPUIDEntry, error) {
	var entries []CPUIDEntry
	for {
		var c C.struct_nestvirt_cpuid_entry
		C.go_nestvirt_cpuid_entry_init(&c, C.sizeof_struct_nestvirt_cpuid_entry)
		err := h.call("nestvirt_host_get_cpuid", func(host *C.struct_nestvirt_host, detail **cError) C.int {
			return C.go_nestvirt_host_get_cpuid(host, C.uint32_t(len(entries)), &c, detail)
		})
		if errors.Is(err, syscall.ENOENT) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, CPUIDEntry{
			Leaf: uint32(c.leaf), Index: uint32(c.index), HasIndex: c.flags&1 != 0,
			EAX: uint32(c.eax), EBX: uint32(c.ebx), ECX: uint32(c.ecx), EDX: uint32(c.edx),
		})
	}
}

// Loop is an event loop: one thread that serves the devices of the VMs that were given it by VM.SetLoop.
type Loop struct {
	handle handle
	c      *C.struct_nestvirt_loop
}

// NewLoop makes an event loop. A VM that needs one and was given none makes its own.
func NewLoop() (*Loop, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var c *C.struct_nestvirt_loop
	var detail *cError
	if err := check("nestvirt_loop_new", C.go_nestvirt_loop_new(&c, &detail), detail); err != nil {
		return nil, err
	}
	loop := &Loop{c: c}
	runtime.SetFinalizer(loop, func(loop *Loop) { go loop.Close() }) // it may join the thread
	return loop, nil
}

// Close gives the loop back; its thread ends with the last VM that uses it. Closing it again does nothing.
func (l *Loop) Close() error {
	if l == nil || !l.handle.shut() {
		return nil
	}
	l.handle.drain(nothing) // which does not fail
	r := C.go_nestvirt_loop_free(l.c)
	if err := check("nestvirt_loop_free", r, nil); err != nil {
		l.handle.open()
		return err
	}
	runtime.SetFinalizer(l, nil)
	return nil
}
