// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sort"
	"sync"
	"syscall"
)

// Device is a device of a VM, and lives as long as it.
type Device struct {
	vm   *VM
	c    *cDevice
	kind string
}

// Properties are those of a device by name. Values are strings, booleans, whole numbers that are not negative, and
// for descriptors an *os.File, another file with a descriptor, or an FD.
type Properties map[string]interface{}

// Property is one property of a kind of device.
type Property struct {
	Name  string
	Type  PropertyType
	Flags PropertyFlag // PropertyLive: set in any state; PropertyReadOnly: only read; PropertyIdentity: not of clones
	Help  string
}

// DeviceKinds lists the kinds of devices that the library has.
func DeviceKinds() ([]string, error) {
	if err := load(); err != nil {
		return nil, err
	}
	if !has("nestvirt_device_get_kind") {
		return nil, unsupported("nestvirt_device_get_kind")
	}
	var kinds []string
	for {
		kind := C.go_nestvirt_device_get_kind(C.uint32_t(len(kinds)))
		if kind == nil {
			return kinds, nil
		}
		kinds = append(kinds, C.GoString(kind))
	}
}

// DeviceProperties lists the properties of a kind.
func DeviceProperties(kind string) ([]Property, error) {
	if err := load(); err != nil {
		return nil, err
	}
	name, err := text("kind", kind)
	if err != nil {
		return nil, err
	}
	defer free(name)
	var found []Property
	for {
		var c C.struct_nestvirt_device_property
		var detail *cError
		C.go_nestvirt_device_property_init(&c, C.sizeof_struct_nestvirt_device_property)
		r := C.go_nestvirt_device_get_property(name, C.uint32_t(len(found)), &c, &detail)
		err := check("nestvirt_device_get_property", r, detail)
		if errors.Is(err, syscall.ENOENT) && len(found) > 0 {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, Property{Name: C.GoString(c.name), Type: PropertyType(c._type),
			Flags: PropertyFlag(c.flags), Help: C.GoString(c.help)})
	}
}

// Kinds keeps the properties of each kind that was asked for, by name.
var kinds sync.Map

// PropertiesOf is the table of a kind's properties.
func propertiesOf(kind string) (map[string]Property, error) {
	if known, ok := kinds.Load(kind); ok {
		return known.(map[string]Property), nil
	}
	list, err := DeviceProperties(kind)
	if err != nil {
		return nil, err
	}
	table := make(map[string]Property, len(list))
	for _, property := range list {
		table[property.Name] = property
	}
	kinds.Store(kind, table)
	return table, nil
}

// AddDevice adds a device with its properties; what is not named has its default. State new.
//
// Unknown names and values of the wrong type are refused before anything happens. If the library refuses a value, such
// as a number out of range, the device is there without it, as devices cannot be removed: close the VM.
func (vm *VM) AddDevice(kind string, properties Properties) (*Device, error) {
	table, err := propertiesOf(kind)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(properties))
	for name, value := range properties {
		property, ok := table[name]
		if !ok {
			return nil, &Error{Code: -int(syscall.ENOENT), Object: kind,
				Message: fmt.Sprintf("%s: has no property %q; see DeviceProperties", kind, name)}
		}
		if err := property.check(kind, value); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	sort.Strings(names)
	device, err := vm.addDevice(kind)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := device.Set(name, properties[name]); err != nil {
			return nil, err
		}
	}
	return device, nil
}

func (vm *VM) addDevice(kind string) (*Device, error) {
	name, err := text("kind", kind)
	if err != nil {
		return nil, err
	}
	defer free(name)
	device := &Device{vm: vm, kind: kind}
	_, err = vm.call("nestvirt_device_add", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_device_add(c, name, &device.c, detail)
	})
	if err != nil {
		return nil, err
	}
	return device, nil
}

// Device is the VM's device of a number, from 0, in the order in which they were added; a clone has those of its
// template's VM. Any state. syscall.ENOENT behind the last one.
func (vm *VM) Device(position int) (*Device, error) {
	number, err := word32("position", position)
	if err != nil {
		return nil, err
	}
	device := &Device{vm: vm}
	_, err = vm.call("nestvirt_device_get", func(c *cVM, detail **cError) C.int {
		return C.go_nestvirt_device_get(c, number, &device.c, detail)
	})
	if err != nil {
		return nil, err
	}
	device.kind, err = device.findKind()
	if err != nil {
		return nil, err
	}
	return device, nil
}

// FindKind tells the kind of a device by its properties, as the library does not: of the kinds whose properties it all
// has, the one with the most. "virtio" is one of the program's own.
func (d *Device) findKind() (string, error) {
	names, err := DeviceKinds()
	if err != nil {
		return "", err
	}
	found, most := "virtio", 0
	for _, name := range names {
		table, err := propertiesOf(name)
		if err != nil {
			return "", err
		}
		if len(table) <= most {
			continue
		}
		hasAll, err := d.hasAll(table)
		if err != nil {
			return "", err
		}
		if hasAll {
			found, most = name, len(table)
		}
	}
	return found, nil
}

