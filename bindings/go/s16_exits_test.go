// SPDX-License-Identifier: Apache-2.0

package nestvirt

import "testing"

// What KVM cannot go on with is resolved by an exit handler: skipped, or turned into an exception.
func TestS16ResolveInternalError(t *testing.T) {
	host := openTestHost(t)
	info, err := host.Info()
	must(t, err)
	if info.Features&HostInterpreted == 0 {
		t.Skip("SKIP: this host's KVM refuses no instruction")
	}
	// fwait; mov $0x501,%dx; mov $6,%al; out %al,%dx; hlt
	image := guest{"\x9b\x66\xba\x01\x05\xb0\x06\xee\xf4", 0x10000, ModeLong}
	for _, one := range []struct {
		name    string
		resolve func(vcpu *VCPU) error
		want    ResultReason
	}{
		{"skip", func(vcpu *VCPU) error { return vcpu.Skip(1) }, ResultGuestExit},
		{"inject", func(vcpu *VCPU) error { return vcpu.InjectException(6) }, ResultTripleFault}, // no table for it
		{"inject code", func(vcpu *VCPU) error { return vcpu.InjectExceptionCode(13, 0) }, ResultTripleFault},
	} {
		t.Run(one.name, func(t *testing.T) {
			vm := newTestVM(t, host, VMConfig{}, image)
			must(t, vm.SetExitHandler(func(vcpu *VCPU, exit *Exit) Action {
				if exit.Reason != ExitInternalError || exit.RIP != 0x10000 || len(exit.Instruction) == 0 ||
					exit.Instruction[0] != 0x9b || vcpu.Index() != 0 {
					t.Errorf("exit %v", exit)
				}
				if err := one.resolve(vcpu); err != nil {
					t.Error(err)
				}
				return ActionResume
			}))
			runTestVM(t, vm)
			wantResult(t, vm, one.want)
		})
	}
}

// The host tells what KVM offers, and a mask takes something of it from the guest.
func TestS16CPUID(t *testing.T) {
	host := openTestHost(t)
	info, err := host.Info()
	must(t, err)
	if info.APIVersion != 12 || info.MaxVCPUs < 1 || info.MaxMemorySlots < 1 || info.VCPUMmapSize < 4096 {
		t.Errorf("host %+v", info)
	}
	entries, err := host.CPUID()
	must(t, err)
	var features uint32
	for _, entry := range entries {
		if entry.Leaf == 1 {
			features = entry.EDX
		}
	}
	if features&1 == 0 { // a floating-point unit
		t.Fatalf("leaf 1 of %d has EDX %#x", len(entries), features)
	}
	// mov $1,%eax; cpuid; mov %dl,%al; and $1,%al; mov $0x501,%dx; out %al,%dx; hlt
	image := guest{"\x66\xb8\x01\x00\x00\x00\x0f\xa2\x88\xd0\x24\x01\xba\x01\x05\xee\xf4", 0x1000, ModeReal}
	for clear, want := range []int{1, 0} {
		vm := newTestVM(t, host, VMConfig{}, image)
		if clear == 1 {
			must(t, vm.AddCPUIDMask(1, 0, 3, 1, 0))
		}
		runTestVM(t, vm)
		if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != want {
			t.Errorf("bit 0 is %d, not %d", result.ExitCode, want)
		}
	}
}
