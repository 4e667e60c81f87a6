package barbican

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"poise/internal/rest"
)

// object is a JSON object.
type object = map[string]any

// request is a request that may be answered.
type request struct {
	*http.Request
	caller  rest.Caller
	body    []byte
	version microversion
}

// answer is what a handler has to say.
type answer struct {
	status      int
	body        any // nil: none, or content
	content     []byte
	contentType string // of content
	location    string // "": none
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

// created answers with the address of what was made.
func created(location string, body any) (answer, error) {
	return answer{status: http.StatusCreated, body: body, location: location}, nil
}

var noContent = answer{status: http.StatusNoContent}

type handler func(ctx context.Context, r *request) (answer, error)

func (s *Service) routes() []rest.Route {
	routes := []rest.Route{
		s.route("GET", "/", s.listVersions),
		s.route("GET", "/v1", s.showVersion),

		s.route("GET", "/v1/secrets", s.listSecrets),
		s.route("POST", "/v1/secrets", s.createSecret),
		s.route("GET", "/v1/secrets/{id}", s.showSecret),
		s.route("PUT", "/v1/secrets/{id}", s.putPayload),
		s.route("DELETE", "/v1/secrets/{id}", s.deleteSecret),
		s.route("GET", "/v1/secrets/{id}/payload", s.showPayload),

		s.route("GET", "/v1/secrets/{id}/metadata", s.listMetadata),
		s.route("PUT", "/v1/secrets/{id}/metadata", s.replaceMetadata),
		s.route("POST", "/v1/secrets/{id}/metadata", s.createMetadatum),
		s.route("GET", "/v1/secrets/{id}/metadata/{key}", s.showMetadatum),
		s.route("PUT", "/v1/secrets/{id}/metadata/{key}", s.updateMetadatum),
		s.route("DELETE", "/v1/secrets/{id}/metadata/{key}", s.deleteMetadatum),

		s.route("GET", "/v1/containers", s.listContainers),
		s.route("POST", "/v1/containers", s.createContainer),
		s.route("GET", "/v1/containers/{id}", s.showContainer),
		s.route("DELETE", "/v1/containers/{id}", s.deleteContainer),
		s.route("POST", "/v1/containers/{id}/secrets", s.addContainerSecret),
		s.route("DELETE", "/v1/containers/{id}/secrets", s.removeContainerSecret),
	}
	for _, k := range []kind{secrets, containers} {
		one := "/v1/" + k.path + "/{id}"
		routes = append(
			routes,
			s.route("GET", one+"/acl", s.showACL(k)),
			s.route("PUT", one+"/acl", s.replaceACL(k)),
			s.route("PATCH", one+"/acl", s.updateACL(k)),
			s.route("DELETE", one+"/acl", s.deleteACL(k)),
			s.route("GET", one+"/consumers", s.listConsumers(k)),
			s.route("POST", one+"/consumers", s.addConsumer(k)),
			s.route("DELETE", one+"/consumers", s.removeConsumer(k)),
		)
	}
	return routes
}

// route does for each route what comes before and after it: who is it, what do they send, what do they get.
func (s *Service) route(method, pattern string, handle handler) rest.Route {
	return rest.Route{Method: method, Pattern: pattern, Handler: func(w http.ResponseWriter, plain *http.Request) error {
		if err := rest.CheckQuery(plain.URL); err != nil {
			return err
		}
		version, err := askedVersion(plain.Header)
		if err != nil {
			return err
		}
		version.announce(w.Header())
		body, err := rest.ReadBody(w, plain, rest.MaxBody)
		if err != nil {
			return err
		}
		r := &request{Request: plain, caller: rest.CallerFrom(plain.Context()), body: body, version: version}
		reply, err := handle(plain.Context(), r)
		if err != nil {
			return err
		}
		reply.write(w)
		return nil
	}}
}

func (a answer) write(w http.ResponseWriter) {
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	switch {
	case a.content != nil:
		// It is a secret, and its content is the user's: nobody may keep it, and no browser guess what it is.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Type", a.contentType)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.content)
	case a.body != nil:
		rest.WriteJSON(w, a.status, a.body)
	default:
		w.WriteHeader(a.status)
	}
}

// isText tells whether both databases can keep it: PostgreSQL keeps no NUL.

// decode reads the JSON body into v. Attributes that v does not know are ignored, as Barbican does.
func (r *request) decode(v any) error {
	if err := r.wantJSON(); err != nil {
		return err
	}
	err := json.Unmarshal(r.body, v)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return errBadField(wrongType.Field, "a %s is not of the right type", wrongType.Value)
	case err != nil:
		return errBad("The body is not valid JSON.")
	}
	return nil
}

// decodeStrict is decode for the bodies where Barbican refuses attributes that it does not know.
func (r *request) decodeStrict(v any) error {
	if err := r.wantJSON(); err != nil {
		return err
	}
	return rest.DecodeStrict(r.body, v)
}

func (r *request) wantJSON() error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return errMediaType("application/json")
	}
	if !utf8.Valid(r.body) { // a payload may have a NUL: each other attribute is looked at by itself
		return rest.CheckText(r.body)
	}
	return nil
}

// href is the address of an entity.
func (s *Service) href(k kind, id string) string { return s.publicURL + "/v1/" + k.path + "/" + id }

// idOf finds the id in a reference: an address of the entity, or the id alone. The rest of the address is not looked at,
// so that references survive a change of the public address.
func (k kind) idOf(ref string) (id string, isOne bool) {
	ref = strings.TrimRight(ref, "/")
	id = ref
	if at := strings.LastIndexByte(ref, '/'); at >= 0 {
		id = ref[at+1:]
		if !strings.HasSuffix(ref[:at], "/"+k.path) {
			return "", false
		}
	}
	return id, isUUID(id)
}

// isUUID takes only the form that ids are made in.
func isUUID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}
