// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// InterpretedWords are for hosts whose KVM interprets ring 0 (tests/boot/README.md); harmless elsewhere.
const interpretedWords = "nokaslr mitigations=off noxsave " +
	"clearcpuid=308,295,514,151,141,288,158,306,298,145,534 no_timer_check lpj=1000000 rodata=off " +
	"rcupdate.rcu_cpu_stall_suppress=1"

// TestFile is a file that tests/run has made, or the test skips.
func testFile(t *testing.T, variable, name string) string {
	t.Helper()
	folder := os.Getenv(variable)
	if folder == "" {
		t.Skipf("SKIP: %s is not set; use tests/run bindings", variable)
	}
	return folder + name
}

// A linux is a VM that boots the test kernel, with its console.
type linux struct {
	t       *testing.T
	vm      *VM
	console *Stream
	text    string
	mark    int // what was expected last ends here
}

// NewLinux makes a VM with the fast kernel and the test's init, which does the steps (tests/boot/README.md).
func newLinux(t *testing.T, host *Host, words, steps string) *linux {
	t.Helper()
	kernel := testFile(t, "NESTVIRT_TEST_KERNEL_FAST", "/vmlinux")
	initrd := testFile(t, "NESTVIRT_TEST_INITRD", "")
	info, err := host.Info()
	must(t, err)
	config := VMConfig{Name: "linux", MemorySize: 128 << 20}
	if info.Features&HostInterpreted != 0 {
		config.Flags |= VMFixups
	}
	vm, err := host.NewVM(config)
	must(t, err)
	t.Cleanup(func() { must(t, vm.Close()) })
	console, err := vm.OpenSerial(Serial{})
	must(t, err)
	t.Cleanup(func() { must(t, console.Close()) })
	_, err = vm.AddReset(Reset{})
	must(t, err)
	must(t, vm.SetKernel(kernel, KernelAuto))
	must(t, vm.SetInitrd(initrd))
	must(t, vm.SetCmdline(fmt.Sprintf("console=ttyS0 reboot=k panic=-1 %s %s nv.do=%s", interpretedWords, words, steps)))
	return &linux{t: t, vm: vm, console: console}
}

// Expect reads the console until a text comes, behind the last one; gives the rest of its line.
func (l *linux) expect(text string, limit time.Duration) string {
	l.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if at := strings.Index(l.text[l.mark:], text); at >= 0 {
			rest := l.text[l.mark+at+len(text):]
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				l.mark += at + len(text)
				return strings.TrimSpace(rest[:end])
			}
		}
		part := make([]byte, 4096)
		must(l.t, l.console.SetReadDeadline(deadline))
		n, err := l.console.Read(part)
		if os.Getenv("NESTVIRT_TEST_CONSOLE") != "" {
			os.Stderr.Write(part[:n])
		}
		l.text += string(part[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.t.Fatalf("%q did not come in %v; the console:\n%s", text, limit, l.text)
		}
		must(l.t, err)
	}
}

// Order lets the guest, in its step obey, do a step.
func (l *linux) order(step string) {
	l.t.Helper()
	_, err := l.console.Write([]byte(step + "\n"))
	must(l.t, err)
}

// Answer does so and gives what the step prints with its key.
func (l *linux) answer(step, key string) string {
	l.t.Helper()
	l.order(step)
	found := l.expect("nv: "+key, stepLimit)
	l.expect("nv: done", stepLimit)
	return found
}

const (
	bootLimit = 400 * time.Second
	stepLimit = 180 * time.Second // for what takes few: others use the machine too
)
