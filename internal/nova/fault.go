package nova

import (
	"errors"
	"fmt"
	"net/http"

	"poise/internal/rest"
)

// refusal is an answer in Nova's form.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

// Status is the HTTP status that the refusal is answered with.
func (r *refusal) Status() int { return r.status }

func badRequest(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &refusal{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// kinds are the keys under which Nova's faults stand, by status.
var kinds = map[int]string{
	http.StatusBadRequest: "badRequest", http.StatusForbidden: "forbidden", http.StatusNotFound: "itemNotFound",
	http.StatusMethodNotAllowed: "badMethod", http.StatusConflict: "conflictingRequest",
	http.StatusRequestEntityTooLarge: "overLimit", http.StatusInternalServerError: "computeFault",
}

// fault writes err in Nova's form; refusals of the network service keep their status. Anything else is logged.
func (s *Service) fault(w http.ResponseWriter, r *http.Request, err error) {
	status, message := http.StatusInternalServerError, "Unexpected API Error; the server's log has it under "+rest.RequestID(r.Context())
	var refused interface{ Status() int }
	common, isCommon := rest.Status(err)
	switch {
	case errors.As(err, &refused):
		status, message = refused.Status(), fmt.Sprint(refused)
	case errors.Is(err, rest.ErrNoRoute):
		status, message = http.StatusNotFound, "The resource could not be found."
	case errors.Is(err, rest.ErrMethod):
		status, message = http.StatusMethodNotAllowed, "The method is not allowed for this resource."
	case isCommon:
		status, message = common, err.Error()
	default:
		s.log.ErrorContext(r.Context(), "request failed", "request", rest.RequestID(r.Context()), "err", err)
	}
	kind, ok := kinds[status]
	if !ok {
		kind = "computeFault"
	}
	rest.WriteJSON(w, status, object{kind: object{"code": status, "message": message}})
}
