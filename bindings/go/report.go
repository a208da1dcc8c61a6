// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"errors"
	"math"
	"runtime"
	"syscall"
	"time"
)

// NoLimit is a number of a report or a plan that nothing known limits.
const NoLimit = math.MaxUint64

// ReportConfig says on what a report is. Its zero value is this machine and its /dev/kvm.
type ReportConfig struct {
	// Root is a folder that holds a copy of what another machine says (see include/nestvirt/report.h); "": this machine.
	Root string
	// Device is KVM's device, "" for /dev/kvm; only without another root.
	Device string
}

// Report tells what a host's processor, its KVM, its devices and its limits allow. It does not change after it was
// made. Any goroutine may read it.
type Report struct {
	handle handle
	c      *C.struct_nestvirt_report
}

// ReportItem is one question and its answer. All texts may be "".
type ReportItem struct {
	Answer Answer
	Group  ReportGroup
	Number uint64 // where one is concerned, NoLimit or else 0
	Name   string // for programs, such as "nested.vmx", "cpu.ept", "limit.open_files"
	Title  string // for people
	Value  string // such as "guest of KVM" or "20000"
	Reason string // why the answer is this one, where that is not plain
	Source string // where it was read: a file, a CPUID leaf, an MSR, a KVM capability
	Remedy string // what to do about it, where something can be done
}

// NewReport makes a report, which takes some milliseconds. It needs no Host, so that it can also tell why opening one
// fails. It changes nothing on the host.
func NewReport(config ReportConfig) (*Report, error) {
	if err := load(); err != nil {
		return nil, err
	}
	root, err := text("ReportConfig.Root", config.Root)
	if err != nil {
		return nil, err
	}
	defer free(root)
	device, err := text("ReportConfig.Device", config.Device)
	if err != nil {
		return nil, err
	}
	defer free(device)
	var c C.struct_nestvirt_report_config
	C.go_nestvirt_report_config_init(&c, C.sizeof_struct_nestvirt_report_config)
	c.root, c.device = root, device
	report := &Report{}
	var detail *cError
	if err := check("nestvirt_report_new", C.go_nestvirt_report_new(&c, &report.c, &detail), detail); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(report, (*Report).Close)
	return report, nil
}

// Close frees the report. What was read from it stays. Closing it again does nothing.
func (r *Report) Close() error {
	if r == nil || !r.handle.shut() {
		return nil
	}
	r.handle.drain(nothing) // which does not fail
	runtime.SetFinalizer(r, nil)
	return check("nestvirt_report_free", C.go_nestvirt_report_free(r.c), nil)
}

// Call makes a call on the report unless it is closed.
func (r *Report) call(function string, f func(c *C.struct_nestvirt_report, detail **cError) C.int) error {
	defer runtime.KeepAlive(r)
	if r == nil {
		return ErrClosed
	}
	if err := r.handle.enter(); err != nil {
		return err
	}
	defer r.handle.leave()
	var detail *cError
	return check(function, f(r.c, &detail), detail)
}

