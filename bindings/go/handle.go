// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"sync"
	"time"
)

// A handle counts the calls under way on a C object, so that nobody frees it below them.
type handle struct {
	mu     sync.Mutex
	users  int
	closed bool
	idle   chan struct{} // made by last; closed when the last user leaves
}

// Enter begins a call.
func (h *handle) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.users++
	return nil
}

// Leave ends a call.
func (h *handle) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	if h.users == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// Shut refuses calls from now on; false if another Close has done so.
func (h *handle) shut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.closed = true
	return true
}

// Open takes shut back, where closing was refused.
func (h *handle) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = false
}

// Drain waits until no call is under way, after shut. Interrupt makes those that take long come back; it is repeated,
// as one of them may begin what lasts only after it. Its error ends the wait.
func (h *handle) drain(interrupt func() error) error {
	for {
		if err := interrupt(); err != nil {
			return err
		}
		idle := h.last()
		if idle == nil {
			return nil
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-idle:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Last is closed when the last call has ended; nil if none is under way.
func (h *handle) last() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users == 0 {
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	return h.idle
}

// Nothing is the interrupt of objects whose calls do not last.
func nothing() error { return nil }
