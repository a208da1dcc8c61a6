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
	"unsafe"
)

// NUMA is what the kernel said of the host's nodes at one moment. It does not change; any goroutine may read it.
type NUMA struct {
	handle handle
	c      *C.struct_nestvirt_numa
}

// NUMANode is a node of the host.
type NUMANode struct {
	Node            int    // its number
	Allowed         bool   // the cpuset of the thread that read it lets it have memory of the node
	CPUs            int    // online; 0: a node of memory only
	CPUsAllowed     int    // those of them that the thread may run on
	Pools           int    // sizes of huge pages
	MemoryTotal     uint64 // bytes; 0: a node of CPUs only
	MemoryFree      uint64 // bytes that nobody uses
	MemoryAvailable uint64 // those, and caches that the kernel gives up for others
}

// NUMAPool is the huge pages of one size on one node.
type NUMAPool struct {
	PageSize uint64 // bytes
	Total    uint64 // pages
	Free     uint64 // pages, reserved ones among them
}

// NUMANeed is what is to be put on one node.
type NUMANeed struct {
	Memory   uint64 // bytes
	PageSize uint64 // 0: ordinary pages; else huge pages of this size, from the pool
	VCPUs    int    // each gets a CPU of the node to itself
}

// NewNUMA reads the host's nodes that are online. A kernel without NUMA has one node 0 with all CPUs and all memory.
// Root is a folder that holds sys and proc, "" for "/".
func NewNUMA(root string) (*NUMA, error) {
	if err := load(); err != nil {
		return nil, err
	}
	folder, err := text("root", root)
	if err != nil {
		return nil, err
	}
	defer free(folder)
	var c C.struct_nestvirt_numa_config
	C.go_nestvirt_numa_config_init(&c, C.sizeof_struct_nestvirt_numa_config)
	c.root = folder
	numa := &NUMA{}
	var detail *cError
	if err := check("nestvirt_numa_new", C.go_nestvirt_numa_new(&c, &numa.c, &detail), detail); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(numa, (*NUMA).Close)
	return numa, nil
}

// Close frees it. Closing it again does nothing.
func (n *NUMA) Close() error {
	if n == nil || !n.handle.shut() {
		return nil
	}
	n.handle.drain(nothing) // which does not fail
	runtime.SetFinalizer(n, nil)
	return check("nestvirt_numa_free", C.go_nestvirt_numa_free(n.c), nil)
}

// Call makes a call on what was read unless it is closed.
func (n *NUMA) call(function string, f func(c *C.struct_nestvirt_numa, detail **cError) C.int) (int, error) {
	defer runtime.KeepAlive(n)
	if n == nil {
		return 0, ErrClosed
	}
	if err := n.handle.enter(); err != nil {
		return 0, err
	}
	defer n.handle.leave()
	var detail *cError
	r := f(n.c, &detail)
	return int(r), check(function, r, detail)
}

// Nodes lists the nodes that are online, by number.
func (n *NUMA) Nodes() ([]NUMANode, error) {
	var nodes []NUMANode
	for {
		var c C.struct_nestvirt_numa_node
		C.go_nestvirt_numa_node_init(&c, C.sizeof_struct_nestvirt_numa_node)
		_, err := n.call("nestvirt_numa_get_node", func(numa *C.struct_nestvirt_numa, detail **cError) C.int {
			return C.go_nestvirt_numa_get_node(numa, C.uint32_t(len(nodes)), &c, detail)
		})
		if errors.Is(err, syscall.ENOENT) {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, NUMANode{
			Node: int(c.node), Allowed: NUMANodeFlag(c.flags)&NUMANodeAllowed != 0,
			CPUs: int(c.cpus), CPUsAllowed: int(c.cpus_allowed), Pools: int(c.pools),
			MemoryTotal: uint64(c.memory_total), MemoryFree: uint64(c.memory_free),
			MemoryAvailable: uint64(c.memory_available),
		})
	}
}

// CPUs lists a node's CPUs that are online, as "0-3,8". syscall.ENOENT for a node that is not online.
func (n *NUMA) CPUs(node int) (string, error) { return n.cpus(node, 0) }

// AllowedCPUs lists those of a node's CPUs that the thread which called NewNUMA may run on, as "0-3,8".
func (n *NUMA) AllowedCPUs(node int) (string, error) { return n.cpus(node, 1) }

