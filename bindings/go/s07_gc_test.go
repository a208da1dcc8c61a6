// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A VM keeps its callbacks while it runs, however often garbage is collected.
func TestS07CallbacksSurvive(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestStorm)
	var count atomic.Int64
	setCounting(t, vm, &count)
	runTestVM(t, vm)
	for deadline := time.Now().Add(500 * time.Millisecond); time.Now().Before(deadline); {
		runtime.GC()
		litter = append(litter[:0], make([]byte, 1<<20)...)
	}
	seen := count.Load()
	if seen < 100 {
		t.Fatalf("only %d calls", seen)
	}
	eventually(t, "it is still called", func() bool { return count.Load() > seen })
	must(t, vm.Stop(seconds(t, 10)))
}

var litter []byte

// SetCounting sets an exit handler that makes garbage too, with nothing here that refers to it.
func setCounting(t *testing.T, vm *VM, count *atomic.Int64) {
	t.Helper()
	garbage := make([][]byte, 16)
	must(t, vm.SetExitHandler(func(_ *VCPU, exit *Exit) Action {
		n := count.Add(1)
		garbage[n%16] = make([]byte, 4096)
		exit.SetValue(uint64(n))
		return ActionResume
	}))
}

// VMs that nobody refers to any more are freed by the collector, in each state, also while they run.
func TestS07ForgottenVMs(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	for i := 0; i < 5; i++ {
		forget(t, host, func(vm *VM) {})
		forget(t, host, func(vm *VM) { must(t, vm.Build()) })
		forget(t, host, func(vm *VM) { runTestVM(t, vm) })
		forget(t, host, func(vm *VM) { runTestVM(t, vm); vm.Events(); must(t, vm.Pause()) })
	}
	if now := takeCensus(t); now.files <= before.files {
		t.Fatalf("%+v: the VMs were not there at all", now)
	}
	eventually(t, "the VMs are gone", func() bool {
		runtime.GC()
		return takeCensus(t).isWithin(before)
	})
}

// Forget makes a VM and drops it.
func forget(t *testing.T, host *Host, use func(vm *VM)) {
	t.Helper()
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20, Name: "forgotten"})
	must(t, err)
	must(t, vm.SetFlat(imageFile(t, guestStorm.code), FlatConfig{Address: 0x1000, Entry: 0x1000}))
	must(t, vm.SetExitHandler(func(*VCPU, *Exit) Action { return ActionDefault }))
	must(t, vm.SetLog(LogInfo, func(LogLevel, string) {}))
	use(vm)
}

// What belongs to a VM keeps it.
func TestS07PartsKeepTheirVM(t *testing.T) {
	host := openTestHost(t)
	device, vcpu, region := parts(t, host)
	for i := 0; i < 20; i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
		_, err := device.Get("port")
		must(t, err)
		_, err = vcpu.Regs()
		must(t, err)
		_, err = region.Config()
		must(t, err)
	}
	must(t, device.vm.Close())
}

func parts(t *testing.T, host *Host) (*Device, *VCPU, *Region) {
	t.Helper()
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20, Name: "parts"})
	must(t, err)
	must(t, vm.SetFlat(imageFile(t, guestHalt.code), FlatConfig{Address: 0x1000, Entry: 0x1000}))
	device, err := vm.AddExit(ExitDevice{})
	must(t, err)
	must(t, vm.Build())
	vcpu, err := vm.VCPU(0)
	must(t, err)
	region, err := vm.Region(0)
	must(t, err)
	return device, vcpu, region
}

// A wait keeps its VM too, though nothing else refers to it.
func TestS07WaitKeepsItsVM(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	ended := make(chan error, 1)
	go func() { ended <- waitForStorm(host) }()
	eventually(t, "the VM has ended and is gone", func() bool {
		runtime.GC()
		return len(ended) == 1 && takeCensus(t).isWithin(before)
	})
	must(t, <-ended)
}

// WaitForStorm waits for a VM that ends by itself, and forgets it.
func waitForStorm(host *Host) error {
	var count atomic.Int64
	vm, err := makeSpinning(host, func(*VCPU, *Exit) Action {
		if count.Add(1) > 1000 {
			return ActionStop
		}
		return ActionDefault
	})
	if err != nil {
		return err
	}
	result, err := vm.Wait(context.Background())
	if err == nil && result.Reason != ResultStopped {
		err = fmt.Errorf("ended by %v", result)
	}
	return err
}
