// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"testing"
	"time"
)

// Life from new to closed, twice, as states and events tell it.
func TestS02Life(t *testing.T) {
	before := takeCensus(t)
	host, err := OpenHost("")
	must(t, err)
	vm := newTestVM(t, host, VMConfig{Name: "life"}, guestSpin)
	events := vm.Events()
	wantState(t, vm, StateNew)
	must(t, vm.Build())
	for run := 0; run < 2; run++ {
		wantState(t, vm, []State{StateBuilt, StateStopped}[run])
		must(t, vm.Start())
		wantState(t, vm, StateRunning)
		eventually(t, "the guest counts", func() bool { return counter(t, vm) > 10 })
		must(t, vm.Pause())
		wantState(t, vm, StatePaused)
		count := counter(t, vm)
		time.Sleep(20 * time.Millisecond)
		if now := counter(t, vm); now != count {
			t.Fatalf("a paused guest counted from %d to %d", count, now)
		}
		must(t, vm.Resume())
		eventually(t, "the guest counts on", func() bool { return counter(t, vm) > count })
		must(t, vm.Stop(seconds(t, 10)))
		wantState(t, vm, StateStopped)
		wantResult(t, vm, ResultStopped)
	}
	must(t, vm.Close())
	wantStates(t, events, []State{
		StateNew, StateBuilt, StateRunning, StatePaused, StateRunning, StateStopped,
		StateBuilt, StateRunning, StatePaused, StateRunning, StateStopped,
	})
	must(t, host.Close())
	wantCensus(t, before)
}

// Counter is what guestSpin counts.
func counter(t *testing.T, vm *VM) uint32 {
	t.Helper()
	var data [4]byte
	_, err := vm.Memory().ReadAt(data[:], 0x3000)
	must(t, err)
	return uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
}

// WantStates compares the events of a closed VM with the states it went through.
func wantStates(t *testing.T, events <-chan Event, want []State) {
	t.Helper()
	found := want[:1]
	last := time.Duration(0)
	stops := 0
	for event := range events {
		if event.Time < last {
			t.Fatalf("%v is older than the one before it", event)
		}
		last = event.Time
		switch event.Kind {
		case EventState:
			before, after := event.States()
			if before != found[len(found)-1] {
				t.Fatalf("%v after %v", event, found)
			}
			found = append(found[:len(found):len(found)], after)
		case EventStopped:
			stops++
		default:
			t.Fatalf("unexpected event %v", event)
		}
	}
	if len(found) != len(want) {
		t.Fatalf("states %v, not %v", found, want)
	}
	for i := range want {
		if found[i] != want[i] {
			t.Fatalf("states %v, not %v", found, want)
		}
	}
	if stops != 2 {
		t.Fatalf("%d stops, not 2", stops)
	}
}
