// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// IdentityVM is a VM with a device of each kind that has something for itself, which echoes until it reads a "q".
func identityVM(t *testing.T, host *Host, folder string) (*VM, *Stream) {
	t.Helper()
	vm := newTestVM(t, host, VMConfig{Name: "source"}, guestEcho)
	stream, err := vm.OpenSerial(Serial{})
	must(t, err)
	t.Cleanup(func() { must(t, stream.Close()) })
	must(t, second(vm.AddBlk(Blk{Path: diskFile(t, folder, 0), Serial: "S"})))
	must(t, second(vm.AddVsock(Vsock{CID: 10, Path: filepath.Join(folder, "vsock0")})))
	must(t, second(vm.AddVMGenID(VMGenID{})))
	wantErrno(t, second(vm.Generation()), syscall.EBUSY)
	runTestVM(t, vm)
	echo(t, stream, "hello")
	return vm, stream
}

func diskFile(t *testing.T, folder string, number int) string {
	t.Helper()
	path := filepath.Join(folder, fmt.Sprint("disk", number))
	must(t, os.WriteFile(path, make([]byte, 64*1024), 0o600))
	return path
}

// What one VM has for itself is given to each clone: its console, disk, socket; its generation ID is another one.
func TestS23Identity(t *testing.T) {
	host, folder := openTestHost(t), t.TempDir()
	vm, stream := identityVM(t, host, folder)
	must(t, vm.Pause())
	template, err := vm.NewTemplate(0)
	must(t, err)
	defer template.Close()
	id, err := vm.Generation()
	must(t, err)
	seen := map[[GenerationSize]byte]bool{id: true}
	for i := 1; i <= 2; i++ {
		clone := cloneOf(t, template, "clone")
		if err := clone.Build(); err == nil || !strings.Contains(err.Error(), "blk") {
			t.Fatalf("built without a disk: %v", err)
		}
		useIdentity(t, clone, folder, i)
		if id, err = clone.Generation(); err != nil || seen[id] {
			t.Errorf("clone %d has the generation ID %x, %v", i, id, err)
		}
		seen[id] = true
	}
	must(t, vm.Resume())
	echo(t, stream, "again")
}

// UseIdentity gives a clone what is its own, and uses it.
func useIdentity(t *testing.T, clone *VM, folder string, number int) {
	t.Helper()
	devices := make([]*Device, 5)
	for i, kind := range []string{"exit", "serial", "blk", "vsock", "vmgenid"} {
		var err error
		devices[i], err = clone.Device(i)
		must(t, err)
		if devices[i].Kind() != kind {
			t.Fatalf("device %d is of kind %q, not %q", i, devices[i].Kind(), kind)
		}
	}
	wantErrno(t, second(clone.Device(len(devices))), syscall.ENOENT)
	stream, err := devices[1].OpenStream()
	must(t, err)
	defer stream.Close()
	must(t, devices[2].Set("path", diskFile(t, folder, number)))
	wantErrno(t, second(clone.DialVsock(seconds(t, 5), 1)), syscall.ENODEV)
	must(t, devices[3].Set("cid", 10+number))
	socket := filepath.Join(folder, fmt.Sprint("vsock", number))
	must(t, devices[3].Set("path", socket))
	runTestVM(t, clone)
	echo(t, stream, strings.Repeat("clone ", number))
	must(t, second(os.Stat(socket)))
	var refused *net.OpError
	if err := second(clone.DialVsock(seconds(t, 1), 1)); !errors.As(err, &refused) ||
		refused.Addr.String() != fmt.Sprintf("%d:1", 10+number) {
		t.Errorf("the guest, which has no driver, answers %v", err)
	}
	for i, want := range map[int]uint64{2: 128, 3: uint64(10 + number)} {
		name := map[int]string{2: "capacity", 3: "cid"}[i]
		if value, err := devices[i].Get(name); err != nil || value != want {
			t.Errorf("%s is %d, not %d; %v", name, value, want, err)
		}
	}
	wantErrno(t, devices[2].Set("path", "late"), syscall.EBUSY)
	must(t, second(stream.Write([]byte("q"))))
	wantResult(t, clone, ResultGuestExit)
}

