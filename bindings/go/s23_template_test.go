// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func init() { roles["restore"] = restoreRole }

// The file that another process restores from, and the counter in it.
const (
	stateVariable   = "NESTVIRT_TEST_STATE"
	counterVariable = "NESTVIRT_TEST_COUNTER"
)

// Counting is a VM whose guest counts.
func counting(t *testing.T, host *Host) *VM {
	t.Helper()
	vm := newTestVM(t, host, VMConfig{Name: "source"}, guestSpin)
	runTestVM(t, vm)
	awaitProgress(t, vm, 0)
	return vm
}

func awaitProgress(t *testing.T, vm *VM, from uint32) {
	t.Helper()
	eventually(t, "the guest counts on", func() bool { return counter(t, vm) != from })
}

// TemplateOf pauses a VM and makes a template of it, for the time of a test; the guest's counter is given too.
func templateOf(t *testing.T, vm *VM, flags TemplateFlag) (*Template, uint32) {
	t.Helper()
	must(t, vm.Pause())
	value := counter(t, vm)
	template, err := vm.NewTemplate(flags)
	must(t, err)
	t.Cleanup(func() { must(t, template.Close()) })
	return template, value
}

// CloneOf makes a clone for the time of a test.
func cloneOf(t *testing.T, template *Template, name string) *VM {
	t.Helper()
	clone, err := template.Clone(CloneConfig{Name: name})
	must(t, err)
	t.Cleanup(func() { must(t, clone.Close()) })
	wantState(t, clone, StateNew)
	return clone
}

// GoesOn ends a test unless the clone stands where its template does and goes on from there.
func goesOn(t *testing.T, clone *VM, value uint32) {
	t.Helper()
	if now := counter(t, clone); now != value {
		t.Fatalf("the clone stands at %d, not %d", now, value)
	}
	runTestVM(t, clone)
	awaitProgress(t, clone, value)
}

// Twenty clones go on from the same place, each in memory of its own; nothing is left of them.
func TestS23TwentyClones(t *testing.T) {
	const count, mark = 20, 0x8000
	host := openTestHost(t)
	before := takeCensus(t)
	vm := counting(t, host)
	template, value := templateOf(t, vm, 0)
	info, err := template.Info()
	must(t, err)
	if info.MemorySize != 1<<20 || info.DataSize == 0 || info.DataSize >= info.MemorySize || info.StateSize == 0 ||
		info.VCPUs != 1 || info.Devices != 1 {
		t.Errorf("%+v", info)
	}
	clones := make([]*VM, count)
	for i := range clones {
		clones[i] = cloneOf(t, template, fmt.Sprintf("clone%d", i))
		must(t, clones[i].Build())
		must(t, second(clones[i].Memory().WriteAt([]byte{byte(i + 1)}, mark)))
	}
	must(t, template.Close())
	for i, clone := range clones {
		if now := counter(t, clone); now != value {
			t.Fatalf("clone %d stands at %d, not %d", i, now, value)
		}
		must(t, clone.Start())
	}
	data := make([]byte, 1)
	for i, clone := range clones {
		awaitProgress(t, clone, value)
		must(t, clone.Pause())
		must(t, second(clone.Memory().ReadAt(data, mark)))
		if data[0] != byte(i+1) {
			t.Errorf("clone %d has the mark %d", i, data[0])
		}
	}
	must(t, second(vm.Memory().ReadAt(data, mark)))
	if now := counter(t, vm); now != value || data[0] != 0 {
		t.Errorf("the source stands at %d, not %d, and has the mark %d", now, value, data[0])
	}
	must(t, vm.Resume())
	awaitProgress(t, vm, value)
	for _, one := range append(clones, vm) {
		must(t, one.Close())
	}
	wantCensus(t, before)
}

