// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

const (
	leakRounds = 1000
	leakWarm   = 50 // until Go and the C library have what they keep
	leakKiB    = 24 * 1024
	leakMaps   = 40 // Go's own heap grows by a few
)

// A thousand VMs, made, run and freed, leave nothing.
func TestS01NothingLeaks(t *testing.T) {
	host := openTestHost(t)
	image, err := os.Open(imageFile(t, guestExit.code))
	must(t, err)
	defer image.Close()
	for i := 0; i < leakWarm; i++ {
		makeAndFree(t, host, image)
	}
	before, maps, memory := takeCensus(t), mappings(t), residentKiB(t)
	for i := 0; i < leakRounds; i++ {
		makeAndFree(t, host, image)
	}
	wantCensus(t, before)
	if now := mappings(t); now > maps+leakMaps {
		t.Errorf("%d mappings, %d before", now, maps)
	}
	if now := residentKiB(t); now > memory+leakKiB {
		t.Errorf("%d KiB resident, %d before", now, memory)
	}
}

func makeAndFree(t *testing.T, host *Host, image *os.File) {
	t.Helper()
	vm, err := host.NewVM(VMConfig{MemorySize: 1 << 20})
	must(t, err)
	_, err = vm.AddExit(ExitDevice{})
	must(t, err)
	stream, err := vm.OpenSerial(Serial{})
	must(t, err)
	must(t, vm.SetLog(LogDebug, func(LogLevel, string) {}))
	_, err = vm.HandlePort(0x700, 1, func(*Access) Action { return ActionResume })
	must(t, err)
	must(t, vm.SetFlatFile(image, FlatConfig{Address: 0x1000, Entry: 0x1000}))
	events := vm.Events()
	runTestVM(t, vm)
	if result := wantResult(t, vm, ResultGuestExit); result.ExitCode != 7 {
		t.Fatalf("exit code %d", result.ExitCode)
	}
	must(t, vm.Close())
	must(t, stream.Close())
	for range events {
	}
}

// Mappings counts those of the process.
func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return strings.Count(string(maps), "\n")
}

// ResidentKiB is the memory of the process after a garbage collection.
func residentKiB(t *testing.T) int {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "VmRSS:" {
			found, err := strconv.Atoi(words[1])
			must(t, err)
			return found
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// What the census is for: it sees each kind of thing that was left.
func TestS01CensusCatches(t *testing.T) {
	host := openTestHost(t)
	before := takeCensus(t)
	vm := newTestVM(t, host, VMConfig{}, guestSpin)
	vm.Events()
	must(t, vm.SetExitHandler(ignoreExit))
	runTestVM(t, vm)
	eventually(t, "a thread has its name", func() bool { return takeCensus(t).threads > before.threads })
	now := takeCensus(t)
	if now.goroutines <= before.goroutines || now.files <= before.files ||
		now.callbacks <= before.callbacks {
		t.Fatalf("%+v was not seen behind %+v", now, before)
	}
	must(t, vm.Close())
	wantCensus(t, before)
}
