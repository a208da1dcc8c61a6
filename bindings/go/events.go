// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include <fcntl.h>

#include "abi.h"

static int duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Event is something that happened to a VM.
type Event struct {
	Kind   EventKind
	VCPU   int           // where one is concerned
	Time   time.Duration // of CLOCK_MONOTONIC
	Values [4]uint64     // see the kinds
}

// States are those before and after, of EventState.
func (e Event) States() (before, after State) { return State(e.Values[0]), State(e.Values[1]) }

// Reason is the result's, of EventStopped.
func (e Event) Reason() ResultReason { return ResultReason(e.Values[0]) }

// String tells the event with what its kind has.
func (e Event) String() string {
	switch e.Kind {
	case EventState:
		before, after := e.States()
		return fmt.Sprintf("state: %s, was %s", stateName(after), stateName(before))
	case EventStopped:
		return fmt.Sprintf("stopped: %s", resultName(e.Reason()))
	case EventUnhandledExit:
		return fmt.Sprintf("unhandled exit: address %#x, length %d, write %d", e.Values[0], e.Values[1], e.Values[2])
	case EventLost:
		return fmt.Sprintf("lost: %d events", e.Values[0])
	}
	return fmt.Sprintf("%v: device %d, %v", e.Kind, e.Values[0], syscall.Errno(e.Values[1]))
}

// EventsKept is how many events wait for a reader, as many as the library itself keeps.
const eventsKept = 64

// A pump takes a VM's events out of the library as they come, for waiters and for the channel of Events. Its goroutine
// sleeps in Go's own poller and holds no thread.
type pump struct {
	machine            *machine
	mu                 sync.Mutex
	file               *os.File // a duplicate of the event descriptor; nil until somebody watches
	queue              []Event  // not yet in the channel
	lost               uint64   // of those that found no place
	changed            chan struct{}
	out                chan Event // nil until Events
	closed             bool
	done               chan struct{}  // closed by stop, when all events are in the queue
	taking, delivering sync.WaitGroup // the goroutines
}

// Init makes a pump that has not begun.
func (p *pump) init(m *machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine = m
	p.file = nil
	p.out = nil
	p.closed = false
	p.changed = make(chan struct{})
	p.done = make(chan struct{})
}

// Watch gives a channel that is closed when the next events have come, or at the end.
func (m *machine) watch() (<-chan struct{}, error) {
	p := &m.events
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	return p.changed, p.start()
}

// Start begins to take events; p.mu is held.
func (p *pump) start() error {
	if p.file != nil {
		return nil
	}
	fd, err := p.machine.call("nestvirt_vm_get_event_fd", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_vm_get_event_fd(c, detail)
	})
	if err != nil {
		return err
	}
	own, err := C.duplicate(C.int(fd))
	if own < 0 {
		return &Error{Code: -int(err.(syscall.Errno)), Errno: err.(syscall.Errno), Object: "event descriptor",
			Message: fmt.Sprintf("event descriptor: %v", err)}
	}
	p.file = os.NewFile(uintptr(own), "nestvirt events")
	p.taking.Add(1)
	go p.run(p.file)
	return nil
}

// Run takes events whenever the descriptor tells of some, until stop closes it.
func (p *pump) run(file *os.File) {
	defer p.taking.Done()
	conn, err := file.SyscallConn()
	if err == nil {
		err = conn.Read(func(uintptr) bool {
			p.take()
			return false
		})
	}
	p.take() // the last ones
}

// Take moves all events that wait to the queue.
func (p *pump) take() {
	var taken []Event
	for {
		var c C.struct_nestvirt_event
		C.go_nestvirt_event_init(&c, C.sizeof_struct_nestvirt_event)
		if C.go_nestvirt_vm_next_event(p.machine.c, &c, nil) != 1 {
			break
		}
		event := Event{Kind: EventKind(c.kind), VCPU: int(c.vcpu), Time: time.Duration(c.time_ns)}
		for i, value := range c.values {
			event.Values[i] = uint64(value)
		}
		taken = append(taken, event)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, event := range taken {
		p.keep(event)
	}
	if len(taken) > 0 {
		p.wake()
	}
}

// Keep appends an event to the queue, if there is room.
func (p *pump) keep(event Event) {
	switch {
	case event.Kind == EventLost:
		p.lost += event.Values[0]
	case len(p.queue) >= eventsKept:
		p.lost++
	default:
		p.queue = append(p.queue, event)
	}
}

// Wake lets all look again who watch.
func (p *pump) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Next takes the oldest event of the queue; without one, a channel that tells when to look again.
func (p *pump) next() (Event, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		event := p.queue[0]
		p.queue = p.queue[1:]
		return event, nil
	}
	if p.lost > 0 {
		event := Event{Kind: EventLost, Values: [4]uint64{p.lost}}
		p.lost = 0
		return event, nil
	}
	return Event{}, p.changed
}

// Deliver feeds the channel of Events.
func (p *pump) deliver(out chan<- Event) {
	defer p.delivering.Done()
	defer close(out)
	for {
		event, changed := p.next()
		if changed != nil {
			select {
			case <-changed:
			case <-p.done:
				if p.isEmpty() {
					return
				}
			}
			continue
		}
		select {
		case out <- event:
		case <-p.done:
			select {
			case out <- event: // what its buffer has room for
			default:
				return
			}
		}
	}
}

func (p *pump) isEmpty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && p.lost == 0
}

// Stop ends the goroutines; no call is under way any more.
func (p *pump) stop() {
	p.mu.Lock()
	p.closed = true
	file := p.file
	p.wake()
	p.mu.Unlock()
	if file != nil {
		file.Close()
	}
	p.taking.Wait()
	close(p.done)
	p.delivering.Wait()
}

// Events gives the channel of the VM's events: the same one at each call. It has those from before too. Up to 64
// events wait for the reader; an EventLost tells of more. Close closes it, behind what its buffer holds. If events
// cannot be had, because the VM is closed or there is no descriptor for them, it is closed from the start on.
func (vm *VM) Events() <-chan Event {
	defer runtime.KeepAlive(vm)
	p := &vm.machine().events
	if _, err := vm.machine().watch(); err != nil {
		none := make(chan Event)
		close(none)
		return none
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		p.out = make(chan Event, eventsKept)
		if p.closed {
			close(p.out)
			return p.out
		}
		p.delivering.Add(1)
		go p.deliver(p.out)
	}
	return p.out
}