// A VM that is used up can only be closed; its clone goes back to where it began as often as it is started.
func TestS23Consumed(t *testing.T) {
	vm := counting(t, openTestHost(t))
	template, value := templateOf(t, vm, TemplateConsume)
	wantResult(t, vm, ResultStopped)
	wantState(t, vm, StateStopped)
	wantErrno(t, vm.Start(), syscall.EBUSY)
	must(t, vm.Close())
	clone := cloneOf(t, template, "clone")
	wantErrno(t, clone.Start(), syscall.EBUSY)
	for i := 0; i < 3; i++ {
		must(t, clone.Build())
		goesOnBuilt(t, clone, value)
		must(t, clone.Stop(seconds(t, 10)))
	}
}

func goesOnBuilt(t *testing.T, clone *VM, value uint32) {
	t.Helper()
	if now := counter(t, clone); now != value {
		t.Fatalf("built again the clone stands at %d, not %d", now, value)
	}
	must(t, clone.Start())
	awaitProgress(t, clone, value)
}

// Of a VM that was built and never ran, clones begin at the first instruction.
func TestS23NeverStarted(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestExit)
	must(t, vm.Build())
	template, err := vm.NewTemplate(0)
	must(t, err)
	defer template.Close()
	for _, one := range []*VM{cloneOf(t, template, "first"), cloneOf(t, template, "")} {
		runTestVM(t, one)
		if result := wantResult(t, one, ResultGuestExit); result.ExitCode != 7 {
			t.Errorf("exit code %d", result.ExitCode)
		}
	}
	must(t, vm.Start())
	wantResult(t, vm, ResultGuestExit)
}

// StateFile writes a template to a file and opens that.
func stateFile(t *testing.T, template, base *Template) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "state"))
	must(t, err)
	t.Cleanup(func() { file.Close() })
	must(t, template.Write(file, base))
	return file
}

// By a file a guest goes on in this process, read or mapped, and in another one.
func TestS23File(t *testing.T) {
	host := openTestHost(t)
	vm := counting(t, host)
	template, value := templateOf(t, vm, TemplateConsume)
	file := stateFile(t, template, nil)
	must(t, template.Close())
	must(t, vm.Close())
	for _, flags := range []TemplateFlag{0, TemplateTrustFile} {
		restored, err := host.OpenTemplate(file, flags, nil)
		must(t, err)
		clone := cloneOf(t, restored, "restored")
		must(t, restored.Close())
		goesOn(t, clone, value)
	}
	t.Setenv(stateVariable, file.Name())
	t.Setenv(counterVariable, fmt.Sprint(value))
	if output, status := runRole(t, "restore"); status != 0 || output != "" {
		t.Fatalf("in another process: status %d\n%s", status, output)
	}
}

