package barbican

import (
	"errors"
	"fmt"
	"net/http"

	"poise/internal/rest"
)

// ErrNotFound and ErrForbidden tell apart why a [Service] does not hand out a secret; every refusal is an ErrRefused.
var (
	ErrNotFound  = errors.New("not found")
	ErrForbidden = errors.New("forbidden")
	ErrRefused   = errors.New("refused")
)

// fault is a refusal in Barbican's form. Its message is fit for the user's eyes.
type fault struct {
	status  int
	message string
}

func (f *fault) Error() string { return f.message }

// Is makes a fault known to others by [ErrNotFound], [ErrForbidden] and [ErrRefused].
func (f *fault) Is(target error) bool {
	return target == ErrRefused || (target == ErrNotFound && f.status == http.StatusNotFound) || (target == ErrForbidden && f.status == http.StatusForbidden)
}

func errBad(format string, args ...any) error {
	return &fault{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// errBadField says which attribute of the request is wrong, and why.
func errBadField(field, format string, args ...any) error {
	return errBad("Invalid value for '%s': %s.", field, fmt.Sprintf(format, args...))
}

func errNotFound(k kind) error {
	if k == containers {
		return &fault{http.StatusNotFound, "Container not found."}
	}
	return &fault{http.StatusNotFound, "Secret not found."}
}

func errMissing(what string) error {
	return &fault{http.StatusNotFound, what + " not found."}
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

func errForbidden(action string) error {
	return &fault{http.StatusForbidden, "Not allowed: your roles and the access list do not let you " + action + "."}
}

func errQuota(what string, most int) error {
	return &fault{http.StatusForbidden, fmt.Sprintf("Not allowed: there can be no more than %d %s.", most, what)}
}

func errConflict(message string) error {
	return &fault{http.StatusConflict, message}
}

func errTooLarge(format string, args ...any) error {
	return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf(format, args...)}
}

func errMediaType(wanted string) error {
	return &fault{http.StatusUnsupportedMediaType, "The Content-Type has to be " + wanted + "."}
}

func errNotAcceptable(format string, args ...any) error {
	return &fault{http.StatusNotAcceptable, fmt.Sprintf(format, args...)}
}

// writeFault is the one place where errors become answers. What is not a refusal goes to the log, and the client is
// told only under which request to find it there.
func (s *Service) writeFault(w http.ResponseWriter, r *http.Request, err error) {
	f := s.asFault(r, err)
	rest.WriteJSON(w, f.status, object{"code": f.status, "title": http.StatusText(f.status), "description": f.message})
}

func (s *Service) asFault(r *http.Request, err error) *fault {
	var f *fault
	var undecodable *rest.DecodeError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &undecodable):
		return &fault{http.StatusBadRequest, undecodable.Message}
	case errors.Is(err, rest.ErrNoRoute):
		return &fault{http.StatusNotFound, "There is nothing here: this key manager offers secrets and containers."}
	case errors.Is(err, rest.ErrMethod):
		return &fault{http.StatusMethodNotAllowed, "The method is not allowed for the requested URL."}
	}
	if status, ok := rest.Status(err); ok {
		return &fault{status, err.Error()}
	}
	id := rest.RequestID(r.Context())
	s.log.ErrorContext(r.Context(), "key manager request failed", "request", id, "err", err)
	return &fault{http.StatusInternalServerError, "An unexpected error; the server's log has it under " + id + "."}
}
