package keystone

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"poise/internal/database"
	"poise/internal/rest"
)

// fault is a refusal in Keystone's form. Its message is fit for the user's eyes.
type fault struct {
	status     int
	message    string
	retryAfter time.Duration // 0: not said
}

func (f *fault) Error() string { return f.message }

var (
	errUnauthorized = &fault{status: http.StatusUnauthorized, message: "The request you have made requires authentication."}
	errNoToken      = &fault{status: http.StatusNotFound, message: "Could not find token."}
)

// errBadField says which attribute of the request is wrong, and why.
func errBadField(field, format string, args ...any) error {
	return &fault{status: http.StatusBadRequest, message: fmt.Sprintf("Invalid input for field '%s': ", field) + fmt.Sprintf(format, args...)}
}

func errNotFound(kind, id string) error {
	return &fault{status: http.StatusNotFound, message: fmt.Sprintf("Could not find %s: %s.", kind, id)}
}

func errForbidden(action string) error {
	return &fault{status: http.StatusForbidden, message: fmt.Sprintf("You are not authorized to perform the requested action: %s.", action)}
}

func errConflict(kind, details string) error {
	return &fault{status: http.StatusConflict, message: fmt.Sprintf("Conflict occurred attempting to store %s - %s.", kind, details)}
}

func errDuplicate(kind, name string) error {
	return errConflict(kind, "Duplicate entry found with name "+name)
}

func errTooMany(retryAfter time.Duration) error {
	return &fault{
		status: http.StatusTooManyRequests, retryAfter: retryAfter,
		message: "Too many failed logins for this user; try again later.",
	}
}

// writeFault is the one place where errors become answers. What is not a refusal goes to the log, and the client is
// told only under which request to find it there.
func (s *Service) writeFault(w http.ResponseWriter, r *http.Request, err error) {
	f := s.asFault(r, err)
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", s.publicURL))
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	rest.WriteJSON(w, f.status, map[string]any{"error": map[string]any{
		"code": f.status, "title": http.StatusText(f.status), "message": f.message,
	}})
}

func (s *Service) asFault(r *http.Request, err error) *fault {
	var f *fault
	var undecodable *rest.DecodeError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &undecodable):
		return &fault{status: http.StatusBadRequest, message: undecodable.Message}
	case database.IsReference(err):
		return &fault{status: http.StatusConflict, message: "What the request refers to is being deleted by another one."}
	case errors.Is(err, rest.ErrUnauthenticated):
		return errUnauthorized
	case errors.Is(err, rest.ErrNoRoute):
		return &fault{status: http.StatusNotFound, message: "The resource could not be found."}
	case errors.Is(err, rest.ErrMethod):
		return &fault{status: http.StatusMethodNotAllowed, message: "The method is not allowed for the requested URL."}
	}
	if status, ok := rest.Status(err); ok {
		return &fault{status: status, message: err.Error()}
	}
	id := rest.RequestID(r.Context())
	s.log.ErrorContext(r.Context(), "identity request failed", "request", id, "err", err)
	return &fault{
		status:  http.StatusInternalServerError,
		message: "An unexpected error prevented the server from fulfilling your request; the server's log has it under " + id + ".",
	}
}
