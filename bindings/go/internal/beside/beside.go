// SPDX-License-Identifier: Apache-2.0

// Package beside does for tests what only C can do, or C's share of a comparison.
package beside

/*
#cgo LDFLAGS: -Wl,--as-needed
#cgo pkg-config: nestvirt
#cgo LDFLAGS: -ldl

#include <stdlib.h>

#include "beside.h"
*/
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// Library is the library by a second way: opened with dlopen, without the package nestvirt.
type Library struct {
	handle unsafe.Pointer
}

// Open finds the library at a path or by its name.
func Open(path string) (Library, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.beside_open(name)
	if handle == nil {
		return Library{}, fmt.Errorf("%s does not open", path)
	}
	return Library{handle}, nil
}

// Forked is what calls on a VM return in a child process.
type Forked struct {
	State, Start, Stop, Read, Free int
}

// Fork makes a child process without exec, which makes calls on a VM (a struct nestvirt_vm) and frees it.
func (l Library) Fork(vm unsafe.Pointer) (Forked, error) {
	var c C.struct_beside_forked
	if r := C.beside_fork(l.handle, vm, &c); r < 0 {
		return Forked{}, fmt.Errorf("fork: error %d", -int(r))
	}
	return Forked{State: int(c.state), Start: int(c.start), Stop: int(c.stop), Read: int(c.read),
		Free: int(c.free)}, nil
}

// FirstExit makes a VM of an image, runs it, and frees it; the time until its first access to a port.
func (l Library) FirstExit(host unsafe.Pointer, image int, memory uint64, port uint16) (time.Duration, error) {
	ns := C.beside_first_exit(l.handle, host, C.int(image), C.uint64_t(memory), C.uint16_t(port))
	if ns < 0 {
		return 0, fmt.Errorf("the library failed with %d", int64(ns))
	}
	return time.Duration(ns), nil
}

// OpenHost opens /dev/kvm for FirstExit.
func (l Library) OpenHost() (unsafe.Pointer, error) {
	host := C.beside_open_host(l.handle)
	if host == nil {
		return nil, fmt.Errorf("no host")
	}
	return host, nil
}

// CloseHost closes it.
func (l Library) CloseHost(host unsafe.Pointer) { C.beside_close_host(l.handle, host) }

// Copy copies with memcpy.
func Copy(to, from []byte) {
	C.beside_copy(unsafe.Pointer(&to[0]), unsafe.Pointer(&from[0]), C.size_t(len(from)))
}
