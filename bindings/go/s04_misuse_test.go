// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A misuse: a call, and the code that refuses it.
type misuse struct {
	name string
	want syscall.Errno
	call func() error
}

func wantMisuses(t *testing.T, list []misuse) {
	t.Helper()
	for _, one := range list {
		err := one.call()
		var found *Error
		if !errors.Is(err, one.want) || !errors.As(err, &found) {
			t.Errorf("%s: %v, not %q", one.name, err, one.want)
			continue
		}
		if found.Message == "" || found.Code != -int(one.want) || !strings.HasPrefix(found.Name(), "E") {
			t.Errorf("%s: %+v", one.name, found)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestS04Hosts(t *testing.T) {
	null, err := os.Open("/dev/null")
	must(t, err)
	closed, err := os.Open("/dev/null")
	must(t, err)
	must(t, closed.Close())
	defer null.Close()
	wantMisuses(t, []misuse{
		{"no such device", syscall.ENOENT, func() error { return second(OpenHost("/nonexistent")) }},
		{"no KVM device", syscall.ENOTSUP, func() error { return second(OpenHost("/dev/null")) }},
		{"no KVM file", syscall.ENOTSUP, func() error { return second(OpenHostFD(null)) }},
		{"closed file", syscall.EBADF, func() error { return second(OpenHostFD(closed)) }},
		{"no descriptor", syscall.EBADF, func() error { return second(OpenHostFD(FD(9999))) }},
	})
}

func TestS04Configs(t *testing.T) {
	host := openTestHost(t)
	info, err := host.Info()
	must(t, err)
	for name, config := range map[string]VMConfig{
		"vCPUs":          {VCPUs: info.MaxVCPUs + 1},
		"memory":         {MemorySize: 4095},
		"too much":       {MemorySize: 1 << 63},
		"flag":           {Flags: 1 << 20},
		"chip":           {Chip: 9},
		"backing":        {MemorySize: mib, MemoryBacking: 9},
		"backing alone":  {MemoryBacking: BackingMemfd},
		"name":           {Name: strings.Repeat("n", VMNameMax+1)},
		"PIT without it": {Flags: VMPIT},
	} {
		if vm, err := host.NewVM(config); !errors.Is(err, syscall.EINVAL) || vm != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is refused in state new; then in others. None of it changes anything: the guest runs as if nothing had been.
func TestS04States(t *testing.T) {
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{}, guestSpin)
	ctx := context.Background()
	device, err := vm.AddSerial(Serial{})
	must(t, err)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	region, err := vm.Region(0)
	must(t, err)
	irq, err := vm.AddIRQ(9, 0)
	must(t, err)
	loop, err := NewLoop()
	must(t, err)
	defer loop.Close()
	stop := func(*Access) Action { return ActionStop }
	wantMisuses(t, []misuse{
		{"start new", syscall.EBUSY, vm.Start},
		{"pause new", syscall.EBUSY, vm.Pause},
		{"resume new", syscall.EBUSY, vm.Resume},
		{"stop new", syscall.EBUSY, func() error { return vm.Stop(ctx) }},
		{"wait new", syscall.EBUSY, func() error { return second(vm.Wait(ctx)) }},
		{"ask new", syscall.EBUSY, vm.RequestStop},
		{"run with threads", syscall.EINVAL, func() error { return vcpu.Run(&Exit{}) }},
		{"no such vCPU", syscall.ENOENT, func() error { return second(vm.VCPU(1)) }},
		{"no such region", syscall.ENOENT, func() error { return second(vm.Region(7)) }},
		{"region in region", syscall.EEXIST, func() error { return second(vm.AddMemory(MemoryConfig{Length: 4096})) }},
		{"region of nothing", syscall.EINVAL, func() error {
			return second(vm.AddMemory(MemoryConfig{Address: 1 << 30}))
		}},
		{"region without file", syscall.EBADF, func() error {
			return second(vm.AddMemory(MemoryConfig{Address: 1 << 30, Length: 4096, Backing: BackingFile}))
		}},
		{"no such kind", syscall.ENOENT, func() error { return second(vm.AddDevice("floppy", nil)) }},
		{"no such property", syscall.ENOENT, func() error {
			return second(vm.AddDevice("serial", Properties{"color": 1}))
		}},
		{"no such property to set", syscall.ENOENT, func() error { return device.Set("color", 1) }},
		{"no such property to get", syscall.ENOENT, func() error { return second(device.Get("color")) }},
		{"a counter", syscall.EPERM, func() error { return device.Set("dropped", 1) }},
		{"out of range", syscall.EINVAL, func() error { return device.Set("irq", 24) }},
		{"pin taken", syscall.EEXIST, func() error { return second(vm.AddIRQ(9, 0)) }},
		{"no such pin", syscall.EINVAL, func() error { return second(vm.AddIRQ(24, 0)) }},
		{"empty range", syscall.EINVAL, func() error { return second(vm.HandlePort(0x900, 0, stop)) }},
		{"ports behind the last", syscall.EINVAL, func() error { return second(vm.HandlePort(0xffff, 2, stop)) }},
		{"raise before build", syscall.EBUSY, func() error { return irq.Set(true) }},
		{"no kernel", syscall.ENOENT, func() error { return vm.SetKernel("/nonexistent", KernelAuto) }},
		{"folder", syscall.EISDIR, func() error { return vm.SetInitrd("/") }},
		{"long line", syscall.E2BIG, func() error { return vm.SetCmdline(strings.Repeat("x", CmdlineMax+1)) }},
		{"mask twice", syscall.EINVAL, func() error { return vm.AddCPUIDMask(1, 0, 2, 1, 1) }},
		{"no such leaf", syscall.ENOENT, func() error { return vm.AddCPUIDMask(0x12345678, 0, 0, 1, 0) }},
		{"no log level", syscall.EINVAL, func() error { return vm.SetLog(9, func(LogLevel, string) {}) }},
	})
	wantState(t, vm, StateNew)
	must(t, vm.Build())
	late := []misuse{
		{"device", syscall.EBUSY, func() error { return second(vm.AddRNG(RNG{})) }},
		{"property", syscall.EBUSY, func() error { return device.Set("port", 0x2f8) }},
		{"handler", syscall.EBUSY, func() error { return second(vm.HandlePort(0x999, 1, stop)) }},
		{"region", syscall.EBUSY, func() error {
			return second(vm.AddMemory(MemoryConfig{Address: 1 << 30, Length: 4096}))
		}},
		{"no region", syscall.EBUSY, region.Remove},
		{"pin", syscall.EBUSY, func() error { return second(vm.AddIRQ(IRQAny, 0)) }},
		{"loop", syscall.EBUSY, func() error { return vm.SetLoop(loop) }},
		{"kernel", syscall.EBUSY, func() error { return vm.SetKernel("/proc/self/exe", KernelAuto) }},
		{"line", syscall.EBUSY, func() error { return vm.SetCmdline("quiet") }},
		{"discovery", syscall.EBUSY, func() error { return vm.SetDiscovery(0) }},
		{"mask", syscall.EBUSY, func() error { return vm.AddCPUIDMask(1, 0, 2, 1, 0) }},
	}
	wantMisuses(t, append(late, misuse{"build twice", syscall.EBUSY, vm.Build},
		misuse{"pause", syscall.EBUSY, vm.Pause}, misuse{"resume", syscall.EBUSY, vm.Resume}))
	must(t, vm.Start())
	wantMisuses(t, append(late, misuse{"start twice", syscall.EALREADY, vm.Start},
		misuse{"build", syscall.EBUSY, vm.Build}, misuse{"resume", syscall.EALREADY, vm.Resume},
		misuse{"validate", syscall.EBUSY, vm.Validate},
		misuse{"ask", syscall.ENOTSUP, vm.RequestStop},
		misuse{"inject", syscall.EBUSY, func() error { return vcpu.InjectException(3) }},
		misuse{"log", syscall.EBUSY, func() error { return vm.SetLog(LogError, nil) }}))
	eventually(t, "the guest counts", func() bool { return counter(t, vm) > 10 })
	must(t, vm.Pause())
	wantMisuses(t, []misuse{{"pause twice", syscall.EALREADY, vm.Pause}, {"start", syscall.EBUSY, vm.Start}})
	must(t, vm.Resume())
	must(t, vm.Stop(seconds(t, 10)))
	wantMisuses(t, append(late, misuse{"pause", syscall.EBUSY, vm.Pause}, misuse{"resume", syscall.EBUSY, vm.Resume}))
}

// A VM with several faults: each is told.
func TestS04Problems(t *testing.T) {
	vm, err := openTestHost(t).NewVM(VMConfig{Name: "faulty"})
	must(t, err)
	defer vm.Close()
	for i := 0; i < 2; i++ {
		_, err = vm.AddExit(ExitDevice{})
		must(t, err)
	}
	must(t, vm.SetFlat(imageFile(t, guestHalt.code), FlatConfig{Address: 0x1000, Entry: 0x1000}))
	for _, call := range []func() error{vm.Validate, vm.Build} {
		err := call()
		var found *Error
		if !errors.Is(err, EInvalidVM) || !errors.As(err, &found) || len(found.Problems) < 2 {
			t.Fatalf("%v: %+v", err, found)
		}
		for _, problem := range found.Problems {
			if problem.Message == "" || problem.Code == int(EInvalidVM) {
				t.Errorf("problem %+v", problem)
			}
		}
	}
	wantState(t, vm, StateNew)
}

// After Close each call gives ErrClosed, and Close nothing.
func TestS04Closed(t *testing.T) {
	host, err := OpenHost("")
	must(t, err)
	vm := newTestVM(t, host, VMConfig{}, guestHalt)
	device, err := vm.AddSerial(Serial{})
	must(t, err)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	region, err := vm.Region(0)
	must(t, err)
	irq, err := vm.AddIRQ(9, 0)
	must(t, err)
	handler, err := vm.HandlePort(0x700, 1, func(*Access) Action { return ActionStop })
	must(t, err)
	runTestVM(t, vm)
	must(t, host.Close())
	must(t, host.Close())
	wantState(t, vm, StateRunning)
	must(t, vm.Close())
	must(t, vm.Close())
	ctx := context.Background()
	for i, err := range []error{
		second(host.Info()), second(host.CPUID()), second(host.NewVM(VMConfig{})),
		second(vm.State()), vm.Build(), vm.Start(), vm.Pause(), vm.Resume(), vm.RequestStop(), vm.Stop(ctx),
		second(vm.Wait(ctx)), vm.Validate(), vm.SetLog(LogError, nil), vm.SetExitHandler(ignoreExit),
		vm.SetKernel("/proc/self/exe", KernelAuto), vm.SetCmdline(""), second(vm.AddMemory(MemoryConfig{})),
		second(vm.AddExit(ExitDevice{})), second(vm.VCPU(0)), second(vm.MemoryKSM()), second(vm.OpenSerial(Serial{})),
		device.Set("port", 1), second(device.Get("port")), second(device.Counters()), second(vcpu.Regs()),
		vcpu.Run(&Exit{}), vcpu.Cancel(), region.Remove(), second(region.Config()), second(region.Placement(1)),
		irq.Set(true), handler.Remove(), second(vm.SendMSI(0xfee00000, 0x40)),
	} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, syscall.EBADF) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if _, isOpen := <-vm.Events(); isOpen {
		t.Error("events of a closed VM")
	}
}

// What could not be made is as if it were closed: an error that nobody looked at does not become a crash.
func TestS04Nil(t *testing.T) {
	var (
		host     *Host
		vm       *VM
		loop     *Loop
		report   *Report
		numa     *NUMA
		token    *KSMToken
		stream   *Stream
		template *Template
		observer *Observer
		ctx      = context.Background()
		ignore   = func(*Access) Action { return ActionDefault }
	)
	before := callbacksHeld.Load()
	for i, err := range []error{
		second(host.Info()), second(host.CPUID()), second(host.NewVM(VMConfig{})), second(report.Items()),
		second(numa.Nodes()), second(vm.State()), vm.Build(), vm.Start(), vm.Stop(ctx), second(vm.Wait(ctx)),
		vm.SetLog(LogError, func(LogLevel, string) {}), vm.SetExitHandler(ignoreExit),
		second(vm.HandlePort(0x700, 1, ignore)), second(vm.AddExit(ExitDevice{})), second(vm.VCPU(0)),
		second(vm.Region(0)), second(vm.OpenSerial(Serial{})), second(vm.ListenVsock(1)),
		second(vm.AddVirtio(VirtioConfig{DeviceID: 42, Queues: 1, OnQueue: func(*VirtioDevice, int) {}})),
		second(vm.Memory().ReadAt(make([]byte, 1), 0)), second((&VM{}).Wait(ctx)), (&VM{}).Start(),
		second(template.Info()), second(template.Clone(CloneConfig{})), observer.Start(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if _, isOpen := <-vm.Events(); isOpen {
		t.Error("events of no VM")
	}
	for i, close := range []func() error{host.Close, vm.Close, (&VM{}).Close, loop.Close, report.Close, numa.Close,
		token.Close, stream.Close, template.Close, observer.Close} {
		if err := close(); err != nil {
			t.Errorf("close %d: %v", i, err)
		}
	}
	if held := callbacksHeld.Load(); held != before {
		t.Errorf("%d callbacks are left", held-before)
	}
}

// In a callback, what would wait for itself is refused; the VM goes on.
func TestS04InCallbacks(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestPorts)
	_, err := vm.HandlePort(0x700, 4, func(*Access) Action {
		ctx := context.Background()
		wantMisuses(t, []misuse{
			{"stop", syscall.EDEADLK, func() error { return vm.Stop(ctx) }},
			{"pause", syscall.EDEADLK, vm.Pause},
			{"wait", syscall.EDEADLK, func() error { return second(vm.Wait(ctx)) }},
			{"close", syscall.EDEADLK, vm.Close},
		})
		if state, err := vm.State(); err != nil || state != StateRunning {
			t.Errorf("state %v, %v", state, err)
		}
		return ActionResume
	})
	must(t, err)
	runTestVM(t, vm)
	wantResult(t, vm, ResultGuestExit)
	must(t, vm.Close())
}

// So it is in the log sink, whatever thread it is called on.
func TestS04InLogSink(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestUnclaimed)
	lines := 0
	must(t, vm.SetLog(LogDebug, func(level LogLevel, line string) {
		lines++
		wantMisuses(t, []misuse{{"close", syscall.EDEADLK, vm.Close}})
	}))
	runTestVM(t, vm)
	wantResult(t, vm, ResultGuestExit)
	if lines == 0 {
		t.Error("nothing was logged")
	}
	runtime.LockOSThread() // as a line that Build writes is logged by the thread of Build
	defer runtime.UnlockOSThread()
	vm.m.sinks.Store(syscall.Gettid(), true)
	wantErrno(t, vm.Close(), syscall.EDEADLK)
	vm.m.sinks.Delete(syscall.Gettid())
	must(t, vm.Close())
}

// A Close that is refused in a callback changes nothing that another goroutine could see.
func TestS04RefusedClose(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestStorm)
	var isOver atomic.Bool // then the VM may be closed, which is no error
	must(t, vm.SetExitHandler(func(*VCPU, *Exit) Action {
		if err := vm.Close(); !errors.Is(err, syscall.EDEADLK) && !isOver.Load() {
			t.Errorf("close: %v", err)
		}
		return ActionDefault
	}))
	runTestVM(t, vm)
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		wantState(t, vm, StateRunning)
	}
	isOver.Store(true)
	must(t, vm.Close())
}

// A log sink that calls what logs is called within itself, and is still the sink afterwards.
func TestS04NestedLogSink(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Name: "nested"}, guestHalt)
	one := &callback{machine: vm.m, where: "log sink"}
	cell := cellOf(one)
	defer discard(cell)
	depth := 0
	one.log = func(LogLevel, string) {
		if depth++; depth == 1 {
			goNestvirtLog(cell, 0, nil)
		}
		if err := vm.Close(); !errors.Is(err, syscall.EDEADLK) {
			t.Errorf("closed in its log sink: %v", err)
		}
	}
	goNestvirtLog(cell, 0, nil)
	if depth != 2 {
		t.Errorf("called %d times", depth)
	}
	must(t, vm.Close())
}
