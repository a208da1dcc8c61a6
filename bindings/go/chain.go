// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"io"
	"sync"
	"unsafe"
)

// Chain is a request of the guest to a virtio device of the program's own: readable bytes, then writable ones. It is
// an io.Reader of the former and an io.Writer to the latter; each byte can be read and written once. Complete it when
// it is answered. A chain that is not completed is lost to the guest until it resets the device.
type Chain struct {
	device *VirtioDevice
	mu     sync.Mutex
	c      *C.struct_nestvirt_chain // nil: completed
}

// Next takes the queue's next request; nil if there is none, or the driver is not ready, or the VM is paused: OnQueue
// is called again. Within one call of OnQueue, at most a queue full; then it is called again.
func (d *VirtioDevice) Next(queue int) (*Chain, error) {
	number, err := d.queue(queue)
	if err != nil {
		return nil, err
	}
	chain := &Chain{device: d}
	r, err := d.call("nestvirt_virtio_next_chain", func(c *cDevice, detail **cError) C.int {
		return C.go_nestvirt_virtio_next_chain(c, number, &chain.c, detail)
	})
	if err != nil || r == 0 {
		return nil, err
	}
	return chain, nil
}

// Call makes a call on the chain unless it is completed or its VM freed.
func (chain *Chain) call(function string, f func(c *C.struct_nestvirt_chain, detail **cError) C.int) (int, error) {
	chain.mu.Lock()
	defer chain.mu.Unlock()
	if chain.c == nil {
		return 0, ErrClosed
	}
	return chain.device.call(function, func(_ *cDevice, detail **cError) C.int { return f(chain.c, detail) })
}

// Size tells how many bytes are left to read and to write.
func (chain *Chain) Size() (readable, writable uint64, err error) {
	var read, write C.uint64_t
	_, err = chain.call("nestvirt_chain_get_size", func(c *C.struct_nestvirt_chain, detail **cError) C.int {
		return C.go_nestvirt_chain_get_size(c, &read, &write, detail)
	})
	return uint64(read), uint64(write), err
}

// Read copies the next bytes that the guest wrote; io.EOF behind the last. syscall.ESTALE when the VM has been built
// anew since: complete the chain.
func (chain *Chain) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := chain.call("nestvirt_chain_read", func(c *C.struct_nestvirt_chain, detail **cError) C.int {
		return C.go_nestvirt_chain_read(c, unsafe.Pointer(&p[0]), C.size_t(len(p)), detail)
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write fills the next bytes that the guest will read; io.ErrShortWrite when the guest left less room. Errors as for
// Read.
func (chain *Chain) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) { // one call copies less than 2 GiB
		rest := p[written:]
		n, err := chain.call("nestvirt_chain_write", func(c *C.struct_nestvirt_chain, detail **cError) C.int {
			return C.go_nestvirt_chain_write(c, unsafe.Pointer(&rest[0]), C.size_t(len(rest)), detail)
		})
		if err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
		written += n
	}
	return written, nil
}

// Complete gives the chain back to the guest with what was written to it, and interrupts if the guest wants that.
// False if the guest has reset the device meanwhile. Afterwards the chain gives ErrClosed.
func (chain *Chain) Complete() (bool, error) {
	r, err := chain.call("nestvirt_chain_complete", func(c *C.struct_nestvirt_chain, detail **cError) C.int {
		chain.c = nil
		return C.go_nestvirt_chain_complete(c, detail)
	})
	return r == 1, err
}

// OwnDevices are the virtio devices of a VM that are the program's own: their chains must not be used while the VM is
// freed.
type ownDevices struct {
	mu   sync.Mutex
	list []*ownDevice
}

func (devices *ownDevices) add(own *ownDevice) {
	devices.mu.Lock()
	defer devices.mu.Unlock()
	devices.list = append(devices.list, own)
}

// Shut refuses calls on the devices and their chains, and waits for those under way, which do not last.
func (devices *ownDevices) shut() {
	devices.mu.Lock()
	defer devices.mu.Unlock()
	for _, own := range devices.list {
		own.handle.shut()
		own.handle.drain(nothing) // which does not fail
	}
}

// Open takes shut back, where freeing the VM was refused.
func (devices *ownDevices) open() {
	devices.mu.Lock()
	defer devices.mu.Unlock()
	for _, own := range devices.list {
		own.handle.open()
	}
}
