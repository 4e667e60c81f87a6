package l7

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

func regexpFor(expression string, fold bool) *regexp.Regexp {
	if fold {
		expression = "(?i)" + expression
	}
	return regexp.MustCompile(expression)
}

var always = []dataplane.Rule{{Type: "PATH", Compare: "EQUAL_TO", Value: "nosuch", Invert: true}}

// policies makes policies that match every request, of words like "REJECT", "URL", "PREFIX" and "POOL", with these as ids.
func policies(words string) (made []dataplane.Policy) {
	for word := range strings.FieldsSeq(words) {
		p := dataplane.Policy{ID: word, Rules: always, Code: 302}
		switch strings.TrimRight(word, "0123456789") {
		case "REJECT":
			p.Action = dataplane.Reject
		case "URL":
			p.Action, p.Location, p.Code = dataplane.RedirectToURL, "https://other.example/", 301
		case "PREFIX":
			p.Action, p.Location = dataplane.RedirectPrefix, "https://secure.example"
		case "POOL":
			p.Action, p.PoolID = dataplane.RedirectToPool, "b"
		case "GONE":
			p.Action, p.PoolID = dataplane.RedirectToPool, "disabled"
		case "NOTHING":
			p.Action, p.Rules = dataplane.Reject, nil
		}
		made = append(made, p)
	}
	return made
}

// TestOrder says which of several matching policies decides.
func TestOrder(t *testing.T) {
	for _, test := range []struct{ policies, want string }{
		{"", ""},
		{"POOL URL PREFIX REJECT", "REJECT"},
		{"POOL PREFIX URL", "PREFIX"},
		{"POOL URL PREFIX", "URL"},
		{"POOL2 POOL1", "POOL2"},
		{"REJECT2 REJECT1", "REJECT2"},
		{"PREFIX2 PREFIX1", "PREFIX2"},
		{"GONE POOL", "POOL"},
		{"GONE", ""},
		{"NOTHING", ""},
		{"NOTHING POOL", "POOL"},
	} {
		t.Run(test.policies, func(t *testing.T) {
			s := newSite(t, dataplane.Requests{Policies: policies(test.policies)})
			d := s.Route(&Request{Path: "/"}, plain)
			if d.PolicyID != test.want || (d.Pool == nil) == (d.Answer == nil) {
				t.Errorf("%+v", d)
			}
			if test.want == "" && d.Pool != s.Default {
				t.Errorf("not the default pool: %+v", d)
			}
		})
	}
}

