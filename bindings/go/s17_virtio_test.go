// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const ownFeature = 1 << 3

// NewOwn makes a VM with a virtio device of the test's own, and a chain of five bytes to read and five to write.
func newOwn(t *testing.T, config VirtioConfig) (*driver, *VirtioDevice) {
	t.Helper()
	vm := newTestVM(t, openTestHost(t), VMConfig{Name: "own"}, guestSteps)
	config.DeviceID, config.Queues, config.Features, config.Config = 42, 1, ownFeature, []byte("configur")
	device, err := vm.AddVirtio(config)
	must(t, err)
	return &driver{t: t, vm: vm}, device
}

// Ask lets the guest send "ping?" and leave five bytes for the answer.
func (d *driver) ask() {
	d.t.Helper()
	d.write(driverBuffer, []byte("ping?"))
	d.descriptor(0, driverBuffer, 5, 1, 1)
	d.descriptor(1, driverBuffer+64, 5, 2, 0)
	d.begin(ownFeature)
	d.offer(1)
}

// A request is answered by io.Reader and io.Writer; features, configuration and counters are seen from both sides.
func TestS17RequestAndAnswer(t *testing.T) {
	failures := make(chan error, 8)
	d, device := newOwn(t, VirtioConfig{OnQueue: func(device *VirtioDevice, queue int) { failures <- answer(device, queue) },
		OnConfig: func(*VirtioDevice, int, int) {}})
	if _, err := device.Features(); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("features before build: %v", err)
	}
	var id, word int
	d.start(func() {
		d.ask()
		d.awaitUsed(1)
		id = d.step(stepRead32, 0, driverWindow+regDeviceID)
		d.put(regConfig, 0x21212121)
		d.step(stepWait16, 1, driverSign)
		word = d.step(stepRead32, 0, driverWindow+regConfig+4)
	})
	var config [8]byte
	eventually(t, "the guest writes the configuration", func() bool {
		must(t, device.ReadConfigAt(config[:], 0))
		return string(config[:]) == "!!!!igur"
	})
	must(t, device.WriteConfigAt([]byte("WORD"), 4))
	features, err := device.Features()
	must(t, err)
	d.write(driverSign, []byte{1, 0})
	d.finish()
	if features&ownFeature == 0 || d.value(id) != 42 || d.value(word) != 0x44524f57 {
		t.Fatalf("features %#x, id %d, word %#x", features, d.value(id), d.value(word))
	}
	if got := d.read(driverBuffer+64, 5); string(got) != "pong!" {
		t.Fatalf("the guest got %q", got)
	}
	close(failures)
	for err := range failures {
		must(t, err)
	}
	if count, err := device.Counter("notified"); err != nil || count == 0 {
		t.Fatalf("notified %d times: %v", count, err)
	}
	wantParameter(t, device.WriteConfigAt(config[:], 1), syscall.EINVAL, "configuration")
}

// Answer takes all requests, checks the sizes and every edge.
func answer(device *VirtioDevice, queue int) error {
	for {
		chain, err := device.Next(queue)
		if err != nil || chain == nil {
			return err
		}
		if readable, writable, err := chain.Size(); err != nil || readable != 5 || writable != 5 {
			return fmt.Errorf("%d to read, %d to write: %w", readable, writable, err)
		}
		text, err := io.ReadAll(chain)
		if err != nil || string(text) != "ping?" {
			return fmt.Errorf("read %q: %w", text, err)
		}
		if n, err := fmt.Fprint(chain, "pong"); n != 4 || err != nil {
			return fmt.Errorf("wrote %d: %w", n, err)
		}
		if n, err := chain.Write([]byte("!?")); n != 1 || !errors.Is(err, io.ErrShortWrite) {
			return fmt.Errorf("wrote %d behind the end: %v", n, err)
		}
		if isGiven, err := chain.Complete(); err != nil || !isGiven {
			return fmt.Errorf("completed %v: %w", isGiven, err)
		}
		if _, err := chain.Complete(); !errors.Is(err, ErrClosed) {
			return fmt.Errorf("completed twice: %v", err)
		}
	}
}

// A panic in each of the functions stops the VM and is told, with its place; the program lives.
func TestS17Panic(t *testing.T) {
	broken := errors.New("broken by the test")
	boom := func(*VirtioDevice, int) { panic(broken) }
	quiet := func(*VirtioDevice, int) {}
	for where, config := range map[string]VirtioConfig{
		"OnQueue":  {OnQueue: boom},
		"OnDrop":   {OnQueue: quiet, OnDrop: boom},
		"OnConfig": {OnQueue: quiet, OnConfig: func(*VirtioDevice, int, int) { panic(broken) }},
	} {
		d, _ := newOwn(t, config)
		d.start(func() {
			d.ask()
			if where == "OnConfig" {
				d.put(regConfig, 1)
			}
			if where == "OnDrop" { // with OnQueue, the reset might come before the queue is looked at
				d.put(regStatus, 0)
			}
			d.step(stepWait16, 1, driverSign) // for ever
		})
		result, err := d.vm.Wait(seconds(t, 30))
		var panicked *PanicError
		if !errors.As(err, &panicked) || !errors.Is(err, broken) || !strings.Contains(panicked.Where, where) {
			t.Fatalf("%s: %v, %v", where, result, err)
		}
		if result.Reason != ResultStopped || !strings.Contains(string(panicked.Stack), "s17_virtio_test.go") {
			t.Fatalf("%s: %v\n%s", where, result, panicked.Stack)
		}
		wantState(t, d.vm, StateStopped)
	}
}

