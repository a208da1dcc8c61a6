// SPDX-License-Identifier: Apache-2.0

// Code generated from the library by bindings/generate/generate. DO NOT EDIT.

package nestvirt

import "syscall"

// Serial are the options of a device "serial". Those that are live may be set at any time by
// Device.Set.
//
// Device.Get reads:
//
// - dropped: bytes of output dropped because the reader was too slow
type Serial struct {
	// where the guest's output goes; without it, it is discarded
	Output syscall.Conn `nestvirt:"output"`
	// where the guest's input comes from
	Input syscall.Conn `nestvirt:"input"`
	// first of its 8 ports; COM1 to COM4 are 0x3f8, 0x2f8, 0x3e8, 0x2e8
	Port *uint64 `nestvirt:"port"`
	// its interrupt pin, 0 to 23; COM1 and COM3 use 4, COM2 and COM4 use 3
	IRQ *uint64 `nestvirt:"irq"`
}

// AddSerial adds a device "serial" as AddDevice does. State new.
func (vm *VM) AddSerial(options Serial) (*Device, error) {
	return vm.AddDevice("serial", properties(options))
}

// Reset are the options of a device "reset". Those that are live may be set at any time by
// Device.Set.
type Reset struct {
	// 1: also the keyboard controller's reset line at port 0x64 (reboot=k) (on by default)
	I8042 *bool `nestvirt:"i8042"`
}

// AddReset adds a device "reset" as AddDevice does. State new.
func (vm *VM) AddReset(options Reset) (*Device, error) {
	return vm.AddDevice("reset", properties(options))
}

// ExitDevice are the options of a device "exit". Those that are live may be set at any time by
// Device.Set.
type ExitDevice struct {
	// the port, 0 to 65535; a byte written there becomes the exit code
	Port *uint64 `nestvirt:"port"`
}

// AddExit adds a device "exit" as AddDevice does. State new.
func (vm *VM) AddExit(options ExitDevice) (*Device, error) {
	return vm.AddDevice("exit", properties(options))
}

// RNG are the options of a device "rng". Those that are live may be set at any time by Device.Set.
//
// Device.Get reads:
//
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
// - bytes: random bytes given to the guest
// - starved: times the host's getrandom() gave nothing and a request had to wait
type RNG struct {
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
	// most bytes given to the guest in the time of rate_bytes_refill_ms; 0: no limit (live)
	RateBytes uint64 `nestvirt:"rate_bytes"`
	// bytes that may pass once, beyond the limit, from the start on (live)
	RateBytesBurst uint64 `nestvirt:"rate_bytes_burst"`
	// milliseconds in which the limit of rate_bytes fills again (live)
	RateBytesRefillMs uint64 `nestvirt:"rate_bytes_refill_ms"`
	// most operations given to the guest in the time of rate_operations_refill_ms; 0: no limit (live)
	RateOperations uint64 `nestvirt:"rate_operations"`
	// operations that may pass once, beyond the limit, from the start on (live)
	RateOperationsBurst uint64 `nestvirt:"rate_operations_burst"`
	// milliseconds in which the limit of rate_operations fills again (live)
	RateOperationsRefillMs uint64 `nestvirt:"rate_operations_refill_ms"`
}

// AddRNG adds a device "rng" as AddDevice does. State new.
func (vm *VM) AddRNG(options RNG) (*Device, error) {
	return vm.AddDevice("rng", properties(options))
}

