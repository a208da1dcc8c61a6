// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
// The library is needed to build, but not named in the program: --as-needed drops it, as nothing refers to its symbols.
#cgo LDFLAGS: -Wl,--as-needed
#cgo pkg-config: nestvirt
#cgo LDFLAGS: -ldl

#include <dlfcn.h>
#include <stdlib.h>

#include "abi.h"

static void *open_library(const char *path, const char **ret_error)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    *ret_error = library ? NULL : dlerror();
    return library;
}
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// LibraryVariable names a variable of the environment: a path there takes the place of the system's own search for
// libnestvirt.so.0.
const LibraryVariable = "NESTVIRT_LIBRARY"

var library struct {
	once sync.Once
	err  error
}

// Load finds the library, once for the process. Whatever makes the first object calls it.
func load() error {
	library.once.Do(func() { library.err = open() })
	return library.err
}

func open() error {
	path := os.Getenv(LibraryVariable)
	if path == "" {
		path = fmt.Sprintf("libnestvirt.so.%d", VersionMajor)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var why *C.char
	handle := C.open_library(name, &why)
	if handle == nil {
		return &Error{Code: -int(syscall.ENOENT), Object: path, Message: fmt.Sprintf(
			"%s: %s; install libnestvirt %d.x (meson install, then ldconfig), or name its file in %s",
			path, C.GoString(why), VersionMajor, LibraryVariable)}
	}
	C.go_nestvirt_fill(handle)
	if major := C.go_nestvirt_version() >> 16; major != VersionMajor || C.go_nestvirt_version() == 0 {
		return &Error{Code: -int(syscall.ENOTSUP), Object: path, Message: fmt.Sprintf(
			"%s: is version %d.%d, this package needs %d.x; install libnestvirt %d.x", path, major,
			C.go_nestvirt_version()>>8&255, VersionMajor, VersionMajor)}
	}
	return nil
}

// Version is that of the library in use, such as "0.1.0".
func Version() (string, error) {
	if err := load(); err != nil {
		return "", err
	}
	return C.GoString(C.go_nestvirt_version_string()), nil
}
