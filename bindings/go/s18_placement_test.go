// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// PlacedVM is a VM with two vCPUs that spin.
func placedVM(t *testing.T) *VM {
	t.Helper()
	return newTestVM(t, openTestHost(t), VMConfig{Name: "placed", VCPUs: 2}, guestSpin)
}

// Threads get CPUs, policy and nice value, and are read back from the kernel.
func TestS18Threads(t *testing.T) {
	vm := placedVM(t)
	if count, err := vm.SetThreads(ThreadVCPU, ThreadEvery, ThreadConfig{CPUs: "0", Nice: 5, Flags: ThreadSetNice,
		Policy: SchedBatch}); err != nil || count != 0 {
		t.Fatalf("in state new: %d threads, %v", count, err)
	}
	if threads, err := vm.Threads(); err != nil || len(threads) != 0 {
		t.Fatalf("in state new: %v, %v", threads, err)
	}
	runTestVM(t, vm)
	threads, err := vm.Threads()
	must(t, err)
	for i, thread := range threads[:2] {
		if thread.Kind != ThreadVCPU || thread.Index != i || thread.Policy != SchedBatch || thread.Nice != 5 ||
			thread.Name == "" {
			t.Fatalf("thread %d: %+v", i, thread)
		}
		cpus, err := vm.ThreadCPUs(ThreadVCPU, i)
		must(t, err)
		status, err := os.ReadFile(filepath.Join("/proc/self/task", itoa(thread.TID), "status"))
		must(t, err)
		if cpus != "0" || !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
			t.Fatalf("thread %d: CPUs %q, but\n%s", i, cpus, status)
		}
	}
	eventually(t, "the first vCPU takes time", func() bool {
		threads, err := vm.Threads()
		must(t, err)
		return threads[0].Flags&ThreadHasTimes != 0 && threads[0].CPUTime > 0
	})
	if count, err := vm.SetThreads(ThreadVCPU, 1, ThreadConfig{Nice: 7, Flags: ThreadSetNice}); err != nil || count != 1 {
		t.Fatalf("while running: %d threads, %v", count, err)
	}
}

func itoa(number int) string { return strconv.Itoa(number) }

// Wrong placements are refused, and change nothing.
func TestS18RefusedThreads(t *testing.T) {
	vm := placedVM(t)
	runTestVM(t, vm)
	before, err := vm.Threads()
	must(t, err)
	wantParameter(t, second(vm.SetThreads(ThreadVCPU, -1, ThreadConfig{})), syscall.EINVAL, "index")
	wantParameter(t, second(vm.SetThreads(ThreadVCPU, 0, ThreadConfig{CPUs: "0\x00"})), syscall.EINVAL, "ThreadConfig.CPUs")
	wantParameter(t, second(vm.SetThreads(ThreadVCPU, 0, ThreadConfig{Nice: 1 << 40})), syscall.EINVAL, "ThreadConfig.Nice")
	wantParameter(t, second(vm.ThreadCPUs(ThreadVCPU, -1)), syscall.EINVAL, "index")
	wantErrno(t, second(vm.SetThreads(ThreadVCPU, 0, ThreadConfig{CPUs: "4000"})), syscall.EINVAL)
	wantErrno(t, second(vm.SetThreads(ThreadVCPU, 0, ThreadConfig{Policy: SchedOther, Priority: 5})), syscall.EINVAL)
	wantErrno(t, second(vm.SetThreads(ThreadVCPU, 9, ThreadConfig{CPUs: "0"})), syscall.ENOENT)
	wantErrno(t, second(vm.ThreadCPUs(ThreadVCPU, 9)), syscall.ENOENT)
	threads, err := vm.Threads()
	must(t, err)
	if threads[0].Nice != before[0].Nice {
		t.Fatalf("a refused call has changed %+v", threads[0])
	}
}

// A control group of version 1 that the test makes: threads move there, figures come back.
func TestS18Cgroup(t *testing.T) {
	folder := filepath.Join(cgroupFolder(t), "nestvirt-go-"+itoa(os.Getpid()))
	must(t, os.Mkdir(folder, 0o755))
	t.Cleanup(func() { must(t, os.Remove(folder)) }) // behind the VM's close: cleanups run backwards
	vm := placedVM(t)
	wantParameter(t, second(vm.SetCgroup("", 0)), syscall.EINVAL, "path")
	wantErrno(t, second(vm.SetCgroup(folder, CgroupNeedMemory)), syscall.ENOTSUP)
	wantErrno(t, second(vm.SetCgroup(filepath.Join(folder, "none"), 0)), syscall.ENOENT)
	wantErrno(t, second(vm.CgroupUsage()), syscall.ENOENT)
	must(t, second(vm.SetCgroup(folder, CgroupVCPU)))
	runTestVM(t, vm)
	if paths, err := vm.Cgroups(); err != nil || len(paths) != 1 || paths[0] != folder {
		t.Fatalf("groups %q: %v", paths, err)
	}
	groups, err := vm.ThreadCgroups(ThreadVCPU, 0)
	must(t, err)
	if !strings.Contains(groups, "/"+filepath.Base(folder)+"\n") {
		t.Fatalf("vCPU 0 is in\n%s", groups)
	}
	eventually(t, "the group's figures count", func() bool {
		usage, err := vm.CgroupUsage()
		must(t, err)
		return usage.Flags&CgroupHasTime != 0 && usage.CPUTime > 0
	})
}

