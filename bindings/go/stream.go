// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"errors"
	"io"
	"os"
	"time"
)

// Stream is the program's end of a serial port or of a console: what the guest prints is read from it, what is written
// to it the guest reads. It holds no thread while it waits.
//
// Reading gives io.EOF when the VM is closed and all is read; what a guest prints while nobody reads for long is lost.
// The stream stays open when the VM is closed: close it too.
type Stream struct {
	device *Device
	reader *os.File
	writer *os.File
}

var _ io.ReadWriteCloser = (*Stream)(nil)

// OpenSerial adds a serial port whose Input and Output are a stream. State new.
func (vm *VM) OpenSerial(options Serial) (*Stream, error) {
	if options.Input != nil || options.Output != nil {
		return nil, invalid("Serial.Input and Output", "are set; the stream takes their place")
	}
	return openStream(func(input, output *os.File) (*Device, error) {
		options.Input, options.Output = input, output
		return vm.AddSerial(options)
	})
}

// OpenConsole adds a console whose port 0 is a stream. State new.
func (vm *VM) OpenConsole(options Console) (*Stream, error) {
	if options.Input != nil || options.Output != nil {
		return nil, invalid("Console.Input and Output", "are set; the stream takes their place")
	}
	return openStream(func(input, output *os.File) (*Device, error) {
		options.Input, options.Output = input, output
		return vm.AddConsole(options)
	})
}

// OpenStream makes a stream the input and output of a serial port or of a console's port 0, such as that of a clone,
// which has none. State new.
func (d *Device) OpenStream() (*Stream, error) {
	return openStream(func(input, output *os.File) (*Device, error) {
		if err := d.Set("input", input); err != nil {
			return nil, err
		}
		return d, d.Set("output", output)
	})
}

// OpenStream makes the pipes and gives their other ends to a device, which duplicates them.
func openStream(add func(input, output *os.File) (*Device, error)) (*Stream, error) {
	input, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer input.Close()
	reader, output, err := os.Pipe()
	if err != nil {
		writer.Close()
		return nil, err
	}
	defer output.Close()
	device, err := add(input, output)
	if err != nil {
		writer.Close()
		reader.Close()
		return nil, err
	}
	return &Stream{device, reader, writer}, nil
}

// Device is the serial port or the console.
func (s *Stream) Device() *Device { return s.device }

// Read reads what the guest has printed; it waits until there is something.
func (s *Stream) Read(data []byte) (int, error) { return s.reader.Read(data) }

// Write gives the guest input; it waits while the guest does not take it and 64 KiB are under way.
func (s *Stream) Write(data []byte) (int, error) { return s.writer.Write(data) }

// SetReadDeadline sets when Read gives os.ErrDeadlineExceeded; the zero time is never.
func (s *Stream) SetReadDeadline(when time.Time) error { return s.reader.SetReadDeadline(when) }

// SetWriteDeadline sets when Write gives os.ErrDeadlineExceeded; the zero time is never.
func (s *Stream) SetWriteDeadline(when time.Time) error { return s.writer.SetWriteDeadline(when) }

// Close closes the program's end; waiting reads and writes give os.ErrClosed. Closing it again does nothing.
func (s *Stream) Close() error {
	if s == nil {
		return nil
	}
	for _, file := range []*os.File{s.reader, s.writer} {
		if err := file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	return nil
}
