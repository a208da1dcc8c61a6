// SPDX-License-Identifier: Apache-2.0

// Contender is Go's side of tests/bench/bench_bindings.c, where its questions and answers are described.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"nestvirt"
)

const (
	mib      = 1 << 20
	port     = 0x10
	mmioBase = 0x20000
	exits    = 2000
	readSize = 64 * mib
)

var (
	exitOnce   = []byte{0xe6, port, 0xf4, 0xeb, 0xfd}                               // out %al, $port; again: hlt; jmp again
	mmioAlways = []byte{0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa2, 0x00, 0x00, 0xeb, 0xfb} // as in bench_bindings.c
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Image is a guest as a file, in memory as that of C's side.
func image(code []byte) *os.File {
	file, err := os.CreateTemp("/dev/shm", "guest")
	must(err)
	must(os.Remove(file.Name()))
	_, err = file.Write(code)
	must(err)
	return file
}

type bench struct {
	host    *nestvirt.Host
	once    *os.File
	exitsVM *nestvirt.VM
	count   int
	start   time.Time
	end     time.Time
	guest   []byte
	readVM  *nestvirt.VM
	buffer  []byte
}

// Create goes from nothing to the guest's first exit.
func (b *bench) create() time.Duration {
	exited := make(chan time.Time, 1)
	start := time.Now()
	vm, err := b.host.NewVM(nestvirt.VMConfig{MemorySize: 16 * mib})
	must(err)
	_, err = vm.HandlePort(port, 1, func(*nestvirt.Access) nestvirt.Action {
		exited <- time.Now()
		return nestvirt.ActionResume
	})
	must(err)
	must(vm.SetFlatFile(b.once, nestvirt.FlatConfig{Address: 0x1000, Entry: 0x1000}))
	must(vm.Build())
	must(vm.Start())
	end := <-exited
	must(vm.Close())
	time.Sleep(time.Millisecond)
	return end.Sub(start)
}

func (b *bench) onExit(*nestvirt.Access) nestvirt.Action {
	if b.count == 0 {
		b.start = time.Now()
	}
	b.count++
	if b.count <= exits {
		return nestvirt.ActionResume
	}
	b.end = time.Now()
	return nestvirt.ActionStop
}

// Exits takes a number of writes of the guest.
func (b *bench) exits() time.Duration {
	if b.exitsVM == nil {
		vm, err := b.host.NewVM(nestvirt.VMConfig{MemorySize: 64 << 10})
		must(err)
		_, err = vm.HandleMMIO(mmioBase, 4096, b.onExit)
		must(err)
		must(vm.SetFlatFile(image(mmioAlways), nestvirt.FlatConfig{Address: 0x1000, Entry: 0x1000}))
		must(vm.Build())
		b.exitsVM = vm
	}
	b.count = 0
	must(b.exitsVM.Start())
	_, err := b.exitsVM.Wait(context.Background())
	must(err)
	return b.end.Sub(b.start)
}

// Read copies guest memory.
func (b *bench) read() time.Duration {
	if b.guest == nil {
		vm, err := b.host.NewVM(nestvirt.VMConfig{MemorySize: readSize})
		must(err)
		b.readVM = vm
		b.guest, err = vm.Memory().Slice(0, readSize)
		must(err)
		b.buffer = make([]byte, readSize)
		for i := range b.guest {
			b.guest[i], b.buffer[i] = 0x5a, 1
		}
	}
	start := time.Now()
	copy(b.buffer, b.guest)
	return time.Since(start)
}

func main() {
	host, err := nestvirt.OpenHost("")
	must(err)
	b := &bench{host: host, once: image(exitOnce)}
	works := map[string]func() time.Duration{"create": b.create, "exits": b.exits, "read": b.read}
	var what string
	var count int
	for {
		if _, err := fmt.Scan(&what, &count); err != nil {
			return
		}
		var answers strings.Builder // printed at the end: each line would wake the other side, during the next round
		for ; count > 0; count-- {
			fmt.Fprintln(&answers, works[what]().Nanoseconds())
		}
		fmt.Print(answers.String())
	}
}
