// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"math"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

type cObserver = C.struct_nestvirt_observer

// ObserverConfig is how an observer counts. Its zero value is a histogram where that is possible, and totals elsewhere.
type ObserverConfig struct {
	// Flags: ObserverNeedBPF, an error where there can be no histogram; or ObserverSchedstat, totals are enough.
	Flags ObserverFlag
}

// Observer counts how long threads of VMs were ready to run and waited for a CPU: for each VM that was added, and in
// total. Any goroutine may use it.
//
// A histogram takes CAP_BPF and CAP_PERFMON (or root) in NewObserver and not later, Linux 6.1 or later with BTF, and
// libbpf.so.1. Where one of these is missing there are only totals, and Reason says why.
//
// A VM that is closed is removed from its observers, whose total keeps what was counted. An observer may be closed
// before its VMs, or after.
type Observer struct {
	handle handle
	c      *cObserver
}

// NewObserver makes an observer, which counts from now on. It takes some 20 milliseconds with a histogram.
func NewObserver(config ObserverConfig) (*Observer, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var c C.struct_nestvirt_observer_config
	C.go_nestvirt_observer_config_init(&c, C.sizeof_struct_nestvirt_observer_config)
	c.flags = C.uint32_t(config.Flags)
	observer := &Observer{}
	var detail *cError
	r := C.go_nestvirt_observer_new(&c, &observer.c, &detail)
	if err := check("nestvirt_observer_new", r, detail); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(observer, func(o *Observer) { go o.Close() }) // the kernel takes its time
	return observer, nil
}

// Close ends the counting; the VMs go on. What was read stays. Closing it again does nothing.
func (o *Observer) Close() error {
	defer runtime.KeepAlive(o)
	if o == nil || !o.handle.shut() {
		return nil
	}
	o.handle.drain(nothing) // which does not fail
	runtime.SetFinalizer(o, nil)
	return check("nestvirt_observer_free", C.go_nestvirt_observer_free(o.c), nil)
}

// Call makes a call on the observer unless it is closed, and with a VM unless that is.
func (o *Observer) call(function string, vm *VM, f func(o *cObserver, vm *cVM, detail **cError) C.int) (int, error) {
	if o == nil {
		return 0, ErrClosed
	}
	defer runtime.KeepAlive(o)
	if err := o.handle.enter(); err != nil {
		return 0, err
	}
	defer o.handle.leave()
	if vm != nil {
		return vm.call(function, func(c *cVM, detail **cError) C.int { return f(o.c, c, detail) })
	}
	var detail *cError
	r := f(o.c, nil, &detail)
	return int(r), check(function, r, detail)
}

// Of makes a call on the observer that needs a VM.
func (o *Observer) of(function string, vm *VM, f func(o *cObserver, vm *cVM, detail **cError) C.int) error {
	if vm == nil {
		return invalid("vm", "is nil; give it the VM")
	}
	_, err := o.call(function, vm, f)
	return err
}

// Reason is why there are only totals, as a sentence; "" if there is a histogram.
func (o *Observer) Reason() (string, error) {
	const function = "nestvirt_observer_get_reason"
	if !has(function) {
		return "", unsupported(function)
	}
	var reason string
	_, err := o.call(function, nil, func(c *cObserver, _ *cVM, _ **cError) C.int {
		reason = C.GoString(C.go_nestvirt_observer_get_reason(c))
		return 0
	})
	return reason, err
}

// Add observes the threads of a VM from now on, and those that later builds make; 0 are all kinds. An event loop that
// was given to the VM is left out. For an observed VM other kinds are added. Any state, also while the guest runs.
//
// syscall.EALREADY if all of them are observed.
func (o *Observer) Add(vm *VM, kinds ObserveKind) error {
	return o.of("nestvirt_observer_add", vm, func(o *cObserver, vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_observer_add(o, vm, C.uint32_t(kinds), detail)
	})
}

// AddThread counts one more thread of this process to an observed VM, until it ends or the VM is removed: such as one
// that drives its vCPUs by hand, in a goroutine with runtime.LockOSThread. TID is what syscall.Gettid gives there.
//
// syscall.ENOENT if the VM is not observed, syscall.ESRCH without such a thread, syscall.EALREADY if it counts for this
// VM, syscall.EBUSY if it does for another one.
func (o *Observer) AddThread(vm *VM, tid int) error {
	number, err := signed32("tid", tid)
	if err != nil {
		return err
	}
	return o.of("nestvirt_observer_add_thread", vm, func(o *cObserver, vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_observer_add_thread(o, vm, number, detail)
	})
}

// Remove no longer observes a VM, whose figures are gone; the total keeps what was counted. Any state.
func (o *Observer) Remove(vm *VM) error {
	return o.of("nestvirt_observer_remove", vm, func(o *cObserver, vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_observer_remove(o, vm, detail)
	})
}

// Start counts anew from 0, for all VMs and in total. A wait under way counts as a whole when it ends.
func (o *Observer) Start() error {
	_, err := o.call("nestvirt_observer_start", nil, func(o *cObserver, _ *cVM, detail **cError) C.int {
		return C.go_nestvirt_observer_start(o, detail)
	})
	return err
}