func TestDecisions(t *testing.T) {
	for _, test := range []struct {
		name, policies, path string
		want                 Answer
	}{
		{"reject", "REJECT", "/", Answer{Status: 403, End: accesslog.Denied}},
		{"to a URL", "URL", "/a?b", Answer{301, "https://other.example/", accesslog.Redirected}},
		{"to a prefix", "PREFIX", "/a/b?c=d&e", Answer{302, "https://secure.example/a/b?c=d&e", accesslog.Redirected}},
		{"to a prefix with what is no path", "PREFIX", "*", Answer{302, "https://secure.example/", accesslog.Redirected}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, dataplane.Requests{Policies: policies(test.policies)})
			d := s.Route(&Request{Path: test.path}, plain)
			if d.Answer == nil {
				t.Fatalf("%+v", d)
			}
			if diff := cmp.Diff(test.want, *d.Answer); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutPool(t *testing.T) {
	s, err := New(Parts{Listener: &dataplane.Listener{PoolID: "disabled"}})
	if err != nil {
		t.Fatal(err)
	}
	d := s.Route(&Request{Path: "/"}, plain)
	if diff := cmp.Diff(&Answer{Status: 503, End: accesslog.NoPool}, d.Answer); diff != "" || d.Pool != nil {
		t.Error(diff)
	}
}

func TestValuesThatNoHeaderCanHave(t *testing.T) {
	for _, test := range []struct {
		name     string
		requests dataplane.Requests
	}{
		{"lines in a URL", dataplane.Requests{Policies: []dataplane.Policy{{Action: dataplane.RedirectToURL, Location: "http://a/\r\nX: y", Rules: always}}}},
		{"lines in a prefix", dataplane.Requests{Policies: []dataplane.Policy{{Action: dataplane.RedirectPrefix, Location: "http://a\nX: y", Rules: always}}}},
		{"a blank in a URL", dataplane.Requests{Policies: []dataplane.Policy{{Action: dataplane.RedirectToURL, Location: "http://a/ b", Rules: always}}}},
		{"lines in HSTS", dataplane.Requests{StrictTransportSecurity: "max-age=1\r\nX: y"}},
		{"an unknown type", dataplane.Requests{Policies: []dataplane.Policy{{Action: dataplane.Reject, Rules: []dataplane.Rule{{Type: "X"}}}}}},
		{"an unknown comparison", dataplane.Requests{Policies: []dataplane.Policy{{Action: dataplane.Reject, Rules: []dataplane.Rule{{Type: "PATH", Compare: "X"}}}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := New(Parts{Listener: &dataplane.Listener{HTTP: &test.requests}}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestRouteFromManyGoroutines(t *testing.T) {
	s := newSite(t, sixtyRules(dataplane.Rule{Type: "HEADER", Compare: "EQUAL_TO", Key: "X-User", Value: "7"}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := &Request{Host: "Example.com", Path: "/", Fields: fields(fmt.Sprint("X-User: ", i), "Cookie: c=1")}
			for range 1000 {
				if matched := s.Route(r, plain).PolicyID != ""; matched != (i == 7) {
					t.Errorf("user %d: %t", i, matched)
					return
				}
			}
		})
	}
	wg.Wait()
}

// sixtyRules are twenty policies of three rules each, of which the last policy has this rule alone.
func sixtyRules(last dataplane.Rule) (requests dataplane.Requests) {
	for i := range 20 {
		requests.Policies = append(requests.Policies, dataplane.Policy{
			ID: fmt.Sprint("p", i), Action: dataplane.RedirectToPool, PoolID: "b",
			Rules: []dataplane.Rule{
				{Type: "HOST_NAME", Compare: "EQUAL_TO", Value: "nosuch.example.com", Invert: true},
				{Type: "HEADER", Compare: "CONTAINS", Key: "User-Agent", Value: "Mozilla"},
				{Type: "PATH", Compare: "STARTS_WITH", Value: fmt.Sprintf("/section%d/", i)},
			},
		})
	}
	requests.Policies[19].Rules = []dataplane.Rule{last}
	return requests
}

var browser = &Request{
	Method: "GET", Host: "www.example.com", Path: "/index.html?page=1",
	Fields: fields(
		"Host: www.example.com", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-US,en;q=0.5",
		"Accept-Encoding: gzip, deflate, br", "Connection: keep-alive", "Cookie: session=0123456789abcdef; theme=dark; SRV=m2",
		"Upgrade-Insecure-Requests: 1", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate",
	),
}

// kinds are rules that do not match the browser's request.
var kinds = map[string]dataplane.Rule{
	"host":        {Type: "HOST_NAME", Compare: "EQUAL_TO", Value: "nosuch.example.com"},
	"path":        {Type: "PATH", Compare: "STARTS_WITH", Value: "/nosuch"},
	"contains":    {Type: "PATH", Compare: "CONTAINS", Value: "nosuch"},
	"header":      {Type: "HEADER", Compare: "EQUAL_TO", Key: "Accept-Language", Value: "de"},
	"cookie":      {Type: "COOKIE", Compare: "EQUAL_TO", Key: "session", Value: "x"},
	"expression":  {Type: "PATH", Compare: "REGEX", Value: `^/[a-z]+/nosuch/[0-9]+$`},
	"alternation": {Type: "PATH", Compare: "REGEX", Value: `\.(jpg|png|gif)$`},
}

func TestRouteAllocatesNothing(t *testing.T) {
	for name, rule := range kinds {
		t.Run(name, func(t *testing.T) {
			router := newSite(t, sixtyRules(rule)).router
			samples := router.samples.fresh() // what Route takes from its pool, which the race detector empties at random
			if n := testing.AllocsPerRun(1000, func() {
				samples.begin(browser, plain)
				router.decide(samples)
				samples.end()
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// BenchmarkRoute asks 20 policies of 3 rules each, of which none applies: as far as the third rule of each, and with
// one rule of each kind in the place of all.
func BenchmarkRoute(b *testing.B) {
	b.Run("host, header and path", func(b *testing.B) {
		s := newSite(b, sixtyRules(kinds["path"]))
		b.ReportAllocs()
		for b.Loop() {
			s.Route(browser, plain)
		}
	})
	for name, rule := range kinds {
		b.Run("20 of "+name, func(b *testing.B) {
			var requests dataplane.Requests
			for range 20 {
				requests.Policies = append(requests.Policies, dataplane.Policy{
					ID: "p", Action: dataplane.Reject, Rules: []dataplane.Rule{rule, rule, rule},
				})
			}
			s := newSite(b, requests)
			b.ReportAllocs()
			for b.Loop() {
				s.Route(browser, plain)
			}
		})
	}
}
