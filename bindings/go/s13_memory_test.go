// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
)

const mib = 1 << 20

// Memory is read and written within its bounds, and nothing is touched beyond them.
func TestS13Bounds(t *testing.T) {
	host := openTestHost(t)
	vm, err := host.NewVM(VMConfig{MemorySize: mib})
	must(t, err)
	defer vm.Close()
	memory := vm.Memory()
	calls := []func([]byte, int64) (int, error){memory.WriteAt, memory.ReadAt}
	for _, one := range []struct {
		address int64
		length  int
		isIn    bool
	}{
		{0, 1, true}, {0, mib, true}, {mib - 1, 1, true}, {100, 0, true},
		{mib, 1, false}, {mib - 1, 2, false}, {0, mib + 1, false}, {math.MaxInt64, 1, false}, {math.MaxInt64, mib, false},
	} {
		for i, call := range calls {
			n, err := call(make([]byte, one.length), one.address)
			isRight := n == one.length && err == nil
			if !one.isIn {
				isRight = n == 0 && errors.Is(err, syscall.EFAULT)
			}
			if !isRight {
				t.Errorf("call %d of %d bytes at %#x: %d, %v", i, one.length, one.address, n, err)
			}
		}
	}
	for _, call := range calls {
		_, err = call(make([]byte, 1), -1)
		wantParameter(t, err, syscall.EINVAL, "address")
		_, err = call(make([]byte, 1), math.MinInt64)
		wantParameter(t, err, syscall.EINVAL, "address")
	}
	must(t, vm.Close())
	for _, call := range calls {
		_, err = call(make([]byte, 1), 0)
		wantErrno(t, err, syscall.EBADF)
	}
	_, err = memory.Slice(0, 1)
	wantErrno(t, err, syscall.EBADF)
}

// What goes in comes out, by copies, by a section reader and by slices.
func TestS13Contents(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{MemorySize: 4 * mib}, guestHalt)
	pattern := make([]byte, 3*mib)
	for i := range pattern {
		pattern[i] = byte(i * 7 / 3)
	}
	_, err := vm.Memory().WriteAt(pattern, mib/2)
	must(t, err)
	got, err := io.ReadAll(io.NewSectionReader(vm.Memory(), mib/2, int64(len(pattern))))
	must(t, err)
	view, err := vm.Memory().Slice(mib/2, uint64(len(pattern)))
	must(t, err)
	if !bytes.Equal(got, pattern) || !bytes.Equal(view, pattern) {
		t.Fatal("the bytes are other ones")
	}
	view[5] ^= 0xff
	must(t, vm.Build())
	var one [1]byte
	_, err = vm.Memory().ReadAt(one[:], mib/2+5)
	must(t, err)
	if one[0] != pattern[5]^0xff || cap(view) != len(view) {
		t.Errorf("byte %#x, capacity %d of %d", one[0], cap(view), len(view))
	}
	for _, bad := range [][2]uint64{{4 * mib, 1}, {4*mib - 1, 2}, {0, math.MaxInt64}, {math.MaxUint64, 1}} {
		_, err := vm.Memory().Slice(bad[0], bad[1])
		wantErrno(t, err, syscall.EFAULT)
	}
	_, err = vm.Memory().Slice(0, math.MaxUint64)
	wantParameter(t, err, syscall.EINVAL, "length")
}

