package octavia

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"poise/internal/rest"
)

// negotiate refuses requests for anything but JSON, paths that can be nothing's, and HEAD, which Octavia's resources do
// not have.
func (a *API) negotiate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !acceptsJSON(r.Header.Values("Accept")) && !takesEvents(r):
			a.fault(w, r, errRouting(http.StatusNotAcceptable, "Only content type application/json is accepted."))
		case !storable(r.URL.Path):
			a.fault(w, r, rest.ErrNoRoute)
		case r.Method == http.MethodHead:
			w.Header().Set("Allow", "DELETE, GET, POST, PUT")
			a.fault(w, r, rest.ErrMethod)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// acceptsJSON reads an Accept header; one that is absent or cannot be read accepts anything.
func acceptsJSON(header []string) bool {
	readable := false
	for _, media := range strings.Split(strings.Join(header, ","), ",") {
		name, params, err := mime.ParseMediaType(media)
		if err != nil || !strings.Contains(name, "/") {
			continue
		}
		readable = true
		switch name {
		case "application/json", "application/*", "*/*":
			if q := params["q"]; strings.Trim(q, "0.") != "" || q == "" {
				return true
			}
		}
	}
	return !readable
}

// body reads the request's JSON value; argument is Octavia's name for it.
func (c *call) body(argument string) (any, error) {
	raw, err := rest.ReadBody(c.w, c.r, c.maxBody)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, errMissingArgument(argument)
	}
	if err := checkContentType(c.r.Header.Get("Content-Type"), raw); err != nil {
		return nil, err
	}
	return parseJSON(raw)
}

func checkContentType(header string, raw []byte) error {
	media, _, err := mime.ParseMediaType(header)
	switch {
	case header == "" || media == "application/x-www-form-urlencoded":
		parameter, _, _ := strings.Cut(string(raw), "=") // what Octavia then takes the body for
		return errUnknownArgument(parameter)
	case err == nil && (media == "application/json" || media == "text/javascript" || media == "application/javascript"):
		return nil
	default:
		return &refusal{status: http.StatusUnsupportedMediaType, message: "Unknown mimetype: " + header}
	}
}

// parseJSON reads one JSON value; its numbers stay text.
func parseJSON(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		if err := rest.CheckText(raw); err != nil {
			return nil, errRouting(http.StatusBadRequest, "%s.", err)
		}
		return nil, errRouting(http.StatusBadRequest, "The request body is not valid UTF-8.")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, errBadRequest("Request is not in valid JSON format")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errBadRequest("Request is not in valid JSON format")
	}
	return v, nil
}

// attributes reads a body of the form {envelope: {attributes}}.
func (c *call) attributes(t attributes, argument, envelope string, use use) (request, error) {
	body, inner, err := c.envelope(argument, envelope)
	if err != nil {
		return request{}, err
	}
	in, err := t.decode(argument+"."+envelope, inner, use)
	return in, ofArgument(err, argument, body)
}

// envelope reads a body with the one key envelope, and returns it with that key's value.
func (c *call) envelope(argument, envelope string) (body, inner any, err error) {
	if body, err = c.body(argument); err != nil {
		return nil, nil, err
	}
	object, ok := body.(map[string]any)
	switch {
	case !ok:
		return nil, nil, errInput(argument, body, "Value not a valid dict")
	case len(object) == 0:
		return nil, nil, errMissingArgument(argument)
	}
	table := attributes{{name: envelope, use: onCreate}}
	return body, object[envelope], table.refuseUnknown(argument, object, onCreate)
}

// ofArgument makes a conversion error one of the whole argument.
func ofArgument(err error, argument string, body any) error {
	var conversion *conversionError
	if errors.As(err, &conversion) {
		return errInput(argument, body, conversion.message)
	}
	return err
}