// HasAll tells whether the device has all of these properties.
func (d *Device) hasAll(table map[string]Property) (bool, error) {
	for name := range table {
		_, err := d.Get(name)
		switch {
		case errors.Is(err, syscall.ENOENT):
			return false, nil
		case err != nil && !errors.Is(err, syscall.EINVAL): // which a file or a text gives
			return false, err
		}
	}
	return true, nil
}

// Check refuses values of a type that the property does not take.
func (p Property) check(kind string, value interface{}) error {
	parameter := kind + "." + p.Name
	if p.Flags&PropertyReadOnly != 0 {
		return &Error{Code: -int(syscall.EPERM), Object: parameter, Message: parameter + ": can only be read"}
	}
	converted, err := convert(parameter, value)
	if err != nil {
		return err
	}
	ok := false
	switch converted.(type) {
	case bool:
		ok = p.Type == PropertyBool
	case uint64:
		ok = p.Type == PropertyU64 || p.Type == PropertyBool
	case string:
		ok = p.Type == PropertyString
	case syscall.Conn:
		ok = p.Type == PropertyFD
		err = withFD(parameter, converted.(syscall.Conn), func(C.int) error { return nil })
	}
	if !ok {
		return invalid(parameter, "is of type %T; give it a %v", value, p.Type)
	}
	return err
}

// Convert makes a value a bool, uint64, string or syscall.Conn.
func convert(parameter string, value interface{}) (interface{}, error) {
	if file, ok := value.(syscall.Conn); ok {
		return file, nil
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.String:
		c, err := text(parameter, v.String())
		free(c)
		if err == nil && c == nil {
			err = invalid(parameter, "is empty; leave it out for the default")
		}
		return v.String(), err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Int() < 0 {
			return nil, invalid(parameter, "is %d; give it a number that is not negative", v.Int())
		}
		return uint64(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), nil
	}
	return nil, invalid(parameter, "is of type %T; give it a string, bool, whole number, file or FD", value)
}

// Kind is the device's kind, such as "blk".
func (d *Device) Kind() string { return d.kind }

func (d *Device) call(function, name string, f func(name *C.char, detail **cError) C.int) error {
	defer runtime.KeepAlive(d)
	property, err := text("name", name)
	if err != nil {
		return err
	}
	defer free(property)
	_, err = d.vm.call(function, func(_ *cVM, detail **cError) C.int { return f(property, detail) })
	return err
}

// Set sets a property. State new; any for live properties.
func (d *Device) Set(name string, value interface{}) error {
	parameter := d.kind + "." + name
	converted, err := convert(parameter, value)
	if err != nil {
		return err
	}
	if err := d.set(parameter, name, converted); err != nil {
		return err
	}
	d.vm.machine().vsock.note(d.kind, name, converted)
	return nil
}

func (d *Device) set(parameter, name string, converted interface{}) error {
	switch value := converted.(type) {
	case string:
		return d.setString(name, value)
	case syscall.Conn:
		return withFD(parameter, value, func(fd C.int) error {
			return d.call("nestvirt_device_set_fd", name, func(name *C.char, detail **cError) C.int {
				return C.go_nestvirt_device_set_fd(d.c, name, fd, detail)
			})
		})
	case bool:
		if value {
			return d.setU64(name, 1)
		}
		return d.setU64(name, 0)
	}
	return d.setU64(name, converted.(uint64))
}

func (d *Device) setString(name, value string) error {
	c, err := text(d.kind+"."+name, value)
	if err != nil {
		return err
	}
	defer free(c)
	return d.call("nestvirt_device_set_string", name, func(name *C.char, detail **cError) C.int {
		return C.go_nestvirt_device_set_string(d.c, name, c, detail)
	})
}

func (d *Device) setU64(name string, value uint64) error {
	return d.call("nestvirt_device_set_u64", name, func(name *C.char, detail **cError) C.int {
		return C.go_nestvirt_device_set_u64(d.c, name, C.uint64_t(value), detail)
	})
}

// Get reads a number, a truth value (0 or 1) or a counter. Any state.
func (d *Device) Get(name string) (uint64, error) {
	var value C.uint64_t
	err := d.call("nestvirt_device_get_u64", name, func(name *C.char, detail **cError) C.int {
		return C.go_nestvirt_device_get_u64(d.c, name, &value, detail)
	})
	return uint64(value), err
}

// Counters reads all properties that can only be read.
func (d *Device) Counters() (map[string]uint64, error) {
	table, err := propertiesOf(d.kind)
	if err != nil {
		return nil, err
	}
	found := make(map[string]uint64)
	for name, property := range table {
		if property.Flags&PropertyReadOnly == 0 {
			continue
		}
		if found[name], err = d.Get(name); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// U64 is a pointer to a number, for options where zero is not the default.
func U64(value uint64) *uint64 { return &value }

// Bool is a pointer to a truth value, for options that are on by default.
func Bool(value bool) *bool { return &value }

// Properties are those of a struct of options that are not zero.
func properties(options interface{}) Properties {
	found := Properties{}
	v := reflect.ValueOf(options)
	for i := 0; i < v.NumField(); i++ {
		field := v.Field(i)
		if field.IsZero() {
			continue
		}
		value := field.Interface()
		if field.Kind() == reflect.Pointer {
			value = field.Elem().Interface()
		}
		found[v.Type().Field(i).Tag.Get("nestvirt")] = value
	}
	return found
}
