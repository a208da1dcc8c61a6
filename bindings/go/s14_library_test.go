// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func init() {
	roles["open"] = openRole
	roles["old library"] = oldLibraryRole
	roles["empty library"] = emptyLibraryRole
}

// OpenRole tells in one line why there is no host. The library is looked for once in a process.
func openRole() int {
	_, err := OpenHost("")
	var found *Error
	if !errors.As(err, &found) {
		fmt.Printf("got %v\n", err)
		return 1
	}
	if _, again := NewReport(ReportConfig{}); again == nil || again.Error() != err.Error() {
		fmt.Printf("then got %v\n", again)
		return 1
	}
	fmt.Printf("%v: %s\n", found.Code, found.Message)
	return 0
}

// Without a library, and with one of another major version, the first call says so, and what to install.
func TestS14NoLibrary(t *testing.T) {
	t.Setenv(LibraryVariable, filepath.Join(t.TempDir(), "libnestvirt.so.0"))
	output, status := runRole(t, "open")
	if status != 0 || !strings.HasPrefix(output, "-2: ") || !strings.Contains(output, "install libnestvirt 0.x") ||
		strings.Count(output, "\n") != 1 {
		t.Fatalf("status %d\n%s", status, output)
	}
}

func TestS14OtherMajor(t *testing.T) {
	t.Setenv(LibraryVariable, oldLibrary(t, "--version", "1.2.0"))
	output, status := runRole(t, "open")
	if status != 0 || !strings.HasPrefix(output, "-95: ") || !strings.Contains(output, "is version 1.2") ||
		!strings.Contains(output, "install libnestvirt 0.x") || strings.Count(output, "\n") != 1 {
		t.Fatalf("status %d\n%s", status, output)
	}
}

// OldLibrary makes a library without some symbols, or of another version.
func oldLibrary(t *testing.T, arguments ...string) string {
	t.Helper()
	build := os.Getenv("NESTVIRT_BUILD_ROOT")
	if build == "" {
		build = "../../build"
	}
	if _, err := os.Stat(filepath.Join(build, "lib/libnestvirt.a")); err != nil {
		t.Skipf("SKIP: %v; NESTVIRT_BUILD_ROOT names the folder of a build", err)
	}
	folder := t.TempDir()
	words := []string{build, folder}
	if strings.HasPrefix(arguments[0], "--") {
		words = append(append([]string{}, arguments[:2]...), words...)
		arguments = arguments[2:]
	}
	output, err := exec.Command("../../tests/bindings/old_library", append(words, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("old_library: %v\n%s", err, output)
	}
	return filepath.Join(folder, "libnestvirt.so.0")
}

// A VM runs with an old library; what it lacks is refused by name at the call, and nothing else has happened.
func TestS14OldLibrary(t *testing.T) {
	t.Setenv(LibraryVariable, oldLibrary(t, "nestvirt_vm_pause", "nestvirt_ksm_get_stats", "nestvirt_report_new",
		"nestvirt_thread_get", "nestvirt_thread_config_init", "nestvirt_virtio_set_drop_handler",
		"nestvirt_privilege_get_need", "nestvirt_vm_state_name", "nestvirt_observer_new", "nestvirt_waits_get_limit",
		"nestvirt_template_new", "nestvirt_device_get", "nestvirt_vm_get_generation"))
	if output, status := runRole(t, "old library"); status != 0 || output != "" {
		t.Fatalf("status %d\n%s", status, output)
	}
}

func oldLibraryRole() int {
	host, err := OpenHost("")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer host.Close()
	vm, err := makeSpinning(host, ignoreExit)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer vm.Close()
	other, err := host.NewVM(VMConfig{MemorySize: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer other.Close()
	fn := func(*VirtioDevice, int) {}
	for name, err := range map[string]error{
		"nestvirt_vm_pause":                vm.Pause(),
		"nestvirt_ksm_get_stats":           second(ReadKSMStats()),
		"nestvirt_report_new":              second(NewReport(ReportConfig{})),
		"nestvirt_thread_get":              second(vm.Threads()),
		"nestvirt_virtio_set_drop_handler": second(other.AddVirtio(VirtioConfig{DeviceID: 1, Queues: 1, OnQueue: fn, OnDrop: fn})),
		"nestvirt_privilege_get_need":      second(PrivilegeNeeds()),
		"nestvirt_observer_new":            second(NewObserver(ObserverConfig{})),
		"nestvirt_waits_get_limit":         second(WaitLimit(0)),
		"nestvirt_template_new":            second(vm.NewTemplate(0)),
		"nestvirt_device_get":              second(vm.Device(0)),
		"nestvirt_vm_get_generation":       second(vm.Generation()),
	} {
		if want := name + ": not supported by libnestvirt 0.1.0"; !errors.Is(err, syscall.ENOTSUP) ||
			!strings.HasPrefix(err.Error(), want) {
			fmt.Printf("%s: got %v\n", name, err)
		}
	}
	// An _init function that is missing leaves zeroes and the size, which is what this one would have done.
	if _, err := vm.SetThreads(ThreadVCPU, 0, ThreadConfig{CPUs: "0"}); err != nil {
		fmt.Println(err)
	}
	if state, err := vm.State(); state != StateRunning || err != nil {
		fmt.Println(state, err)
	}
	return 0
}

// Of a library with little more than its version, every way in is an error; none crashes.
func TestS14EmptyLibrary(t *testing.T) {
	text, err := os.ReadFile("../../lib/libnestvirt.map")
	must(t, err)
	var symbols []string
	for _, word := range strings.Fields(string(text)) {
		name := strings.TrimSuffix(word, ";")
		if strings.HasPrefix(name, "nestvirt_") && name != "nestvirt_version" && name != "nestvirt_version_string" {
			symbols = append(symbols, name)
		}
	}
	if len(symbols) < 100 {
		t.Fatalf("only %d symbols in the map", len(symbols))
	}
	t.Setenv(LibraryVariable, oldLibrary(t, symbols...))
	if output, status := runRole(t, "empty library"); status != 0 || output != "" {
		t.Fatalf("status %d\n%s", status, output)
	}
}

func emptyLibraryRole() int {
	for i, err := range []error{
		second(OpenHost("")), second(OpenHostFD(FD(0))), second(NewLoop()), second(NewReport(ReportConfig{})),
		second(NewNUMA("")), second(ReadKSMSettings()), second(ReadKSMStats()),
		second(SetKSMSettings(KSMSettings{Flags: KSMRun}, "")), second(RemoveKSMRecord("")), second(PrivilegeNeeds()),
		RemoveProcessPrivileges(PrivilegeConfig{}), second(DeviceKinds()), second(DeviceProperties("serial")),
		second(NewObserver(ObserverConfig{})), second(WaitLimit(0)),
	} {
		if !errors.Is(err, syscall.ENOTSUP) {
			fmt.Printf("call %d: got %v\n", i, err)
		}
	}
	if word := AnswerYes.Word() + GroupHost.Word(); word != "" && word != "yeshost" {
		fmt.Printf("words %q\n", word)
	}
	return 0
}
