// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	speedSlice  = 50 * time.Millisecond
	speedSlices = 10 // of each kind, by turns, in one attempt
	speedTries  = 8  // others use the machine too
	speedWanted = 0.9
)

// Speed is how often a goroutine counts in a second.
func speed() float64 {
	var count int64
	begin := time.Now()
	for time.Since(begin) < speedSlice {
		for i := 0; i < 1000; i++ {
			atomic.AddInt64(&count, 1)
		}
	}
	return float64(count) / time.Since(begin).Seconds()
}

// Delayed is a running VM with a handler that is inside until leave lets it go, or the test ends.
func delayed(t *testing.T, host *Host) (vm *VM, inside, leave chan bool) {
	t.Helper()
	vm = newTestVM(t, host, VMConfig{Name: "delayed"}, guestStorm)
	inside, leave = make(chan bool), make(chan bool)
	end := make(chan bool)
	t.Cleanup(func() { close(end) })
	_, err := vm.HandlePort(0x999, 1, func(*Access) Action {
		select {
		case inside <- true:
		case <-end:
		}
		select {
		case <-leave:
		case <-end:
		}
		return ActionResume
	})
	must(t, err)
	runTestVM(t, vm)
	return vm, inside, leave
}

// With one processor for all of Go, calls that wait leave it to the others: Wait, a Pause that a handler delays, and a
// vCPU that is run by hand.
func TestS12WaitsLeaveSpeed(t *testing.T) {
	host := openTestHost(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	idle := newTestVM(t, host, VMConfig{Name: "idle"}, guestHalt)
	runTestVM(t, idle)
	manual := newTestVM(t, host, VMConfig{Name: "manual", Flags: VMManualVCPUs}, guestHalt)
	runTestVM(t, manual)
	vcpu, err := manual.VCPU(0)
	must(t, err)
	slow, inside, leave := delayed(t, host)
	<-inside

	share := func() float64 {
		var alone, beside []float64
		for i := 0; i < speedSlices; i++ {
			alone = append(alone, speed())
			var group sync.WaitGroup
			ctx, cancel := context.WithCancel(context.Background())
			begin := func(call func()) {
				group.Add(1)
				go func() { defer group.Done(); call() }()
			}
			for i := 0; i < 20; i++ {
				begin(func() { idle.Wait(ctx) })
			}
			paused := make(chan bool)
			begin(func() { defer close(paused); slow.Pause() })
			begin(func() { vcpu.Run(&Exit{}) })
			time.Sleep(speedSlice) // until all of them wait: a call may keep the processor for 10 ms before Go takes it away
			beside = append(beside, speed())
			cancel()
			must(t, vcpu.Cancel())
			for isPaused := false; !isPaused; {
				select {
				case leave <- true:
				case <-inside:
				case <-paused:
					isPaused = true
				}
			}
			group.Wait()
			wantState(t, slow, StatePaused)
			must(t, slow.Resume())
			<-inside
		}
		return median(beside) / median(alone)
	}
	var shares []float64
	for len(shares) < speedTries {
		shares = append(shares, share())
		if shares[len(shares)-1] >= speedWanted {
			t.Logf("a goroutine keeps %.2f of its speed beside calls that wait", shares[len(shares)-1])
			return
		}
	}
	t.Errorf("a goroutine keeps too little of its speed beside calls that wait: %.2f", shares)
}

// Fifty waits hold no thread.
func TestS12WaitsHoldNoThread(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	runTestVM(t, vm)
	before := threads(t)
	var group sync.WaitGroup
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func() { defer group.Done(); vm.Wait(context.Background()) }()
	}
	time.Sleep(100 * time.Millisecond)
	if now := threads(t); now > before+5 {
		t.Errorf("50 waits made %d threads of %d", now, before)
	}
	must(t, vm.Stop(seconds(t, 10)))
	group.Wait()
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}