// Chains may be answered by another goroutine, are told to be dropped, and survive the close of their VM.
func TestS17HeldChain(t *testing.T) {
	held := make(chan *Chain, 8)
	var drops int32
	d, device := newOwn(t, VirtioConfig{
		OnQueue: func(device *VirtioDevice, queue int) {
			for chain, _ := device.Next(queue); chain != nil; chain, _ = device.Next(queue) {
				held <- chain
			}
		},
		OnDrop: func(*VirtioDevice, int) {
			select {
			case chain := <-held:
				atomic.AddInt32(&drops, 1)
				chain.Complete()
			default: // the reset before the driver's start
			}
		},
	})
	d.start(func() {
		d.ask()
		d.step(stepWait16, 1, driverSign)
		d.put(regStatus, 0) // while the chain is held
		d.begin(ownFeature)
		d.step(stepWrite16, 0, driverUsed+2)
		d.offer(1)
		d.step(stepWait16, 2, driverSign)
	})
	eventually(t, "the chain is held", func() bool { return len(held) == 1 })
	d.write(driverSign, []byte{1, 0})
	eventually(t, "it is dropped and offered again", func() bool { return atomic.LoadInt32(&drops) == 1 && len(held) > 0 })
	chain := <-held
	must(t, d.vm.Close())
	_, _, err := chain.Size()
	for _, err := range []error{err, second(chain.Complete()), second(chain.Read(make([]byte, 1))),
		second(chain.Write([]byte{1})), second(device.Next(0)), device.RequestReset(), second(device.Features())} {
		if !errors.Is(err, ErrClosed) {
			t.Fatalf("after close: %v", err)
		}
	}
}

// A VM is closed while its device's function is at work on chains.
func TestS17CloseMeanwhile(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	for i := 0; i < 20; i++ {
		vm := newTestVM(t, host, VMConfig{}, guestSteps)
		isBusy := make(chan bool, 1)
		_, err := vm.AddVirtio(VirtioConfig{DeviceID: 42, Queues: 1, Features: ownFeature, OnQueue: func(device *VirtioDevice, queue int) {
			chain, _ := device.Next(queue)
			if chain == nil {
				return
			}
			isBusy <- true
			for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
				chain.Size()
			}
			chain.Complete()
		}})
		must(t, err)
		d := &driver{t: t, vm: vm}
		d.start(func() {
			d.ask()
			d.step(stepWait16, 1, driverSign)
		})
		<-isBusy
		must(t, vm.Close())
	}
	wantCensus(t, before)
}

// The guest is told that it broke the protocol.
func TestS17RequestReset(t *testing.T) {
	d, device := newOwn(t, VirtioConfig{OnQueue: func(*VirtioDevice, int) {}})
	var status int
	d.start(func() {
		d.begin(ownFeature)
		d.step(stepWait16, 1, driverSign)
		status = d.step(stepRead32, 0, driverWindow+regStatus)
	})
	eventually(t, "the driver is ready", func() bool { f, _ := device.Features(); return f != 0 })
	must(t, device.RequestReset())
	d.write(driverSign, []byte{1, 0})
	d.finish()
	if d.value(status)&0x40 == 0 { // DEVICE_NEEDS_RESET
		t.Fatalf("status %#x", d.value(status))
	}
}

// Wrong values are refused before the call, and name the parameter.
func TestS17Refused(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSteps)
	fn := func(*VirtioDevice, int) {}
	for parameter, config := range map[string]VirtioConfig{
		"VirtioConfig.OnQueue":   {DeviceID: 1, Queues: 1},
		"VirtioConfig.DeviceID":  {DeviceID: 65536, Queues: 1, OnQueue: fn},
		"VirtioConfig.Queues":    {DeviceID: 1, Queues: 65, OnQueue: fn},
		"VirtioConfig.QueueSize": {DeviceID: 1, Queues: 1, QueueSize: 3, OnQueue: fn},
		"VirtioConfig.Config":    {DeviceID: 1, Queues: 1, Config: make([]byte, 257), OnQueue: fn},
		"features":               {DeviceID: 1, Queues: 1, Features: 1 << 30, OnQueue: fn},
	} {
		_, err := vm.AddVirtio(config)
		wantParameter(t, err, syscall.EINVAL, parameter)
	}
	device, err := vm.AddVirtio(VirtioConfig{DeviceID: 1, Queues: 2, OnQueue: fn})
	must(t, err)
	wantParameter(t, second(device.Next(2)), syscall.EINVAL, "queue")
	wantParameter(t, second(device.Next(-1)), syscall.EINVAL, "queue")
	wantParameter(t, device.ReadConfigAt([]byte{0}, -1), syscall.EINVAL, "offset")
	wantParameter(t, second(device.Counter("a\x00b")), syscall.EINVAL, "name")
	wantErrno(t, second(device.Next(0)), syscall.EBUSY)
	must(t, vm.Build())
	wantErrno(t, second(vm.AddVirtio(VirtioConfig{DeviceID: 1, Queues: 1, OnQueue: fn})), syscall.EBUSY)
	must(t, vm.Stop(context.Background()))
}

// A device that could not be added leaves nothing behind.
func TestS17NotAdded(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	config := VirtioConfig{DeviceID: 42, Queues: 1, OnQueue: func(*VirtioDevice, int) {}}
	before := callbacksHeld.Load()
	_, err := vm.AddVirtio(config)
	must(t, err)
	if held := callbacksHeld.Load() - before; held != 1 {
		t.Fatalf("a device holds %d callbacks", held)
	}
	must(t, vm.Build())
	_, err = vm.AddVirtio(config)
	wantErrno(t, err, syscall.EBUSY)
	must(t, vm.Close())
	_, err = vm.AddVirtio(config)
	wantErrno(t, err, syscall.EBADF)
	if held := callbacksHeld.Load() - before; held != 0 {
		t.Fatalf("%d callbacks are left", held)
	}
}