// Waits are those that ended since the VM was added, or since Observer.Start.
type Waits struct {
	Flags     WaitsFlag     // WaitsTotalsOnly: only Flags, Count, Time, Threads and VMs are known
	Count     uint64        // waits
	Time      time.Duration // that they took together
	Max       time.Duration // the longest
	Lost      uint64        // waits that were not seen whole and are in no other figure
	Preempted uint64        // those of Count that began with the thread being put off its CPU
	Inferred  uint64        // those of Count that no tracepoint told of, but only the kernel's sums
	Threads   int           // observed now
	VMs       int           // observed now; 1 for a VM

	// The histogram, nil with totals only. Bucket i is of waits from WaitLimit(i) to before WaitLimit(i+1).
	Counts  []uint64 // how many waits took so long
	TimesNS []uint64 // nanoseconds spent in waits that took so long

	c C.struct_nestvirt_waits
}

// Read reads the figures of a VM; nil is the total of all VMs, those that were removed included.
func (o *Observer) Read(vm *VM) (*Waits, error) {
	waits := &Waits{}
	counts, times := make([]uint64, WaitBuckets), make([]uint64, WaitBuckets)
	C.go_nestvirt_waits_init(&waits.c, C.sizeof_struct_nestvirt_waits)
	_, err := o.call("nestvirt_observer_read", vm, func(o *cObserver, vm *cVM, detail **cError) C.int {
		return C.go_nestvirt_observer_read(o, vm, &waits.c, numbers(counts), numbers(times), WaitBuckets, detail)
	})
	if err != nil {
		return nil, err
	}
	c := &waits.c
	waits.Flags = WaitsFlag(c.flags)
	waits.Count, waits.Lost = uint64(c.count), uint64(c.lost)
	waits.Preempted, waits.Inferred = uint64(c.preempted), uint64(c.inferred)
	waits.Time, waits.Max = nanoseconds(c.time_ns), nanoseconds(c.max_ns)
	waits.Threads, waits.VMs = int(c.threads), int(c.vms)
	if waits.Flags&WaitsTotalsOnly == 0 {
		waits.Counts, waits.TimesNS = counts, times
	}
	return waits, nil
}

// Numbers are a slice of numbers for C; NULL for an empty one.
func numbers(values []uint64) *C.uint64_t {
	if len(values) == 0 {
		return nil
	}
	return (*C.uint64_t)(unsafe.Pointer(&values[0]))
}

// Percentile is the wait that so many percent of all do not exceed (WeightCount), or in waits no longer than which so
// many percent of the time were spent (WeightTime): 50 is the median, 99 is p99, 100 the longest. Within a bucket it is
// interpolated, so it is off by an eighth at most; 0 if there was no wait.
//
// syscall.ENOTSUP with totals only.
func (w *Waits) Percentile(weight WaitsWeight, percent float64) (time.Duration, error) {
	values := w.Counts
	switch weight {
	case WeightCount:
	case WeightTime:
		values = w.TimesNS
	default:
		return 0, invalid("weight", "is %v; give it WeightCount or WeightTime", weight)
	}
	if !(percent >= 0 && percent <= 100) {
		return 0, invalid("percent", "is %v; give it 0 to 100", percent)
	}
	if w.Flags&WaitsTotalsOnly != 0 {
		return 0, &Error{Code: -int(syscall.ENOTSUP), Object: "waits",
			Message: "waits: have no histogram; Observer.Reason says why"}
	}
	if len(values) != WaitBuckets {
		return 0, invalid("Waits", "have %d buckets, not %d; take those of Observer.Read", len(values), WaitBuckets)
	}
	if err := load(); err != nil {
		return 0, err
	}
	var ns C.uint64_t
	var detail *cError
	r := C.go_nestvirt_waits_get_percentile(&w.c, numbers(values), WaitBuckets,
		C.uint32_t(math.Round(percent*10000)), &ns, &detail)
	return nanoseconds(ns), check("nestvirt_waits_get_percentile", r, detail)
}

// WaitLimit is the time at which a bucket of a histogram begins; it ends before the next one's. For WaitBuckets and
// above it is the longest time that there is.
func WaitLimit(bucket int) (time.Duration, error) {
	const function = "nestvirt_waits_get_limit"
	number, err := word32("bucket", bucket)
	if err != nil {
		return 0, err
	}
	if err := load(); err != nil {
		return 0, err
	}
	if !has(function) {
		return 0, unsupported(function)
	}
	return nanoseconds(C.go_nestvirt_waits_get_limit(number)), nil
}

// Text is the figures of a VM, or with nil the total, as a table for people: a row for each power of two in
// microseconds, with how many waits took so long, or how many microseconds were spent in them. With totals only it is
// a line with them and the reason.
func (o *Observer) Text(vm *VM, weight WaitsWeight) (string, error) {
	return o.written("nestvirt_observer_get_text", vm,
		func(o *cObserver, vm *cVM, buffer *C.char, size C.size_t, detail **cError) C.int {
			return C.go_nestvirt_observer_get_text(o, vm, C.uint32_t(weight), buffer, size, detail)
		})
}

// JSON is the figures of a VM, or with nil the total, as one object; include/nestvirt/observe.h lists its members.
func (o *Observer) JSON(vm *VM) ([]byte, error) {
	text, err := o.written("nestvirt_observer_get_json", vm,
		func(o *cObserver, vm *cVM, buffer *C.char, size C.size_t, detail **cError) C.int {
			return C.go_nestvirt_observer_get_json(o, vm, buffer, size, detail)
		})
	if err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// Written is a text that C writes into a buffer.
func (o *Observer) written(function string, vm *VM,
	f func(o *cObserver, vm *cVM, buffer *C.char, size C.size_t, detail **cError) C.int) (string, error) {
	return grown(func(buffer []byte) (int, error) {
		return o.call(function, vm, func(o *cObserver, vm *cVM, detail **cError) C.int {
			return f(o, vm, (*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), detail)
		})
	})
}