// A tap and its MAC are the clone's own too.
func TestS23Net(t *testing.T) {
	host := openTestHost(t)
	t.Run("tap", func(t *testing.T) { // its thread ends with the network that it is given
		enterNetwork(t)
		vm := newTestVM(t, host, VMConfig{}, guestExit)
		must(t, second(vm.AddNet(Net{Tap: testTap, MAC: "02:00:00:00:00:01"})))
		must(t, vm.Build())
		template, err := vm.NewTemplate(TemplateConsume)
		must(t, err)
		defer template.Close()
		must(t, vm.Close()) // a tap is of one VM at a time
		clone := cloneOf(t, template, "clone")
		if err := clone.Build(); err == nil || !strings.Contains(err.Error(), "net") {
			t.Errorf("built without a tap: %v", err)
		}
		card, err := clone.Device(1)
		must(t, err)
		must(t, card.Set("tap", testTap))
		must(t, card.Set("mac", "no MAC"))
		if err := clone.Build(); err == nil || !strings.Contains(err.Error(), "MAC") {
			t.Errorf("built without a MAC: %v", err)
		}
		must(t, card.Set("mac", "02:00:00:00:00:02"))
		runTestVM(t, clone)
		wantResult(t, clone, ResultGuestExit)
	})
}

// Properties say which of them a clone has for itself.
func TestS23IdentityProperties(t *testing.T) {
	want := map[string]string{"serial": "input output", "blk": "path fd", "net": "tap fd mac", "vsock": "cid path",
		"vmgenid": "", "rng": ""}
	for kind, names := range want {
		list, err := DeviceProperties(kind)
		must(t, err)
		found := map[string]bool{}
		for _, property := range list {
			if property.Flags&PropertyIdentity != 0 {
				found[property.Name] = true
			}
		}
		for _, name := range strings.Fields(names) {
			if !found[name] {
				t.Errorf("%s.%s is not the clone's own", kind, name)
			}
			delete(found, name)
		}
		if len(found) > 0 {
			t.Errorf("%s: %v are the clone's own", kind, found)
		}
	}
}

// Linux goes on in clones with consoles of their own, and so do its clock and the source.
func TestS23Linux(t *testing.T) {
	testFile(t, "NESTVIRT_TEST_KERNEL_FAST", "")
	l := newLinux(t, openTestHost(t), "", "obey")
	must(t, second(l.vm.AddVMGenID(VMGenID{})))
	runTestVM(t, l.vm)
	l.expect("nv: waiting order", bootLimit)
	before := uptime(t, l)
	must(t, l.vm.Pause())
	template, err := l.vm.NewTemplate(0)
	must(t, err)
	defer template.Close()
	for i := 0; i < 2; i++ {
		clone := &linux{t: t, vm: cloneOf(t, template, "clone")}
		serial, err := clone.vm.Device(0)
		must(t, err)
		clone.console, err = serial.OpenStream()
		must(t, err)
		defer clone.console.Close()
		runTestVM(t, clone.vm)
		if now := uptime(t, clone); now < before || now > before+60 {
			t.Errorf("clone %d is up for %v seconds, its template was for %v", i, now, before)
		}
		clone.order("quit")
		if result, err := clone.vm.Wait(seconds(t, 180)); err != nil || result.Reason != ResultGuestReset {
			t.Errorf("clone %d ended by %v, %v", i, result, err)
		}
	}
	must(t, l.vm.Resume())
	if now := uptime(t, l); now < before {
		t.Errorf("the source is up for %v seconds and was for %v", now, before)
	}
}

// Uptime is what the guest's clock says.
func uptime(t *testing.T, l *linux) (seconds float64) {
	t.Helper()
	answer := l.answer("cat:/proc/uptime", "cat ")
	if _, err := fmt.Sscan(answer, &seconds); err != nil {
		t.Fatalf("%q: %v", answer, err)
	}
	return seconds
}