// Blk are the options of a device "blk". Those that are live may be set at any time by Device.Set.
//
// Device.Get reads:
//
// - capacity: the disk's size in sectors of 512 bytes, as the guest sees it
// - reads: reads done
// - writes: writes done
// - flushes: flushes done
// - errors: requests that were refused or failed
// - bytes_read: bytes read by the guest
// - bytes_written: bytes written by the guest
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
type Blk struct {
	// image file or block device; its bytes are the disk's (raw)
	Path string `nestvirt:"path"`
	// the same as an open descriptor, instead of path
	FD syscall.Conn `nestvirt:"fd"`
	// the guest may not write
	ReadOnly bool `nestvirt:"read_only"`
	// bypass the host's page cache (O_DIRECT)
	Direct bool `nestvirt:"direct"`
	// what the guest sees as the disk's serial; up to 20 bytes
	Serial string `nestvirt:"serial"`
	// request queues, 1 to 16
	Queues uint64 `nestvirt:"queues"`
	// 1: writes are on the medium once the guest flushes; 0: once they complete (on by default)
	Writeback *bool `nestvirt:"writeback"`
	// let the guest give blocks back and zero them (on by default)
	Discard *bool `nestvirt:"discard"`
	// lock the image, so that nobody else writes it (read_only: nor reads it to write); an fd that the
	// caller has locked already keeps that lock, and must not be of two disks (on by default)
	Lock *bool `nestvirt:"lock"`
	// how I/O is done: auto, threads or io_uring
	Engine string `nestvirt:"engine"`
	// threads of the disk, 1 to 16
	Workers uint64 `nestvirt:"workers"`
	// what a failure of the host does: report (to the guest), stop (pause the VM and try again when it
	// goes on) or stop_on_enospc (only when the host's disk is full)
	OnError string `nestvirt:"on_error"`
	// the disk's block as the guest sees it: 512, 1024, 2048 or 4096
	BlockSize uint64 `nestvirt:"block_size"`
	// bytes of the image that the guest sees, 0: all; setting it looks at the image anew and tells the
	// guest (live)
	Resize uint64 `nestvirt:"resize"`
	// most bytes of reads, writes and others in the time of rate_bytes_refill_ms; 0: no limit (live)
	RateBytes uint64 `nestvirt:"rate_bytes"`
	// bytes that may pass once, beyond the limit, from the start on (live)
	RateBytesBurst uint64 `nestvirt:"rate_bytes_burst"`
	// milliseconds in which the limit of rate_bytes fills again (live)
	RateBytesRefillMs uint64 `nestvirt:"rate_bytes_refill_ms"`
	// most operations of reads, writes and others in the time of rate_operations_refill_ms; 0: no
	// limit (live)
	RateOperations uint64 `nestvirt:"rate_operations"`
	// operations that may pass once, beyond the limit, from the start on (live)
	RateOperationsBurst uint64 `nestvirt:"rate_operations_burst"`
	// milliseconds in which the limit of rate_operations fills again (live)
	RateOperationsRefillMs uint64 `nestvirt:"rate_operations_refill_ms"`
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
}

// AddBlk adds a device "blk" as AddDevice does. State new.
func (vm *VM) AddBlk(options Blk) (*Device, error) {
	return vm.AddDevice("blk", properties(options))
}

