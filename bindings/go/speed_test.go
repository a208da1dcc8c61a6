// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"math"
	"os"
	"sort"
	"testing"
	"time"

	"nestvirt/internal/beside"
)

const (
	firstExitPort   = 0x700
	firstExitMemory = 128 * mib
	firstExitRounds = 60 // of each; others use the machine too, so there may be several tries
	firstExitTries  = 8
	firstExitFactor = 1.2
)

// From nothing to the guest's first exit, Go takes at most 1.2 of the time that C does.
func TestSpeedOfFirstExit(t *testing.T) {
	host := openTestHost(t)
	// mov $0x700,%dx; out %al,%dx; 1: hlt; jmp 1b
	image, err := os.Open(imageFile(t, "\xba\x00\x07\xee\xf4\xeb\xfd"))
	must(t, err)
	defer image.Close()
	library, err := beside.Open(libraryPath())
	must(t, err)
	other, err := library.OpenHost()
	must(t, err)
	defer library.CloseHost(other)
	var ours, theirs time.Duration
	for try := 0; try < firstExitTries; try++ {
		var goTimes, cTimes []time.Duration
		for i := 0; i < firstExitRounds; i++ {
			goTimes = append(goTimes, firstExit(t, host, image))
			took, err := library.FirstExit(other, int(image.Fd()), firstExitMemory, firstExitPort)
			must(t, err)
			cTimes = append(cTimes, took)
		}
		ours, theirs = median(goTimes), median(cTimes)
		if float64(ours) <= firstExitFactor*float64(theirs) {
			break
		}
	}
	t.Logf("Go %v, C %v: %.2f", ours, theirs, float64(ours)/float64(theirs))
	if float64(ours) > firstExitFactor*float64(theirs) {
		t.Errorf("Go takes %v, C %v", ours, theirs)
	}
}

func median[T time.Duration | float64](values []T) T {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return values[len(values)/2]
}

// FirstExit makes a VM and runs it to its first access to a port.
func firstExit(t *testing.T, host *Host, image *os.File) time.Duration {
	begin := time.Now()
	vm, err := host.NewVM(VMConfig{MemorySize: firstExitMemory})
	must(t, err)
	exited := make(chan time.Duration, 1)
	_, err = vm.HandlePort(firstExitPort, 1, func(*Access) Action {
		exited <- time.Since(begin)
		return ActionResume
	})
	must(t, err)
	must(t, vm.SetFlatFile(image, FlatConfig{Address: 0x1000, Entry: 0x1000}))
	must(t, vm.Build())
	must(t, vm.Start())
	took := <-exited
	must(t, vm.Close())
	return took
}

// Reading 64 MiB of guest memory, in pieces that stay in the cache, takes at most a tenth longer through a slice, and by
// ReadAt, than memcpy takes.
func TestSpeedOfReading(t *testing.T) {
	const size, piece = 64 * mib, 256 * 1024
	vm, err := openTestHost(t).NewVM(VMConfig{MemorySize: size})
	must(t, err)
	defer vm.Close()
	view, err := vm.Memory().Slice(0, size)
	must(t, err)
	for i := 0; i < size; i += 4096 {
		view[i] = byte(i)
	}
	target := make([]byte, piece)
	measure := func(read func(at int)) time.Duration {
		begin := time.Now()
		for at := 0; at < size; at += piece {
			read(at)
		}
		return time.Since(begin)
	}
	slice, readAt := math.Inf(1), math.Inf(1) // of memcpy's time in the same round
	isSlow := func() bool { return slice > 1.1 || readAt > 1.1 }
	for i := 0; i < 5 || (i < 100 && isSlow()); i++ { // others use the machine too
		viewed := measure(func(at int) { copy(target, view[at:]) })
		copied := measure(func(at int) { beside.Copy(target, view[at:at+piece]) })
		read := measure(func(at int) { vm.Memory().ReadAt(target, int64(at)) })
		slice = math.Min(slice, float64(viewed)/float64(copied))
		readAt = math.Min(readAt, float64(read)/float64(copied))
	}
	t.Logf("of memcpy's time a slice takes %.2f, ReadAt %.2f", slice, readAt)
	if isSlow() {
		t.Errorf("64 MiB: of memcpy's time a slice takes %.2f, ReadAt %.2f", slice, readAt)
	}
}
