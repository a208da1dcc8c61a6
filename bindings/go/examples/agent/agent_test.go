// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	guestExit = "\xba\x01\x05\xb0\x07\xee\xf4"                 // mov $0x501,%dx; mov $7,%al; out %al,%dx; hlt
	guestSpin = "\x31\xc0\x8e\xd8\x66\xff\x06\x00\x30\xeb\xf9" // xor %ax,%ax; mov %ax,%ds; 1: incl 0x3000; jmp 1b
	guestTalk = "\xba\xf8\x03\xb0\x68\xee\xb0\x69\xee\xf4"     // mov $0x3f8,%dx; mov $'h',%al; out; mov $'i',%al; out; hlt
)

func TestMain(m *testing.M) {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		fmt.Println("SKIP: there is no /dev/kvm on this machine")
		os.Exit(77)
	}
	os.Exit(m.Run())
}

// A stage is the service and its client as programs, in a folder of their own.
type stage struct {
	t      *testing.T
	folder string
	socket string
	agent  *exec.Cmd
}

func newStage(t *testing.T, arguments ...string) *stage {
	t.Helper()
	s := &stage{t: t, folder: t.TempDir()}
	s.socket = filepath.Join(s.folder, "socket")
	build := exec.Command("go", "build", "-o", s.folder+"/", "nestvirt/examples/agent", "nestvirt/examples/agentctl")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	for name, code := range map[string]string{"exit": guestExit, "spin": guestSpin, "talk": guestTalk} {
		if err := os.WriteFile(filepath.Join(s.folder, name), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.agent = exec.Command(filepath.Join(s.folder, "agent"), append([]string{"-socket", s.socket}, arguments...)...)
	s.agent.Stderr = os.Stderr
	if err := s.agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.agent.Process.Kill() }) // no more than an error where it has ended
	s.eventually("the service listens", func() bool { _, err := os.Stat(s.socket); return err == nil })
	return s
}

func (s *stage) eventually(what string, isSo func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !isSo(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not in 30 seconds", what)
		}
	}
}

// Ctl runs the client and gives what it prints.
func (s *stage) ctl(words ...string) (string, error) {
	command := exec.Command(filepath.Join(s.folder, "agentctl"), append([]string{"-socket", s.socket}, words...)...)
	command.Dir = s.folder
	output, err := command.CombinedOutput()
	return string(output), err
}

// Want ends the test unless the client succeeds and prints what the pattern says.
func (s *stage) want(pattern string, words ...string) {
	s.t.Helper()
	output, err := s.ctl(words...)
	if err != nil || !regexp.MustCompile(pattern).MatchString(output) {
		s.t.Fatalf("%q: %v, printed\n%s", words, err, output)
	}
}

// Refused ends the test unless the client fails with what the pattern says.
func (s *stage) refused(pattern string, words ...string) {
	s.t.Helper()
	output, err := s.ctl(words...)
	if err == nil || !regexp.MustCompile(pattern).MatchString(output) {
		s.t.Fatalf("%q: %v, printed\n%s", words, err, output)
	}
}

// Status is that of the answer to a request by hand.
func (s *stage) status(method, path, body string) int {
	s.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	request, err := http.NewRequest(method, "http://vms"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || (response.StatusCode >= 400 && !bytes.Contains(text, []byte(`{"error":"`))) {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, text)
	}
	return response.StatusCode
}

// End lets the service end itself and checks that nothing is left.
func (s *stage) end() {
	s.t.Helper()
	if err := s.agent.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.agent.Wait(); err != nil {
		s.t.Fatalf("the service ended with %v", err)
	}
	if _, err := os.Stat(s.socket); !os.IsNotExist(err) {
		s.t.Fatalf("the socket is left: %v", err)
	}
}

