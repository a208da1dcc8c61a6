// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

// SetNUMA changes the region's policy for the host's nodes ("0-1,3", "" for policies without): pages touched from now
// on follow it, and with NUMAMove those that are resident move. Any state.
func (r *Region) SetNUMA(policy NUMAPolicy, nodes string, flags NUMAFlag) error {
	list, err := text("nodes", nodes)
	if err != nil {
		return err
	}
	defer free(list)
	return r.call("nestvirt_memory_set_numa", func(c *cVM, region C.uint32_t, detail **cError) C.int {
		return C.go_nestvirt_memory_set_numa(c, region, C.uint32_t(policy), list, C.uint32_t(flags), detail)
	})
}

// Placement tells where the pages of a region are, counted by 4096 bytes.
type Placement struct {
	Policy    NUMAPolicy // as the kernel has it now
	Resident  uint64     // pages that are in memory
	Absent    uint64     // never touched here, swapped out, or a page of zeroes that all share
	Elsewhere uint64     // resident on nodes behind those of Nodes
	Nodes     []uint64   // pages on node 0, 1, ...
}

// Placement asks the kernel for the node of each page, and counts those of the first nodes. Any state.
func (r *Region) Placement(nodes int) (Placement, error) {
	count, err := word32("nodes", nodes)
	if err != nil {
		return Placement{}, err
	}
	if nodes > maxNodes {
		return Placement{}, invalid("nodes", "is %d; Linux has at most %d", nodes, maxNodes)
	}
	found := make([]uint64, nodes)
	var c C.struct_nestvirt_memory_placement
	C.go_nestvirt_memory_placement_init(&c, C.sizeof_struct_nestvirt_memory_placement)
	err = r.call("nestvirt_memory_get_placement", func(vm *cVM, region C.uint32_t, detail **cError) C.int {
		return C.go_nestvirt_memory_get_placement(vm, region, &c, numbers(found), count, detail)
	})
	if err != nil {
		return Placement{}, err
	}
	return Placement{Policy: NUMAPolicy(c.policy), Resident: uint64(c.resident), Absent: uint64(c.absent),
		Elsewhere: uint64(c.elsewhere), Nodes: found}, nil
}

// MaxNodes is how many nodes Linux can be built for (CONFIG_NODES_SHIFT).
const maxNodes = 1024

// SetMergeable lets KSM merge the region's pages, or gives each merged page its own copy again. Any state.
//
// Merging opens a side channel between all whose memory is mergeable on this host; include/nestvirt/memory.h tells
// which. Do it only among VMs that may know of each other's contents.
func (r *Region) SetMergeable(on bool) error {
	var value C.uint32_t
	if on {
		value = 1
	}
	return r.call("nestvirt_memory_set_mergeable", func(c *cVM, region C.uint32_t, detail **cError) C.int {
		return C.go_nestvirt_memory_set_mergeable(c, region, value, detail)
	})
}

// MemoryKSM is what KSM has merged. What begins with Process is of all VMs and the rest of this process together.
type MemoryKSM struct {
	Flags               MemoryKSMFlag // which figures this kernel gave; the others are 0 and mean nothing
	MergeableBytes      uint64        // of regions that are mergeable now
	MergedBytes         uint64        // mapped by the regions and merged
	ProcessMergingPages uint64        // pages that are merged
	ProcessZeroPages    uint64        // pages of zeroes that share the host's own
	ProcessRmapItems    uint64        // pages that KSM keeps account of
	ProcessProfit       int64         // bytes saved less what KSM's accounts need
	HostRun             KSMRunMode    // whether KSM runs on the host
}

// KSM reports what was merged of the region. It takes milliseconds for each GiB in use. Any state.
func (r *Region) KSM() (MemoryKSM, error) {
	var c C.struct_nestvirt_memory_ksm
	C.go_nestvirt_memory_ksm_init(&c, C.sizeof_struct_nestvirt_memory_ksm)
	err := r.call("nestvirt_memory_get_ksm", func(vm *cVM, region C.uint32_t, detail **cError) C.int {
		return C.go_nestvirt_memory_get_ksm(vm, region, &c, detail)
	})
	if err != nil {
		return MemoryKSM{}, err
	}
	return MemoryKSM{
		Flags:               MemoryKSMFlag(c.flags),
		MergeableBytes:      uint64(c.mergeable_bytes),
		MergedBytes:         uint64(c.merged_bytes),
		ProcessMergingPages: uint64(c.process_merging_pages),
		ProcessZeroPages:    uint64(c.process_zero_pages),
		ProcessRmapItems:    uint64(c.process_rmap_items),
		ProcessProfit:       int64(c.process_profit),
		HostRun:             KSMRunMode(c.host_run),
	}, nil
}

// MemoryKSM reports what was merged of all the VM's regions.
func (vm *VM) MemoryKSM() (MemoryKSM, error) { return (&Region{vm, MemoryEvery}).KSM() }
