// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The report on this host: every item has its texts, groups follow each other, names find the same items.
func TestS20Report(t *testing.T) {
	report, err := NewReport(ReportConfig{})
	must(t, err)
	items, err := report.Items()
	must(t, err)
	if len(items) < 40 {
		t.Fatalf("only %d items", len(items))
	}
	seen := map[ReportGroup]bool{}
	for i, item := range items {
		if item.Name == "" || item.Title == "" || item.Answer.Word() != item.Answer.String() ||
			item.Group.Word() != item.Group.String() {
			t.Fatalf("item %d: %+v", i, item)
		}
		for _, text := range []string{item.Title, item.Value, item.Reason, item.Source, item.Remedy} {
			if text == item.Name {
				t.Fatalf("item %d: %+v", i, item)
			}
		}
		if i > 0 && item.Group != items[i-1].Group && seen[item.Group] {
			t.Fatalf("item %d: group %v begins again", i, item.Group)
		}
		seen[item.Group] = true
		found, err := report.Item(item.Name)
		must(t, err)
		if found != item {
			t.Fatalf("%+v by name is %+v", item, found)
		}
	}
	if len(seen) != 8 {
		t.Fatalf("groups %v", seen)
	}
	device, err := report.Item("device.kvm")
	must(t, err)
	if device.Answer != AnswerYes {
		t.Fatalf("%+v, but this test runs", device)
	}
	if word := Answer(9).Word(); word != "unknown" {
		t.Fatalf("answer 9 is %q", word)
	}
	wantErrno(t, second(report.Item("nested.nothing")), syscall.ENOENT)
	wantParameter(t, second(report.Item("")), syscall.EINVAL, "name")
	must(t, report.Close())
	must(t, report.Close())
	wantErrno(t, second(report.Items()), syscall.EBADF)
	wantErrno(t, second(report.Plan(PlanConfig{MemorySize: 1 << 20})), syscall.EBADF)
}

// Of another machine, of which nothing is known, nothing is made up; and a device is not for another machine.
func TestS20OtherRoot(t *testing.T) {
	report, err := NewReport(ReportConfig{Root: t.TempDir()})
	must(t, err)
	defer report.Close()
	kvm, err := report.Item("nested.vmx")
	must(t, err)
	if kvm.Answer != AnswerUnknown || kvm.Reason == "" {
		t.Fatalf("%+v of an empty folder", kvm)
	}
	wantErrno(t, second(NewReport(ReportConfig{Root: filepath.Join(t.TempDir(), "none")})), syscall.ENOENT)
	wantErrno(t, second(NewReport(ReportConfig{Root: t.TempDir(), Device: "/dev/kvm"})), syscall.EINVAL)
	wantParameter(t, second(NewReport(ReportConfig{Root: "a\x00b"})), syscall.EINVAL, "ReportConfig.Root")
}

// A plan of one small VM fits; one of more memory than any machine has does not.
func TestS20Plan(t *testing.T) {
	report, err := NewReport(ReportConfig{})
	must(t, err)
	defer report.Close()
	small, err := report.Plan(PlanConfig{MemorySize: 16 << 20, VMs: 1, Devices: 2})
	must(t, err)
	if small.Idle != AnswerYes || small.Touched != AnswerYes || small.IdleVMs < small.TouchedVMs || small.Threads == 0 {
		t.Fatalf("one VM of 16 MiB: %+v", small)
	}
	idle, err := report.Plan(PlanConfig{MemorySize: 1 << 40, VMs: 2})
	must(t, err)
	if idle.Idle != AnswerYes || idle.Touched != AnswerNo || idle.TouchedMemory <= idle.IdleMemory {
		t.Fatalf("two VMs of 1 TiB that use little of it: %+v", idle)
	}
	large, err := report.Plan(PlanConfig{MemorySize: 16 << 40, VMs: 100, VCPUs: 2, Files: -1})
	must(t, err)
	if large.Touched != AnswerNo || large.TouchedLimit == "" || large.TouchedMemory < 1600<<40 {
		t.Fatalf("100 VMs of 16 TiB: %+v", large)
	}
	if _, err := report.Item(large.TouchedLimit); err != nil {
		t.Fatalf("the limit %q is no item: %v", large.TouchedLimit, err)
	}
	wantErrno(t, second(report.Plan(PlanConfig{})), syscall.EINVAL)
	for parameter, config := range map[string]PlanConfig{"PlanConfig.VMs": {VMs: -1}, "PlanConfig.VCPUs": {VCPUs: -1},
		"PlanConfig.Devices": {Devices: -1}, "PlanConfig.Files": {Files: -2}} {
		wantParameter(t, second(report.Plan(config)), syscall.EINVAL, parameter)
	}
}

// What the host can do, and the processor's leaves.
func TestS20Capabilities(t *testing.T) {
	host := openTestHost(t)
	info, err := host.Info()
	must(t, err)
	if info.APIVersion != 12 || info.MaxVCPUs < 1 || info.Features&HostSplitIrqchip == 0 {
		t.Fatalf("%+v", info)
	}
	leaves, err := host.CPUID()
	must(t, err)
	if len(leaves) == 0 || leaves[0].Leaf != 0 {
		t.Fatalf("%d leaves", len(leaves))
	}
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	again, err := OpenHostFD(file)
	must(t, err)
	defer again.Close()
	if second, err := again.Info(); err != nil || second != info {
		t.Fatalf("%+v by descriptor: %v", second, err)
	}
}
