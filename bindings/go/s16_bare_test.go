// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Handlers of ports and MMIO get what the guest writes, and give what it reads.
func TestS16PortHandler(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestPorts)
	var written []uint64
	_, err := vm.HandlePort(0x6f0, 0x20, func(access *Access) Action {
		if access.Space != SpacePort || access.Address != 0x700 || access.Offset != 0x10 || access.VCPU != 0 {
			t.Errorf("access %+v", access)
		}
		if access.IsWrite {
			written = append(written, access.Value())
		} else {
			access.SetValue(0x44332211)
		}
		return ActionResume
	})
	must(t, err)
	runTestVM(t, vm)
	if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != 9 {
		t.Errorf("ended by %v", result)
	}
	want := []uint64{0xa1, 0xa2a3, 0xa4a5a6a7, 'a', 'b', 'c', 'd'}
	if len(written) != len(want) {
		t.Fatalf("written %#x", written)
	}
	for i := range want {
		if written[i] != want[i] {
			t.Errorf("written %#x, not %#x", written, want)
		}
	}
	seen := make([]byte, 20)
	_, err = vm.Memory().ReadAt(seen, 0x3000)
	must(t, err)
	if !bytes.Equal(seen[:8], []byte("\x11\x00\x11\x22\x11\x22\x33\x44")) || string(seen[16:]) != "\x11\x11\x11\x11" {
		t.Errorf("the guest read % x", seen)
	}
}

func TestS16MMIOHandler(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestMMIO)
	var seen []Access
	handler, err := vm.HandleMMIO(0xd0000000, 0x1000, func(*Access) Action { return ActionStop })
	must(t, err)
	must(t, handler.Remove())
	wantErrno(t, handler.Remove(), syscall.ENOENT)
	_, err = vm.HandleMMIO(0xd0000000, 0x1000, func(access *Access) Action {
		seen = append(seen, *access)
		if !access.IsWrite {
			access.SetValue(0x07654321)
		}
		return ActionResume
	})
	must(t, err)
	runTestVM(t, vm)
	if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != 0x21 {
		t.Errorf("ended by %v", result)
	}
	if len(seen) != 3 || seen[0].Value() != 0x11223344 || !seen[0].IsWrite || seen[1].Offset != 4 || seen[1].IsWrite ||
		seen[2].Offset != 9 || seen[2].Length != 1 || seen[2].Value() != 0x55 {
		t.Errorf("accesses %+v", seen)
	}
}

// A handler stops the VM, or leaves the access to whoever has unclaimed ones.
func TestS16Actions(t *testing.T) {
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{}, guestUnclaimed)
	_, err := vm.HandlePort(0x999, 1, func(*Access) Action { return ActionStop })
	must(t, err)
	runTestVM(t, vm)
	wantResult(t, vm, ResultStopped)

	vm = newTestVM(t, host, VMConfig{}, guestUnclaimed)
	_, err = vm.HandlePort(0x999, 1, func(*Access) Action { return ActionDefault })
	must(t, err)
	must(t, vm.SetExitHandler(func(vcpu *VCPU, exit *Exit) Action {
		regs, err := vcpu.Regs()
		if err != nil || exit.Reason != ExitPort || exit.Address != 0x999 || exit.IsWrite || regs.RDX&0xffff != 0x999 {
			t.Errorf("exit %v, DX %#x, %v", exit, regs.RDX, err)
		}
		exit.SetValue(42)
		return ActionResume
	}))
	runTestVM(t, vm)
	if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != 42 {
		t.Errorf("ended by %v", result)
	}
}

// Eventfd makes an eventfd as a file.
func eventfd(t *testing.T) *os.File {
	t.Helper()
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	file := os.NewFile(fd, "eventfd")
	t.Cleanup(func() { file.Close() })
	return file
}

func TestS16Ioeventfd(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestNotify)
	all, ones, twos := eventfd(t), eventfd(t), eventfd(t)
	must(t, vm.AddIoeventfd(Ioeventfd{Space: SpacePort, Address: 0x720, Length: 1, Match: U64(1), File: ones}))
	must(t, vm.AddIoeventfd(Ioeventfd{Space: SpacePort, Address: 0x720, Length: 1, Match: U64(2), File: twos}))
	must(t, vm.AddIoeventfd(Ioeventfd{Space: SpacePort, Address: 0x721, Length: 1, File: all}))
	wantErrno(t, vm.AddIoeventfd(Ioeventfd{Space: SpacePort, Address: 0x721, Length: 1, File: all}), syscall.EEXIST)
	runTestVM(t, vm)
	wantResult(t, vm, ResultGuestExit)
	var data [8]byte
	must(t, ones.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := ones.Read(data[:])
	must(t, err)
	if count := binary.LittleEndian.Uint64(data[:]); count != 3 {
		t.Errorf("%d notifications", count)
	}
	for _, file := range []*os.File{all, twos} {
		must(t, file.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		if n, err := file.Read(data[:]); err == nil {
			t.Errorf("%d bytes of another value or port", n)
		}
	}
}

// Interrupts by a call (edge and level), by an eventfd, and by message.
func TestS16Interrupts(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestInterrupts)
	edge, err := vm.AddIRQ(10, 0)
	must(t, err)
	level, err := vm.AddIRQ(11, IRQLevel)
	must(t, err)
	_, err = vm.AddIRQ(11, IRQLevel)
	wantErrno(t, err, syscall.EEXIST)
	if any, err := vm.AddIRQ(IRQAny, 0); err != nil || any.Pin() < 0 || any.Pin() > 23 {
		t.Errorf("%v, %v", any, err)
	}
	trigger := eventfd(t)
	must(t, edge.SetEventfd(trigger))
	wantErrno(t, level.SetEventfd(trigger), syscall.EINVAL)
	var edges, levels, ready atomic.Int32
	_, err = vm.HandlePort(0x700, 2, func(access *Access) Action {
		switch {
		case access.Offset == 1:
			ready.Add(1)
		case access.Value() == 0x40:
			edges.Add(1)
		case access.Value() == 0x41 && levels.Add(1) == 3:
			if err := level.Set(false); err != nil {
				t.Error(err)
			}
		}
		return ActionResume
	})
	must(t, err)
	runTestVM(t, vm)
	eventually(t, "the guest is ready", func() bool { return ready.Load() == 1 })
	must(t, edge.Set(true))
	must(t, edge.Set(false))
	eventually(t, "an edge", func() bool { return edges.Load() == 1 })
	_, err = trigger.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	must(t, err)
	eventually(t, "an edge by the eventfd", func() bool { return edges.Load() == 2 })
	taken, err := vm.SendMSI(0xfee00000, 0x40)
	must(t, err)
	if !taken {
		t.Error("no vCPU took the message")
	}
	eventually(t, "a message", func() bool { return edges.Load() == 3 })
	must(t, level.Set(true))
	eventually(t, "a level that fires until it falls", func() bool { return levels.Load() == 3 })
	time.Sleep(20 * time.Millisecond)
	if edges.Load() != 3 || levels.Load() != 3 {
		t.Errorf("%d edges, %d levels", edges.Load(), levels.Load())
	}
}

