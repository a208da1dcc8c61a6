// SPDX-License-Identifier: Apache-2.0

// Program agentctl asks the service of the example agent to make, show and end virtual machines.
//
//	agentctl -socket /run/vms.sock create web1 -kernel vmlinux -initrd initrd.cpio -cmdline "console=ttyS0"
//	agentctl -socket /run/vms.sock create tiny -memory 1 -bare guest.bin -address 0x1000
//	agentctl -socket /run/vms.sock list
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"nestvirt/examples/wire"
)

const usage = `usage: agentctl -socket PATH COMMAND

  create NAME (-kernel FILE [-initrd FILE] [-cmdline TEXT] | -bare FILE [-address N] [-entry N] [-mode MODE])
              [-memory MIB] [-vcpus N] [-disk FILE]... [-tap NAME]...
  list                           all virtual machines
  show NAME                      one of them
  console NAME                   the last that it has printed
  pause | resume | stop | start NAME
  delete NAME
`

func main() {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	socket := flag.String("socket", "", "")
	flag.Parse()
	if *socket == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(newClient(*socket), flag.Args(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(c *client, words []string, out io.Writer) error {
	command, words := words[0], words[1:]
	if command == "list" && len(words) == 0 {
		var list wire.List
		if err := c.call("GET", "/vms", nil, &list); err != nil {
			return err
		}
		return table(out, list.VMs)
	}
	if len(words) == 0 {
		return fmt.Errorf("%s: give it a NAME; see agentctl -help", command)
	}
	name := words[0]
	if command == "create" {
		return create(c, name, words[1:], out)
	}
	if len(words) > 1 {
		return fmt.Errorf("%s: %q is too much", command, words[1])
	}
	var status wire.Status
	switch command {
	case "show":
		if err := c.call("GET", machine(name), nil, &status); err != nil {
			return err
		}
		return show(out, status)
	case "console":
		text, err := c.raw("GET", machine(name)+"/console", nil)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	case "pause", "resume", "stop", "start":
		if err := c.call("POST", machine(name)+"/"+command, nil, &status); err != nil {
			return err
		}
		return table(out, []wire.Status{status})
	case "delete":
		return c.call("DELETE", machine(name), nil, nil)
	}
	return fmt.Errorf("unknown command %q; see agentctl -help", command)
}

// Words is a flag that may be given several times.
type words []string

func (w *words) String() string { return strings.Join(*w, " ") }

func (w *words) Set(value string) error {
	*w = append(*w, value)
	return nil
}

func create(c *client, name string, arguments []string, out io.Writer) error {
	var bare string
	var disks, taps words
	guest := wire.Bare{}
	spec := wire.Spec{Name: name}
	flags := flag.NewFlagSet("create", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	flags.Uint64Var(&spec.MemoryMiB, "memory", 256, "")
	flags.IntVar(&spec.VCPUs, "vcpus", 1, "")
	flags.StringVar(&spec.Kernel, "kernel", "", "")
	flags.StringVar(&spec.Initrd, "initrd", "", "")
	flags.StringVar(&spec.Cmdline, "cmdline", "", "")
	flags.StringVar(&bare, "bare", "", "")
	flags.Uint64Var(&guest.Address, "address", 0x1000, "")
	flags.Uint64Var(&guest.Entry, "entry", 0, "")
	flags.StringVar(&guest.Mode, "mode", "real", "")
	flags.Var(&disks, "disk", "")
	flags.Var(&taps, "tap", "")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("create: %q belongs to no option", flags.Arg(0))
	}
	if bare != "" {
		image, err := os.ReadFile(bare)
		if err != nil {
			return err
		}
		if guest.Entry == 0 {
			guest.Entry = guest.Address
		}
		guest.Image, spec.Bare = image, &guest
	}
	for _, path := range disks {
		spec.Disks = append(spec.Disks, wire.Disk{Path: path})
	}
	spec.Taps = taps
	var status wire.Status
	if err := c.call("POST", "/vms", spec, &status); err != nil {
		return err
	}
	return table(out, []wire.Status{status})
}

// Table prints VMs in columns.
func table(out io.Writer, all []wire.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tVCPUS\tMEMORY\tAGE\tCPU\tRESULT")
	for _, one := range all {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d MiB\t%v\t%v\t%s\n", one.Name, one.State, one.VCPUs, one.MemoryMiB,
			seconds(one.AgeSeconds, time.Second), seconds(one.CPUSeconds, time.Millisecond), result(one))
	}
	return w.Flush()
}

// Show prints a VM line by line.
func show(out io.Writer, one wire.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s\nstate\t%s\nvcpus\t%d\nmemory\t%d MiB\nage\t%v\ncpu time\t%v\nresult\t%s\n", one.Name,
		one.State, one.VCPUs, one.MemoryMiB, seconds(one.AgeSeconds, time.Second),
		seconds(one.CPUSeconds, time.Millisecond), result(one))
	return w.Flush()
}

func seconds(value float64, unit time.Duration) time.Duration {
	return time.Duration(value * float64(time.Second)).Round(unit)
}

func result(one wire.Status) string {
	switch {
	case one.Result == "":
		return "-"
	case one.ExitCode != nil:
		return fmt.Sprintf("%s, code %d", one.Result, *one.ExitCode)
	}
	return one.Result
}
