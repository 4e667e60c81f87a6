package octavia_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"poise/internal/lb"
	"poise/internal/octavia"
	"poise/internal/telemetry"
)

// noPast remembers nothing.
type noPast struct{}

func (noPast) Events(string) []telemetry.Event { return []telemetry.Event{} }
func (noPast) Series(*lb.LoadBalancer, time.Time) (time.Time, []telemetry.Series) {
	return time.Time{}, []telemetry.Series{}
}
func (noPast) Probes(_, _, _ string) []telemetry.Probe { return []telemetry.Probe{} }

// documented reads the API's own description.
func (a *api) documented() *openapi3.T {
	a.Helper()
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		a.Fatal(err)
	}
	return doc
}

// inQuery are the names of an operation's query parameters.
func inQuery(o *openapi3.Operation) map[string]bool {
	names := map[string]bool{}
	for _, p := range o.Parameters {
		if p.Value.In == "query" {
			names[p.Value.Name] = true
		}
	}
	return names
}

// plainly makes a request as an administrator, and tells status and body of the answer.
func (a *api) plainly(method, path, query string) string {
	r := httptest.NewRequest(method, "http://test/v2"+path, nil)
	r.URL.RawQuery = query
	r.Header.Set("X-Auth-Token", "admin")
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

// TestParametersAreThoseOfTheDocument gives each operation every parameter that any of them has. It takes those that it has in
// the document; of the others, changes and lists refuse each, and what is merely shown is shown as without.
func TestParametersAreThoseOfTheDocument(t *testing.T) {
	a := newAPI(t, func(c *octavia.Config) { c.Past = noPast{} })
	tree := a.addPolicy("member", a.tree("member", "one"))
	shown := strings.NewReplacer("/loadbalancers/{id}", "/loadbalancers/"+tree.lb, "/listeners/{id}", "/listeners/"+tree.listener,
		"/pools/{id}", "/pools/"+tree.pool, "/pools/{pool}/members/{id}", tree.in("/pools/{pool}/members/{member}"),
		"/healthmonitors/{id}", "/healthmonitors/"+tree.monitor, "/l7policies/{id}", "/l7policies/"+tree.policy,
		"/l7policies/{policy}/rules/{id}", tree.in("/l7policies/{policy}/rules/{rule}"),
		"{pool}", tree.pool, "{policy}", tree.policy, "{id}", missingID)
	absent := strings.NewReplacer("{pool}", missingID, "{policy}", missingID, "{id}", missingID)
	doc, all := a.documented(), map[string]bool{"nosuch": true}
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			maps.Copy(all, inQuery(o))
		}
	}
	for pattern, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			ok := o.Responses.Status(http.StatusOK)
			if ok != nil && ok.Value.Content["text/event-stream"] != nil {
				continue
			}
			t.Run(method+pattern, func(t *testing.T) {
				a.TB = t
				takes, path := inQuery(o), absent.Replace(pattern)
				if method == http.MethodGet {
					path = shown.Replace(pattern)
				}
				refused := `Unknown argument: \"%s\"`
				if takes["limit"] {
					refused = "One or more arguments are either duplicate or invalid%.0s"
				}
				for _, name := range slices.Sorted(maps.Keys(all)) {
					query := url.Values{name: {"x"}}.Encode()
					got, message := a.plainly(method, path, query), fmt.Sprintf(refused, name)
					switch isRefused := strings.Contains(got, message); {
					case takes[name] && isRefused:
						t.Errorf("%s is documented and refused", name)
					case !takes[name] && (takes["limit"] || method != http.MethodGet) && !isRefused:
						t.Errorf("%s is not documented and gets %s", name, got)
					case !takes[name] && !takes["limit"] && method == http.MethodGet && !strings.HasSuffix(pattern, "/series"):
						if without := a.plainly(method, path, ""); got != without {
							t.Errorf("%s is not documented and makes of %s\n%s", name, without, got)
						}
					}
				}
			})
		}
	}
	a.TB = t
	if len(all) < 80 {
		t.Errorf("only %d parameters in all", len(all))
	}
}
