// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The end of a context ends its wait and nothing else.
func TestS06ContextEndsWait(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	runTestVM(t, vm)
	ctx, cancel := context.WithCancel(context.Background())
	canceled, other := make(chan error, 1), make(chan Result, 1)
	go func() { _, err := vm.Wait(ctx); canceled <- err }()
	go func() { result, _ := vm.Wait(context.Background()); other <- result }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-canceled; !errors.Is(err, context.Canceled) {
		t.Fatalf("the wait gave %v", err)
	}
	wantState(t, vm, StateRunning)
	count := counter(t, vm)
	eventually(t, "the guest goes on", func() bool { return counter(t, vm) != count })
	select {
	case result := <-other:
		t.Fatalf("another wait ended too: %v", result)
	default:
	}
	must(t, vm.Stop(seconds(t, 10)))
	if result := <-other; result.Reason != ResultStopped {
		t.Fatalf("another wait gave %v", result)
	}
}

// A stop that a handler delays ends with its context, and the VM as soon as the handler returns.
func TestS06ContextEndsStop(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestPorts)
	inside, leave := make(chan bool, 1), make(chan bool)
	_, err := vm.HandlePort(0x700, 4, func(*Access) Action {
		inside <- true
		<-leave
		return ActionResume
	})
	must(t, err)
	once := sync.Once{}
	t.Cleanup(func() { once.Do(func() { close(leave) }) })
	runTestVM(t, vm)
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	if err := vm.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the stop gave %v", err)
	}
	once.Do(func() { close(leave) })
	wantResult(t, vm, ResultStopped)
}

func init() { roles["interrupt"] = interruptRole }

// InterruptRole waits for a VM until SIGINT comes, which it sends to itself; the VM runs on until it is stopped.
func interruptRole() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	host, err := OpenHost("")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	vm, err := makeSpinning(host, ignoreExit)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	time.AfterFunc(50*time.Millisecond, func() { syscall.Kill(os.Getpid(), syscall.SIGINT) })
	_, err = vm.Wait(ctx)
	state, _ := vm.State()
	fmt.Printf("%v, %v\n", err, state)
	if err := vm.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 5
}

// Ctrl-C ends a wait and nothing else, where the program asks for it so.
func TestS06CtrlC(t *testing.T) {
	output, status := runRole(t, "interrupt")
	if output != "context canceled, running\n" || status != 5 {
		t.Fatalf("status %d, output %q", status, output)
	}
}
