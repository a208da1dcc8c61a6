// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

const (
	testTap = "nvgotap0"
	hostIP  = "10.77.0.1"
	guestIP = "10.77.0.2"

	// linux/if_tun.h and linux/sockios.h
	tunSetIff     = 0x400454ca
	tunSetPersist = 0x400454cb
	iffVnetHdr    = 0x4000
)

// Ifreq is struct ifreq of linux/if.h.
type ifreq struct {
	name  [16]byte
	value [24]byte
}

func ioctl(fd uintptr, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}

// EnterNetwork gives the goroutine a thread with a network of its own and a tap in it. Both end with the goroutine,
// whose thread is not used again.
func enterNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skipf("SKIP: this process may not make a network namespace (%v); run it as root", err)
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIP: /dev/net/tun does not open: %v", err)
	}
	defer tun.Close()
	request := ifreq{}
	copy(request.name[:], testTap)
	*(*uint16)(unsafe.Pointer(&request.value)) = syscall.IFF_TAP | syscall.IFF_NO_PI | iffVnetHdr
	conn, err := tun.SyscallConn()
	must(t, err)
	must(t, conn.Control(func(fd uintptr) {
		must(t, ioctl(fd, tunSetIff, unsafe.Pointer(&request)))
		must(t, ioctl(fd, tunSetPersist, unsafe.Pointer(&request))) // any argument but zero
	}))
	setAddress(t, &request)
}

// SetAddress gives the tap the host's address and sets it up.
func setAddress(t *testing.T, request *ifreq) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer syscall.Close(fd)
	for _, one := range []struct {
		command uintptr
		address [4]byte
	}{{syscall.SIOCSIFADDR, [4]byte{10, 77, 0, 1}}, {syscall.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
		*(*syscall.RawSockaddrInet4)(unsafe.Pointer(&request.value)) =
			syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: one.address}
		must(t, ioctl(uintptr(fd), one.command, unsafe.Pointer(request)))
	}
	*(*uint16)(unsafe.Pointer(&request.value)) = syscall.IFF_UP | syscall.IFF_RUNNING
	must(t, ioctl(uintptr(fd), syscall.SIOCSIFFLAGS, unsafe.Pointer(request)))
}
