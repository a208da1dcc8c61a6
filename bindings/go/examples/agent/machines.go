// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"sort"
	"sync"

	"nestvirt"
	"nestvirt/examples/wire"
)

// What clients do wrong, and what the service does not do for them.
var (
	errBadRequest   = errors.New("bad request")
	errUnknownOrder = errors.New("unknown order")
	errUnknownVM    = errors.New("unknown VM")
	errNameTaken    = errors.New("the name is taken by another VM")
	errFull         = errors.New("no room for another VM")
	errGoing        = errors.New("the service is ending")
)

// Limits are what clients may ask for.
type limits struct {
	vms       int
	memoryMiB uint64 // of each VM
	vcpus     int    // of each VM
}

// Machines are all VMs of the service, by name. A name whose machine is nil is taken by one that is being made.
type machines struct {
	host    *nestvirt.Host
	limits  limits
	mu      sync.Mutex
	byName  map[string]*machine
	making  sync.WaitGroup
	isGoing bool
}

func newMachines(host *nestvirt.Host, limits limits) *machines {
	return &machines{host: host, limits: limits, byName: map[string]*machine{}}
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Check refuses what the library need not see.
func (all *machines) check(spec *wire.Spec) error {
	if spec.VCPUs == 0 {
		spec.VCPUs = 1
	}
	bad := func(format string, values ...interface{}) error {
		return fmt.Errorf("%w: %s", errBadRequest, fmt.Sprintf(format, values...))
	}
	switch {
	case !goodName.MatchString(spec.Name):
		return bad("name %q: use up to 63 letters, digits, '_', '.' and '-', a letter or digit first", spec.Name)
	case spec.MemoryMiB < 1 || spec.MemoryMiB > all.limits.memoryMiB:
		return bad("memory_mib is %d: use 1 to %d", spec.MemoryMiB, all.limits.memoryMiB)
	case spec.VCPUs < 1 || spec.VCPUs > all.limits.vcpus:
		return bad("vcpus is %d: use 1 to %d", spec.VCPUs, all.limits.vcpus)
	case (spec.Kernel == "") == (spec.Bare == nil):
		return bad("give either kernel or bare")
	case spec.Bare != nil && (spec.Initrd != "" || spec.Cmdline != ""):
		return bad("initrd and cmdline belong to a kernel, not to a bare guest")
	}
	if spec.Bare != nil {
		if _, ok := modes[spec.Bare.Mode]; !ok {
			return bad("bare.mode %q: use real, protected or long", spec.Bare.Mode)
		}
	}
	return nil
}

// Add makes and starts a VM.
func (all *machines) add(spec wire.Spec) (*machine, error) {
	if err := all.check(&spec); err != nil {
		return nil, err
	}
	if err := all.reserve(spec.Name); err != nil {
		return nil, err
	}
	defer all.making.Done()
	made, err := newMachine(all.host, spec) // without the lock: it takes its time
	all.mu.Lock()
	defer all.mu.Unlock()
	if err != nil {
		delete(all.byName, spec.Name)
		return nil, err
	}
	all.byName[spec.Name] = made
	return made, nil
}

func (all *machines) reserve(name string) error {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.isGoing {
		return errGoing
	}
	if _, isTaken := all.byName[name]; isTaken {
		return fmt.Errorf("%w: %q", errNameTaken, name)
	}
	if len(all.byName) >= all.limits.vms {
		return fmt.Errorf("%w: there are %d, the most", errFull, len(all.byName))
	}
	all.byName[name] = nil
	all.making.Add(1)
	return nil
}

// Get finds a VM.
func (all *machines) get(name string) (*machine, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	found := all.byName[name]
	if found == nil {
		return nil, fmt.Errorf("%w %q", errUnknownVM, name)
	}
	return found, nil
}

// List is all VMs, by name. One that goes meanwhile is left out.
func (all *machines) list() wire.List {
	all.mu.Lock()
	var found []*machine
	for _, one := range all.byName {
		if one != nil {
			found = append(found, one)
		}
	}
	all.mu.Unlock()
	sort.Slice(found, func(i, j int) bool { return found[i].spec.Name < found[j].spec.Name })
	list := wire.List{VMs: []wire.Status{}}
	for _, one := range found {
		if status, err := one.status(); err == nil {
			list.VMs = append(list.VMs, status)
		}
	}
	return list
}

// Remove frees a VM. Its name is free when it is gone.
func (all *machines) remove(name string) error {
	one, err := all.get(name)
	if err != nil {
		return err
	}
	if err := one.close(); err != nil {
		return err
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byName[name] == one { // and not the next of that name
		delete(all.byName, name)
	}
	return nil
}

// RemoveAll frees all VMs at the end, at the same time, and refuses new ones.
func (all *machines) removeAll() error {
	all.mu.Lock()
	all.isGoing = true
	all.mu.Unlock()
	all.making.Wait()
	all.mu.Lock()
	defer all.mu.Unlock()
	failures := make(chan error)
	for _, one := range all.byName {
		go func(one *machine) { failures <- one.close() }(one)
	}
	var first error
	for range all.byName {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	all.byName = map[string]*machine{}
	return first
}