// The life of VMs as the client sees it.
func TestLife(t *testing.T) {
	s := newStage(t)
	if info, err := os.Stat(s.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket is %v: %v", info.Mode(), err)
	}
	s.want(`^NAME +STATE +VCPUS +MEMORY +AGE +CPU +RESULT\n$`, "list")
	s.want(`spin +running +1 +1 MiB`, "create", "spin", "-memory", "1", "-bare", "spin")
	s.want(`exit `, "create", "exit", "-memory", "1", "-bare", "exit")
	s.want(`talk `, "create", "talk", "-memory", "1", "-bare", "talk")
	s.eventually("the guest exits", func() bool {
		output, _ := s.ctl("show", "exit")
		return strings.Contains(output, "guest exit, code 7")
	})
	s.eventually("the guest speaks", func() bool { output, _ := s.ctl("console", "talk"); return output == "hi" })
	s.want(`(?s)exit +stopped.*spin +running.*talk +running`, "list")
	s.want(`spin +paused`, "pause", "spin")
	s.refused(`409 Conflict: .*paused`, "pause", "spin")
	s.want(`spin +running`, "resume", "spin")
	s.refused(`409 Conflict`, "resume", "spin")
	s.refused(`409 Conflict`, "start", "spin")
	s.want(`spin +stopped .* stopped`, "stop", "spin")
	s.refused(`409 Conflict`, "pause", "spin")
	s.want(`spin +running`, "start", "spin")
	s.want(`^$`, "delete", "spin")
	s.refused(`404 Not Found: unknown VM "spin"`, "show", "spin")
	s.refused(`404 Not Found`, "delete", "spin")
	s.want(`spin +running`, "create", "spin", "-memory", "1", "-bare", "spin") // the name is free again
	s.end()                                                                    // while VMs run
}

// What cannot be is refused with a fitting status, and changes nothing.
func TestRefused(t *testing.T) {
	s := newStage(t, "-vms", "1", "-memory", "16", "-vcpus", "2")
	spin := fmt.Sprintf(`{"name":"%%s","memory_mib":1,"bare":{"image":%q,"address":4096,"entry":4096}}`,
		base64.StdEncoding.EncodeToString([]byte(guestSpin)))
	for _, one := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/vms", `{`, 400},
		{"POST", "/vms", ``, 400},
		{"POST", "/vms", `[]`, 400},
		{"POST", "/vms", fmt.Sprintf(spin, "two") + `{}`, 400},
		{"POST", "/vms", strings.Replace(fmt.Sprintf(spin, "a"), "{", `{"color":"red",`, 1), 400},
		{"POST", "/vms", `{"name":"../a","memory_mib":1,"kernel":"/k"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":17,"kernel":"/k"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1,"vcpus":3,"kernel":"/k"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1,"kernel":"/none"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1,"kernel":"/dev/null/none"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1,"kernel":"` + strings.Repeat("k", 5000) + `"}`, 400},
		{"POST", "/vms", `{"name":"a","memory_mib":1,"kernel":"` + s.socket + `"}`, 400},
		{"POST", "/vms", strings.Replace(fmt.Sprintf(spin, "a"), "{", `{"disks":[{}`+strings.Repeat(",{}", 99)+`],`, 1), 400},
		{"POST", "/vms", strings.Repeat(" ", bodyMax+1), 413},
		{"PUT", "/vms", ``, 405},
		{"POST", "/vms/a", ``, 405},
		{"GET", "/vms/a", ``, 404},
		{"POST", "/vms/a/pause", ``, 404},
		{"GET", "/", ``, 404},
		{"GET", "/vms/a/b/c", ``, 404},
		{"POST", "/vms", fmt.Sprintf(spin, "one"), 201},
		{"POST", "/vms", fmt.Sprintf(spin, "one"), 409},
		{"POST", "/vms", fmt.Sprintf(spin, "two"), 503},
		{"POST", "/vms/one/fly", ``, 404},
		{"GET", "/vms/one/pause", ``, 405},
		{"POST", "/vms/one/resume", ``, 409},
		{"DELETE", "/vms/one", ``, 204},
		{"POST", "/vms", fmt.Sprintf(spin, "two"), 201},
	} {
		if got := s.status(one.method, one.path, one.body); got != one.status {
			t.Fatalf("%s %s %.60s: %d, not %d", one.method, one.path, one.body, got, one.status)
		}
	}
	second := exec.Command(filepath.Join(s.folder, "agent"), "-socket", s.socket)
	if output, err := second.CombinedOutput(); err == nil || !bytes.Contains(output, []byte("another service")) {
		t.Fatalf("a second service: %v\n%s", err, output)
	}
	s.end()
}