// CgroupFolder is where groups can be made whose figures tell CPU time.
func cgroupFolder(t *testing.T) string {
	t.Helper()
	for _, folder := range []string{"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"} {
		if probe, err := os.MkdirTemp(folder, "nestvirt-probe-"); err == nil {
			must(t, os.Remove(probe))
			return folder
		}
	}
	t.Skip("SKIP: no control groups of version 1 with cpuacct that this user may make groups in")
	return ""
}

// The host's nodes, a choice among them, and nodes for the guest.
func TestS18NUMA(t *testing.T) {
	numa, err := NewNUMA("")
	must(t, err)
	nodes, err := numa.Nodes()
	must(t, err)
	if len(nodes) == 0 || nodes[0].MemoryTotal == 0 || nodes[0].CPUs == 0 || !nodes[0].Allowed {
		t.Fatalf("nodes %+v", nodes)
	}
	first := nodes[0].Node
	cpus, err := numa.CPUs(first)
	must(t, err)
	allowed, err := numa.AllowedCPUs(first)
	must(t, err)
	far, err := numa.Distance(first, first)
	must(t, err)
	pools, err := numa.Pools(first)
	must(t, err)
	if cpus == "" || allowed == "" || far != DistanceLocal || len(pools) != nodes[0].Pools {
		t.Fatalf("CPUs %q, allowed %q, distance %d, pools %v", cpus, allowed, far, pools)
	}
	if _, err := numa.Place(NUMANeed{Memory: 1 << 20, VCPUs: 1}); err != nil {
		t.Fatal(err)
	}
	wantErrno(t, second(numa.Place(NUMANeed{Memory: 1 << 60})), syscall.ENOSPC)
	wantParameter(t, second(numa.Place(NUMANeed{VCPUs: -1})), syscall.EINVAL, "NUMANeed.VCPUs")
	wantParameter(t, second(numa.CPUs(-1)), syscall.EINVAL, "node")
	wantErrno(t, second(numa.Distance(first, 4000)), syscall.ENOENT)
	must(t, numa.Close())
	wantErrno(t, second(numa.Nodes()), syscall.EBADF)

	vm := placedVM(t)
	for want := 0; want < 2; want++ {
		if node, err := vm.AddGuestNode(itoa(want)); err != nil || node != want {
			t.Fatalf("guest node %d: %v", node, err)
		}
	}
	must(t, vm.SetGuestDistance(0, 1, 30))
	wantErrno(t, second(vm.AddGuestNode("7")), syscall.EINVAL)
	wantErrno(t, vm.SetGuestDistance(0, 5, 30), syscall.ENOENT)
	wantParameter(t, vm.SetGuestDistance(0, 1, -1), syscall.EINVAL, "distance")
}

// KSM's settings of the host are changed for as long as the token is open, and then as before.
func TestS18KSM(t *testing.T) {
	before, err := ReadKSMSettings()
	if errors.Is(err, syscall.ENOTSUP) {
		t.Skip("SKIP: this kernel has no KSM")
	}
	must(t, err)
	stats, err := ReadKSMStats()
	must(t, err)
	if before.Flags&KSMRun == 0 || stats.Flags&KSMHasPagesShared == 0 {
		t.Fatalf("settings %+v, figures %+v", before, stats)
	}
	wantParameter(t, second(SetKSMSettings(KSMSettings{}, "")), syscall.EINVAL, "KSMSettings.Flags")
	if os.Getuid() != 0 {
		t.Skip("SKIP: only root may change KSM's settings")
	}
	record := filepath.Join(t.TempDir(), "record")
	token, err := SetKSMSettings(KSMSettings{Flags: KSMSleepMs, SleepMs: before.SleepMs + 7}, record)
	must(t, err)
	defer token.Close()
	now, err := ReadKSMSettings()
	must(t, err)
	if now.SleepMs != before.SleepMs+7 {
		t.Fatalf("sleeps %d ms, not %d", now.SleepMs, before.SleepMs+7)
	}
	wantErrno(t, second(SetKSMSettings(KSMSettings{Flags: KSMSleepMs, SleepMs: 1}, record)), syscall.EBUSY)
	wantErrno(t, second(RemoveKSMRecord(record)), syscall.EBUSY)
	must(t, token.Close())
	must(t, token.Close())
	if now, err = ReadKSMSettings(); err != nil || now != before {
		t.Fatalf("%+v afterwards, not %+v: %v", now, before, err)
	}
	if isDone, err := RemoveKSMRecord(record); err != nil || isDone {
		t.Fatalf("without a record: %v, %v", isDone, err)
	}
}
