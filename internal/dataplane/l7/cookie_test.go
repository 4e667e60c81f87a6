package l7

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
)

var (
	byHTTPCookie = &dataplane.Persistence{Type: dataplane.ByHTTPCookie}
	byAppCookie  = &dataplane.Persistence{Type: dataplane.ByAppCookie, Cookie: "app"}
)

// stickyPool makes a pool of a and b, both of weight 1, drained c, and disabled d.
func stickyPool(p *dataplane.Persistence) *Pool {
	pool := newPool("pool", "a", "b", "c", "d")
	pool.Config.Members[2].Weight = 0
	pool.Config.Members[3].Disabled = true
	pool.Config.Persistence = p
	pool.Balancer = balance.New(*pool.Config, nil)
	return pool
}

func TestHTTPCookie(t *testing.T) {
	for _, test := range []struct {
		name    string
		cookies []string
		want    string
		set     bool
	}{
		{"none", nil, "a", true},
		{"of a member", []string{"Cookie: SRV=b"}, "b", false},
		{"of a drained member", []string{"Cookie: SRV=c"}, "c", false},
		{"of a disabled member", []string{"Cookie: SRV=d"}, "a", true},
		{"of nobody", []string{"Cookie: SRV=x"}, "a", true},
		{"empty", []string{"Cookie: SRV="}, "a", true},
		{"among others", []string{"Cookie: x=1; SRV=b; y=2"}, "b", false},
		{"in the second field", []string{"Cookie: x=1", "Cookie: y=2;SRV=b"}, "b", false},
		{"after one of nobody", []string{"Cookie: SRV=x; SRV=b"}, "b", false},
		{"in another case", []string{"Cookie: srv=b"}, "a", true},
		{"within a value", []string{"Cookie: x=SRV=b"}, "a", true},
		{"in another field", []string{"X: SRV=b"}, "a", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, set := stickyPool(byHTTPCookie).Pick(&Request{Fields: fields(test.cookies...)}, plain.Address)
			if m.ID != test.want || set != test.set || m.Active() != 1 {
				t.Errorf("%s, sets %t, %d active", m.ID, set, m.Active())
			}
		})
	}
}

func TestHTTPCookieFailover(t *testing.T) {
	pool := stickyPool(byHTTPCookie)
	r := &Request{Fields: fields("Cookie: SRV=b")}
	first, _ := pool.Pick(r, plain.Address)
	second, set := pool.Pick(r, plain.Address, first)
	if first.ID != "b" || second.ID != "a" || !set {
		t.Errorf("%s, then %s, sets %t", first.ID, second.ID, set)
	}
	if third, set := pool.Pick(r, plain.Address, first, second); third != nil || set {
		t.Errorf("then %s, sets %t", third.ID, set)
	}
}

func TestAppCookie(t *testing.T) {
	pool := stickyPool(byAppCookie)
	long := strings.Repeat("x", 64)
	who := func(cookies ...string) string {
		m, set := pool.Pick(&Request{Fields: fields(cookies...)}, plain.Address)
		if set {
			t.Error("sets a cookie")
		}
		return m.ID
	}
	b := pool.Balancer.PickByID("b")
	for _, line := range []string{
		"Set-Cookie: other=1", "Set-Cookie: app=one; path=/; HttpOnly", "Set-Cookie: app=" + long + "1", "Set-Cookie: other=2; app=no",
		"Set-Cookie: app=", "Cookie: app=request",
	} {
		pool.Learn(fields(line), b)
	}
	if got := who() + who("Cookie: app=unknown") + who("Cookie: app=no") + who("Cookie: app=request"); got != "abab" {
		t.Errorf("without a learned cookie: %s", got)
	}
	if got := who("Cookie: app=one") + who("Cookie: x=1; app=one") + who("Cookie: app="+long+"2"); got != "bbb" {
		t.Errorf("with a learned cookie: %s", got)
	}
	if got := who("Cookie: app="+long[1:]) + who("Cookie: app="+long[1:]); got != "ab" {
		t.Errorf("with a shorter cookie: %s", got)
	}
	m, _ := pool.Pick(&Request{Fields: fields("Cookie: app=one")}, plain.Address, b)
	if m.ID != "a" || who("Cookie: app=one") != "a" {
		t.Errorf("after a failure: %s", m.ID)
	}
}

func TestLearnOnlyWhereConfigured(t *testing.T) {
	for name, p := range map[string]*dataplane.Persistence{"none": nil, "HTTP_COOKIE": byHTTPCookie} {
		pool := stickyPool(p)
		pool.Learn(fields("Set-Cookie: app=one"), pool.Balancer.PickByID("b"))
		if p == byHTTPCookie != pool.DropsCookie() {
			t.Errorf("%s: drops cookies: %t", name, pool.DropsCookie())
		}
	}
}

