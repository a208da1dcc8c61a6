// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() {
	roles["return"] = func() int { return withRunningVMs(func() int { return 3 }) }
	roles["exit"] = func() int {
		return withRunningVMs(func() int {
			go os.Exit(4)
			select {}
		})
	}
	roles["panic"] = func() int { return withRunningVMs(func() int { panic("the program's own") }) }
	roles["kill"] = func() int {
		return withRunningVMs(func() int {
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
			time.Sleep(time.Minute)
			return 1
		})
	}
}

// WithRunningVMs lets VMs run into their handlers, whose goroutines are then at any place.
func withRunningVMs(end func() int) int {
	host, err := OpenHost("")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	calls := make(chan bool, 1)
	for i := 0; i < 4; i++ {
		vm, err := makeSpinning(host, func(*VCPU, *Exit) Action {
			select {
			case calls <- true:
			default:
			}
			return ActionDefault
		})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		vm.Events()
		<-calls
	}
	return end()
}

// The program ends while VMs run, in each way, at once and with its own status.
func TestS10ProgramEnds(t *testing.T) {
	for _, one := range []struct {
		role   string
		status int
		output string
	}{
		{"return", 3, ""},
		{"exit", 4, ""},
		{"panic", 2, "panic: the program's own"},
		{"kill", -1, ""},
	} {
		t.Run(one.role, func(t *testing.T) {
			for i := 0; i < 5; i++ {
				begin := time.Now()
				output, status := runRole(t, one.role)
				if status != one.status || !strings.HasPrefix(output, one.output) || (one.output == "") != (output == "") {
					t.Fatalf("status %d, output %q", status, output)
				}
				if time.Since(begin) > 20*time.Second {
					t.Errorf("it took %v", time.Since(begin))
				}
			}
		})
	}
}
