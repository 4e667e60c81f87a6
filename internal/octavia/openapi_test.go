package octavia_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"poise/internal/octavia"
)

// described is the router of the API's own OpenAPI document.
var described = sync.OnceValues(func() (routers.Router, error) {
	w := httptest.NewRecorder()
	octavia.New(octavia.Config{}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	doc.Servers = openapi3.Servers{{URL: "http://test/v2.0/lbaas"}, {URL: "http://test/v2.0"}}
	return legacy.NewRouter(doc)
})

// validate compares an answer with what the OpenAPI document says of it. Paths that are none of the document's are
// left alone: tests ask for those to be refused.
func (a *api) validate(r *http.Request, got reply) {
	a.Helper()
	router, err := described()
	if err != nil {
		a.Fatal(err)
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil || got.Code == http.StatusMethodNotAllowed {
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 got.Code, Header: got.Header(), Body: io.NopCloser(bytes.NewReader(got.Body.Bytes())),
	}
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		a.Errorf("%s %s is not answered as the OpenAPI document says: %v", r.Method, r.URL, err)
	}
}

func TestDocument(t *testing.T) {
	w := httptest.NewRecorder()
	newAPI(t).handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Error(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Paths.Len() < 30 {
		t.Errorf("OpenAPI %s with %d paths", doc.OpenAPI, doc.Paths.Len())
	}
	create := doc.Paths.Find("/listeners").Post.RequestBody.Value.Content["application/json"].Schema.Value.Properties["listener"].Value
	if len(create.Required) != 3 || !create.Properties["protocol_port"].Value.Type.Includes("integer") {
		t.Errorf("a listener needs %v", create.Required)
	}
}