func restoreRole() int {
	if err := restore(os.Getenv(stateVariable)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// Restore lets the guest of a file go on.
func restore(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	host, err := OpenHost("")
	if err != nil {
		return err
	}
	defer host.Close()
	template, err := host.OpenTemplate(file, 0, nil)
	if err != nil {
		return err
	}
	defer template.Close()
	clone, err := template.Clone(CloneConfig{})
	if err != nil {
		return err
	}
	defer clone.Close()
	if err := clone.Build(); err != nil {
		return err
	}
	want, err := strconv.ParseUint(os.Getenv(counterVariable), 10, 32)
	if err != nil {
		return err
	}
	data, before := make([]byte, 4), uint64(0)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := clone.Memory().ReadAt(data, 0x3000); err != nil {
			return err
		}
		now := uint64(data[0]) | uint64(data[1])<<8 | uint64(data[2])<<16 | uint64(data[3])<<24
		switch {
		case before == 0 && now != want, time.Now().After(deadline):
			return fmt.Errorf("the guest stands at %d; it was saved at %d", now, want)
		case before == 0:
			if err := clone.Start(); err != nil {
				return err
			}
			before = now
		case now != before:
			return nil
		}
	}
}

// Only what differs is written, and read with what it was written against.
func TestS23Changes(t *testing.T) {
	host := openTestHost(t)
	base, value := templateOf(t, counting(t, host), 0)
	clone := cloneOf(t, base, "clone")
	goesOn(t, clone, value)
	later, value := templateOf(t, clone, TemplateConsume)
	full, changes := stateFile(t, base, nil), stateFile(t, later, base)
	wantErrno(t, second(host.OpenTemplate(changes, 0, nil)), syscall.EINVAL)
	first, err := host.OpenTemplate(full, 0, nil)
	must(t, err)
	defer first.Close()
	restored, err := host.OpenTemplate(changes, 0, first)
	must(t, err)
	defer restored.Close()
	wantErrno(t, second(host.OpenTemplate(full, 0, first)), syscall.EINVAL)
	goesOn(t, cloneOf(t, restored, "restored"), value)
}

// A damaged file, or another one, is refused with the reason; the same file without damage is not.
func TestS23Damaged(t *testing.T) {
	host := openTestHost(t)
	template, _ := templateOf(t, counting(t, host), 0)
	good, err := os.ReadFile(stateFile(t, template, nil).Name())
	must(t, err)
	damages := map[string][]byte{"empty": nil, "something else": []byte(strings.Repeat("no template ", 4096))}
	for _, length := range []int{1, 100, len(good) / 2, len(good) - 1} {
		damages[fmt.Sprintf("cut off at %d", length)] = good[:length]
	}
	for _, at := range []int{0, 9, 100, 300} {
		changed := append([]byte{}, good...)
		changed[at] ^= 0x55
		damages[fmt.Sprintf("changed at %d", at)] = changed
	}
	open := func(content []byte) error {
		path := filepath.Join(t.TempDir(), "damaged")
		must(t, os.WriteFile(path, content, 0o600))
		file, err := os.Open(path)
		must(t, err)
		defer file.Close()
		found, err := host.OpenTemplate(file, 0, nil)
		if err == nil {
			must(t, found.Close())
		}
		return err
	}
	for name, content := range damages {
		var found *Error
		if err := open(content); !errors.Is(err, EBadState) || !errors.As(err, &found) || found.Message == "" ||
			found.Name() != "NESTVIRT_E_BAD_STATE" {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, open(good))
}

// Misuse is refused, what is wrong in Go before the call; nothing works after Close.
func TestS23Misuse(t *testing.T) {
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{}, guestSpin)
	wantErrno(t, second(vm.NewTemplate(0)), syscall.EBUSY)
	runTestVM(t, vm)
	wantErrno(t, second(vm.NewTemplate(0)), syscall.EBUSY)
	wantErrno(t, second(vm.Generation()), syscall.ENOENT)
	must(t, vm.Pause())
	wantErrno(t, second(vm.NewTemplate(TemplateTrustFile)), syscall.EINVAL)
	template, err := vm.NewTemplate(0)
	must(t, err)
	wantParameter(t, second(template.Clone(CloneConfig{Name: "a\x00b"})), syscall.EINVAL, "CloneConfig.Name")
	wantErrno(t, second(template.Clone(CloneConfig{Name: strings.Repeat("x", 1000)})), syscall.EINVAL)
	clone := cloneOf(t, template, "clone")
	wantParameter(t, second(clone.AddDevice("rng", nil)), syscall.EBUSY, "vm clone:")
	wantErrno(t, second(clone.AddMemory(MemoryConfig{Address: 1 << 30, Length: 4096})), syscall.EBUSY)
	wantParameter(t, second(clone.Device(-1)), syscall.EINVAL, "position")
	file := stateFile(t, template, nil)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	must(t, err)
	defer null.Close()
	wantErrno(t, template.Write(null, nil), syscall.EINVAL)
	wantErrno(t, second(host.OpenTemplate(null, 0, nil)), syscall.EINVAL)
	wantErrno(t, second(host.OpenTemplate(file, TemplateConsume, nil)), syscall.EINVAL)
	for _, call := range []func(file syscall.Conn) error{
		func(file syscall.Conn) error { return template.Write(file, nil) },
		func(file syscall.Conn) error { return second(host.OpenTemplate(file, 0, nil)) },
	} {
		wantParameter(t, call(nil), syscall.EINVAL, "file")
		wantParameter(t, call(FD(9999)), syscall.EBADF, "file")
	}
	wantClosed(t, host, vm, template, file)
}

// WantClosed closes a template twice, whose calls are refused then, and a VM's.
func wantClosed(t *testing.T, host *Host, vm *VM, template *Template, file *os.File) {
	t.Helper()
	other, err := vm.NewTemplate(0)
	must(t, err)
	defer other.Close()
	must(t, vm.Close())
	must(t, template.Close())
	must(t, template.Close())
	for name, err := range map[string]error{
		"Info": second(template.Info()), "Clone": second(template.Clone(CloneConfig{})),
		"Write": template.Write(file, nil), "Write, base": other.Write(file, template),
		"OpenTemplate, base": second(host.OpenTemplate(file, 0, template)),
		"NewTemplate":        second(vm.NewTemplate(0)), "Device": second(vm.Device(0)),
		"Generation": second(vm.Generation()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if _, err := host.OpenTemplate(file, 0, nil); err != nil {
		t.Errorf("the file has suffered: %v", err)
	}
}

// Templates and clones that nobody refers to any more are freed by the collector, in any order.
func TestS23Forgotten(t *testing.T) {
	host := openTestHost(t)
	vm := counting(t, host)
	must(t, vm.Pause())
	before := takeCensus(t)
	for i := 0; i < 3; i++ {
		func() {
			template, err := vm.NewTemplate(0)
			must(t, err)
			clone, err := template.Clone(CloneConfig{})
			must(t, err)
			runTestVM(t, clone)
		}()
	}
	if now := takeCensus(t); now.files <= before.files {
		t.Fatalf("%+v: they were not there at all", now)
	}
	eventually(t, "they are gone", func() bool {
		runtime.GC()
		return takeCensus(t).isWithin(before)
	})
}

// Many goroutines clone one template, which is closed meanwhile.
func TestS23Goroutines(t *testing.T) {
	template, value := templateOf(t, counting(t, openTestHost(t)), 0)
	var all sync.WaitGroup
	var made atomic.Int32
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				clone, err := template.Clone(CloneConfig{})
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				if err := clone.Build(); err != nil || counter(t, clone) != value {
					t.Errorf("built: %v", err)
				}
				if err := clone.Close(); err != nil {
					t.Error(err)
				}
				made.Add(1)
			}
		}()
	}
	eventually(t, "clones are made", func() bool { return made.Load() >= 20 || t.Failed() })
	must(t, template.Close())
	all.Wait()
}

