// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RoleVariable makes a test program do one of the roles instead of tests: some need a process of their own.
const roleVariable = "NESTVIRT_TEST_ROLE"

// Roles give the status of the process.
var roles = map[string]func() int{}

// MakeSpinning starts a VM that accesses a port of nobody until it is stopped, without a test around it.
func makeSpinning(host *Host, handler func(*VCPU, *Exit) Action) (*VM, error) {
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20})
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "nestvirt")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "guest")
	if err := os.WriteFile(path, []byte(guestStorm.code), 0o600); err != nil {
		return nil, err
	}
	if err := vm.SetFlat(path, FlatConfig{Address: 0x1000, Entry: 0x1000}); err != nil {
		return nil, err
	}
	if err := vm.SetExitHandler(handler); err != nil {
		return nil, err
	}
	if err := vm.Build(); err != nil {
		return nil, err
	}
	return vm, vm.Start()
}

func ignoreExit(*VCPU, *Exit) Action { return ActionDefault }

// RunRole runs this test program in a role; its output and status.
func runRole(t *testing.T, role string) (string, int) {
	t.Helper()
	command := exec.CommandContext(seconds(t, 60), os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+role)
	output, err := command.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(output), command.ProcessState.ExitCode()
}