// Items lists all questions and answers. Those of a group follow each other.
func (r *Report) Items() ([]ReportItem, error) {
	var items []ReportItem
	for {
		var item ReportItem
		err := r.call("nestvirt_report_get_item", func(c *C.struct_nestvirt_report, detail **cError) C.int {
			var found C.struct_nestvirt_report_item
			C.go_nestvirt_report_item_init(&found, C.sizeof_struct_nestvirt_report_item)
			result := C.go_nestvirt_report_get_item(c, C.uint32_t(len(items)), &found, detail)
			if result >= 0 {
				item = newReportItem(&found) // while the report keeps its texts
			}
			return result
		})
		if errors.Is(err, syscall.ENOENT) {
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
}

// Item is the answer to one question, such as "nested.vmx". syscall.ENOENT if there is none of that name.
func (r *Report) Item(name string) (ReportItem, error) {
	if name == "" {
		return ReportItem{}, invalid("name", "is empty; Items lists the names")
	}
	named, err := text("name", name)
	if err != nil {
		return ReportItem{}, err
	}
	defer free(named)
	var item ReportItem
	err = r.call("nestvirt_report_get_named", func(c *C.struct_nestvirt_report, detail **cError) C.int {
		var found C.struct_nestvirt_report_item
		C.go_nestvirt_report_item_init(&found, C.sizeof_struct_nestvirt_report_item)
		result := C.go_nestvirt_report_get_named(c, named, &found, detail)
		if result >= 0 {
			item = newReportItem(&found)
		}
		return result
	})
	return item, err
}

func newReportItem(c *C.struct_nestvirt_report_item) ReportItem {
	return ReportItem{
		Answer: Answer(c.answer), Group: ReportGroup(c.group), Number: uint64(c.number),
		Name: C.GoString(c.name), Title: C.GoString(c.title), Value: C.GoString(c.value),
		Reason: C.GoString(c.reason), Source: C.GoString(c.source), Remedy: C.GoString(c.remedy),
	}
}

// Word is what the library itself says for the answer: "yes", "no", or "unknown", also for values that it does not
// know.
func (v Answer) Word() string {
	if load() != nil {
		return v.String()
	}
	return C.GoString(C.go_nestvirt_report_answer_name(C.uint32_t(v)))
}

// Word is what the library itself says for the group, "unknown" for values that it does not know.
func (v ReportGroup) Word() string {
	if load() != nil {
		return v.String()
	}
	return C.GoString(C.go_nestvirt_report_group_name(C.uint32_t(v)))
}

// PlanConfig is the VMs that somebody wants in this process, all alike.
type PlanConfig struct {
	MemorySize uint64 // bytes of RAM of each
	VMs        int    // how many; 0: only asks how many fit
	VCPUs      int    // of each; 1 by default
	Devices    int    // of each: blk, net and the like, with their usual properties
	Files      int    // boot files that each keeps, kernel and initrd; 0: 2, -1: none
}

// Plan is what becomes of a plan, twice: idle, if guests use hardly any of their memory; and touched, if each comes to
// use all of it, as guests do in time.
type Plan struct {
	Idle          Answer // can so many VMs be made?
	Touched       Answer // and may they use all their memory?
	IdleVMs       uint64 // how many can be made; NoLimit: nothing known stops them
	TouchedVMs    uint64 // how many may use all their memory
	IdleMemory    uint64 // bytes that the host needs for the planned ones
	TouchedMemory uint64 // the same, all memory touched
	Descriptors   uint64 // open files of the planned ones
	Mappings      uint64 // of memory, in this process
	Threads       uint64 // with KVM's own, which count as well
	Needed        uint64 // of what IdleLimit limits, by the planned ones
	Available     uint64 // and what is left of it now
	IdleLimit     string // name of the item that stops more than IdleVMs; "": none is known
	TouchedLimit  string // that stops more than TouchedVMs
	Unknown       string // name of an item that may stop them earlier but is unknown; or ""
}

// Plan says whether VMs fit, by what the report knows: limits and memory, less what was in use when it was made.
func (r *Report) Plan(config PlanConfig) (Plan, error) {
	c, err := config.c()
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	err = r.call("nestvirt_report_get_plan", func(report *C.struct_nestvirt_report, detail **cError) C.int {
		var found C.struct_nestvirt_plan
		C.go_nestvirt_plan_init(&found, C.sizeof_struct_nestvirt_plan)
		result := C.go_nestvirt_report_get_plan(report, &c, &found, detail)
		if result >= 0 {
			plan = newPlan(&found)
		}
		return result
	})
	return plan, err
}

func (config PlanConfig) c() (c C.struct_nestvirt_plan_config, err error) {
	C.go_nestvirt_plan_config_init(&c, C.sizeof_struct_nestvirt_plan_config)
	c.memory_size = C.uint64_t(config.MemorySize)
	if c.vms, err = word32("PlanConfig.VMs", config.VMs); err != nil {
		return c, err
	}
	if c.devices, err = word32("PlanConfig.Devices", config.Devices); err != nil {
		return c, err
	}
	vcpus, err := word32("PlanConfig.VCPUs", config.VCPUs)
	if err != nil {
		return c, err
	}
	if vcpus > 0 {
		c.vcpus = vcpus
	}
	switch {
	case config.Files == -1:
		c.files = 0
	case config.Files != 0:
		c.files, err = word32("PlanConfig.Files", config.Files)
	}
	return c, err
}

func newPlan(c *C.struct_nestvirt_plan) Plan {
	return Plan{
		Idle: Answer(c.idle), Touched: Answer(c.touched),
		IdleVMs: uint64(c.idle_vms), TouchedVMs: uint64(c.touched_vms),
		IdleMemory: uint64(c.idle_memory), TouchedMemory: uint64(c.touched_memory),
		Descriptors: uint64(c.descriptors), Mappings: uint64(c.mappings), Threads: uint64(c.threads),
		Needed: uint64(c.needed), Available: uint64(c.available),
		IdleLimit: C.GoString(c.idle_limit), TouchedLimit: C.GoString(c.touched_limit), Unknown: C.GoString(c.unknown),
	}
}

// Nanoseconds is a time that C counts in nanoseconds.
func nanoseconds(value C.uint64_t) time.Duration {
	if value > math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(value)
}

// Grown calls f with buffers of growing size until the text that it writes fits.
func grown(f func(buffer []byte) (int, error)) (string, error) {
	for size := 256; ; size *= 4 {
		buffer := make([]byte, size)
		length, err := f(buffer)
		if errors.Is(err, syscall.E2BIG) && size < 1<<24 {
			continue
		}
		if err != nil {
			return "", err
		}
		return string(buffer[:length]), nil
	}
}
