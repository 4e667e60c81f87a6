package rest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"poise/internal/rest"
)

// api is a small API whose faults are a line of text.
func api() http.Handler {
	say := func(what string) func(w http.ResponseWriter, r *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			_, err := fmt.Fprintf(w, "%s %s", what, r.PathValue("id"))
			return err
		}
	}
	table := []rest.Route{
		{Method: "GET", Pattern: "/", Handler: say("root")},
		{Method: "GET", Pattern: "/things", Handler: say("list")},
		{Method: "POST", Pattern: "/things", Handler: say("create")},
		{Method: "GET", Pattern: "/things/{id}", Handler: say("show")},
		{Method: "PUT", Pattern: "/things/default", Handler: say("put default")},
		{Method: "GET", Pattern: "/broken", Handler: func(http.ResponseWriter, *http.Request) error { return errors.New("broken") }},
	}
	return rest.Routes(table, func(w http.ResponseWriter, _ *http.Request, err error) {
		status := http.StatusTeapot
		switch {
		case errors.Is(err, rest.ErrNoRoute):
			status = http.StatusNotFound
		case errors.Is(err, rest.ErrMethod):
			status = http.StatusMethodNotAllowed
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, "fault")
	})
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		request, path string
		status        int
		body          string
	}{
		{"GET", "/", 200, "root "},
		{"GET", "/things", 200, "list "},
		{"GET", "/things/", 200, "list "},
		{"POST", "/things/", 200, "create "},
		{"GET", "/things/7", 200, "show 7"},
		{"GET", "/things/7/", 200, "show 7"},
		{"GET", "/things/default", 200, "show default"},
		{"PUT", "/things/default", 200, "put default "},
		{"HEAD", "/things/7", 200, "show 7"},
		{"DELETE", "/things", 405, "fault"},
		{"PUT", "/things/7", 405, "fault"},
		{"GET", "/nothing", 404, "fault"},
		{"GET", "/things/7/parts", 404, "fault"},
		{"GET", "//things", 404, "fault"},
		{"GET", "/things/../things", 404, "fault"},
		{"GET", "/broken", 418, "fault"},
		{"GET", "/things/a%00b", 404, "fault"},
		{"GET", "/things/a%ffb", 404, "fault"},
	}
	for _, test := range tests {
		t.Run(test.request+" "+test.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			api().ServeHTTP(w, httptest.NewRequest(test.request, "http://test"+test.path, nil))
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("answer %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
			if hasAllow := w.Header().Get("Allow") != ""; hasAllow != (test.status == 405) {
				t.Errorf("Allow: %q", w.Header().Get("Allow"))
			}
		})
	}
}

func TestDecodeStrict(t *testing.T) {
	type thing struct {
		Thing struct {
			Name string `json:"name"`
			Size int    `json:"size"`
		} `json:"thing"`
	}
	tests := map[string]struct {
		body, field string
		ok          bool
	}{
		"good":        {`{"thing":{"name":"a","size":1}}`, "", true},
		"unknown":     {`{"thing":{"nam":"a"}}`, "nam", false},
		"wrong type":  {`{"thing":{"size":"1"}}`, "thing.size", false},
		"not an int":  {`{"thing":{"size":1.5}}`, "thing.size", false},
		"two values":  {`{"thing":{}} {}`, "", false},
		"cut off":     {`{"thing":`, "", false},
		"empty":       {``, "", false},
		"wrong shape": {`[]`, "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var v thing
			err := rest.DecodeStrict([]byte(test.body), &v)
			if (err == nil) != test.ok {
				t.Fatalf("err = %v", err)
			}
			var problem *rest.DecodeError
			if errors.As(err, &problem) && problem.Field != test.field {
				t.Errorf("field %q, want %q (%v)", problem.Field, test.field, err)
			}
		})
	}
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add([]byte(`{"name":"a","list":[{"size":1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var v struct {
			Name string
			List []struct{ Size int }
		}
		var problem *rest.DecodeError
		if err := rest.DecodeStrict(body, &v); err != nil && !errors.As(err, &problem) {
			t.Errorf("%v is not a DecodeError", err)
		}
	})
}
