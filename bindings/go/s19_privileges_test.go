// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() {
	roles["vm privileges"] = vmPrivilegesRole
	roles["process privileges"] = processPrivilegesRole
	roles["capabilities only"] = capabilitiesOnlyRole
}

const nobody = 65534

// AsRoot runs a role, or skips the test where the user is not root.
func asRoot(t *testing.T, role string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: only root has privileges to give up")
	}
	if output, status := runRole(t, role); status != 0 || output != "" {
		t.Fatalf("status %d\n%s", status, output)
	}
}

// The threads of a VM give up their capabilities; the program keeps its own.
func TestS19VM(t *testing.T) { asRoot(t, "vm privileges") }

// The whole process becomes another user, and its VM, built before, runs.
func TestS19Process(t *testing.T) { asRoot(t, "process privileges") }

// Without another user a Go program's other threads keep theirs, which is told.
func TestS19CapabilitiesOnly(t *testing.T) { asRoot(t, "capabilities only") }

// BuildOne makes a VM that runs until it is stopped.
func buildOne() (*Host, *VM, error) {
	host, err := OpenHost("")
	if err != nil {
		return nil, nil, err
	}
	vm, err := makeBuilt(host)
	return host, vm, err
}

func makeBuilt(host *Host) (*VM, error) {
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20})
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "nestvirt")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.WriteString(guestSpin.code); err != nil {
		return nil, err
	}
	if err := vm.SetFlatFile(file, FlatConfig{Address: 0x1000, Entry: 0x1000}); err != nil {
		return nil, err
	}
	return vm, vm.Build()
}

func vmPrivilegesRole() int {
	host, vm, err := buildOne()
	if err == nil {
		err = dropVM(vm)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return finish(host, vm)
}

func dropVM(vm *VM) error {
	if err := vm.RemovePrivileges(); err != nil {
		return err
	}
	if err := vm.RemovePrivileges(); !errors.Is(err, syscall.EALREADY) {
		return fmt.Errorf("the second time: %v", err)
	}
	if err := vm.Start(); err != nil {
		return err
	}
	if err := vm.RemovePrivileges(); !errors.Is(err, syscall.EALREADY) {
		return fmt.Errorf("after the start: %v", err)
	}
	threads, err := vm.Threads()
	if err != nil || len(threads) == 0 {
		return fmt.Errorf("threads %v: %w", threads, err)
	}
	for _, thread := range threads {
		if err := wantStatus(thread.TID, "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "NoNewPrivs:\t1\n"); err != nil {
			return err
		}
	}
	return wantStatus(os.Getpid(), "NoNewPrivs:\t0\n")
}

func wantStatus(tid int, lines ...string) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		return err
	}
	for _, line := range lines {
		if !strings.Contains(string(text), line) {
			return fmt.Errorf("thread %d lacks %q:\n%s", tid, line, text)
		}
	}
	return nil
}

func finish(host *Host, vm *VM) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, err := range []error{vm.Stop(ctx), vm.Close(), host.Close()} {
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

func processPrivilegesRole() int {
	host, vm, err := buildOne()
	if err == nil {
		err = RemoveProcessPrivileges(PrivilegeConfig{Flags: PrivilegeUID | PrivilegeGID | PrivilegeGroups, UID: nobody,
			GID: nobody, Groups: []uint32{nobody}})
	}
	if err == nil {
		err = vm.Start()
	}
	if err == nil {
		err = everyThreadIsNobody()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := OpenHost("/proc/1/mem"); !errors.Is(err, syscall.EACCES) {
		fmt.Printf("a file of root: %v\n", err)
	}
	return finish(host, vm)
}

func everyThreadIsNobody() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		var tid int
		fmt.Sscan(task.Name(), &tid)
		if name, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/comm"); strings.HasPrefix(string(name), "kvm-") {
			continue // the kernel's own, for KVM
		}
		if err := wantStatus(tid, "Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n",
			"Groups:\t65534 \n", "CapEff:\t0000000000000000\n"); err != nil {
			return err
		}
	}
	return nil
}

func capabilitiesOnlyRole() int {
	err := RemoveProcessPrivileges(PrivilegeConfig{})
	var found *Error
	if !errors.Is(err, syscall.EPERM) || !errors.As(err, &found) || !strings.Contains(found.Message, "thread") {
		fmt.Printf("got %v\n", err)
		return 1
	}
	return 0
}

// Wrong values are refused before the call, in this process, which keeps what it has.
func TestS19Refused(t *testing.T) {
	wantParameter(t, RemoveProcessPrivileges(PrivilegeConfig{Groups: []uint32{1}}), syscall.EINVAL, "PrivilegeConfig.Groups")
	wantParameter(t, RemoveProcessPrivileges(PrivilegeConfig{Flags: PrivilegeGroups,
		Groups: make([]uint32, PrivilegeGroupsMax+1)}), syscall.EINVAL, "PrivilegeConfig.Groups")
	wantErrno(t, RemoveProcessPrivileges(PrivilegeConfig{Flags: 1 << 20}), syscall.EINVAL)
	wantErrno(t, RemoveProcessPrivileges(PrivilegeConfig{UID: 5}), syscall.EINVAL)
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestSpin)
	wantErrno(t, vm.RemovePrivileges(), syscall.EBUSY)
}

// The list of needs has each role and kind, and what KVM needs.
func TestS19Needs(t *testing.T) {
	needs, err := PrivilegeNeeds()
	must(t, err)
	roles, kinds, hasRun := map[Role]bool{}, map[NeedKind]bool{}, false
	for _, need := range needs {
		if need.Name == "" || need.Why == "" {
			t.Fatalf("%+v", need)
		}
		roles[need.Role], kinds[need.Kind] = true, true
		hasRun = hasRun || need.Role == RoleVCPU && need.Kind == NeedIoctl && need.Name == "KVM_RUN"
	}
	if len(roles) != 4 || len(kinds) != 3 || !hasRun {
		t.Fatalf("roles %v, kinds %v, KVM_RUN %v", roles, kinds, hasRun)
	}
}