func (n *NUMA) cpus(node int, allowed C.uint32_t) (string, error) {
	number, err := word32("node", node)
	if err != nil {
		return "", err
	}
	return grown(func(buffer []byte) (int, error) {
		return n.call("nestvirt_numa_get_cpus", func(c *C.struct_nestvirt_numa, detail **cError) C.int {
			return C.go_nestvirt_numa_get_cpus(c, number, allowed, (*C.char)(unsafe.Pointer(&buffer[0])),
				C.size_t(len(buffer)), detail)
		})
	})
}

// Distance is how far memory of node to is from CPUs of node from: DistanceLocal is the node itself, 20 twice as far.
func (n *NUMA) Distance(from, to int) (int, error) {
	first, err := word32("from", from)
	if err != nil {
		return 0, err
	}
	second, err := word32("to", to)
	if err != nil {
		return 0, err
	}
	return n.call("nestvirt_numa_get_distance", func(c *C.struct_nestvirt_numa, detail **cError) C.int {
		return C.go_nestvirt_numa_get_distance(c, first, second, detail)
	})
}

// Pools lists a node's huge pages, by size of page. A node that is not online has none.
func (n *NUMA) Pools(node int) ([]NUMAPool, error) {
	number, err := word32("node", node)
	if err != nil {
		return nil, err
	}
	var pools []NUMAPool
	for {
		var c C.struct_nestvirt_numa_pool
		C.go_nestvirt_numa_pool_init(&c, C.sizeof_struct_nestvirt_numa_pool)
		_, err := n.call("nestvirt_numa_get_pool", func(numa *C.struct_nestvirt_numa, detail **cError) C.int {
			return C.go_nestvirt_numa_get_pool(numa, number, C.uint32_t(len(pools)), &c, detail)
		})
		if errors.Is(err, syscall.ENOENT) {
			return pools, nil
		}
		if err != nil {
			return nil, err
		}
		pools = append(pools, NUMAPool{PageSize: uint64(c.page_size), Total: uint64(c.total), Free: uint64(c.free)})
	}
}

// Place chooses a node that has enough memory available and enough CPUs: the one with most CPUs, then with most
// memory. Nothing is reserved. Bind memory to it (MemoryConfig.NUMANodes), and vCPUs to its AllowedCPUs.
// syscall.ENOSPC where no node has enough: the error says what each has.
func (n *NUMA) Place(need NUMANeed) (int, error) {
	vcpus, err := word32("NUMANeed.VCPUs", need.VCPUs)
	if err != nil {
		return 0, err
	}
	var c C.struct_nestvirt_numa_need
	C.go_nestvirt_numa_need_init(&c, C.sizeof_struct_nestvirt_numa_need)
	c.memory, c.page_size, c.vcpus = C.uint64_t(need.Memory), C.uint64_t(need.PageSize), vcpus
	return n.call("nestvirt_numa_get_place", func(numa *C.struct_nestvirt_numa, detail **cError) C.int {
		return C.go_nestvirt_numa_get_place(numa, &c, detail)
	})
}

// AddGuestNode adds a NUMA node to the guest and gives its number: 0, 1, ... Regions belong to it by
// MemoryConfig.GuestNode. As soon as there is a node, every vCPU and region must belong to one. VCPUs are their
// numbers, "0-1,4"; "" for a node of memory only. State new.
func (vm *VM) AddGuestNode(vcpus string) (int, error) {
	list, err := text("vcpus", vcpus)
	if err != nil {
		return 0, err
	}
	defer free(list)
	return vm.call("nestvirt_numa_add_guest_node", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_numa_add_guest_node(c, list, detail)
	})
}

// SetGuestDistance sets how far memory of guest node to is from vCPUs of node from: 11 to DistanceMax, DistanceDefault
// if it is not set. The way back is as far, unless it is set too. State new.
func (vm *VM) SetGuestDistance(from, to, distance int) error {
	first, err := word32("from", from)
	if err != nil {
		return err
	}
	second, err := word32("to", to)
	if err != nil {
		return err
	}
	far, err := word32("distance", distance)
	if err != nil {
		return err
	}
	_, err = vm.call("nestvirt_numa_set_guest_distance", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_numa_set_guest_distance(c, first, second, far, detail)
	})
	return err
}
