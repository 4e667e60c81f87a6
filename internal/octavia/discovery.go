package octavia

import (
	"net/http"
	"strings"

	"poise/internal/rest"
)

// versions are Octavia's minor versions with the time that it states for each; each announces features, and none changes
// what a request means (octavia-api.md §1).
var versions = []struct{ id, updated string }{
	{"v2.0", "2016-12-11T00:00:00Z"},
	{"v2.1", "2018-04-20T00:00:00Z"},
	{"v2.2", "2018-07-31T00:00:00Z"},
	{"v2.3", "2018-12-18T00:00:00Z"},
	{"v2.4", "2018-12-19T00:00:00Z"},
	{"v2.5", "2019-01-21T00:00:00Z"},
	{"v2.6", "2019-01-25T00:00:00Z"},
	{"v2.7", "2018-01-25T12:00:00Z"}, // out of order in Octavia too
	{"v2.8", "2019-02-12T00:00:00Z"},
	{"v2.9", "2019-03-04T00:00:00Z"},
	{"v2.10", "2019-03-05T00:00:00Z"},
	{"v2.11", "2019-06-24T00:00:00Z"},
	{"v2.12", "2019-09-11T00:00:00Z"},
	{"v2.13", "2019-09-13T00:00:00Z"},
	{"v2.14", "2019-11-10T00:00:00Z"},
	{"v2.15", "2020-03-10T00:00:00Z"},
	{"v2.16", "2020-03-15T00:00:00Z"},
	{"v2.17", "2020-04-29T00:00:00Z"},
	{"v2.18", "2020-04-29T01:00:00Z"},
	{"v2.19", "2020-05-12T00:00:00Z"},
	{"v2.20", "2020-08-02T00:00:00Z"},
	{"v2.21", "2020-09-03T00:00:00Z"},
	{"v2.22", "2020-09-04T00:00:00Z"},
	{"v2.23", "2020-09-07T00:00:00Z"},
	{"v2.24", "2020-10-15T00:00:00Z"},
	{"v2.25", "2021-10-02T00:00:00Z"},
	{"v2.26", "2022-08-29T00:00:00Z"},
	{"v2.27", "2023-05-05T00:00:00Z"},
	{"v2.28", "2023-11-08T00:00:00Z"},
	{"v2.29", "2024-10-15T00:00:00Z"},
	{"v2.30", "2025-02-26T00:00:00Z"},
}

// openRoutes need no token.
func (a *API) openRoutes() []rest.Route {
	return []rest.Route{
		{Method: "GET", Pattern: "/", Handler: a.discover},
		{Method: "POST", Pattern: "/", Handler: a.discover},
		{Method: "GET", Pattern: "/healthcheck", Handler: a.healthcheck},
		{Method: "HEAD", Pattern: "/healthcheck", Handler: a.healthcheck},
		{Method: "GET", Pattern: "/openapi.json", Handler: describe},
	}
}

// discover lists the versions of the API.
func (a *API) discover(w http.ResponseWriter, r *http.Request) error {
	for name := range r.URL.Query() {
		return errUnknownArgument(name)
	}
	list := make([]map[string]any, len(versions))
	for i, v := range versions {
		list[i] = map[string]any{
			"id": v.id, "status": "SUPPORTED", "updated": v.updated,
			"links": []any{map[string]any{"href": a.PublicURL + "/v2", "rel": "self"}},
		}
	}
	list[len(list)-1]["status"] = "CURRENT"
	rest.WriteJSON(w, http.StatusOK, map[string]any{"versions": list})
	return nil
}

// healthcheck tells a load balancer in front of the API whether it does its work, in the form of Octavia's own.
func (a *API) healthcheck(w http.ResponseWriter, r *http.Request) error {
	reasons, status, text := []string{}, http.StatusOK, "OK"
	if a.Health != nil {
		reasons = a.Health(r.Context())
	}
	if len(reasons) > 0 {
		status, text = http.StatusServiceUnavailable, strings.Join(reasons, "\n")
	}
	switch {
	case r.Method == http.MethodHead && status == http.StatusOK:
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodHead:
		w.WriteHeader(status)
	case strings.Contains(r.Header.Get("Accept"), "application/json"):
		rest.WriteJSON(w, status, map[string]any{"detailed": false, "reasons": reasons})
	default:
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(status)
		_, err := w.Write([]byte(text))
		return err
	}
	return nil
}
