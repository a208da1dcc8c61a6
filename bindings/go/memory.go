// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"io"
	"math"
	"runtime"
	"syscall"
	"unsafe"
)

// Memory is a VM's guest memory, by guest physical address. It is an io.ReaderAt and an io.WriterAt.
type Memory struct {
	vm *VM
}

var (
	_ io.ReaderAt = (*Memory)(nil)
	_ io.WriterAt = (*Memory)(nil)
)

// Memory gives access to the guest's memory.
func (vm *VM) Memory() *Memory { return &Memory{vm} }

// ReadAt copies guest memory. Either all bytes are copied, or none and the error is syscall.EFAULT because some lie
// outside of it. The guest may be running: the copy is then not atomic. Any state.
func (m *Memory) ReadAt(data []byte, address int64) (int, error) {
	if err := checkAddress(address); err != nil {
		return 0, err
	}
	length := len(data)
	data = some(data)
	return m.copied(length, "nestvirt_memory_read", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_memory_read(c, C.uint64_t(address), unsafe.Pointer(&data[0]), C.size_t(length), detail)
	})
}

// WriteAt copies to guest memory; all bytes or none, as ReadAt.
func (m *Memory) WriteAt(data []byte, address int64) (int, error) {
	if err := checkAddress(address); err != nil {
		return 0, err
	}
	length := len(data)
	data = some(data)
	return m.copied(length, "nestvirt_memory_write", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_memory_write(c, C.uint64_t(address), unsafe.Pointer(&data[0]), C.size_t(length), detail)
	})
}

func checkAddress(address int64) error {
	if address < 0 {
		return invalid("address", "is %d; give it a guest physical address", address)
	}
	return nil
}

func (m *Memory) copied(length int, function string, f func(*cVM, **cError) C.int) (int, error) {
	if _, err := m.vm.call(function, f); err != nil {
		return 0, err
	}
	return length, nil
}

// Some is the slice, or another one where it is empty, so that there is a first byte. The address of that is taken
// where C is called: there cgo sees that it is of bytes. Of any other pointer it looks at all that lies around, and
// refuses a buffer within a struct that has pointers too.
func some(data []byte) []byte {
	if len(data) == 0 {
		return make([]byte, 1)
	}
	return data
}

// Slice is guest memory itself, where it lies within one piece of one region. A running guest changes the bytes at any
// time: read each once, then check, then use.
//
// It is invalid after Close and after its region was removed: using it then ends the program or reads what is there
// instead. It does not keep the VM from being closed by the garbage collector; use runtime.KeepAlive, or ReadAt, which
// is checked.
func (m *Memory) Slice(address, length uint64) ([]byte, error) {
	if length > math.MaxInt64 {
		return nil, invalid("length", "is %d; more than an address space", length)
	}
	var p unsafe.Pointer
	_, err := m.vm.call("nestvirt_memory_get_pointer", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_memory_get_pointer(c, C.uint64_t(address), C.size_t(length), &p, detail)
	})
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), int(length)), nil
}

// MemoryConfig is what a region of memory is made from. Zero values mean the default.
type MemoryConfig struct {
	Flags      MemoryFlag
	Address    uint64       // guest physical; with MemoryDefaultLayout 0
	Length     uint64       // bytes
	Backing    Backing      // BackingAnonymous by default
	File       syscall.Conn // of BackingFD and BackingFile, duplicated
	Offset     uint64       // bytes into the file
	PageSize   uint64       // of BackingHugetlb; 0: the host's default
	HugePages  HugePages    // transparent ones; as the host is set by default
	NUMAPolicy NUMAPolicy
	NUMANodes  string // the host's nodes, "0-1,3"
	GuestNode  int    // the guest's NUMA node that it belongs to
}

// Region is a region of guest memory.
type Region struct {
	vm     *VM
	number int
}

// AddMemory adds a region of RAM. State new.
func (vm *VM) AddMemory(config MemoryConfig) (*Region, error) {
	node, err := word32("MemoryConfig.GuestNode", config.GuestNode)
	if err != nil {
		return nil, err
	}
	nodes, err := text("MemoryConfig.NUMANodes", config.NUMANodes)
	if err != nil {
		return nil, err
	}
	defer free(nodes)
	var c C.struct_nestvirt_memory_config
	C.go_nestvirt_memory_config_init(&c, C.sizeof_struct_nestvirt_memory_config)
	c.flags = C.uint32_t(config.Flags)
	c.address, c.length = C.uint64_t(config.Address), C.uint64_t(config.Length)
	c.backing, c.offset = C.uint32_t(config.Backing), C.uint64_t(config.Offset)
	c.page_size, c.huge_pages = C.uint64_t(config.PageSize), C.uint32_t(config.HugePages)
	c.numa_policy, c.guest_node, c.numa_nodes = C.uint32_t(config.NUMAPolicy), node, nodes
	if config.File == nil {
		return vm.addRegion(&c)
	}
	var region *Region
	err = withFD("MemoryConfig.File", config.File, func(fd C.int) (err error) {
		c.fd = C.int32_t(fd)
		region, err = vm.addRegion(&c)
		return err
	})
	return region, err
}

func (vm *VM) addRegion(config *C.struct_nestvirt_memory_config) (*Region, error) {
	r, err := vm.call("nestvirt_memory_add", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_memory_add(c, config, detail)
	})
	if err != nil {
		return nil, err
	}
	return &Region{vm, r}, nil
}

// Region is the region of a number, from 0. That of VMConfig.MemorySize has a number too. Any state.
func (vm *VM) Region(number int) (*Region, error) {
	if _, err := word32("number", number); err != nil {
		return nil, err
	}
	region := &Region{vm, number}
	if _, err := region.Config(); err != nil {
		return nil, err
	}
	return region, nil
}

func (r *Region) call(function string, f func(c *cVM, region C.uint32_t, detail **cError) C.int) error {
	_, err := r.vm.call(function, func(c *cVM, detail **cError) C.int {
		return f(c, C.uint32_t(r.number), detail)
	})
	return err
}

// Number is the region's number.
func (r *Region) Number() int { return r.number }

// Remove removes the region; slices of it are invalid then. State new.
func (r *Region) Remove() error {
	return r.call("nestvirt_memory_remove", func(c *cVM, region C.uint32_t, detail **cError) C.int {
		return C.go_nestvirt_memory_remove(c, region, detail)
	})
}

// Config reads the configuration back as it was given, without File; MemoryMergeable tells how it is now. With the
// default layout, Address is 0 and Length the sum of both parts. Any state.
func (r *Region) Config() (MemoryConfig, error) {
	var config MemoryConfig
	err := r.call("nestvirt_memory_get", func(vm *cVM, region C.uint32_t, detail **cError) C.int {
		var c C.struct_nestvirt_memory_config
		C.go_nestvirt_memory_config_init(&c, C.sizeof_struct_nestvirt_memory_config)
		result := C.go_nestvirt_memory_get(vm, region, &c, detail)
		if result >= 0 {
			config = MemoryConfig{
				Flags: MemoryFlag(c.flags), Address: uint64(c.address), Length: uint64(c.length),
				Backing: Backing(c.backing), Offset: uint64(c.offset), PageSize: uint64(c.page_size),
				HugePages: HugePages(c.huge_pages), NUMAPolicy: NUMAPolicy(c.numa_policy),
				GuestNode: int(c.guest_node), NUMANodes: C.GoString(c.numa_nodes),
			}
		}
		return result
	})
	runtime.KeepAlive(r)
	return config, err
}