// A vCPU driven by hand: ports in and out, and the end of its VM.
func TestS16ByHand(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Flags: VMManualVCPUs}, guestPorts)
	runTestVM(t, vm)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var exit Exit
	var written []byte
	for accesses := 0; ; accesses++ {
		must(t, vcpu.Run(&exit))
		if exit.Reason == ExitStopped {
			break
		}
		if exit.Reason != ExitPort || exit.Address != 0x700 || accesses > 14 {
			t.Fatalf("exit %d: %v", accesses, &exit)
		}
		if exit.IsWrite {
			written = append(written, exit.Data[:exit.Length]...)
		} else {
			copy(exit.Data[:], "wxyz")
		}
	}
	if !bytes.Equal(written, []byte("\xa1\xa3\xa2\xa7\xa6\xa5\xa4abcd")) {
		t.Errorf("written % x", written)
	}
	if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != 9 {
		t.Errorf("ended by %v", result)
	}
	var seen [8]byte
	_, err = vm.Memory().ReadAt(seen[:], 0x3000)
	must(t, err)
	if string(seen[:]) != "w\x00wxwxyz" {
		t.Errorf("the guest read %q", seen)
	}
}

// Canceled means canceled: the signals that Go sends its own threads are not taken for it.
func TestS16Cancel(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{Flags: VMManualVCPUs}, guestSpin)
	runTestVM(t, vm)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	exits := make(chan ExitReason)
	go func() {
		for {
			var exit Exit
			if err := vcpu.Run(&exit); err != nil {
				close(exits)
				return
			}
			exits <- exit.Reason
		}
	}()
	for i := 0; i < 3; i++ {
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			runtime.GC() // which interrupts threads that run
			interruptThreads(t)
		}
		select {
		case reason := <-exits:
			t.Fatalf("exit %v", reason)
		default:
		}
		must(t, vcpu.Cancel())
		if reason := <-exits; reason != ExitCanceled {
			t.Fatalf("exit %v", reason)
		}
	}
	must(t, vm.Stop(seconds(t, 10)))
	if reason, ok := <-exits; ok && reason != ExitStopped {
		t.Fatalf("exit %v", reason)
	}
	for range exits {
	}
}

// InterruptThreads sends each thread the signal by which Go interrupts those that run.
func interruptThreads(t *testing.T) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		must(t, err)
		syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(thread), uintptr(syscall.SIGURG))
	}
}

// Registers are read and written between runs, and refused while the vCPU runs.
func TestS16Registers(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	_, err = vcpu.Regs()
	wantErrno(t, err, syscall.EBUSY)
	must(t, vm.Build())
	regs, err := vcpu.Regs()
	must(t, err)
	if regs.RIP != 0x1000 {
		t.Errorf("RIP %#x", regs.RIP)
	}
	regs.RAX, regs.RBX, regs.RCX, regs.RDX, regs.RSI, regs.RDI, regs.RSP, regs.RBP = 1, 2, 3, 4, 5, 6, 0x700, 8
	regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15 = 9, 10, 11, 12, 13, 14, 15, 16
	must(t, vcpu.SetRegs(regs))
	if again, err := vcpu.Regs(); err != nil || again != regs {
		t.Errorf("%+v, not %+v; %v", again, regs, err)
	}
	sregs, err := vcpu.Sregs()
	must(t, err)
	sregs.DS = Segment{Base: 0x20, Limit: 0xffff, Selector: 2, Type: 3, Present: 1, S: 1}
	sregs.GDTBase, sregs.GDTLimit, sregs.CR2 = 0x500, 0x27, 0x1234
	must(t, vcpu.SetSregs(sregs))
	if again, err := vcpu.Sregs(); err != nil || again != sregs {
		t.Errorf("%+v, not %+v; %v", again, sregs, err)
	}
	const sysenterEIP = 0x176
	must(t, vcpu.SetMSR(sysenterEIP, 0x123456))
	if value, err := vcpu.MSR(sysenterEIP); err != nil || value != 0x123456 {
		t.Errorf("MSR %#x, %v", value, err)
	}
	_, err = vcpu.MSR(0xdead0000)
	wantErrno(t, err, syscall.ENOENT)
	must(t, vm.Start())
	_, err = vcpu.Regs()
	wantErrno(t, err, syscall.EBUSY)
	must(t, vm.Stop(seconds(t, 10)))
}
