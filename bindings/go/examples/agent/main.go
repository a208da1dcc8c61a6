// SPDX-License-Identifier: Apache-2.0

// Program agent is a service that makes virtual machines for others: HTTP over a Unix socket (see package wire).
//
//	go run nestvirt/examples/agent -socket /run/vms.sock
//
// SIGINT and SIGTERM end it: requests under way are answered, all VMs freed and the socket removed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"nestvirt"
)

// Times after which a slow client is left, and after which requests under way are given up at the end.
const (
	readTime     = 10 * time.Second
	writeTime    = 60 * time.Second
	shutdownTime = 15 * time.Second
)

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to listen at")
	var most limits
	flag.IntVar(&most.vms, "vms", 64, "most VMs at a time")
	flag.Uint64Var(&most.memoryMiB, "memory", 1024, "most memory of a VM, in MiB")
	flag.IntVar(&most.vcpus, "vcpus", 8, "most vCPUs of a VM")
	flag.Parse()
	if *socket == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *socket, most); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// Serve answers requests until ctx ends, and leaves nothing.
func serve(ctx context.Context, socket string, most limits) error {
	host, err := nestvirt.OpenHost("")
	if err != nil {
		return err
	}
	defer host.Close()
	listener, err := listen(socket)
	if err != nil {
		return err
	}
	defer listener.Close() // which removes the socket
	all := newMachines(host, most)
	server := &http.Server{Handler: &service{all}, ReadHeaderTimeout: readTime, ReadTimeout: readTime,
		WriteTimeout: writeTime, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Printf("listening at %s\n", socket)

	select {
	case err = <-served:
	case <-ctx.Done():
		patience, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if err = server.Shutdown(patience); errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
	}
	if freed := all.removeAll(); err == nil {
		err = freed
	}
	return err
}

// Listen makes the socket, for this user alone. One that a dead service has left is replaced, one in use is not.
func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s: another service listens there", path)
	} else if info, found := os.Lstat(path); found == nil && info.Mode().Type() == os.ModeSocket &&
		errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	mask := syscall.Umask(0o177)
	defer syscall.Umask(mask)
	return net.Listen("unix", path)
}
