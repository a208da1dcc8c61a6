// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Allowed are the errors of calls that come at the wrong moment.
func allowed(err error) bool {
	for _, one := range []error{nil, ErrClosed, syscall.EBUSY, syscall.EALREADY, syscall.ENOTSUP,
		context.DeadlineExceeded} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// OneCall makes one of many calls on a VM.
func oneCall(vm *VM, vcpu *VCPU, device *Device, choice int) error {
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	var err error
	switch choice {
	case 0:
		err = vm.Start()
	case 1:
		err = vm.Pause()
	case 2:
		err = vm.Resume()
	case 3:
		err = vm.Stop(short)
	case 4:
		_, err = vm.Wait(short)
	case 5:
		_, err = vm.State()
	case 6:
		_, err = vm.Memory().ReadAt(make([]byte, 64), 0x3000)
	case 7:
		_, err = vm.Memory().WriteAt(make([]byte, 4), 0x3000)
	case 8:
		_, err = vcpu.Regs()
	case 9:
		_, err = device.Counters()
	case 10:
		select {
		case <-vm.Events():
		case <-short.Done():
		}
	case 11:
		err = vm.RequestStop()
	}
	return err
}

// Many goroutines use one VM in all ways, while another closes it.
func TestS09OneVM(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	for round := 0; round < 20; round++ {
		vm := newTestVM(t, host, VMConfig{Name: fmt.Sprintf("round%d", round)}, guestStorm)
		must(t, vm.SetExitHandler(ignoreExit))
		device, err := vm.AddRNG(RNG{})
		must(t, err)
		vcpu, err := vm.VCPU(0)
		must(t, err)
		runTestVM(t, vm)
		var group sync.WaitGroup
		stop := make(chan bool)
		for i := 0; i < 8; i++ {
			group.Add(1)
			go func(random *rand.Rand) {
				defer group.Done()
				for {
					select {
					case <-stop:
						return
					default:
					}
					choice := random.Intn(12)
					if err := oneCall(vm, vcpu, device, choice); !allowed(err) {
						t.Errorf("call %d: %v", choice, err)
						return
					}
				}
			}(rand.New(rand.NewSource(int64(round*100 + i))))
		}
		time.Sleep(30 * time.Millisecond)
		for i := 0; i < 3; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := vm.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
		}
		time.Sleep(10 * time.Millisecond)
		close(stop)
		group.Wait()
		_, err = vm.State()
		wantErrno(t, err, syscall.EBADF)
	}
	wantCensus(t, before)
}

// Many VMs at once, each made, run and freed by its own goroutine.
func TestS09ManyVMs(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	image := imageFile(t, guestExit.code)
	failed := make(chan error, 100)
	for i := 0; i < cap(failed); i++ {
		go func() { failed <- runOnce(host, image) }()
	}
	for i := 0; i < cap(failed); i++ {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	wantCensus(t, before)
}

func runOnce(host *Host, image string) (err error) {
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20})
	if err != nil {
		return err
	}
	defer func() {
		if closed := vm.Close(); err == nil {
			err = closed
		}
	}()
	if _, err := vm.AddExit(ExitDevice{}); err != nil {
		return err
	}
	if err := vm.SetFlat(image, FlatConfig{Address: 0x1000, Entry: 0x1000}); err != nil {
		return err
	}
	if err := vm.Build(); err != nil {
		return err
	}
	if err := vm.Start(); err != nil {
		return err
	}
	result, err := vm.Wait(context.Background())
	if err == nil && result.ExitCode != 7 {
		err = fmt.Errorf("ended by %v", result)
	}
	return err
}

// Close waits for a vCPU that is driven by hand and for a waiter, and ends both.
func TestS09CloseEndsCalls(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Flags: VMManualVCPUs}, guestSpin)
	runTestVM(t, vm)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	ran, waited := make(chan error, 1), make(chan error, 1)
	var exit Exit
	go func() { ran <- vcpu.Run(&exit) }()
	go func() { _, err := vm.Wait(context.Background()); waited <- err }()
	eventually(t, "the guest counts", func() bool { return counter(t, vm) > 10 })
	must(t, vm.Close())
	must(t, <-ran)
	if exit.Reason != ExitStopped {
		t.Errorf("the run ended by %v", &exit)
	}
	if err := <-waited; err != nil { // it may have seen the stop before the close
		wantErrno(t, err, syscall.EBADF)
	}
	wantErrno(t, vcpu.Run(&exit), syscall.EBADF)
}

// A shared loop serves several VMs, and may be closed before them.
func TestS09SharedLoop(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	loop, err := NewLoop()
	must(t, err)
	var vms []*VM
	for i := 0; i < 3; i++ {
		vm := newTestVM(t, host, VMConfig{}, guestEcho)
		must(t, vm.SetLoop(loop))
		wantErrno(t, vm.SetLoop(loop), syscall.EBUSY)
		vms = append(vms, vm)
	}
	must(t, loop.Close())
	must(t, loop.Close())
	late, err := host.NewVM(VMConfig{})
	must(t, err)
	wantErrno(t, late.SetLoop(loop), syscall.EBADF)
	must(t, late.Close())
	for _, vm := range vms {
		stream, err := vm.OpenSerial(Serial{})
		must(t, err)
		runTestVM(t, vm)
		echo(t, stream, "loop")
		must(t, vm.Close())
		must(t, stream.Close())
	}
	wantCensus(t, before)
}

// Echo writes a text and reads it back.
func echo(t *testing.T, stream *Stream, text string) {
	t.Helper()
	must(t, stream.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err := stream.Write([]byte(text))
	must(t, err)
	got := make([]byte, 0, len(text))
	for len(got) < len(text) {
		part := make([]byte, len(text))
		n, err := stream.Read(part)
		must(t, err)
		got = append(got, part[:n]...)
	}
	if string(got) != text {
		t.Fatalf("%q came back as %q", text, got)
	}
}
