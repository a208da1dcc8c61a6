// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// VsockHost is the host's address in the world of virtio sockets (virtio 1.2, 5.10.4).
const VsockHost = 2

// VsockAddr is one end of a connection between guest and program. It is a net.Addr.
type VsockAddr struct {
	CID  uint64 // VsockHost, or that of the guest
	Port uint32 // 0 where it is not known
}

// Network is "vsock".
func (a VsockAddr) Network() string { return "vsock" }

// String is the address as "3:1024".
func (a VsockAddr) String() string { return fmt.Sprintf("%d:%d", a.CID, a.Port) }

// VsockConn is a connection between guest and program, a net.Conn. Below it is a Unix socket, whose other methods, such
// as CloseWrite, it has too. It keeps its VM from being collected, but not from being closed: it then ends.
type VsockConn struct {
	*net.UnixConn
	vm            *VM
	local, remote VsockAddr
}

// LocalAddr is the host's end, a VsockAddr.
func (c *VsockConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the guest's end, a VsockAddr.
func (c *VsockConn) RemoteAddr() net.Addr { return c.remote }

// VsockListener takes the connections that the guest makes to a port of the host. It is a net.Listener, and is closed
// with its VM.
type VsockListener struct {
	*net.UnixListener
	vm   *VM
	addr VsockAddr
	cid  uint64
}

// A vsockPlace is what is known of a VM's device "vsock".
type vsockPlace struct {
	mu        sync.Mutex
	path      string
	cid       uint64
	listeners map[*net.UnixListener]bool // those that are open
}

// Note keeps a property that was set.
func (place *vsockPlace) note(kind, name string, value interface{}) {
	if kind != "vsock" {
		return
	}
	place.mu.Lock()
	defer place.mu.Unlock()
	switch value := value.(type) {
	case string:
		if name == "path" {
			place.path = value
		}
	case uint64:
		if name == "cid" {
			place.cid = value
		}
	}
}

func (place *vsockPlace) add(listener *net.UnixListener) {
	place.mu.Lock()
	defer place.mu.Unlock()
	if place.listeners == nil {
		place.listeners = map[*net.UnixListener]bool{}
	}
	place.listeners[listener] = true
}

func (place *vsockPlace) remove(listener *net.UnixListener) {
	place.mu.Lock()
	defer place.mu.Unlock()
	delete(place.listeners, listener)
}

// Shut closes the listeners, for which no guest is left.
func (place *vsockPlace) shut() {
	place.mu.Lock()
	defer place.mu.Unlock()
	for listener := range place.listeners {
		listener.Close()
	}
	place.listeners = nil
}

// Get gives the path and the guest's address.
func (place *vsockPlace) get() (string, uint64, error) {
	place.mu.Lock()
	defer place.mu.Unlock()
	if place.path == "" {
		return "", 0, &Error{Code: -int(syscall.ENODEV), Object: "vsock",
			Message: `vsock: the VM has no device "vsock" with a path; AddDevice("vsock", Properties{"cid": 3, "path": ...})`}
	}
	return place.path, place.cid, nil
}

// DialVsock connects to a port where a program in the guest listens, by the VM's device "vsock" and its path. It waits
// for the guest's answer until ctx ends. syscall.ECONNREFUSED if nobody listens there, or the guest has no driver yet.
func (vm *VM) DialVsock(ctx context.Context, port uint32) (*VsockConn, error) {
	if ctx == nil {
		return nil, invalid("ctx", "is nil; use context.Background()")
	}
	path, cid, err := vm.vsock()
	if err != nil {
		return nil, err
	}
	remote := VsockAddr{cid, port}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "vsock", Addr: remote, Err: err}
	}
	stream := conn.(*net.UnixConn)
	own, err := connect(ctx, stream, port)
	if err != nil {
		stream.Close()
		return nil, &net.OpError{Op: "dial", Net: "vsock", Addr: remote, Err: err}
	}
	return &VsockConn{UnixConn: stream, vm: vm, local: VsockAddr{VsockHost, own}, remote: remote}, nil
}

// Connect asks for a port of the guest, and gives the host's port of the connection.
func connect(ctx context.Context, stream *net.UnixConn, port uint32) (uint32, error) {
	isDone, isOver := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(isOver)
		select {
		case <-ctx.Done():
			stream.SetDeadline(time.Unix(1, 0)) // long ago: what is waiting comes back
		case <-isDone:
		}
	}()
	own, err := shakeHands(stream, port)
	close(isDone)
	<-isOver
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return own, err
}

func shakeHands(stream *net.UnixConn, port uint32) (uint32, error) {
	if _, err := fmt.Fprintf(stream, "CONNECT %d\n", port); err != nil {
		return 0, err
	}
	var line strings.Builder
	var one [1]byte // by single bytes: what follows the line belongs to the caller
	for one[0] != '\n' && line.Len() < 32 {
		if n, err := stream.Read(one[:]); n == 0 {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				return 0, err
			}
			return 0, syscall.ECONNREFUSED
		}
		line.WriteByte(one[0])
	}
	var own uint32
	if _, err := fmt.Sscanf(line.String(), "OK %d\n", &own); err != nil {
		return 0, fmt.Errorf("the device answered %q", line.String())
	}
	return own, nil
}

// ListenVsock listens on a port of the host for connections that the guest makes to it, at the socket path_PORT of the
// VM's device "vsock". Listen before the guest connects: it is refused without a listener.
func (vm *VM) ListenVsock(port uint32) (*VsockListener, error) {
	m := vm.machine()
	if err := m.handle.enter(); err != nil {
		return nil, err
	}
	defer m.handle.leave() // Close finds the listener, or there is none
	path, cid, err := m.vsock.get()
	if err != nil {
		return nil, err
	}
	addr := VsockAddr{VsockHost, port}
	listener, err := net.Listen("unix", fmt.Sprintf("%s_%d", path, port))
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "vsock", Addr: addr, Err: err}
	}
	own := listener.(*net.UnixListener)
	m.vsock.add(own)
	return &VsockListener{UnixListener: own, vm: vm, addr: addr, cid: cid}, nil
}

// Close ends the listener and removes its socket. Closing it again does nothing.
func (l *VsockListener) Close() error {
	l.vm.machine().vsock.remove(l.UnixListener)
	if err := l.UnixListener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Vsock gives the path and the guest's address, unless the VM is closed.
func (vm *VM) vsock() (string, uint64, error) {
	if err := vm.machine().handle.enter(); err != nil {
		return "", 0, err
	}
	defer vm.machine().handle.leave()
	return vm.machine().vsock.get()
}

// Accept waits for the guest's next connection: a *VsockConn.
func (l *VsockListener) Accept() (net.Conn, error) { return l.AcceptVsock() }

// AcceptVsock waits for the guest's next connection. The guest's port is not known.
func (l *VsockListener) AcceptVsock() (*VsockConn, error) {
	stream, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &VsockConn{UnixConn: stream, vm: l.vm, local: l.addr, remote: VsockAddr{CID: l.cid}}, nil
}

// Addr is the host's address and port, a VsockAddr.
func (l *VsockListener) Addr() net.Addr { return l.addr }
