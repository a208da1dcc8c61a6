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
				if exit.Reason == ExitShutdown {
					return ActionDefault // the triple fault
				}
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
	var signature uint32
	for _, entry := range entries {
		if entry.Leaf == kvmLeaf {
			signature = entry.EBX
		}
	}
	if signature&0xff != 'K' {
		t.Fatalf("the leaf of KVM, of %d, has EBX %#x", len(entries), signature)
	}
	// mov $0x40000000,%eax; cpuid; mov %bl,%al; mov $0x501,%dx; out %al,%dx; hlt
	image := guest{"\x66\xb8\x00\x00\x00\x40\x0f\xa2\x88\xd8\xba\x01\x05\xee\xf4", 0x1000, ModeReal}
	for clear, want := range []int{'K', 'K' &^ 3} {
		vm := newTestVM(t, host, VMConfig{}, image)
		if clear == 1 {
			must(t, vm.AddCPUIDMask(kvmLeaf, 0, 1, 3, 0))
		}
		runTestVM(t, vm)
		if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != want {
			t.Errorf("EBX begins with %#x, not %#x", result.ExitCode, want)
		}
	}
}

const kvmLeaf = 0x40000000 // "KVMKVMKVM" in EBX, ECX and EDX
