// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"nestvirt/examples/wire"
)

// AnswerMax is the longest answer that is read, in bytes.
const answerMax = 4 << 20

// A client talks to the service at a Unix socket.
type client struct {
	http *http.Client
}

func newClient(socket string) *client {
	transport := &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	return &client{&http.Client{Transport: transport, Timeout: 60 * time.Second}}
}

// Call sends a request and reads its answer into result, which may be nil.
func (c *client) call(method, path string, body, result interface{}) error {
	answer, err := c.raw(method, path, body)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(answer, result)
}

// Raw sends a request and gives the answer's body, or the error in it.
func (c *client) raw(method, path string, body interface{}) ([]byte, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, "http://vms"+path, sent)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which means nothing
		}
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil || response.StatusCode < 300 {
		return answer, err
	}
	var failure wire.Error
	if json.Unmarshal(answer, &failure) != nil || failure.Error == "" {
		failure.Error = "the answer is not one of this service"
	}
	return nil, fmt.Errorf("%d %s: %s", response.StatusCode, http.StatusText(response.StatusCode), failure.Error)
}

// Machine is the path of a VM.
func machine(name string) string { return "/vms/" + url.PathEscape(name) }
