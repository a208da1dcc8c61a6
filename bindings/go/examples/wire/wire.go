// SPDX-License-Identifier: Apache-2.0

// Package wire is what the service and its client send each other: JSON over HTTP over a Unix socket.
//
//	POST   /vms                 makes a VM from a Spec and starts it; 201 and its Status
//	GET    /vms                 a List
//	GET    /vms/NAME            its Status
//	GET    /vms/NAME/console    the last 64 KiB that the guest has printed, as text
//	POST   /vms/NAME/pause      and its Status; also resume, stop and start
//	DELETE /vms/NAME            stops and frees it; 204
//
// Failures are an Error with a status: 400 for a request that cannot be, 404 for an unknown VM, 405 for another
// method, 409 for a VM in the wrong state or a name that is taken, 413 for a body that is too long, 503 where memory,
// descriptors or the service's limit are used up.
package wire

// Spec is the VM that a client wants: a Linux kernel or a bare guest.
type Spec struct {
	Name      string   `json:"name"`
	MemoryMiB uint64   `json:"memory_mib"`
	VCPUs     int      `json:"vcpus,omitempty"`   // 1 by default
	Kernel    string   `json:"kernel,omitempty"`  // path, as the service sees it
	Initrd    string   `json:"initrd,omitempty"`  // path
	Cmdline   string   `json:"cmdline,omitempty"` // of the kernel
	Bare      *Bare    `json:"bare,omitempty"`    // in place of a kernel
	Disks     []Disk   `json:"disks,omitempty"`
	Taps      []string `json:"taps,omitempty"` // network interfaces of the host
}

// Bare is a guest that is a flat image.
type Bare struct {
	Image   []byte `json:"image"`          // its bytes, as base64
	Address uint64 `json:"address"`        // guest physical, of the first byte
	Entry   uint64 `json:"entry"`          // of the first instruction
	Mode    string `json:"mode,omitempty"` // "real", "protected" or "long"; real by default
}

// Disk is a raw image or a block device.
type Disk struct {
	Path     string `json:"path"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Status is a VM as it is now.
type Status struct {
	Name       string  `json:"name"`
	State      string  `json:"state"`
	MemoryMiB  uint64  `json:"memory_mib"`
	VCPUs      int     `json:"vcpus"`
	AgeSeconds float64 `json:"age_seconds"` // since it was made
	CPUSeconds float64 `json:"cpu_seconds"` // of its threads
	Result     string  `json:"result,omitempty"`
	ExitCode   *int    `json:"exit_code,omitempty"` // where the guest gave one
}

// List is all VMs, by name.
type List struct {
	VMs []Status `json:"vms"`
}

// Error is why a request failed.
type Error struct {
	Error string `json:"error"`
}