// Net are the options of a device "net". Those that are live may be set at any time by Device.Set.
//
// Device.Get reads:
//
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
// - rx_packets: packets received by the guest
// - rx_bytes: bytes of them
// - rx_dropped: packets for the guest dropped because its buffers were too small, or old when it
// began to receive
// - tx_packets: packets sent by the guest
// - tx_bytes: bytes of them
// - tx_dropped: packets of the guest dropped because they were malformed, the link was down or the
// tap refused them
type Net struct {
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
	// most bytes received by the guest in the time of rx_rate_bytes_refill_ms; 0: no limit (live)
	RxRateBytes uint64 `nestvirt:"rx_rate_bytes"`
	// bytes that may pass once, beyond the limit, from the start on (live)
	RxRateBytesBurst uint64 `nestvirt:"rx_rate_bytes_burst"`
	// milliseconds in which the limit of rx_rate_bytes fills again (live)
	RxRateBytesRefillMs uint64 `nestvirt:"rx_rate_bytes_refill_ms"`
	// most operations received by the guest in the time of rx_rate_operations_refill_ms; 0: no limit
	// (live)
	RxRateOperations uint64 `nestvirt:"rx_rate_operations"`
	// operations that may pass once, beyond the limit, from the start on (live)
	RxRateOperationsBurst uint64 `nestvirt:"rx_rate_operations_burst"`
	// milliseconds in which the limit of rx_rate_operations fills again (live)
	RxRateOperationsRefillMs uint64 `nestvirt:"rx_rate_operations_refill_ms"`
	// most bytes sent by the guest in the time of tx_rate_bytes_refill_ms; 0: no limit (live)
	TxRateBytes uint64 `nestvirt:"tx_rate_bytes"`
	// bytes that may pass once, beyond the limit, from the start on (live)
	TxRateBytesBurst uint64 `nestvirt:"tx_rate_bytes_burst"`
	// milliseconds in which the limit of tx_rate_bytes fills again (live)
	TxRateBytesRefillMs uint64 `nestvirt:"tx_rate_bytes_refill_ms"`
	// most operations sent by the guest in the time of tx_rate_operations_refill_ms; 0: no limit
	// (live)
	TxRateOperations uint64 `nestvirt:"tx_rate_operations"`
	// operations that may pass once, beyond the limit, from the start on (live)
	TxRateOperationsBurst uint64 `nestvirt:"tx_rate_operations_burst"`
	// milliseconds in which the limit of tx_rate_operations fills again (live)
	TxRateOperationsRefillMs uint64 `nestvirt:"tx_rate_operations_refill_ms"`
	// name of the host's tap interface; made if it does not exist and this process may
	Tap string `nestvirt:"tap"`
	// instead of a name: an open tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; for one pair
	FD syscall.Conn `nestvirt:"fd"`
	// the guest's address, such as 02:00:00:00:00:01; without it, a random one
	MAC string `nestvirt:"mac"`
	// the MTU told to the guest, 68 to 65535; 0: none
	MTU uint64 `nestvirt:"mtu"`
	// 1: the cable is plugged in; at 0 nothing is sent or received (live) (on by default)
	Link *bool `nestvirt:"link"`
	// 1: the guest may leave checksums and segmentation of TCP to the host (on by default)
	Offloads *bool `nestvirt:"offloads"`
	// 1: the guest may receive long packets in several buffers (on by default)
	MrgRxbuf *bool `nestvirt:"mrg_rxbuf"`
	// pairs of queues; above 1 the tap must be one with several queues
	Pairs uint64 `nestvirt:"pairs"`
}

// AddNet adds a device "net" as AddDevice does. State new.
func (vm *VM) AddNet(options Net) (*Device, error) {
	return vm.AddDevice("net", properties(options))
}

