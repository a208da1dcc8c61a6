// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"nestvirt"
	"nestvirt/examples/wire"
)

// ConsoleKept is how much of a guest's output is kept, in bytes.
const consoleKept = 64 << 10

// A machine is a VM with its console.
type machine struct {
	spec   wire.Spec
	vm     *nestvirt.VM
	stream *nestvirt.Stream
	born   time.Time
	read   sync.WaitGroup // the goroutine that reads the console

	mu     sync.Mutex
	output []byte
}

// NewMachine makes, builds and starts a VM.
func newMachine(host *nestvirt.Host, spec wire.Spec) (*machine, error) {
	flags := nestvirt.VMFlag(0)
	if info, err := host.Info(); err != nil {
		return nil, err
	} else if info.Features&nestvirt.HostInterpreted != 0 {
		flags = nestvirt.VMFixups
	}
	vm, err := host.NewVM(nestvirt.VMConfig{Name: spec.Name, MemorySize: spec.MemoryMiB << 20, VCPUs: spec.VCPUs,
		Flags: flags})
	if err != nil {
		return nil, err
	}
	m := &machine{spec: spec, vm: vm, born: time.Now()}
	for _, step := range []func() error{m.addDevices, m.load, vm.Build, vm.Start} {
		if err := step(); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

func (m *machine) addDevices() error {
	var err error
	if m.stream, err = m.vm.OpenSerial(nestvirt.Serial{}); err != nil {
		return err
	}
	m.read.Add(1)
	go m.readConsole()
	if _, err = m.vm.AddReset(nestvirt.Reset{}); err != nil {
		return err
	}
	if _, err = m.vm.AddExit(nestvirt.ExitDevice{}); err != nil {
		return err
	}
	for _, disk := range m.spec.Disks {
		if _, err = m.vm.AddBlk(nestvirt.Blk{Path: disk.Path, ReadOnly: disk.ReadOnly}); err != nil {
			return err
		}
	}
	for _, tap := range m.spec.Taps {
		if _, err = m.vm.AddNet(nestvirt.Net{Tap: tap}); err != nil {
			return err
		}
	}
	return nil
}

var modes = map[string]nestvirt.Mode{"": nestvirt.ModeReal, "real": nestvirt.ModeReal,
	"protected": nestvirt.ModeProtected, "long": nestvirt.ModeLong}

func (m *machine) load() error {
	if m.spec.Bare != nil {
		return m.loadBare(m.spec.Bare)
	}
	if err := m.vm.SetKernel(m.spec.Kernel, nestvirt.KernelAuto); err != nil {
		return err
	}
	if m.spec.Initrd != "" {
		if err := m.vm.SetInitrd(m.spec.Initrd); err != nil {
			return err
		}
	}
	return m.vm.SetCmdline(m.spec.Cmdline)
}

// LoadBare gives the VM the image as a file without a name, of which the VM keeps a descriptor.
func (m *machine) loadBare(bare *wire.Bare) error {
	file, err := os.CreateTemp("", "bare-")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	if _, err := file.Write(bare.Image); err != nil {
		return err
	}
	return m.vm.SetFlatFile(file, nestvirt.FlatConfig{Address: bare.Address, Entry: bare.Entry, Mode: modes[bare.Mode]})
}

// ReadConsole keeps the last of what the guest prints, until the VM is closed.
func (m *machine) readConsole() {
	defer m.read.Done()
	buffer := make([]byte, 4096)
	for {
		n, err := m.stream.Read(buffer)
		m.mu.Lock()
		m.output = append(m.output, buffer[:n]...)
		if extra := len(m.output) - consoleKept; extra > 0 {
			m.output = append(m.output[:0], m.output[extra:]...)
		}
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (m *machine) console() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]byte(nil), m.output...)
}

// Status tells what the VM is doing.
func (m *machine) status() (wire.Status, error) {
	state, err := m.vm.State()
	if err != nil {
		return wire.Status{}, err
	}
	status := wire.Status{Name: m.spec.Name, State: state.String(), MemoryMiB: m.spec.MemoryMiB, VCPUs: m.spec.VCPUs,
		AgeSeconds: time.Since(m.born).Seconds()}
	threads, err := m.vm.Threads()
	if err != nil {
		return wire.Status{}, err
	}
	for _, thread := range threads {
		status.CPUSeconds += thread.CPUTime.Seconds()
	}
	if state != nestvirt.StateStopped && state != nestvirt.StateFailed {
		return status, nil
	}
	result, err := m.vm.Wait(context.Background()) // which returns at once: it has stopped
	if errors.Is(err, syscall.EBUSY) {
		return status, nil // somebody has just started it again
	}
	if err != nil {
		return wire.Status{}, err
	}
	status.Result = result.Reason.String()
	if result.Reason == nestvirt.ResultGuestExit {
		status.ExitCode = &result.ExitCode
	}
	return status, nil
}

// StopPatience is how long a VM may take to stop.
const stopPatience = 10 * time.Second

// Do does what a client orders.
func (m *machine) do(order string) error {
	switch order {
	case "pause":
		return m.vm.Pause()
	case "resume":
		return m.vm.Resume()
	case "start":
		return m.vm.Start()
	case "stop":
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		return m.vm.Stop(ctx)
	}
	return fmt.Errorf("%w %q", errUnknownOrder, order)
}

// Close stops and frees the VM; its console then ends.
func (m *machine) close() error {
	err := m.vm.Close()
	if m.stream != nil {
		m.read.Wait()
		m.stream.Close()
	}
	return err
}
