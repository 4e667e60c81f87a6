package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// commonError is a refusal that every API has and says in its own form, with the status that it is answered with.
type commonError struct {
	status  int
	message string
}

func (e *commonError) Error() string { return e.message }

// What every [Fault] is given beside the API's own errors. Their texts are fit for users.
var (
	// ErrNoRoute says that no route has the path of the request.
	ErrNoRoute error = &commonError{http.StatusNotFound, "the resource could not be found"}
	// ErrMethod says that the path is there but not with that method; the Allow header is already set.
	ErrMethod error = &commonError{http.StatusMethodNotAllowed, "the method is not allowed for the requested URL"}
	// ErrBodyTooLarge is what [ReadBody] returns for a body over its limit.
	ErrBodyTooLarge error = &commonError{http.StatusRequestEntityTooLarge, "the request body is too large"}
	// ErrBodyIncomplete says that the client did not send the whole body, or not in time.
	ErrBodyIncomplete error = &commonError{http.StatusRequestTimeout, "the request body did not arrive whole and in time"}
	// ErrNotText says that the request has a NUL or bytes that are not UTF-8 where text belongs.
	ErrNotText error = &commonError{http.StatusBadRequest, "the request has characters that are not valid in text"}
	// ErrUnavailable says that the database does not answer or takes no changes; the Retry-After header is already set.
	ErrUnavailable error = &commonError{
		http.StatusServiceUnavailable, "the server cannot reach its database, or not write to it; try again later",
	}
)

// retryAfter is when a client may try again that met [ErrUnavailable], in seconds.
const retryAfter = "5"

// Status is the HTTP status of an error that every API has; ok is false for others.
func Status(err error) (status int, ok bool) {
	var common *commonError
	if errors.As(err, new(*DecodeError)) {
		return http.StatusBadRequest, true
	}
	if !errors.As(err, &common) {
		return 0, false
	}
	return common.status, true
}

// classify asks the frame what kind of error err is.
func classify(ctx context.Context, err error) error {
	if x, ok := ctx.Value(exchangeKey).(*exchange); ok && x.classify != nil {
		return x.classify(err)
	}
	return err
}

// CheckQuery refuses a query that asks for what no text can be.
func CheckQuery(address *url.URL) error {
	if !strings.Contains(address.RawQuery, "%") && IsText(address.RawQuery) { // the usual case
		return nil
	}
	for name, values := range address.Query() {
		for _, value := range values {
			if !IsText(name) || !IsText(value) {
				return ErrNotText
			}
		}
	}
	return nil
}

// IsText tells whether both engines of the database can keep s: UTF-8 without NUL.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
