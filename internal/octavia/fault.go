package octavia

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"poise/internal/lb"
	"poise/internal/rest"
)

// refusal is an error of the wire itself: a request that cannot be read, or that is not one for this API.
type refusal struct {
	status  int
	message string
	// routing selects Octavia's second form of error, that of its router, which says code, title and description.
	routing bool
	title   string // of the routing form; "" means the status' own
	field   string // the attribute that it is about, "" when it is about none
}

func (e *refusal) Error() string { return e.message }

func errBadRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

func errRouting(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...), routing: true}
}

func errUnknownArgument(name string) error { return errBadRequest("Unknown argument: \"%s\"", name) }

func errMissingArgument(name string) error { return errBadRequest("Missing argument: \"%s\"", name) }

// errInput refuses the value of one attribute.
func errInput(attribute string, value any, message string) error {
	return &refusal{
		status: http.StatusBadRequest, field: attribute,
		message: fmt.Sprintf("Invalid input for field/attribute %s. Value: '%s'. %s", attribute, pythonText(value), message),
	}
}

func errForbidden() error {
	return &lb.Error{Code: lb.Forbidden, Message: "Policy does not allow this request to be performed."}
}

// inPath turns the "not found" of an object that the URL names as a parent into the form, and the spelling, that Octavia
// gives it.
func inPath(err error) error {
	if lb.CodeOf(err) != lb.NotFound {
		return err
	}
	return &refusal{status: http.StatusNotFound, message: strings.Replace(err.Error(), "L7 Policy", "L7Policy", 1), routing: true, title: "Bad Request"}
}

// statusOf is the HTTP status of each code of the domain.
var statusOf = map[lb.Code]int{
	lb.Invalid:       http.StatusBadRequest,
	lb.NotFound:      http.StatusNotFound,
	lb.Forbidden:     http.StatusForbidden,
	lb.QuotaExceeded: http.StatusForbidden,
	lb.Conflict:      http.StatusConflict,
	lb.Immutable:     http.StatusConflict,
	lb.Unsupported:   http.StatusNotImplemented,
}

// fault answers with an error. What is neither the wire's nor the domain's is a 500 that says no more than the request's
// id; its detail goes to the log.
func (a *API) fault(w http.ResponseWriter, r *http.Request, err error) {
	var wire *refusal
	var domain *lb.Error
	common, isCommon := rest.Status(err)
	switch {
	case errors.Is(err, rest.ErrNoRoute):
		writeRouting(w, &refusal{status: http.StatusNotFound})
	case errors.Is(err, rest.ErrMethod):
		w.Header().Set("Allow", strings.Replace(w.Header().Get("Allow"), ", HEAD", "", 1)) // Octavia has none
		writeRouting(w, &refusal{status: http.StatusMethodNotAllowed})
	case errors.As(err, &wire) && wire.routing:
		writeRouting(w, wire)
	case errors.As(err, &wire):
		nameField(w, wire.field)
		writeFault(w, wire.status, wire.message)
	case errors.As(err, &domain) && statusOf[domain.Code] != 0:
		nameField(w, domain.Field)
		writeFault(w, statusOf[domain.Code], domain.Message)
	case isCommon && common < http.StatusInternalServerError:
		writeRouting(w, &refusal{status: common, message: err.Error()})
	case isCommon:
		writeFault(w, common, err.Error())
	default:
		id := rest.RequestID(r.Context())
		a.Log.ErrorContext(r.Context(), "request failed", "request", id, "err", err)
		writeFault(w, http.StatusInternalServerError, "Internal error; the server's log has it under "+id)
	}
}

// nameField says which attribute a fault is about, in a header of poise's own: forms show it there.
func nameField(w http.ResponseWriter, field string) {
	if field != "" {
		w.Header().Set("Poise-Fault-Field", field)
	}
}

// writeFault writes Octavia's first form of error.
func writeFault(w http.ResponseWriter, status int, message string) {
	code := "Client"
	if status >= http.StatusInternalServerError {
		code = "Server"
	}
	rest.WriteJSON(w, status, map[string]any{"faultcode": code, "faultstring": message, "debuginfo": nil})
}

// writeRouting writes Octavia's second form of error. Where there is something to say it adds the faultstring, the only
// text that the openstack client prints.
func writeRouting(w http.ResponseWriter, e *refusal) {
	body := map[string]any{"code": e.status, "title": e.title, "description": e.message}
	if e.title == "" {
		body["title"] = http.StatusText(e.status)
	}
	if e.message != "" && e.status != http.StatusNotAcceptable {
		body["faultstring"] = e.message
	}
	rest.WriteJSON(w, e.status, body)
}
