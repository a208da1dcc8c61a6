// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"math"
	"os"
	"syscall"
	"testing"
)

// What the type system lets through is refused before the call, and the error names the parameter.
func TestS15Values(t *testing.T) {
	host := openTestHost(t)
	vm := newTestVM(t, host, VMConfig{}, guestHalt)
	device, err := vm.AddSerial(Serial{})
	must(t, err)
	vcpu, err := vm.VCPU(0)
	must(t, err)
	var none *os.File
	closed, err := os.Open("/dev/null")
	must(t, err)
	must(t, closed.Close())
	const zero = "a\x00b"
	for _, one := range []struct {
		parameter string
		want      syscall.Errno
		err       error
	}{
		{"path", syscall.EINVAL, second(OpenHost(zero))},
		{"file", syscall.EINVAL, second(OpenHostFD(nil))},
		{"file", syscall.EBADF, second(OpenHostFD(none))},
		{"file", syscall.EBADF, second(OpenHostFD(FD(-1)))},
		{"VMConfig.Name", syscall.EINVAL, second(host.NewVM(VMConfig{Name: zero}))},
		{"VMConfig.VCPUs", syscall.EINVAL, second(host.NewVM(VMConfig{VCPUs: -1}))},
		{"VMConfig.VCPUs", syscall.EINVAL, second(host.NewVM(VMConfig{VCPUs: 1<<32 + 1}))},
		{"ctx", syscall.EINVAL, second(vm.Wait(nil))}, //nolint
		{"ctx", syscall.EINVAL, vm.Stop(nil)},         //nolint
		{"loop", syscall.EINVAL, vm.SetLoop(nil)},
		{"path", syscall.EINVAL, vm.SetKernel("", KernelAuto)},
		{"path", syscall.EINVAL, vm.SetKernel(zero, KernelAuto)},
		{"path", syscall.EINVAL, vm.SetInitrd(zero)},
		{"path", syscall.EINVAL, vm.SetFlat(zero, FlatConfig{})},
		{"words", syscall.EINVAL, vm.SetCmdline(zero)},
		{"file", syscall.EINVAL, vm.SetKernelFile(nil, KernelAuto)},
		{"file", syscall.EBADF, vm.SetInitrdFile(closed)},
		{"file", syscall.EBADF, vm.SetFlatFile(none, FlatConfig{})},
		{"handler", syscall.EINVAL, second(vm.HandlePort(1, 1, nil))},
		{"handler", syscall.EINVAL, second(vm.HandleMMIO(1<<40, 1, nil))},
		{"index", syscall.EINVAL, second(vm.VCPU(-1))},
		{"register", syscall.EINVAL, vm.AddCPUIDMask(1, 0, -1, 1, 0)},
		{"exit", syscall.EINVAL, vcpu.Run(nil)},
		{"vector", syscall.EINVAL, vcpu.InjectException(-3)},
		{"length", syscall.EINVAL, vcpu.Skip(math.MaxInt)},
		{"pin", syscall.EINVAL, second(vm.AddIRQ(-1, 0))},
		{"number", syscall.EINVAL, second(vm.Region(-1))},
		{"MemoryConfig.GuestNode", syscall.EINVAL, second(vm.AddMemory(MemoryConfig{GuestNode: -1}))},
		{"MemoryConfig.NUMANodes", syscall.EINVAL, second(vm.AddMemory(MemoryConfig{NUMANodes: zero}))},
		{"MemoryConfig.File", syscall.EBADF, second(vm.AddMemory(MemoryConfig{File: closed}))},
		{"Ioeventfd.Length", syscall.EINVAL, vm.AddIoeventfd(Ioeventfd{Length: -1})},
		{"Ioeventfd.File", syscall.EINVAL, vm.AddIoeventfd(Ioeventfd{Length: 1})},
		{"kind", syscall.EINVAL, second(vm.AddDevice(zero, nil))},
		{"kind", syscall.EINVAL, second(DeviceProperties(zero))},
		{"blk.path", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"path": 5}))},
		{"blk.path", syscall.EINVAL, second(vm.AddBlk(Blk{Path: zero}))},
		{"blk.queues", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"queues": "two"}))},
		{"blk.queues", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"queues": -2}))},
		{"blk.queues", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"queues": true}))},
		{"blk.queues", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"queues": 1.5}))},
		{"blk.queues", syscall.EINVAL, second(vm.AddDevice("blk", Properties{"queues": nil}))},
		{"blk.reads", syscall.EPERM, second(vm.AddDevice("blk", Properties{"reads": 1}))},
		{"serial.output", syscall.EINVAL, second(vm.AddDevice("serial", Properties{"output": 1}))},
		{"serial.output", syscall.EBADF, second(vm.AddSerial(Serial{Output: closed}))},
		{"serial.output", syscall.EBADF, second(vm.AddSerial(Serial{Output: none}))},
		{"serial.output", syscall.EBADF, device.Set("output", FD(-5))},
		{"serial.output", syscall.EINVAL, device.Set("output", struct{}{})},
		{"serial.port", syscall.EINVAL, device.Set("port", -1)},
		{"name", syscall.EINVAL, device.Set(zero, 1)},
		{"name", syscall.EINVAL, second(device.Get(zero))},
		{"Serial.Input", syscall.EINVAL, second(vm.OpenSerial(Serial{Input: os.Stdin}))},
		{"Console.Input", syscall.EINVAL, second(vm.OpenConsole(Console{Output: os.Stdout}))},
	} {
		wantParameter(t, one.err, one.want, one.parameter)
	}
	runTestVM(t, vm) // none of the devices above is there
	must(t, vm.Stop(seconds(t, 10)))
}

// Each value of options that is zero leaves the default, and where zero is something else than the default, the field
// is a pointer.
func TestS15Options(t *testing.T) {
	host := openTestHost(t)
	kinds, err := DeviceKinds()
	must(t, err)
	if len(kinds) != len(options) {
		t.Errorf("kinds %v; run bindings/generate/generate", kinds)
	}
	for _, kind := range kinds {
		list, err := DeviceProperties(kind)
		must(t, err)
		fields := optionFields(options[kind])
		for _, property := range list {
			if property.Flags&PropertyReadOnly != 0 {
				continue
			}
			isPointer, ok := fields[property.Name]
			if !ok {
				t.Errorf("%s.%s is no field", kind, property.Name)
			}
			if property.Type == PropertyU64 || property.Type == PropertyBool {
				wantDefault(t, host, kind, property, isPointer)
			}
			delete(fields, property.Name)
		}
		if len(fields) > 0 {
			t.Errorf("%s has no %v", kind, fields)
		}
	}
}

// WantDefault compares a property's default with its field.
func wantDefault(t *testing.T, host *Host, kind string, property Property, isPointer bool) {
	t.Helper()
	vm, err := host.NewVM(VMConfig{})
	must(t, err)
	defer vm.Close()
	device, err := vm.AddDevice(kind, nil)
	must(t, err)
	value, err := device.Get(property.Name)
	must(t, err)
	isMeant := value != 0 && device.Set(property.Name, 0) == nil
	if isMeant != isPointer {
		t.Errorf("%s.%s: default %d, pointer %v; see POINTERS of bindings/generate/go_devices.py", kind,
			property.Name, value, isPointer)
	}
}
