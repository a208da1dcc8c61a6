// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const spinners = 6 // more than the CPUs that a test has

// BPFObserver makes an observer with a histogram for the time of a test.
func bpfObserver(t *testing.T) *Observer {
	t.Helper()
	observer, err := NewObserver(ObserverConfig{Flags: ObserverNeedBPF})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) {
		t.Skipf("SKIP: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, observer.Close()) })
	if reason, err := observer.Reason(); err != nil || reason != "" {
		t.Fatalf("%q, %v, of an observer with a histogram", reason, err)
	}
	return observer
}

// Waits reads figures.
func waitsOf(t *testing.T, observer *Observer, vm *VM) *Waits {
	t.Helper()
	waits, err := observer.Read(vm)
	must(t, err)
	return waits
}

// KernelSums are what the kernel itself sums up for a VM's threads: how long and how often they waited.
func kernelSums(t *testing.T, vm *VM) (time.Duration, uint64) {
	t.Helper()
	threads, err := vm.Threads()
	must(t, err)
	var sum time.Duration
	var total uint64
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", thread.TID))
		must(t, err)
		var onCPU, waited, count uint64
		_, err = fmt.Sscan(string(text), &onCPU, &waited, &count)
		must(t, err)
		sum += time.Duration(waited)
		total += count
	}
	return sum, total
}

// Settle waits until every thread of the VM sleeps.
func settle(t *testing.T, vm *VM) {
	t.Helper()
	threads, err := vm.Threads()
	must(t, err)
	for _, thread := range threads {
		eventually(t, "a thread sleeps", func() bool {
			text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", thread.TID))
			must(t, err)
			return strings.Contains(string(text), ") S ")
		})
	}
}

// A spinner is a VM that never halts, and what the kernel counted for it while it was observed.
type spinner struct {
	vm    *VM
	time  time.Duration
	count uint64
}

// RunSpinners observes VMs between two moments in which none of their threads can run.
func runSpinners(t *testing.T, observer *Observer) []spinner {
	t.Helper()
	host := openTestHost(t)
	all := make([]spinner, spinners)
	for i := range all {
		vm := newTestVM(t, host, VMConfig{Name: fmt.Sprintf("spin%d", i)}, guestSpin)
		must(t, vm.Build())
		settle(t, vm)
		must(t, observer.Add(vm, 0))
		all[i].vm = vm
		all[i].time, all[i].count = kernelSums(t, vm)
	}
	for _, one := range all {
		must(t, one.vm.Start())
	}
	time.Sleep(1500 * time.Millisecond)
	for _, one := range all {
		must(t, one.vm.Pause())
		settle(t, one.vm)
	}
	for i, one := range all {
		sum, count := kernelSums(t, one.vm)
		all[i].time, all[i].count = sum-one.time, count-one.count
	}
	return all
}

// The figures are the kernel's own, to the very wait, for each VM and in total; closed VMs stay in the total.
func TestS22AgreesWithTheKernel(t *testing.T) {
	observer := bpfObserver(t)
	all := runSpinners(t, observer)
	var sum Waits
	for i, one := range all {
		waits := waitsOf(t, observer, one.vm)
		ratio := float64(waits.Time) / float64(one.time)
		if waits.Count != one.count || ratio < 0.98 || ratio > 1.02 {
			t.Errorf("VM %d: %d waits of %v, the kernel counts %d of %v", i, waits.Count, waits.Time, one.count, one.time)
		}
		if waits.Flags != 0 || waits.Lost != 0 || waits.Threads != 1 || waits.VMs != 1 || waits.Preempted == 0 ||
			waits.Max < time.Millisecond {
			t.Errorf("VM %d: %+v", i, waits)
		}
		sum.Count += waits.Count
		sum.Time += waits.Time
	}
	total := waitsOf(t, observer, nil)
	if total.Count != sum.Count || total.Time != sum.Time || total.VMs != spinners || total.Threads != spinners {
		t.Errorf("the total %+v is not the sum %+v", total, sum)
	}
	for _, one := range all {
		must(t, one.vm.Close())
	}
	if total := waitsOf(t, observer, nil); total.VMs != 0 || total.Threads != 0 || total.Count < sum.Count {
		t.Errorf("after Close of the VMs: %+v", total)
	}
}