// Clients that make and delete the same VMs at once, and others that never end their request, keep nothing and do not
// keep the service from ending.
func TestHostileClients(t *testing.T) {
	s := newStage(t)
	for i := 0; i < 20; i++ {
		slow, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		fmt.Fprint(slow, "POST /vms HTTP/1.1\r\nHost: vms\r\nContent-Length: 1000\r\n\r\n{"[:10+i*2])
	}
	spin := fmt.Sprintf(`{"name":"%%s","memory_mib":1,"bare":{"image":%q,"address":4096,"entry":4096}}`,
		base64.StdEncoding.EncodeToString([]byte(guestSpin)))
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			name := fmt.Sprintf("vm%d", i%2)
			for j := 0; j < 10; j++ {
				s.oneOf("POST", "/vms", fmt.Sprintf(spin, name), 201, 404, 409)
				s.oneOf("POST", "/vms/"+name+"/stop", "", 200, 404, 409)
				s.oneOf("DELETE", "/vms/"+name, "", 204, 404)
			}
		}(i)
	}
	all.Wait()
	s.eventually("all VMs are gone", func() bool {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.agent.Process.Pid))
		output, failed := s.ctl("list")
		return err == nil && failed == nil && !strings.Contains(output, "vm") && len(threads) < 40
	})
	s.end()
}

// OneOf fails the test unless an answer's status is one of those.
func (s *stage) oneOf(method, path, body string, statuses ...int) {
	got := s.status(method, path, body)
	for _, status := range statuses {
		if got == status {
			return
		}
	}
	s.t.Errorf("%s %s: %d, not one of %v", method, path, got, statuses)
}

// A socket that a dead service has left is replaced; another file is not.
func TestLeftSocket(t *testing.T) {
	s := newStage(t)
	if err := s.agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.agent.Wait() // it was killed
	again := exec.Command(filepath.Join(s.folder, "agent"), "-socket", s.socket)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer again.Process.Kill()
	s.agent = again
	s.eventually("the service answers", func() bool { _, err := s.ctl("list"); return err == nil })
	s.end()
	file := filepath.Join(s.folder, "exit")
	if output, err := exec.Command(filepath.Join(s.folder, "agent"), "-socket", file).CombinedOutput(); err == nil {
		t.Fatalf("a file was replaced\n%s", output)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
}

// Linux runs in the service, and says so on its console.
func TestLinux(t *testing.T) {
	kernel, initrd := os.Getenv("NESTVIRT_TEST_KERNEL_FAST"), os.Getenv("NESTVIRT_TEST_INITRD")
	if kernel == "" || initrd == "" {
		t.Skip("SKIP: NESTVIRT_TEST_KERNEL_FAST and NESTVIRT_TEST_INITRD name no kernel")
	}
	s := newStage(t)
	s.want(`linux +running +1 +128 MiB`, "create", "linux", "-memory", "128", "-kernel", kernel+"/vmlinux", "-initrd",
		initrd, "-cmdline", "console=ttyS0 reboot=k panic=-1 nokaslr mitigations=off noxsave no_timer_check lpj=1000000 "+
			"clearcpuid=308,295,514,151,141,288,158,306,298,145,534")
	s.eventually("Linux speaks", func() bool {
		output, _ := s.ctl("console", "linux")
		return strings.Contains(output, "Linux version")
	})
	s.want(`^$`, "delete", "linux")
	s.end()
}
