// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func init() { roles["observer without rights"] = observerWithoutRightsRole }

// Misuse is refused, what is wrong in Go before the call; nothing works after Close.
func TestS22Misuse(t *testing.T) {
	wantErrno(t, second(NewObserver(ObserverConfig{Flags: ObserverNeedBPF | ObserverSchedstat})), syscall.EINVAL)
	observer, err := NewObserver(ObserverConfig{})
	must(t, err)
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	must(t, vm.Build())
	wantErrno(t, observer.Add(vm, 8), syscall.EINVAL)
	must(t, observer.Add(vm, 0))
	wantErrno(t, observer.Add(vm, 0), syscall.EALREADY)
	wantErrno(t, second(observer.Text(vm, 3)), syscall.EINVAL)
	wantParameter(t, observer.Add(nil, 0), syscall.EINVAL, "vm")
	wantParameter(t, observer.Remove(nil), syscall.EINVAL, "vm")
	wantParameter(t, observer.AddThread(vm, math.MaxInt64), syscall.EINVAL, "tid")
	wantParameter(t, second(WaitLimit(-1)), syscall.EINVAL, "bucket")
	waits := waitsOf(t, observer, vm)
	for _, percent := range []float64{-1, 100.1, math.NaN(), math.Inf(1)} {
		wantParameter(t, second(waits.Percentile(WeightCount, percent)), syscall.EINVAL, "percent")
	}
	wantParameter(t, second(waits.Percentile(0, 50)), syscall.EINVAL, "weight")
	wantParameter(t, second((&Waits{}).Percentile(WeightTime, 50)), syscall.EINVAL, "Waits")
	must(t, observer.Close())
	must(t, observer.Close())
	for name, err := range map[string]error{"Add": observer.Add(vm, 0), "AddThread": observer.AddThread(vm, 1),
		"Remove": observer.Remove(vm), "Start": observer.Start(), "Read": second(observer.Read(nil)),
		"Text": second(observer.Text(nil, WeightCount)), "JSON": second(observer.JSON(vm)),
		"Reason": second(observer.Reason())} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// Many goroutines read while VMs come and go, until the observer is closed below them.
func TestS22Goroutines(t *testing.T) {
	observer, err := NewObserver(ObserverConfig{})
	must(t, err)
	host := openTestHost(t)
	var all sync.WaitGroup
	var closed atomic.Int32
	for i := 0; i < 4; i++ {
		vm := newTestVM(t, host, VMConfig{}, guestSpin)
		must(t, observer.Add(vm, 0))
		runTestVM(t, vm)
		all.Add(2)
		go func() {
			defer all.Done()
			for err := error(nil); !errors.Is(err, ErrClosed); _, err = observer.JSON(vm) {
				if err != nil {
					t.Error(err)
					return
				}
			}
			if err := vm.Close(); err != nil {
				t.Error(err)
			}
			closed.Add(1)
		}()
		go func() {
			defer all.Done()
			for err := error(nil); !errors.Is(err, ErrClosed); _, err = observer.Read(nil) {
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
		if i%2 == 0 {
			time.Sleep(20 * time.Millisecond)
			must(t, vm.Close())
		}
	}
	time.Sleep(100 * time.Millisecond)
	must(t, observer.Close())
	all.Wait()
	if closed.Load() != 4 {
		t.Errorf("%d of 4 VMs are closed", closed.Load())
	}
}

// Without the right there are totals, and the reason says which right it is.
func TestS22WithoutRights(t *testing.T) { asRoot(t, "observer without rights") }

func observerWithoutRightsRole() int {
	if err := observeAsNobody(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func observeAsNobody() error {
	const rights = "CAP_BPF and CAP_PERFMON"
	host, vm, err := buildOne() // KVM's device is for root
	if err != nil {
		return err
	}
	defer host.Close()
	defer vm.Close()
	for _, err := range []error{syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody),
		syscall.Setresuid(nobody, nobody, nobody)} {
		if err != nil {
			return err
		}
	}
	if _, err := NewObserver(ObserverConfig{Flags: ObserverNeedBPF}); !errors.Is(err, syscall.EPERM) ||
		!strings.Contains(err.Error(), rights) {
		return fmt.Errorf("a histogram is needed: %v", err)
	}
	observer, err := NewObserver(ObserverConfig{})
	if err != nil {
		return err
	}
	defer observer.Close()
	if reason, err := observer.Reason(); err != nil || !strings.Contains(reason, rights) {
		return fmt.Errorf("the reason is %q, %v", reason, err)
	}
	if err := observer.Add(vm, 0); err != nil {
		return err
	}
	if err := vm.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		waits, err := observer.Read(vm)
		if err != nil || waits.Flags != WaitsTotalsOnly || time.Now().After(deadline) {
			return fmt.Errorf("%+v, %v", waits, err)
		}
		if waits.Count > 0 && waits.Time > 0 {
			return nil
		}
	}
}
