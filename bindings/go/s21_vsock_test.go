// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	_ net.Conn     = (*VsockConn)(nil)
	_ net.Listener = (*VsockListener)(nil)
	_ net.Addr     = VsockAddr{}
)

// VsockVM is a Linux VM with a socket, which does steps of the test guest.
func vsockVM(t *testing.T, steps string) (*VM, *Stream) {
	t.Helper()
	kernel, initrd := os.Getenv("NESTVIRT_TEST_KERNEL_FAST"), os.Getenv("NESTVIRT_TEST_INITRD")
	if kernel == "" || initrd == "" {
		t.Skip("SKIP: NESTVIRT_TEST_KERNEL_FAST and NESTVIRT_TEST_INITRD name no kernel")
	}
	vm, err := openTestHost(t).NewVM(VMConfig{Name: "vsock", MemorySize: 128 << 20, Flags: VMFixups})
	must(t, err)
	t.Cleanup(func() { must(t, vm.Close()) })
	console, err := vm.OpenSerial(Serial{})
	must(t, err)
	t.Cleanup(func() { console.Close() })
	must(t, second(vm.AddReset(Reset{})))
	must(t, second(vm.AddVsock(Vsock{CID: 7, Path: filepath.Join(t.TempDir(), "v")})))
	must(t, vm.SetKernel(kernel+"/vmlinux", KernelAuto))
	must(t, vm.SetInitrd(initrd))
	must(t, vm.SetCmdline("console=ttyS0 reboot=k panic=-1 nokaslr mitigations=off noxsave no_timer_check lpj=1000000 "+
		"clearcpuid=308,295,514,151,141,288,158,306,298,145,534 nv.do="+steps))
	return vm, console
}

// AwaitLine reads the console up to a line with the text.
func awaitLine(t *testing.T, console *bufio.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := console.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			t.Fatalf("no %q: %v\n%s", text, err, all.String())
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}

// Guest and program reach each other, with addresses and deadlines as of any net.Conn.
func TestS21Vsock(t *testing.T) {
	vm, stream := vsockVM(t, "call:5000:hello,reply:vsock:6000")
	must(t, stream.SetReadDeadline(time.Now().Add(120*time.Second)))
	console := bufio.NewReader(stream)
	listener, err := vm.ListenVsock(5000)
	must(t, err)
	defer listener.Close()
	must(t, listener.SetDeadline(time.Now().Add(120*time.Second)))
	runTestVM(t, vm)
	answerCall(t, listener)
	awaitLine(t, console, "nv: call welcome")
	awaitLine(t, console, "nv: waiting reply")
	wantErrno(t, second(vm.DialVsock(seconds(t, 20), 6999)), syscall.ECONNREFUSED)
	conn, err := vm.DialVsock(seconds(t, 20), 6000)
	must(t, err)
	if conn.RemoteAddr().String() != "7:6000" || conn.LocalAddr().(VsockAddr).CID != VsockHost ||
		conn.LocalAddr().Network() != "vsock" {
		t.Fatalf("from %v to %v", conn.LocalAddr(), conn.RemoteAddr())
	}
	useConn(t, conn)
	awaitLine(t, console, "nv: reply 6")
	wantResult(t, vm, ResultGuestReset)
	must(t, listener.Close())
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept on a closed listener: %v", err)
	}
}

// AnswerCall takes the guest's connection, as a net.Listener would.
func answerCall(t *testing.T, listener net.Listener) {
	t.Helper()
	if listener.Addr().String() != "2:5000" {
		t.Fatalf("listens at %v", listener.Addr())
	}
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	if conn.RemoteAddr().(VsockAddr).CID != 7 {
		t.Fatalf("from %v", conn.RemoteAddr())
	}
	data := make([]byte, 5)
	_, err = io.ReadFull(conn, data)
	must(t, err)
	if string(data) != "hello" {
		t.Fatalf("the guest said %q", data)
	}
	_, err = fmt.Fprint(conn, "welcome")
	must(t, err)
}

// UseConn sends and receives; a deadline ends a read and not the connection.
func useConn(t *testing.T, conn *VsockConn) {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read past the deadline: %v", err)
	}
	must(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	_, err := fmt.Fprint(conn, "abcdef")
	must(t, err)
	answer := make([]byte, 6)
	_, err = io.ReadFull(conn, answer)
	must(t, err)
	if string(answer) != "abcdef" {
		t.Fatalf("the guest answered %q", answer)
	}
	must(t, conn.CloseWrite()) // what makes the guest end
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("then %q, %v", rest, err)
	}
	must(t, conn.Close())
}

// Without a guest that answers: no device, no path, a context that ends, and a closed VM.
func TestS21Refused(t *testing.T) {
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{}, guestSpin)
	wantErrno(t, second(vm.DialVsock(context.Background(), 1)), syscall.ENODEV)
	wantErrno(t, second(vm.ListenVsock(1)), syscall.ENODEV)
	path := filepath.Join(t.TempDir(), "v")
	must(t, second(vm.AddVsock(Vsock{CID: 3, Path: path})))
	wantErrno(t, second(vm.DialVsock(seconds(t, 5), 1)), syscall.ENOENT) // not built: no socket yet
	runTestVM(t, vm)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := vm.DialVsock(ctx, 1); err == nil || time.Since(begin) > 20*time.Second {
		t.Fatalf("a guest without a driver: %v after %v", err, time.Since(begin))
	}
	listener, err := vm.ListenVsock(2)
	must(t, err)
	must(t, second(os.Stat(path+"_2")))
	wantErrno(t, second(vm.ListenVsock(2)), syscall.EADDRINUSE)
	must(t, listener.Close())
	if _, err := os.Stat(path + "_2"); !os.IsNotExist(err) {
		t.Fatalf("the listener's socket is left: %v", err)
	}
	wantParameter(t, second(vm.DialVsock(nil, 1)), syscall.EINVAL, "ctx")
	must(t, vm.Close())
	wantErrno(t, second(vm.DialVsock(context.Background(), 1)), syscall.EBADF)
	wantErrno(t, second(vm.ListenVsock(1)), syscall.EBADF)
}

// A listener is closed with its VM: whoever accepts comes back, and the socket is removed.
func TestS21ListenerEndsWithVM(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	vm := newTestVM(t, host, VMConfig{}, guestSpin)
	path := filepath.Join(t.TempDir(), "vsock")
	_, err := vm.AddVsock(Vsock{CID: 3, Path: path})
	must(t, err)
	runTestVM(t, vm)
	closed, err := vm.ListenVsock(5)
	must(t, err)
	must(t, closed.Close())
	listener, err := vm.ListenVsock(5)
	must(t, err)
	accepted := make(chan error, 1)
	go func() { _, err := listener.Accept(); accepted <- err }()
	must(t, vm.Close())
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	case <-seconds(t, 10).Done():
		t.Fatal("accept goes on")
	}
	if _, err := os.Stat(path + "_5"); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	must(t, listener.Close())
	_, err = vm.ListenVsock(5)
	wantErrno(t, err, syscall.EBADF)
	wantCensus(t, before)
}
