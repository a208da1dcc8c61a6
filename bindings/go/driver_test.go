// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"encoding/binary"
	"testing"
)

// GuestSteps does the steps of a table at 0x20000, of 12 bytes each: operation, value, address (32 bits each).
//
//	   cld; mov $0x20000,%esi
//	1: lodsl; mov %eax,%ebx; lodsl; mov %eax,%ecx; lodsl; mov %eax,%edi
//	   dec %ebx; js 2f; jz 3f; dec %ebx; jz 4f; dec %ebx; jz 5f; mov %cx,(%edi); jmp 1b
//	2: mov $0x501,%edx; mov %ecx,%eax; out %al,%dx; hlt
//	3: mov %ecx,(%edi); jmp 1b
//	4: mov (%edi),%eax; mov %eax,-8(%esi); jmp 1b
//	5: cmp %cx,(%edi); jne 5b; jmp 1b
var guestSteps = guest{"\xfc\xbe\x00\x00\x02\x00\xad\x89\xc3\xad\x89\xc1\xad\x89\xc7\x4b\x78\x0d\x74\x14\x4b\x74\x15\x4b" +
	"\x74\x19\x66\x89\x0f\xeb\xe7\xba\x01\x05\x00\x00\x89\xc8\xee\xf4\x89\x0f\xeb\xda\x8b\x07\x89\x46\xf8\xeb\xd3" +
	"\x66\x39\x0f\x75\xfb\xeb\xcc", 0x10000, ModeProtected}

// The steps' operations.
const (
	stepEnd     = 0 // with the value as exit code
	stepWrite32 = 1
	stepRead32  = 2 // into the table's value
	stepWait16  = 3 // until memory has the value
	stepWrite16 = 4
)

// Where things are: the device's registers behind those of device 0, the queue, and memory for buffers.
const (
	driverSteps     = 0x20000
	driverWindow    = 0xd0001000
	driverTable     = 0x40000
	driverAvailable = 0x41000
	driverUsed      = 0x42000
	driverBuffer    = 0x50000
	driverSign      = 0x58000 // where the guest waits for the test
)

// Registers of virtio's MMIO transport (virtio 1.2, 4.2.2).
const (
	regDeviceID          = 0x008
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regQueueNum          = 0x038
	regQueueReady        = 0x044
	regQueueNotify       = 0x050
	regInterruptStatus   = 0x060
	regStatus            = 0x070
	regQueueDesc         = 0x080
	regQueueDriver       = 0x090
	regQueueDevice       = 0x0a0
	regConfig            = 0x100
)

// A driver is a guest that drives a virtio device, as a test wrote down.
type driver struct {
	t     testing.TB
	vm    *VM
	count int
}

// Step adds a step and gives its number.
func (d *driver) step(operation, value uint32, address uint64) int {
	d.t.Helper()
	var step [12]byte
	binary.LittleEndian.PutUint32(step[0:], operation)
	binary.LittleEndian.PutUint32(step[4:], value)
	binary.LittleEndian.PutUint32(step[8:], uint32(address))
	d.write(driverSteps+int64(12*d.count), step[:])
	d.count++
	return d.count - 1
}

// Put writes a register.
func (d *driver) put(register, value uint32) {
	d.t.Helper()
	d.step(stepWrite32, value, driverWindow+uint64(register))
}

// Begin is the driver's way to DRIVER_OK (virtio 1.2, 3.1.1), with queue 0 of 8 descriptors.
func (d *driver) begin(features uint32) {
	d.t.Helper()
	for _, one := range [][2]uint32{
		{regStatus, 0}, {regStatus, 1}, {regStatus, 3}, {regDriverFeaturesSel, 0}, {regDriverFeatures, features},
		{regDriverFeaturesSel, 1}, {regDriverFeatures, 1}, {regStatus, 11}, {regQueueNum, 8},
		{regQueueDesc, driverTable}, {regQueueDriver, driverAvailable}, {regQueueDevice, driverUsed},
		{regQueueReady, 1}, {regStatus, 15},
	} {
		d.put(one[0], one[1])
	}
}

// Descriptor writes one of the queue's.
func (d *driver) descriptor(index int, address uint64, length uint32, flags, next uint16) {
	d.t.Helper()
	var bytes [16]byte
	binary.LittleEndian.PutUint64(bytes[0:], address)
	binary.LittleEndian.PutUint32(bytes[8:], length)
	binary.LittleEndian.PutUint16(bytes[12:], flags)
	binary.LittleEndian.PutUint16(bytes[14:], next)
	d.write(driverTable+int64(16*index), bytes[:])
}

// Offer makes the first count chains available, and notifies.
func (d *driver) offer(count uint32) {
	d.t.Helper()
	d.step(stepWrite16, count, driverAvailable+2)
	d.put(regQueueNotify, 0)
}

// AwaitUsed lets the guest wait until so many chains came back.
func (d *driver) awaitUsed(count uint32) {
	d.t.Helper()
	d.step(stepWait16, count, driverUsed+2)
}

func (d *driver) write(address int64, data []byte) {
	d.t.Helper()
	_, err := d.vm.Memory().WriteAt(data, address)
	must(d.t, err)
}

func (d *driver) read(address int64, length int) []byte {
	d.t.Helper()
	data := make([]byte, length)
	_, err := d.vm.Memory().ReadAt(data, address)
	must(d.t, err)
	return data
}

// Value is what a step read.
func (d *driver) value(step int) uint32 {
	d.t.Helper()
	return binary.LittleEndian.Uint32(d.read(driverSteps+int64(12*step)+4, 4))
}

// Start builds the VM, lets the test write the steps and starts it; finish waits for the guest's end.
func (d *driver) start(write func()) {
	d.t.Helper()
	must(d.t, d.vm.Build())
	d.count = 0
	write()
	d.step(stepEnd, 77, 0)
	must(d.t, d.vm.Start())
}

func (d *driver) finish() {
	d.t.Helper()
	if result := wantResult(d.t, d.vm, ResultGuestExit); result.ExitCode != 77 {
		d.t.Fatalf("ended by %v", result)
	}
}