// Console are the options of a device "console". Those that are live may be set at any time by
// Device.Set.
//
// Device.Get reads:
//
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
// - sent: bytes of output written for the guest
// - received: bytes of input given to the guest
// - dropped: bytes of output dropped because the reader was gone or too slow
// - malformed: control messages that meant nothing, or had no room
type Console struct {
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
	// where input of port 0 comes from
	Input syscall.Conn `nestvirt:"input"`
	// where output of port 0 goes; without it, nowhere
	Output syscall.Conn `nestvirt:"output"`
	// name of port 0, in a Linux guest under /dev/virtio-ports
	Name string `nestvirt:"name"`
	// how many ports it has, 1 to 8; a port is two streams of bytes
	Ports uint64 `nestvirt:"ports"`
	// how many of the ports, from port 0 on, are terminals (hvc0, ...)
	Consoles *uint64 `nestvirt:"consoles"`
	// columns of the terminal on port 0; 0: unknown (live)
	Cols uint64 `nestvirt:"cols"`
	// rows of the terminal on port 0; 0: unknown (live)
	Rows uint64 `nestvirt:"rows"`
	// 1: with several ports, tell a size as rows and columns, as Linux before 2025 reads it; 0: as the
	// specification has it
	RowsFirst bool `nestvirt:"rows_first"`
	// milliseconds that a terminal waits for a reader that takes nothing; then output is dropped until
	// it takes again (live)
	PatienceMs *uint64 `nestvirt:"patience_ms"`
	// most bytes of output of all ports in the time of tx_bytes_refill_ms; 0: no limit (live)
	TxBytes uint64 `nestvirt:"tx_bytes"`
	// bytes that may pass once, beyond the limit, from the start on (live)
	TxBytesBurst uint64 `nestvirt:"tx_bytes_burst"`
	// milliseconds in which the limit of tx_bytes fills again (live)
	TxBytesRefillMs uint64 `nestvirt:"tx_bytes_refill_ms"`
	// most operations of output of all ports in the time of tx_operations_refill_ms; 0: no limit
	// (live)
	TxOperations uint64 `nestvirt:"tx_operations"`
	// operations that may pass once, beyond the limit, from the start on (live)
	TxOperationsBurst uint64 `nestvirt:"tx_operations_burst"`
	// milliseconds in which the limit of tx_operations fills again (live)
	TxOperationsRefillMs uint64 `nestvirt:"tx_operations_refill_ms"`
	// where input of port 1 comes from
	Input1 syscall.Conn `nestvirt:"input1"`
	// where output of port 1 goes; without it, nowhere
	Output1 syscall.Conn `nestvirt:"output1"`
	// name of port 1, in a Linux guest under /dev/virtio-ports
	Name1 string `nestvirt:"name1"`
	// where input of port 2 comes from
	Input2 syscall.Conn `nestvirt:"input2"`
	// where output of port 2 goes; without it, nowhere
	Output2 syscall.Conn `nestvirt:"output2"`
	// name of port 2, in a Linux guest under /dev/virtio-ports
	Name2 string `nestvirt:"name2"`
	// where input of port 3 comes from
	Input3 syscall.Conn `nestvirt:"input3"`
	// where output of port 3 goes; without it, nowhere
	Output3 syscall.Conn `nestvirt:"output3"`
	// name of port 3, in a Linux guest under /dev/virtio-ports
	Name3 string `nestvirt:"name3"`
	// where input of port 4 comes from
	Input4 syscall.Conn `nestvirt:"input4"`
	// where output of port 4 goes; without it, nowhere
	Output4 syscall.Conn `nestvirt:"output4"`
	// name of port 4, in a Linux guest under /dev/virtio-ports
	Name4 string `nestvirt:"name4"`
	// where input of port 5 comes from
	Input5 syscall.Conn `nestvirt:"input5"`
	// where output of port 5 goes; without it, nowhere
	Output5 syscall.Conn `nestvirt:"output5"`
	// name of port 5, in a Linux guest under /dev/virtio-ports
	Name5 string `nestvirt:"name5"`
	// where input of port 6 comes from
	Input6 syscall.Conn `nestvirt:"input6"`
	// where output of port 6 goes; without it, nowhere
	Output6 syscall.Conn `nestvirt:"output6"`
	// name of port 6, in a Linux guest under /dev/virtio-ports
	Name6 string `nestvirt:"name6"`
	// where input of port 7 comes from
	Input7 syscall.Conn `nestvirt:"input7"`
	// where output of port 7 goes; without it, nowhere
	Output7 syscall.Conn `nestvirt:"output7"`
	// name of port 7, in a Linux guest under /dev/virtio-ports
	Name7 string `nestvirt:"name7"`
}

// AddConsole adds a device "console" as AddDevice does. State new.
func (vm *VM) AddConsole(options Console) (*Device, error) {
	return vm.AddDevice("console", properties(options))
}

