// SPDX-License-Identifier: Apache-2.0

package nestvirt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nestvirt"
)

// Guests of a few bytes, in 16-bit code at 0x1000.
const (
	exitGuest = "\xba\x01\x05\xb0\x07\xee\xf4"                 // mov $0x501,%dx; mov $7,%al; out %al,%dx; hlt
	spinGuest = "\x31\xc0\x8e\xd8\x66\xff\x06\x00\x30\xeb\xf9" // xor %ax,%ax; mov %ax,%ds; 1: incl 0x3000; jmp 1b
	talkGuest = "\xba\xf8\x03\xb0\x68\xee\xb0\x69\xee" + exitGuest
	portGuest = "\xba\x00\x07\xec\xba\x01\x05\xee\xf4" // mov $0x700,%dx; in %dx,%al; mov $0x501,%dx; out %al,%dx; hlt
)

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

// Machine makes a VM with a guest in 1 MiB.
func machine(host *nestvirt.Host, code string) *nestvirt.VM {
	vm, err := host.NewVM(nestvirt.VMConfig{Name: "example", MemorySize: 1 << 20})
	check(err)
	_, err = vm.AddExit(nestvirt.ExitDevice{})
	check(err)
	folder, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "guest")
	check(os.WriteFile(path, []byte(code), 0o600))
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	check(vm.SetFlatFile(file, nestvirt.FlatConfig{Address: 0x1000, Entry: 0x1000}))
	return vm
}

func Example() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	check(vm.Build())
	check(vm.Start())
	result, err := vm.Wait(context.Background())
	check(err)
	fmt.Println(result)
	// Output: guest exit, code 7
}

func ExampleVM_Wait() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, spinGuest)
	defer vm.Close()
	check(vm.Build())
	check(vm.Start())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = vm.Wait(ctx)
	fmt.Println(err)
	state, err := vm.State()
	check(err)
	fmt.Println(state)
	// Output:
	// context deadline exceeded
	// running
}

func ExampleVM_Events() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	check(vm.Build())
	check(vm.Start())
	for event := range vm.Events() {
		if event.Kind == nestvirt.EventState {
			before, after := event.States()
			fmt.Println(before, "->", after)
		}
		if event.Kind == nestvirt.EventStopped {
			break
		}
	}
	// Output:
	// new -> built
	// built -> running
	// running -> stopped
}

func ExampleVM_HandlePort() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, portGuest)
	defer vm.Close()
	_, err = vm.HandlePort(0x700, 1, func(access *nestvirt.Access) nestvirt.Action {
		access.SetValue(42)
		return nestvirt.ActionResume
	})
	check(err)
	check(vm.Build())
	check(vm.Start())
	result, err := vm.Wait(context.Background())
	check(err)
	fmt.Println(result.ExitCode)
	// Output: 42
}

func ExampleMemory() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	check(vm.Build())
	_, err = vm.Memory().WriteAt([]byte{9}, 0x1004) // the code that it exits with
	check(err)
	check(vm.Start())
	result, err := vm.Wait(context.Background())
	check(err)
	fmt.Println(result.ExitCode)
	// Output: 9
}

func ExampleStream() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, talkGuest)
	defer vm.Close()
	console, err := vm.OpenSerial(nestvirt.Serial{})
	check(err)
	defer console.Close()
	check(vm.Build())
	check(vm.Start())
	text := make([]byte, 2)
	_, err = io.ReadFull(console, text)
	check(err)
	fmt.Println(string(text))
	// Output: hi
}

func ExampleError() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	err = vm.Pause()
	var problem *nestvirt.Error
	fmt.Println(errors.Is(err, syscall.EBUSY), errors.As(err, &problem))
	fmt.Println(err)
	fmt.Println(problem.Object)
	// Output:
	// true true
	// vm example: cannot pause while new; start it first
	// vm example
}

func ExampleReport() {
	report, err := nestvirt.NewReport(nestvirt.ReportConfig{})
	check(err)
	defer report.Close()
	item, err := report.Item("device.kvm")
	check(err)
	fmt.Println(item.Name, item.Answer)
	// Output: device.kvm yes
}

func ExampleNUMA_Place() {
	numa, err := nestvirt.NewNUMA("")
	check(err)
	defer numa.Close()
	node, err := numa.Place(nestvirt.NUMANeed{Memory: 16 << 20, VCPUs: 1})
	check(err)
	cpus, err := numa.AllowedCPUs(node)
	check(err)
	fmt.Printf("memory of node %d, CPUs %s\n", node, cpus)
}

func ExampleVM_SetThreads() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, spinGuest)
	defer vm.Close()
	_, err = vm.SetThreads(nestvirt.ThreadVCPU, nestvirt.ThreadEvery, nestvirt.ThreadConfig{CPUs: "0"})
	check(err)
	check(vm.Build())
	cpus, err := vm.ThreadCPUs(nestvirt.ThreadVCPU, 0)
	check(err)
	fmt.Println(cpus)
	// Output: 0
}

func ExampleVM_AddVirtio() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	_, err = vm.AddVirtio(nestvirt.VirtioConfig{DeviceID: 42, Queues: 1,
		OnQueue: func(device *nestvirt.VirtioDevice, queue int) {
			for {
				chain, err := device.Next(queue)
				if err != nil || chain == nil {
					return
				}
				request, _ := io.ReadAll(chain)
				fmt.Fprintf(chain, "%d bytes came", len(request))
				chain.Complete()
			}
		}})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleVM_DialVsock() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	folder, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(folder)
	_, err = vm.AddVsock(nestvirt.Vsock{CID: 3, Path: filepath.Join(folder, "vsock")})
	check(err)
	check(vm.Build())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	conn, err := vm.DialVsock(ctx, 1024) // a net.Conn, once a program in the guest listens
	fmt.Println(conn == nil, err != nil)
	// Output: true true
}

func ExampleObserver() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, spinGuest)
	defer vm.Close()
	observer, err := nestvirt.NewObserver(nestvirt.ObserverConfig{})
	check(err)
	defer observer.Close()
	check(observer.Add(vm, 0))
	check(vm.Build())
	check(vm.Start())
	waits, err := observer.Read(vm)
	for ; err == nil && waits.Count == 0; waits, err = observer.Read(vm) {
		time.Sleep(10 * time.Millisecond)
	}
	check(err)
	fmt.Println(waits.Threads, waits.Time > 0)
	// Output: 1 true
}

func ExampleTemplate() {
	host, err := nestvirt.OpenHost("")
	check(err)
	defer host.Close()
	vm := machine(host, exitGuest)
	defer vm.Close()
	check(vm.Build())
	template, err := vm.NewTemplate(0)
	check(err)
	defer template.Close()
	for code := byte(1); code <= 3; code++ {
		clone, err := template.Clone(nestvirt.CloneConfig{Name: fmt.Sprint("clone", code)})
		check(err)
		defer clone.Close()
		check(clone.Build())
		_, err = clone.Memory().WriteAt([]byte{code}, 0x1004) // in its own memory
		check(err)
		check(clone.Start())
		result, err := clone.Wait(context.Background())
		check(err)
		fmt.Println(result)
	}
	// Output:
	// guest exit, code 1
	// guest exit, code 2
	// guest exit, code 3
}