// A disk's copy: where blocks cannot be shared, which depends on the file system, it is made when that is asked for.
func TestReflink(t *testing.T) {
	open := func(name, content string) *os.File {
		file, err := os.OpenFile(filepath.Join(t.TempDir(), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		must(t, err)
		t.Cleanup(func() { file.Close() })
		_, err = file.WriteString(content)
		must(t, err)
		return file
	}
	from, to := open("from", "the disk"), open("to", "")
	if shared, err := Reflink(from, to, 0); err != nil {
		wantErrno(t, err, syscall.EOPNOTSUPP)
		shared, err = Reflink(from, to, ReflinkOrCopy)
		if shared || err != nil {
			t.Fatal(shared, err)
		}
	} else if !shared {
		t.Fatal("neither shared nor an error")
	}
	if got, err := os.ReadFile(to.Name()); err != nil || string(got) != "the disk" {
		t.Fatalf("%q, %v", got, err)
	}
	wantErrno(t, second(Reflink(from, to, ReflinkOrCopy)), syscall.EINVAL) // it is not empty any more
	wantErrno(t, second(Reflink(from, open("other", ""), 1<<7)), syscall.EINVAL)
	if err := second(Reflink(from, nil, 0)); err == nil || !strings.Contains(err.Error(), "to") {
		t.Fatal(err)
	}
}