// Buckets add up to the figures, and percentiles are of the buckets.
func TestS22Histogram(t *testing.T) {
	observer := bpfObserver(t)
	runSpinners(t, observer)
	waits := waitsOf(t, observer, nil)
	if len(waits.Counts) != WaitBuckets || len(waits.TimesNS) != WaitBuckets {
		t.Fatalf("%d and %d buckets", len(waits.Counts), len(waits.TimesNS))
	}
	var count, ns uint64
	for i := range waits.Counts {
		from, err := WaitLimit(i)
		must(t, err)
		to, err := WaitLimit(i + 1)
		must(t, err)
		mean := waits.TimesNS[i]
		if waits.Counts[i] > 0 {
			mean /= waits.Counts[i]
		}
		if waits.Counts[i] > 0 && (mean < uint64(from) || mean >= uint64(to)) || waits.Counts[i] == 0 && mean > 0 {
			t.Errorf("bucket %d, %v to %v: %d waits, %d ns", i, from, to, waits.Counts[i], waits.TimesNS[i])
		}
		count += waits.Counts[i]
		ns += waits.TimesNS[i]
	}
	if count != waits.Count || time.Duration(ns) != waits.Time {
		t.Errorf("buckets of %d waits and %d ns, of %d and %v", count, ns, waits.Count, waits.Time)
	}
	median, err := waits.Percentile(WeightTime, 50)
	must(t, err)
	longest, err := waits.Percentile(WeightCount, 100)
	must(t, err)
	if median <= time.Millisecond || median > longest || longest != waits.Max {
		t.Errorf("half of the time in waits up to %v, the longest %v, %v", median, longest, waits.Max)
	}
	if last, err := WaitLimit(WaitBuckets); err != nil || last != math.MaxInt64 {
		t.Errorf("behind the last bucket: %v, %v", last, err)
	}
	checkWeights(t, waits)
	checkWritten(t, observer, waits)
}

// CheckWeights asks for percentiles of numbers that differ by weight.
func checkWeights(t *testing.T, waits *Waits) {
	t.Helper()
	made := *waits
	made.Counts, made.TimesNS = make([]uint64, WaitBuckets), make([]uint64, WaitBuckets)
	for weight, bucket := range map[WaitsWeight]int{WeightCount: 3, WeightTime: 40} {
		map[WaitsWeight][]uint64{WeightCount: made.Counts, WeightTime: made.TimesNS}[weight][bucket] = 10
		from, err := WaitLimit(bucket)
		must(t, err)
		to, err := WaitLimit(bucket + 1)
		must(t, err)
		if found, err := made.Percentile(weight, 50); err != nil || found < from || found > to {
			t.Errorf("the median by %v is %v, not %v to %v; %v", weight, found, from, to, err)
		}
	}
}

// Written is what programs read of JSON.
type written struct {
	Source  string  `json:"source"`
	Reason  *string `json:"reason"`
	VM      *string `json:"vm"`
	Count   uint64  `json:"count"`
	MaxNS   *uint64 `json:"max_ns"`
	VMs     int     `json:"vms"`
	Buckets []struct {
		FromNS uint64 `json:"from_ns"`
		Count  uint64 `json:"count"`
	} `json:"buckets"`
}

func parsed(t *testing.T, observer *Observer, vm *VM) (found written) {
	t.Helper()
	text, err := observer.JSON(vm)
	must(t, err)
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return found
}

// CheckWritten compares the total as JSON and as a table with what was read; the VMs are paused.
func checkWritten(t *testing.T, observer *Observer, waits *Waits) {
	t.Helper()
	found := parsed(t, observer, nil)
	var count uint64
	for _, bucket := range found.Buckets {
		count += bucket.Count
	}
	if found.Source != "bpf" || found.Reason != nil || found.VM != nil || found.Count != waits.Count ||
		count != waits.Count || found.VMs != waits.VMs || *found.MaxNS != uint64(waits.Max) {
		t.Errorf("JSON %+v of %+v", found, waits)
	}
	for _, weight := range []WaitsWeight{WeightCount, WeightTime} {
		if text, err := observer.Text(nil, weight); err != nil || !strings.Contains(text, "usecs") ||
			!strings.Contains(text, "distribution") || !strings.Contains(text, "|***") {
			t.Errorf("by %v: %v\n%s", weight, err, text)
		}
	}
}

