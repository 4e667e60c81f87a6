package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"syscall"

	"github.com/gophercloud/gophercloud/v2"

	"poise/internal/lab"
)

// Exit codes.
const (
	exitFailure     = 1
	exitInterrupted = 130 // as shells say of a command that SIGINT ended
)

// ExitCode is what the process ends with after err.
func ExitCode(err error) int {
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return exitFailure
}

// Hint says what to type next after err, "" when that is not known.
func Hint(err error) string {
	var refused *apiError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another server has this address; choose one with: poise serve --listen 127.0.0.1:9877"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no server answers there; start it with: poise serve"
	case errors.Is(err, lab.ErrMissing):
		return "make it with: poise lab up"
	case errors.Is(err, syscall.EPERM):
		return "this needs root: repeat the command with sudo"
	case errors.Is(err, fs.ErrPermission):
		return "the file belongs to somebody else: repeat the command as the user that runs poise serve"
	case errors.Is(err, errNoCloud):
		return "choose an entry of the file with: --cloud NAME"
	case errors.Is(err, fs.ErrNotExist):
		return "a server writes its credentials at its first start: poise serve; or say where they are with --data-dir DIR"
	case errors.As(err, &refused) && refused.status == http.StatusUnauthorized:
		return "the credentials are not this server's; say where its own are with --data-dir DIR"
	case errors.As(err, &refused) && refused.status == http.StatusForbidden:
		return "this needs an administrator: --cloud poise-admin"
	}
	return ""
}

// apiError is a refusal by a server, in its own words.
type apiError struct {
	status int
	text   string
	cause  error
}

func (e *apiError) Error() string { return e.text }

func (e *apiError) Unwrap() error { return e.cause }

// readable puts what the server said in the place of what the client library makes of it.
func readable(err error) error {
	var refused gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &refused) {
		return err
	}
	message := faultOf(refused.Body)
	if message == "" {
		message = http.StatusText(refused.Actual)
	}
	message = fmt.Sprintf("%s (HTTP %d)", message, refused.Actual)
	return &apiError{refused.Actual, strings.Replace(err.Error(), refused.Error(), message, 1), err}
}

// faultOf is the message in the body of a refusal, in the form of any of the services; "" for none.
func faultOf(body []byte) string {
	var flat struct {
		FaultString string `json:"faultstring"` // Octavia
	}
	if json.Unmarshal(body, &flat) == nil && flat.FaultString != "" {
		return flat.FaultString
	}
	var nested map[string]struct { // NeutronError, error (Keystone), badRequest and the like (Nova)
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &nested) // a body in another form has no message for us
	for _, fault := range nested {
		if fault.Message != "" {
			return fault.Message
		}
	}
	return ""
}
