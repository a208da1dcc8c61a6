// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Linux boots; its console, disk, network and sockets are used from Go.
func TestS11Linux(t *testing.T) {
	testFile(t, "NESTVIRT_TEST_KERNEL_FAST", "")
	host := openTestHost(t)
	t.Run("devices", func(t *testing.T) { // its thread ends with the network that it is given
		enterNetwork(t)
		bootWithDevices(t, host)
	})
}

func bootWithDevices(t *testing.T, host *Host) {
	before := takeCensus(t)
	l := newLinux(t, host, "ip="+guestIP+"::"+hostIP+":255.255.255.0::eth0:off", "hello,obey")
	image, content := makeDisk(t)
	card, err := l.vm.AddNet(Net{Tap: testTap, MAC: "02:00:00:00:07:07"})
	must(t, err)
	disk, err := l.vm.AddBlk(Blk{Path: image, Serial: "go"})
	must(t, err)
	socket := filepath.Join(t.TempDir(), "vsock")
	_, err = l.vm.AddVsock(Vsock{CID: 77, Path: socket})
	must(t, err)
	runTestVM(t, l.vm)
	if version := l.expect("nv: hello ", bootLimit); version[:2] != "6." {
		t.Errorf("kernel %s", version)
	}
	l.expect("nv: waiting order", stepLimit)
	useDisk(t, l, image, content)
	useNetwork(t, l)
	useSockets(t, l, socket)
	for device, counter := range map[*Device]string{card: "rx_packets", disk: "bytes_written"} {
		if value, err := device.Get(counter); err != nil || value == 0 {
			t.Errorf("%s %s is %d; %v", device.Kind(), counter, value, err)
		}
	}
	l.order("quit")
	if result, err := l.vm.Wait(seconds(t, 180)); err != nil || result.Reason != ResultGuestReset {
		t.Errorf("ended by %v, %v", result, err)
	}
	must(t, l.vm.Close())
	must(t, l.console.Close())
	wantCensus(t, before)
}

// MakeDisk makes an image of 4 MiB of random bytes.
func makeDisk(t *testing.T) (string, []byte) {
	t.Helper()
	content := make([]byte, 4*mib)
	rand.New(rand.NewSource(11)).Read(content)
	path := filepath.Join(t.TempDir(), "disk.img")
	must(t, os.WriteFile(path, content, 0o600))
	return path, content
}

// UseDisk lets the guest read all, and write a mebibyte whose sum it tells.
func useDisk(t *testing.T, l *linux, image string, content []byte) {
	t.Helper()
	want := fmt.Sprintf("%d %d", len(content), crc32.ChecksumIEEE(content))
	if got := l.answer("sum:/dev/vda:direct", "sum "); got != want {
		t.Errorf("the guest read %s, not %s", got, want)
	}
	sum := l.answer("fill:/dev/vda:1:7:2:direct", "fill ")
	now, err := os.ReadFile(image)
	must(t, err)
	if got := fmt.Sprint(crc32.ChecksumIEEE(now[2*mib : 3*mib])); got != sum {
		t.Errorf("the guest wrote %s, the image has %s", sum, got)
	}
	if !bytes.Equal(now[:2*mib], content[:2*mib]) || !bytes.Equal(now[3*mib:], content[3*mib:]) {
		t.Error("the guest wrote elsewhere too")
	}
}

// UseNetwork sends 256 KiB to the guest by TCP and takes them back.
func useNetwork(t *testing.T, l *linux) {
	t.Helper()
	l.order("reply:tcp:7000")
	l.expect("nv: waiting reply", stepLimit)
	conn, err := net.Dial("tcp4", guestIP+":7000")
	must(t, err)
	defer conn.Close()
	sent := make([]byte, 256*1024)
	rand.New(rand.NewSource(12)).Read(sent)
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		if err == nil {
			err = conn.(*net.TCPConn).CloseWrite()
		}
		failed <- err
	}()
	got, err := io.ReadAll(conn)
	must(t, err)
	must(t, <-failed)
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, or other ones", len(got))
	}
	if count := l.expect("nv: reply ", stepLimit); count != fmt.Sprint(len(sent)) {
		t.Errorf("the guest counts %s bytes", count)
	}
	l.expect("nv: done", stepLimit)
}

// UseSockets answers a call of the guest to port 5001 of the host.
func useSockets(t *testing.T, l *linux, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket+"_5001")
	must(t, err)
	defer listener.Close()
	l.order("call:5001:to-the-host")
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()
	text, err := io.ReadAll(conn)
	must(t, err)
	_, err = conn.Write(append([]byte("got "), text...))
	must(t, err)
	must(t, conn.Close())
	if answer := l.expect("nv: call ", stepLimit); answer != "got to-the-host" {
		t.Errorf("the guest was answered %q", answer)
	}
	l.expect("nv: done", stepLimit)
}
