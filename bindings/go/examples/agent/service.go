// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"

	"nestvirt"
	"nestvirt/examples/wire"
)

// BodyMax is the longest body of a request, in bytes: a bare guest's image as base64, and some text.
const bodyMax = 1 << 20

// A service answers the requests that package wire describes.
type service struct {
	machines *machines
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case path[0] != "vms" || len(path) > 3:
		fail(w, http.StatusNotFound, "there is no "+r.URL.Path)
	case len(path) == 1:
		s.all(w, r)
	case len(path) == 2:
		s.one(w, r, path[1])
	case path[2] == "console":
		s.console(w, r, path[1])
	default:
		s.order(w, r, path[1], path[2])
	}
}

// All answers for /vms.
func (s *service) all(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	if r.Method == http.MethodGet {
		answer(w, http.StatusOK, s.machines.list())
		return
	}
	var spec wire.Spec
	if err := decode(w, r, &spec); err != nil {
		refuse(w, err)
		return
	}
	made, err := s.machines.add(spec)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Location", "/vms/"+spec.Name)
	s.status(w, http.StatusCreated, made)
}

// One answers for /vms/NAME.
func (s *service) one(w http.ResponseWriter, r *http.Request, name string) {
	if !allow(w, r, http.MethodGet, http.MethodDelete) {
		return
	}
	if r.Method == http.MethodDelete {
		if err := s.machines.remove(name); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	found, err := s.machines.get(name)
	if err != nil {
		refuse(w, err)
		return
	}
	s.status(w, http.StatusOK, found)
}

// Console answers for /vms/NAME/console.
func (s *service) console(w http.ResponseWriter, r *http.Request, name string) {
	if !allow(w, r, http.MethodGet) {
		return
	}
	found, err := s.machines.get(name)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff") // a guest chooses these bytes
	w.Write(found.console())
}

// Order answers for /vms/NAME/pause and the like.
func (s *service) order(w http.ResponseWriter, r *http.Request, name, order string) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	found, err := s.machines.get(name)
	if err == nil {
		err = found.do(order)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	s.status(w, http.StatusOK, found)
}

func (s *service) status(w http.ResponseWriter, code int, found *machine) {
	status, err := found.status()
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, code, status)
}

// Allow refuses other methods.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is not for %s", r.Method, r.URL.Path))
	return false
}

// Decode reads one JSON value, of limited length and without unknown fields.
func decode(w http.ResponseWriter, r *http.Request, value interface{}) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(value)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return nil
		} else if err == nil {
			err = errors.New("more than one value")
		}
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return err
	}
	return fmt.Errorf("%w: the body is not the JSON of a VM: %v", errBadRequest, err)
}

// Statuses are those of errors, of which the first that matches counts.
var statuses = []struct {
	err    error
	status int
}{
	{errBadRequest, http.StatusBadRequest},
	{errUnknownOrder, http.StatusNotFound},
	{errUnknownVM, http.StatusNotFound},
	{errNameTaken, http.StatusConflict},
	{errFull, http.StatusServiceUnavailable},
	{errGoing, http.StatusServiceUnavailable},
	{nestvirt.ErrClosed, http.StatusNotFound}, // another client deletes it
	{syscall.EBUSY, http.StatusConflict},
	{syscall.EALREADY, http.StatusConflict},
	{syscall.ENOMEM, http.StatusServiceUnavailable},
	{syscall.EMFILE, http.StatusServiceUnavailable},
	{syscall.ENFILE, http.StatusServiceUnavailable},
	{syscall.EAGAIN, http.StatusServiceUnavailable},
	{syscall.EACCES, http.StatusForbidden},
	{syscall.EPERM, http.StatusForbidden},
	{syscall.ENOENT, http.StatusBadRequest}, // of a kernel or a disk
	{syscall.EINVAL, http.StatusBadRequest},
	{syscall.ENOEXEC, http.StatusBadRequest},
	{syscall.E2BIG, http.StatusBadRequest},
	{syscall.EEXIST, http.StatusBadRequest},
	{syscall.EISDIR, http.StatusBadRequest},
	{syscall.ENOTDIR, http.StatusBadRequest},
	{syscall.ELOOP, http.StatusBadRequest},
	{syscall.ENXIO, http.StatusBadRequest},
	{syscall.ENAMETOOLONG, http.StatusBadRequest},
	{syscall.ENOSPC, http.StatusBadRequest}, // too many devices
	{nestvirt.EInvalidVM, http.StatusBadRequest},
	{syscall.ENOTSUP, http.StatusNotImplemented},
}

// Refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit))
		return
	}
	for _, row := range statuses {
		if errors.Is(err, row.err) {
			fail(w, row.status, err.Error())
			return
		}
	}
	fail(w, http.StatusInternalServerError, err.Error())
}

func fail(w http.ResponseWriter, status int, text string) {
	answer(w, status, wire.Error{Error: text})
}

func answer(w http.ResponseWriter, status int, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // a client that has gone does not need it
}