// Balloon are the options of a device "balloon". Those that are live may be set at any time by
// Device.Set.
//
// Device.Get reads:
//
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
// - actual: bytes that the guest says it has given back
// - inflated: bytes given back by the balloon since the VM was made
// - deflated: bytes that the guest took from the balloon again
// - reported: bytes given back by free page reporting
// - refused: pages that the guest named and that are not its memory
// - failed: times the host did not take memory back, and it was zeroed
// - stats_updates: times the guest sent statistics
// - stat_swap_in: bytes that the guest has swapped in
// - stat_swap_out: bytes that the guest has swapped out
// - stat_major_faults: the guest's page faults that read from a disk
// - stat_minor_faults: the guest's page faults that did not
// - stat_free_memory: bytes that nobody in the guest uses
// - stat_total_memory: bytes that the guest has
// - stat_available_memory: bytes that the guest could use at once
// - stat_disk_caches: bytes of the guest's file caches
// - stat_hugetlb_allocations: huge pages that the guest allocated
// - stat_hugetlb_failures: huge pages that it could not allocate
// - stat_oom_kills: processes that the guest killed for memory
// - stat_allocation_stalls: the guest's allocations that had to wait
// - stat_async_scans: pages that the guest looked at in background
// - stat_direct_scans: pages that it looked at when it needed some
// - stat_async_reclaims: pages that it reclaimed in background
// - stat_direct_reclaims: pages that it reclaimed when it needed some
type Balloon struct {
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
	// bytes that the guest is asked to give back, a multiple of 4096 (live)
	Target uint64 `nestvirt:"target"`
	// 1: a guest that runs out of memory may take it back by itself
	DeflateOnOOM bool `nestvirt:"deflate_on_oom"`
	// 1: the guest reports free memory, which goes back to the host until it is used
	FreePageReporting bool `nestvirt:"free_page_reporting"`
	// 1: the guest can be asked for the statistics below (on by default)
	Stats *bool `nestvirt:"stats"`
	// milliseconds after which the guest is asked for statistics again; 0: never (live)
	StatsIntervalMs uint64 `nestvirt:"stats_interval_ms"`
}

// AddBalloon adds a device "balloon" as AddDevice does. State new.
func (vm *VM) AddBalloon(options Balloon) (*Device, error) {
	return vm.AddDevice("balloon", properties(options))
}

// Vsock are the options of a device "vsock". Those that are live may be set at any time by
// Device.Set.
//
// Device.Get reads:
//
// - faults: times the guest broke the device's rules and it had to be reset
// - ignored: accesses of the guest to the device's registers that were ignored
// - notified: times the device looked at a queue because the guest notified it
// - connections_open: connections at the moment
// - refused: connections that did not come about
// - dropped: packets that could be neither used nor answered
// - rx_bytes: bytes that the guest has received
// - tx_bytes: bytes that the guest has sent
type Vsock struct {
	// most requests that may wait in each queue; a power of two up to 1024
	QueueSize uint64 `nestvirt:"queue_size"`
	// the guest's address, 3 to 4294967294; the host is 2
	CID uint64 `nestvirt:"cid"`
	// Unix socket where programs send "CONNECT port" to reach the guest; the guest reaches those that
	// listen at path_PORT; without it nobody reaches anybody; in a folder whose file system answers at
	// once, such as /run, as the event loop looks there
	Path string `nestvirt:"path"`
	// most connections at a time; each holds up to 256 KiB while its reader is slow
	Connections uint64 `nestvirt:"connections"`
}

// AddVsock adds a device "vsock" as AddDevice does. State new.
func (vm *VM) AddVsock(options Vsock) (*Device, error) {
	return vm.AddDevice("vsock", properties(options))
}

// VMGenID are the options of a device "vmgenid". Those that are live may be set at any time by
// Device.Set.
//
// Device.Get reads:
//
// - made: generation IDs made: one, and one for each time it goes back to its template
type VMGenID struct {
}

// AddVMGenID adds a device "vmgenid" as AddDevice does. State new.
func (vm *VM) AddVMGenID(options VMGenID) (*Device, error) {
	return vm.AddDevice("vmgenid", properties(options))
}