// Totals alone are the kernel's exactly, and everything else says that it is not there, and why.
func TestS22Totals(t *testing.T) {
	observer, err := NewObserver(ObserverConfig{Flags: ObserverSchedstat})
	must(t, err)
	defer observer.Close()
	all := runSpinners(t, observer)
	for i, one := range all {
		if waits := waitsOf(t, observer, one.vm); waits.Count != one.count || waits.Time != one.time ||
			waits.Flags != WaitsTotalsOnly || waits.Counts != nil || waits.TimesNS != nil {
			t.Errorf("VM %d: %+v, the kernel counts %d of %v", i, waits, one.count, one.time)
		}
	}
	const why = "the caller asked for totals"
	reason, err := observer.Reason()
	must(t, err)
	text, err := observer.Text(all[0].vm, WeightCount)
	must(t, err)
	if !strings.Contains(reason, why) || !strings.Contains(text, why) {
		t.Errorf("reason %q, text %q", reason, text)
	}
	_, err = waitsOf(t, observer, nil).Percentile(WeightCount, 50)
	wantErrno(t, err, syscall.ENOTSUP)
	found := parsed(t, observer, all[1].vm)
	if found.Source != "schedstat" || found.Reason == nil || *found.VM != "spin1" || found.MaxNS != nil ||
		found.Buckets != nil || found.Count != all[1].count {
		t.Errorf("JSON %+v", found)
	}
}

// Start counts anew; a removed VM is ignored, and the total keeps what was counted; later builds are taken in.
func TestS22StartAndRemove(t *testing.T) {
	observer := bpfObserver(t)
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	must(t, observer.Add(vm, ObserveVCPU))
	if waits := waitsOf(t, observer, vm); waits.Threads != 0 {
		t.Errorf("before the build: %+v", waits)
	}
	runTestVM(t, vm)
	waited := func() bool { return waitsOf(t, observer, vm).Count > 0 }
	eventually(t, "waits", waited)
	must(t, vm.Pause())
	settle(t, vm)
	must(t, observer.Start())
	if vms, all := waitsOf(t, observer, vm), waitsOf(t, observer, nil); vms.Count+all.Count != 0 || all.Max != 0 {
		t.Errorf("counted anew: %+v, all %+v", vms, all)
	}
	must(t, vm.Stop(seconds(t, 10)))
	must(t, vm.Start())
	eventually(t, "waits of a later build", waited)
	must(t, observer.Remove(vm))
	count := waitsOf(t, observer, nil).Count
	time.Sleep(100 * time.Millisecond)
	if now := waitsOf(t, observer, nil); now.Count != count || count == 0 || now.VMs != 0 {
		t.Errorf("%d waits when it was removed, then %+v", count, now)
	}
	wantErrno(t, second(observer.Read(vm)), syscall.ENOENT)
	wantErrno(t, observer.Remove(vm), syscall.ENOENT)
	must(t, observer.Add(vm, 0))
	eventually(t, "waits once more", waited)
}

// A thread of the program that was given to a VM counts for it.
func TestS22GivenThread(t *testing.T) {
	observer := bpfObserver(t)
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{Flags: VMManualVCPUs}, guestSpin)
	other := newTestVM(t, host, VMConfig{}, guestSpin)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := syscall.Gettid()
	wantErrno(t, observer.AddThread(vm, own), syscall.ENOENT)
	must(t, observer.Add(vm, 0))
	must(t, observer.Add(other, 0))
	must(t, observer.AddThread(vm, own))
	wantErrno(t, observer.AddThread(vm, own), syscall.EALREADY)
	wantErrno(t, observer.AddThread(other, own), syscall.EBUSY)
	wantErrno(t, observer.AddThread(vm, 1), syscall.ESRCH)
	before := waitsOf(t, observer, vm).Count
	pause := syscall.NsecToTimespec(int64(time.Millisecond))
	for i := 0; i < 10; i++ {
		must(t, syscall.Nanosleep(&pause, nil)) // of the thread, not of the goroutine
	}
	if waits := waitsOf(t, observer, vm); waits.Count < before+10 || waits.Threads != 1 {
		t.Errorf("%d waits, then %+v", before, waits)
	}
}

// Either may be closed first, also while the other is in use; forgotten ones are collected.
func TestS22ClosedInAnyOrder(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	for i := 0; i < 3; i++ {
		observer, err := NewObserver(ObserverConfig{})
		must(t, err)
		vm := newTestVM(t, host, VMConfig{}, guestSpin)
		must(t, observer.Add(vm, 0))
		runTestVM(t, vm)
		switch i {
		case 0:
			must(t, vm.Close())
			waitsOf(t, observer, nil)
			wantErrno(t, second(observer.Read(vm)), syscall.EBADF)
			must(t, observer.Close())
		case 1:
			must(t, observer.Close())
			must(t, vm.Stop(seconds(t, 10)))
			must(t, vm.Start())
			must(t, vm.Close())
		default: // the observer is forgotten while its VM runs
			files := takeCensus(t).files
			observer = nil
			eventually(t, "the observer is gone", func() bool {
				runtime.GC()
				return takeCensus(t).files < files
			})
			must(t, vm.Close())
		}
	}
	wantCensus(t, before)
}
