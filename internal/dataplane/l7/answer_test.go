package l7

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
)

// TestAnswers reads every answer as a client does.
func TestAnswers(t *testing.T) {
	s := newSite(t, dataplane.Requests{StrictTransportSecurity: "max-age=9; preload;"})
	for status := range texts {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, keepAlive := range []bool{true, false} {
				a := &Answer{Status: status}
				if status < 400 {
					a.Location = "https://a.example/?b=c"
				}
				request, _ := http.NewRequest(method, "http://x/", nil)
				raw := bytes.NewReader(s.AppendAnswer(nil, a, method, keepAlive))
				reader := bufio.NewReader(raw)
				r, err := http.ReadResponse(reader, request)
				if err != nil {
					t.Fatalf("%d %s: %v", status, method, err)
				}
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Close == keepAlive || r.StatusCode != status || reader.Buffered()+raw.Len() > 0 {
					t.Errorf("%d %s: %v %+v", status, method, err, r)
				}
				if want := string(a.Page()); method != "HEAD" && string(body) != want || r.ContentLength != int64(len(want)) {
					t.Errorf("%d %s: body %q of %d bytes", status, method, body, r.ContentLength)
				}
				if r.Header.Get("Location") != a.Location || r.Header.Get("Strict-Transport-Security") != "max-age=9; preload;" {
					t.Errorf("%d %s: %v", status, method, r.Header)
				}
			}
		}
	}
}

func TestAnswerOfUnknownStatus(t *testing.T) {
	s := newSite(t, dataplane.Requests{})
	if got := string(s.AppendAnswer(nil, &Answer{Status: 299}, "GET", true)); !strings.HasPrefix(got, "HTTP/1.1 500 ") {
		t.Error(got)
	}
}

// TestLocationCannotBreakOut redirects to a path that h1 would not let through.
func TestLocationCannotBreakOut(t *testing.T) {
	s := newSite(t, dataplane.Requests{Policies: policies("PREFIX")})
	d := s.Route(&Request{Path: "/\r\nX: y\x00 é"}, plain)
	const want = "Location: https://secure.example/%0D%0AX:%20y%00%20%C3%A9\r\n"
	if got := string(s.AppendAnswer(nil, d.Answer, "HEAD", true)); !strings.Contains(got, want) {
		t.Error(got)
	}
	if got := string(s.AppendAnswerFields(nil, d.Answer)); !strings.HasSuffix(got, want) {
		t.Error(got)
	}
}

func TestAnsweringAllocatesNothing(t *testing.T) {
	s := newSite(t, dataplane.Requests{Policies: policies("REJECT")})
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(1000, func() {
		s.AppendAnswer(buffer, s.Route(browser, plain).Answer, "GET", true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestResponse(t *testing.T) {
	member := &balance.Member{Member: dataplane.Member{ID: "m1"}}
	const hsts, cookie = "Strict-Transport-Security: max-age=9\r\n", "Set-Cookie: SRV=m1; path=/\r\nCache-Control: private\r\n"
	for _, test := range []struct {
		name        string
		hsts        bool
		persistence *dataplane.Persistence
		response    []string
		setCookie   bool
		want        string
		drops       []h1.Known
	}{
		{"nothing", false, nil, []string{"Set-Cookie: SRV=x"}, false, "", nil},
		{"strict transport security", true, nil, nil, false, hsts, []h1.Known{h1.StrictTransportSecurity}},
		{"cookie", false, byHTTPCookie, []string{"Set-Cookie: a=1"}, true, cookie, nil},
		{"cookie that the client has", false, byHTTPCookie, []string{"Set-Cookie: a=SRV=1"}, false, "", nil},
		{"both", true, byHTTPCookie, nil, true, hsts + cookie, []h1.Known{h1.StrictTransportSecurity}},
		{
			"a member's cookie of our name", false, byHTTPCookie,
			[]string{"Set-Cookie: a=1", "Set-cookie: SRV = x; path=/", "Set-Cookie: b=2; SRV=3"},
			true, "Set-Cookie: a=1\r\nSet-Cookie: b=2; SRV=3\r\n" + cookie,
			[]h1.Known{h1.SetCookie},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests dataplane.Requests
			if test.hsts {
				requests.StrictTransportSecurity = "max-age=9"
			}
			s := newSite(t, requests)
			pool := &Pool{Config: &dataplane.Pool{Persistence: test.persistence}}
			response := fields(test.response...)
			if diff := cmp.Diff(test.want, string(s.AppendResponse(nil, pool, response, member, test.setCookie))); diff != "" {
				t.Error(diff)
			}
			if got := s.DropResponse(pool, response); got != h1.SetOf(test.drops...) {
				t.Errorf("drops %b, want %v", got, test.drops)
			}
		})
	}
}