func TestAppendCookies(t *testing.T) {
	pool := stickyPool(byHTTPCookie)
	if s := newSite(t, dataplane.Requests{}); s.Drop(pool) != h1.SetOf(h1.Cookie) {
		t.Errorf("drops %b", s.Drop(pool))
	}
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", []string{"X: SRV=a"}, ""},
		{"alone", []string{"Cookie: SRV=a"}, ""},
		{"first", []string{"Cookie: SRV=a; x=1; y=2"}, "Cookie: x=1; y=2\r\n"},
		{"between", []string{"Cookie: x=1;SRV=a;y=2"}, "Cookie: x=1; y=2\r\n"},
		{"last and twice", []string{"Cookie: x=1; SRV=a; SRV=b"}, "Cookie: x=1\r\n"},
		{"others", []string{"cookie: x=SRV; ySRV=1; SRVz=2"}, "Cookie: x=SRV; ySRV=1; SRVz=2\r\n"},
		{"with blanks", []string{"Cookie: SRV = a ; x = 1"}, "Cookie: x = 1\r\n"},
		{"without a name", []string{"Cookie: SRV; ; x; =y"}, "Cookie: x; =y\r\n"},
		{"several fields", []string{"Cookie: x=1", "Cookie: SRV=a", "Cookie: y=2"}, "Cookie: x=1\r\nCookie: y=2\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, string(pool.AppendCookies(nil, fields(test.lines...)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPickingAllocatesNothing(t *testing.T) {
	for name, p := range map[string]*dataplane.Persistence{"none": nil, "HTTP_COOKIE": byHTTPCookie, "APP_COOKIE": byAppCookie} {
		pool := stickyPool(p)
		r := &Request{Fields: fields("Cookie: x=1; SRV=b; app=one")}
		pool.Learn(fields("Set-Cookie: app=one"), pool.Balancer.PickByID("b"))
		buffer := make([]byte, 0, 256)
		if n := testing.AllocsPerRun(1000, func() {
			m, _ := pool.Pick(r, plain.Address)
			pool.AppendCookies(buffer, r.Fields)
			m.Release()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzCookies holds what is read against net/http, and what is passed on against what is read.
func FuzzCookies(f *testing.F) {
	for _, seed := range []string{
		"", "a=1; SRV=b; c=3", "SRV=b", ";;;", "SRV", "=SRV", " SRV =\t1;", `a="1;2"; SRV=x`, "a=1,SRV=2", "SRV=\"x\"", "SRV=a;SRV=b",
	} {
		f.Add(seed)
	}
	pool := stickyPool(byHTTPCookie)
	f.Fuzz(func(t *testing.T, text string) {
		if !fieldValue(text) || strings.Trim(text, " \t") != text {
			return // h1 refuses it, or takes it off
		}
		read, bare := map[string]bool{}, map[string]bool{}
		unquote := func(value string) string { return strings.Trim(value, " \t\"") } // net/http takes quotes off
		for name, value := range cookies(text) {
			read[name+"="+value] = true
			bare[name+"="+unquote(value)] = true
		}
		request := http.Request{Header: http.Header{"Cookie": {text}}}
		for _, c := range request.Cookies() {
			if !bare[c.Name+"="+unquote(c.Value)] {
				t.Errorf("net/http reads %s=%s, and we %v", c.Name, c.Value, read)
			}
		}
		var left Pairs
		for name, value := range Lines(pool.AppendCookies(nil, fields("Cookie: "+text))) {
			left = append(left, Pair{h1.Lookup(name), name, value})
		}
		passed := map[string]bool{}
		for i := range left {
			for name, value := range cookies(left[i].Value) {
				passed[name+"="+value] = true
			}
		}
		for range values(left, h1.Cookie, sticky) {
			t.Errorf("still there: %v", left)
		}
		maps.DeleteFunc(read, func(pair string, _ bool) bool { return strings.HasPrefix(pair, sticky+"=") || pair == "=" })
		maps.DeleteFunc(passed, func(pair string, _ bool) bool { return pair == "=" })
		if diff := cmp.Diff(read, passed); diff != "" || len(left) > 1 {
			t.Error(diff)
		}
	})
}

func BenchmarkPick(b *testing.B) {
	for name, p := range map[string]*dataplane.Persistence{"none": nil, "HTTP_COOKIE": byHTTPCookie} {
		b.Run(name, func(b *testing.B) {
			pool := stickyPool(p)
			b.ReportAllocs()
			for b.Loop() {
				m, _ := pool.Pick(browser, plain.Address)
				m.Release()
			}
		})
	}
}
