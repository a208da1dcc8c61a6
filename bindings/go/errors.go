// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"fmt"
	"syscall"
)

// Error is a failure of the library. It matches errors.Is with a syscall.Errno (also that of the system call which
// failed) and with an ErrorCode.
type Error struct {
	Code    int           // the library's negative code: a negated errno, or an ErrorCode
	Errno   syscall.Errno // of the system call that failed, 0 if none did
	Message string        // one whole sentence: object, problem and remedy
	Object  string        // the object alone, such as "vm web1: memory region 2"
	Hint    string        // the remedy alone, "" if none is known
	// Problems are those of a VM in which several things are wrong (EInvalidVM).
	Problems []*Error
}

func (e *Error) Error() string { return e.Message }

// Name is the code's name in C, "EINVAL" or "NESTVIRT_E_NO_INTERRUPT_PIN"; "" before the library is loaded.
func (e *Error) Name() string { return C.GoString(C.go_nestvirt_error_code_name(C.int(e.Code))) }

// Unwrap is the code as a syscall.Errno or an ErrorCode.
func (e *Error) Unwrap() error {
	if e.Code > int(EBUG) {
		return syscall.Errno(-e.Code)
	}
	return ErrorCode(e.Code)
}

// Is tells whether it is the error number of the system call that failed.
func (e *Error) Is(target error) bool {
	number, ok := target.(syscall.Errno)
	return ok && e.Errno != 0 && number == e.Errno
}

// Error makes the library's own codes errors, for errors.Is.
func (v ErrorCode) Error() string { return "libnestvirt: " + v.String() }

// ErrClosed is the error of every call on an object that was closed, or is nil because it could not be made. It is also
// syscall.EBADF.
var ErrClosed = &Error{Code: -int(syscall.EBADF), Message: "nestvirt: used after Close, or nil; make a new one"}

// Check turns the result of a call into an error and frees the library's; function is its C name.
func check(function string, result C.int, detail *C.struct_nestvirt_error) error {
	if result >= 0 {
		return nil
	}
	if result == C.NESTVIRT_GO_MISSING {
		return unsupported(function)
	}
	if detail == nil {
		text := C.GoString(C.go_nestvirt_error_code_text(result))
		return &Error{Code: int(result), Object: function, Message: fmt.Sprintf("%s: %s", function, text)}
	}
	defer C.go_nestvirt_error_free(detail)
	found := one(int(result), detail)
	if found.Code == int(EInvalidVM) {
		found.Problems = append(found.Problems, one(int(C.go_nestvirt_error_get_code(detail)), detail))
	}
	for next := C.go_nestvirt_error_get_next(detail); next != nil; next = C.go_nestvirt_error_get_next(next) {
		found.Problems = append(found.Problems, one(int(C.go_nestvirt_error_get_code(next)), next))
	}
	return found
}

func one(code int, detail *C.struct_nestvirt_error) *Error {
	return &Error{
		Code:    code,
		Errno:   syscall.Errno(C.go_nestvirt_error_get_errno(detail)),
		Message: C.GoString(C.go_nestvirt_error_get_message(detail)),
		Object:  C.GoString(C.go_nestvirt_error_get_object(detail)),
		Hint:    C.GoString(C.go_nestvirt_error_get_hint(detail)),
	}
}

// Unsupported is the error of a call of a function that the library in use does not have.
func unsupported(function string) error {
	version, err := Version()
	if err != nil {
		return err
	}
	return &Error{Code: -int(syscall.ENOTSUP), Object: function, Message: fmt.Sprintf(
		"%s: not supported by libnestvirt %s; install a newer one", function, version)}
}
