// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Each way in which a guest ends.
func TestS03Results(t *testing.T) {
	host := openTestHost(t)
	for _, one := range []struct {
		name  string
		image guest
		want  ResultReason
		text  string
	}{
		{"exit", guestExit, ResultGuestExit, "guest exit, code 7"},
		{"reset", guestReset, ResultGuestReset, "guest reset"},
		{"power off", guestPowerOff, ResultGuestShutdown, "guest shutdown"},
		{"triple fault", guestTripleFault, ResultTripleFault, "triple fault"},
	} {
		t.Run(one.name, func(t *testing.T) {
			vm := newTestVM(t, host, VMConfig{Name: one.name}, one.image)
			_, err := vm.AddReset(Reset{})
			must(t, err)
			runTestVM(t, vm)
			result := wantResult(t, vm, one.want)
			if result.String() != one.text {
				t.Errorf("told as %q, not %q", result, one.text)
			}
			if one.want == ResultGuestExit && result.ExitCode != 7 {
				t.Errorf("exit code %d", result.ExitCode)
			}
			wantState(t, vm, StateStopped)
		})
	}
}

// A jump to nowhere is an internal error, which says where; or a triple fault where KVM is hardware.
func TestS03InternalError(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHole)
	runTestVM(t, vm)
	result, err := vm.Wait(seconds(t, 30))
	must(t, err)
	if result.Reason != ResultInternalError && result.Reason != ResultTripleFault {
		t.Fatalf("ended by %v", result)
	}
	if result.Reason == ResultInternalError && result.RIP != 0xc8000000 {
		t.Errorf("at %#x", result.RIP)
	}
}

// A guest without interrupts that halts has ended.
func TestS03Halt(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Chip: ChipNone}, guest{"\xfa\xf4\xf4", 0x1000, ModeReal})
	runTestVM(t, vm)
	wantResult(t, vm, ResultGuestHalt)
}

// Stopped, and a wait that runs out of time before it.
func TestS03StoppedAfterTimeout(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	runTestVM(t, vm)
	for _, patience := range []time.Duration{0, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		begin := time.Now()
		_, err := vm.Wait(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) < patience {
			t.Fatalf("a wait of %v gave %v after %v", patience, err, time.Since(begin))
		}
		wantState(t, vm, StateRunning)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		vm.Stop(context.Background())
	}()
	wantResult(t, vm, ResultStopped)
	must(t, vm.Stop(seconds(t, 1))) // again
	wantResult(t, vm, ResultStopped)
}
