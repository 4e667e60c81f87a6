package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// DecodeError says what is wrong with a JSON body, in words for the user.
type DecodeError struct {
	Field   string // dotted path of the attribute, "" when the body as a whole is wrong
	Message string
}

func (e *DecodeError) Error() string { return e.Message }

// DecodeStrict reads one JSON value from body into v and refuses what v has no place for. A problem is a [*DecodeError].
func DecodeStrict(body []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return explain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return &DecodeError{Message: "the body holds more than one JSON value"}
	}
	return nil
}

func explain(err error) error {
	var inner *DecodeError // of an UnmarshalJSON that decodes strictly itself
	if errors.As(err, &inner) {
		return inner
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return &DecodeError{
			Field:   wrongType.Field,
			Message: fmt.Sprintf("Invalid input for field '%s': a %s is not of the right type", wrongType.Field, wrongType.Value),
		}
	}
	if _, name, found := strings.Cut(err.Error(), `unknown field "`); found {
		name = strings.TrimSuffix(name, `"`)
		return &DecodeError{Field: name, Message: fmt.Sprintf("Additional properties are not allowed ('%s' was unexpected)", name)}
	}
	return &DecodeError{Message: "the body is not valid JSON: " + err.Error()}
}
