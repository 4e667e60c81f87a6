package lb

import (
	"errors"
	"fmt"
)

// Code classifies an [Error]; the wire room maps each to one HTTP status.
type Code int

// The codes, with the status that Octavia answers.
const (
	Invalid       Code = iota + 1 // 400: the request breaks a rule
	NotFound                      // 404: the object is not there, or its parent
	Forbidden                     // 403: the policy does not allow it
	QuotaExceeded                 // 403: the project may not have more
	Conflict                      // 409: it clashes with another object
	Immutable                     // 409: the object is being deleted
	Unsupported                   // 501: poise cannot do this
)

// Error is a refusal of the domain. Its message is Octavia's and fit for the user's eyes.
type Error struct {
	Code    Code
	Field   string // the attribute that it is about, "" when it is about none
	Message string
}

func (e *Error) Error() string { return e.Message }

// CodeOf returns the code of the domain error in err, 0 when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// ErrNotFound says that an object is not there. kind is Octavia's word for it ("Load Balancer", "Pool").
func ErrNotFound(kind Kind, id string) error {
	return &Error{Code: NotFound, Message: fmt.Sprintf("%s %s not found.", kind, id)}
}

// ErrMissing says that an object of the network service that a request refers to is not there
// ("Subnet", "Network", "Port").
func ErrMissing(field, kind, id string) error {
	return &Error{Code: Invalid, Field: field, Message: fmt.Sprintf("%s %s not found.", kind, id)}
}

// ErrValidation is Octavia's "Validation failure".
func ErrValidation(field, format string, args ...any) error {
	return &Error{Code: Invalid, Field: field, Message: "Validation failure: " + fmt.Sprintf(format, args...)}
}

// ErrOption is Octavia's "not a valid option".
func ErrOption(field, value, option string) error {
	return &Error{Code: Invalid, Field: field, Message: fmt.Sprintf("%s is not a valid option for %s", value, option)}
}

// ErrUnsupported says that the provider cannot do what is asked.
func ErrUnsupported(field, format string, args ...any) error {
	return &Error{Code: Unsupported, Field: field, Message: fmt.Sprintf("Provider '%s' does not support a requested option: ", Provider) + fmt.Sprintf(format, args...)}
}

func errConflict(field, format string, args ...any) error {
	return &Error{Code: Conflict, Field: field, Message: fmt.Sprintf(format, args...)}
}
