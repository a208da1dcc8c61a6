// SPDX-License-Identifier: Apache-2.0

// Package nestvirt makes virtual machines of Linux KVM inside the program, by the C library libnestvirt.
//
//	host, err := nestvirt.OpenHost("")
//	vm, err := host.NewVM(nestvirt.VMConfig{MemorySize: 256 << 20})
//	console, err := vm.OpenSerial(nestvirt.Serial{})
//	err = vm.SetKernel("vmlinux", nestvirt.KernelAuto)
//	err = vm.SetCmdline("console=ttyS0")
//	err = vm.Build()
//	err = vm.Start()
//	go io.Copy(os.Stdout, console)
//	result, err := vm.Wait(ctx)
//	err = vm.Close()
//
// Sockets between guest and program are net.Conn and net.Listener (DialVsock, ListenVsock), requests to a virtio device
// of the program's own are an io.Reader and an io.Writer (AddVirtio). A Report tells what a host can do and how many
// VMs fit. A Template is a VM's whole state, of which clones start at once; an Observer counts how long threads waited
// for a CPU. guide.md goes from nothing to Linux with a disk and a network.
//
// # Rules
//
// Any goroutine may make any call at any time. Each object that has a Close is to be closed; calls under way end
// first, and later ones give ErrClosed. What belongs to a VM, such as a Device, a VCPU or a Region, ends with it.
//
// Errors of the library are of type *Error and match errors.Is with a syscall.Errno or an ErrorCode. A failed call
// changes nothing. The comments in include/nestvirt have all details, such as every error of a function. "State new"
// and the like, at a method's end, are the states of the VM in which it may be called.
//
// Callbacks run on threads of the VM. They may use the VM, but not stop or close it (syscall.EDEADLK); they answer
// ActionStop for that. A panic in a callback stops its VM and comes back from Wait as a *PanicError; runtime.Goexit, as
// testing's FailNow calls it, cannot be stopped and ends the program.
//
// The library is loaded at the first call (LibraryVariable names another one than the system's). A function that it
// lacks because it is older gives syscall.ENOTSUP when it is called.
package nestvirt
