// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// Options are the structs of devices.go by kind.
var options = map[string]interface{}{
	"serial": Serial{}, "reset": Reset{}, "exit": ExitDevice{}, "rng": RNG{}, "blk": Blk{}, "net": Net{},
	"console": Console{}, "balloon": Balloon{}, "vsock": Vsock{}, "vmgenid": VMGenID{},
}

// OptionFields are the properties that a struct has, and whether each is a pointer.
func optionFields(options interface{}) map[string]bool {
	found := map[string]bool{}
	kind := reflect.TypeOf(options)
	for i := 0; i < kind.NumField(); i++ {
		found[kind.Field(i).Tag.Get("nestvirt")] = kind.Field(i).Type.Kind() == reflect.Pointer
	}
	return found
}

// Options arrive as they are given, of each type; live ones can be changed while the VM runs, counters are read.
func TestDeviceOptions(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	path := filepath.Join(t.TempDir(), "disk.img")
	must(t, os.WriteFile(path, make([]byte, 64*1024), 0o600))
	disk, err := vm.AddBlk(Blk{Path: path, ReadOnly: true, Writeback: Bool(false), Queues: 2, Serial: "S1", RateBytes: 5})
	must(t, err)
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	other, err := vm.AddBlk(Blk{FD: file, ReadOnly: true})
	must(t, err)
	for name, want := range map[string]uint64{"read_only": 1, "writeback": 0, "queues": 2, "rate_bytes": 5, "discard": 1} {
		if value, err := disk.Get(name); err != nil || value != want {
			t.Errorf("%s is %d, not %d; %v", name, value, want, err)
		}
	}
	runTestVM(t, vm)
	must(t, disk.Set("rate_bytes", 1<<20))
	if value, err := disk.Get("rate_bytes"); err != nil || value != 1<<20 {
		t.Errorf("rate_bytes is %d; %v", value, err)
	}
	counters, err := other.Counters()
	must(t, err)
	if counters["capacity"] != 128 || len(counters) < 8 || other.Kind() != "blk" {
		t.Errorf("counters %v of %s", counters, other.Kind())
	}
	must(t, vm.Stop(seconds(t, 10)))
}

// A serial port as an io.ReadWriteCloser: an echo, what is left after the end, then io.EOF.
func TestSerialStream(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestEcho)
	stream, err := vm.OpenSerial(Serial{})
	must(t, err)
	runTestVM(t, vm)
	echo(t, stream, "hello")
	echo(t, stream, strings.Repeat("0123456789abcdef", 8))
	_, err = stream.Write([]byte("end q"))
	must(t, err)
	wantResult(t, vm, ResultGuestExit)
	if dropped, err := stream.Device().Get("dropped"); err != nil || dropped != 0 {
		t.Errorf("dropped %d, %v", dropped, err)
	}
	must(t, vm.Close())
	rest, err := io.ReadAll(stream)
	if err != nil || string(rest) != "end q" {
		t.Errorf("%q, %v", rest, err)
	}
	_, err = stream.Write([]byte("x"))
	wantErrno(t, err, syscall.EPIPE)
	must(t, stream.Close())
	if _, err := stream.Read(make([]byte, 1)); err == nil {
		t.Error("a closed stream can be read")
	}
}

// A file of the program keeps its flags, whatever it is given to.
func TestFilesKeepTheirFlags(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	reader, writer, err := os.Pipe()
	must(t, err)
	defer reader.Close()
	defer writer.Close()
	before := fileFlags(t, writer)
	if before&syscall.O_NONBLOCK == 0 {
		t.Fatal("a pipe of Go that blocks")
	}
	_, err = vm.AddSerial(Serial{Input: reader, Output: writer})
	must(t, err)
	runTestVM(t, vm)
	must(t, vm.Close())
	if now := fileFlags(t, writer); now != before {
		t.Errorf("flags %#x, not %#x", now, before)
	}
}

func fileFlags(t *testing.T, file *os.File) uintptr {
	t.Helper()
	conn, err := file.SyscallConn()
	must(t, err)
	var flags uintptr
	must(t, conn.Control(func(fd uintptr) { flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0) }))
	return flags
}