// Regions by hand: their configuration, a file of the program's, and removal.
func TestS13Regions(t *testing.T) {
	host := openTestHost(t)
	vm, err := host.NewVM(VMConfig{})
	must(t, err)
	defer vm.Close()
	file, err := os.CreateTemp(t.TempDir(), "memory")
	must(t, err)
	defer file.Close()
	_, err = file.WriteAt(bytes.Repeat([]byte("nestvirt"), mib/8), 0)
	must(t, err)
	low, err := vm.AddMemory(MemoryConfig{Length: mib, Flags: MemoryNoDump})
	must(t, err)
	private, err := vm.AddMemory(MemoryConfig{Address: mib, Length: mib / 2, Backing: BackingFile, File: file,
		Offset: mib / 2})
	must(t, err)
	config, err := private.Config()
	must(t, err)
	want := MemoryConfig{Address: mib, Length: mib / 2, Backing: BackingFile, Offset: mib / 2}
	if config != want || private.Number() != low.Number()+1 {
		t.Errorf("region %d: %+v, not %+v", private.Number(), config, want)
	}
	data := make([]byte, 16)
	_, err = vm.Memory().ReadAt(data, mib-8) // of both
	must(t, err)
	if string(data) != "\x00\x00\x00\x00\x00\x00\x00\x00nestvirt" {
		t.Errorf("read %q", data)
	}
	again, err := vm.Region(private.Number())
	must(t, err)
	must(t, again.Remove())
	wantErrno(t, private.Remove(), syscall.ENOENT)
	_, err = vm.Region(private.Number())
	wantErrno(t, err, syscall.ENOENT)
	_, err = vm.Memory().ReadAt(data, mib)
	wantErrno(t, err, syscall.EFAULT)
}

// Where pages are is told of each; on hosts without libnuma this is an error that says so.
func TestS13Placement(t *testing.T) {
	vm, err := openTestHost(t).NewVM(VMConfig{})
	must(t, err)
	defer vm.Close()
	region, err := vm.AddMemory(MemoryConfig{Length: mib, HugePages: HugePagesNever})
	must(t, err)
	_, err = vm.Memory().WriteAt(bytes.Repeat([]byte{1}, 3*4096), 0)
	must(t, err)
	placement, err := region.Placement(4)
	if errors.Is(err, syscall.ENOTSUP) {
		t.Skipf("SKIP: %v", err)
	}
	must(t, err)
	var pages uint64
	for _, count := range placement.Nodes {
		pages += count
	}
	if placement.Resident != 3 || pages+placement.Elsewhere != 3 || placement.Absent != mib/4096-3 {
		t.Errorf("placement %+v", placement)
	}
	must(t, region.SetNUMA(NUMALocal, "", 0))
	placement, err = region.Placement(0)
	must(t, err)
	if placement.Policy != NUMALocal || placement.Elsewhere != 3 || len(placement.Nodes) != 0 {
		t.Errorf("placement %+v", placement)
	}
}

// KSM may merge a region's pages as long as the program lets it.
func TestS13Mergeable(t *testing.T) {
	vm, err := openTestHost(t).NewVM(VMConfig{})
	must(t, err)
	defer vm.Close()
	region, err := vm.AddMemory(MemoryConfig{Length: mib})
	must(t, err)
	err = region.SetMergeable(true)
	if errors.Is(err, syscall.ENOTSUP) {
		t.Skipf("SKIP: %v", err)
	}
	must(t, err)
	ksm, err := region.KSM()
	must(t, err)
	all, err := vm.MemoryKSM()
	must(t, err)
	config, err := region.Config()
	must(t, err)
	if ksm.MergeableBytes != mib || all.MergeableBytes != mib || config.Flags&MemoryMergeable == 0 {
		t.Errorf("KSM %+v, of all %+v, flags %v", ksm, all, config.Flags)
	}
	must(t, region.SetMergeable(false))
	if ksm, err = region.KSM(); err != nil || ksm.MergeableBytes != 0 {
		t.Errorf("KSM %+v, %v", ksm, err)
	}
}

// A buffer may lie within a struct that has pointers too, which cgo refuses of untyped ones.
func TestS13BufferAmongPointers(t *testing.T) {
	vm := newTestVM(t, openTestHost(t), VMConfig{}, guestHalt)
	message := &struct {
		next *int
		data [64]byte
	}{next: new(int)}
	copy(message.data[:], "among pointers")
	_, err := vm.Memory().WriteAt(message.data[:], 0x3000)
	must(t, err)
	message.data = [64]byte{}
	_, err = vm.Memory().ReadAt(message.data[:], 0x3000)
	must(t, err)
	if !strings.HasPrefix(string(message.data[:]), "among pointers") {
		t.Fatalf("read %q", message.data)
	}
	_, err = vm.Memory().ReadAt(nil, 0x3000)
	must(t, err)
}
