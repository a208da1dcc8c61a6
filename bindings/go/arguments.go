// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include <stdlib.h>

#include "abi.h"
*/
import "C"

import (
	"fmt"
	"math"
	"strings"
	"syscall"
	"unsafe"
)

// The names that several files have for the types of abi.h.
type (
	cVM     = C.struct_nestvirt_vm
	cDevice = C.struct_nestvirt_device
	cVCPU   = C.struct_nestvirt_vcpu
	cError  = C.struct_nestvirt_error
)

// Invalid is the error of a value that is refused before the library is called.
func invalid(parameter, format string, values ...interface{}) error {
	return &Error{Code: -int(syscall.EINVAL), Object: parameter,
		Message: parameter + ": " + fmt.Sprintf(format, values...)}
}

// Text is a string for C, to be freed with free; nil for an empty one.
func text(parameter, value string) (*C.char, error) {
	if value == "" {
		return nil, nil
	}
	if at := strings.IndexByte(value, 0); at >= 0 {
		return nil, invalid(parameter, "has a zero byte at %d; C strings end there", at)
	}
	return C.CString(value), nil
}

func free(value *C.char) { C.free(unsafe.Pointer(value)) }

// Has tells whether the library in use has a function.
func has(function string) bool {
	name := C.CString(function)
	defer free(name)
	return C.go_nestvirt_has(name) != 0
}

// Word32 is a number for a parameter of 32 bits.
func word32(parameter string, value int) (C.uint32_t, error) {
	if value < 0 || uint64(value) > math.MaxUint32 {
		return 0, invalid(parameter, "is %d; give it 0 to %d", value, uint32(math.MaxUint32))
	}
	return C.uint32_t(value), nil
}

// FD is a plain file descriptor, where something with a descriptor is asked for. It stays the caller's to close.
type FD int

// SyscallConn makes an FD what an *os.File is too.
func (fd FD) SyscallConn() (syscall.RawConn, error) { return rawFD(fd), nil }

type rawFD int

func (fd rawFD) Control(f func(uintptr)) error {
	f(uintptr(fd))
	return nil
}

func (fd rawFD) Read(func(uintptr) bool) error  { return syscall.ENOTSUP }
func (fd rawFD) Write(func(uintptr) bool) error { return syscall.ENOTSUP }

// WithFD calls f with a file's descriptor, which stays open that long and keeps its flags (File.Fd would change them).
func withFD(parameter string, file syscall.Conn, f func(fd C.int) error) error {
	if file == nil {
		return invalid(parameter, "is nil; give it an *os.File, another file with a descriptor, or an FD")
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return badFD(parameter, err)
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = control(parameter, fd, f) }); err != nil {
		return badFD(parameter, err)
	}
	return inner
}

func control(parameter string, fd uintptr, f func(fd C.int) error) error {
	if int(fd) < 0 || fd > math.MaxInt32 {
		return badFD(parameter, fmt.Errorf("descriptor %d", int(fd)))
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0); errno != 0 {
		return badFD(parameter, fmt.Errorf("descriptor %d", int(fd)))
	}
	return f(C.int(fd))
}

func badFD(parameter string, why error) error {
	return &Error{Code: -int(syscall.EBADF), Object: parameter,
		Message: fmt.Sprintf("%s: no open file: %v", parameter, why)}
}
