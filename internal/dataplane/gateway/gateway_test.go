package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// ways are how requests get through: by the version that the client speaks and the one that the member speaks.
var ways = []struct{ client, member int }{{2, 1}, {2, 2}, {1, 1}, {1, 2}}

// onEachWay runs a test with a member that has this handler.
func onEachWay(t *testing.T, set setting, handler http.HandlerFunc, test func(t *testing.T, b *bench, client *http.Client)) {
	onWays(t, 0, set, handler, test)
}

// onWays leaves out the ways on which clients speak an older version of HTTP.
func onWays(t *testing.T, oldest int, set setting, handler http.HandlerFunc, test func(t *testing.T, b *bench, client *http.Client)) {
	for _, way := range ways {
		if way.client < oldest {
			continue
		}
		t.Run(fmt.Sprintf("HTTP_%d to HTTP_%d", way.client, way.member), func(t *testing.T) {
			set := set
			var address string
			if way.member == 2 {
				set.membersTLS = http2ToMembers
				address = memberTLS(t, true, handler)
			} else {
				address = member(t, handler)
			}
			b := newBench(t, set, address)
			test(t, b, b.client(way.client))
		})
	}
}

func TestRequestAndResponse(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", r.Method+" "+r.Host+" "+r.RequestURI+" "+r.Header.Get("X-Test"))
		w.WriteHeader(201)
		fmt.Fprintf(w, "%d bytes", len(body))
	}
	onEachWay(t, setting{}, echo, func(t *testing.T, b *bench, client *http.Client) {
		for _, size := range []int{0, 1, smallBody, smallBody + 1, 1 << 20} {
			request, _ := http.NewRequest("POST", b.url("/a//b?c=%20d|"), strings.NewReader(strings.Repeat("x", size)))
			request.Header.Set("X-Test", "yes")
			request.Host = "www.example.com"
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got, want := string(body), fmt.Sprintf("%d bytes", size); got != want || response.StatusCode != 201 {
				t.Errorf("%d %q, want %q", response.StatusCode, got, want)
			}
			if got, want := response.Header.Get("X-Echo"), "POST www.example.com /a//b?c=%20d| yes"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

// What a client says about itself does not reach members where poise says it.
func TestFieldsToMembers(t *testing.T) {
	set := setting{listener: dataplane.Listener{HTTP: &dataplane.Requests{
		Insert: []dataplane.Insertion{dataplane.XForwardedFor, dataplane.XForwardedProto, dataplane.XClientIP},
	}}, pool: dataplane.Pool{Persistence: &dataplane.Persistence{Type: dataplane.ByHTTPCookie}}}
	onEachWay(t, set, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Client-Ip", "Cookie", "User-Agent", "Accept-Encoding", "Connection", "Keep-Alive", "X-Named"} {
			if values := r.Header[name]; values != nil {
				fmt.Fprintf(w, "%s=%q\n", name, values)
			}
		}
	}, func(t *testing.T, b *bench, client *http.Client) {
		request, _ := http.NewRequest("GET", b.url("/"), nil)
		request.Header = http.Header{
			"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"gopher"}, "X-Client-Ip": {"1.2.3.4"}, "Cookie": {"a=b; SRV=z; c=d"}, "User-Agent": nil,
		}
		if client.Transport.(*http.Transport).Protocols.HTTP1() {
			request.Header["Keep-Alive"], request.Header["X-Named"], request.Header["Connection"] = []string{"5"}, []string{"x"}, []string{"x-named"}
		}
		response, body := b.do(client, request)
		want := "X-Forwarded-For=[\"1.2.3.4\" \"127.0.0.1\"]\nX-Forwarded-Proto=[\"https\"]\nX-Client-Ip=[\"127.0.0.1\"]\nCookie=[\"a=b; c=d\"]\n"
		if diff := cmp.Diff(want, body); diff != "" {
			t.Error(diff)
		}
		if got := response.Header.Get("Set-Cookie"); got != "SRV=a; path=/" {
			t.Errorf("cookie %q", got)
		}
		if got := response.Header.Get("Cache-Control"); got != "private" {
			t.Errorf("Cache-Control %q", got)
		}
		request.Header.Set("Cookie", "SRV=a")
		if response, _ := b.do(client, request); response.Header["Set-Cookie"] != nil {
			t.Error("the cookie was set again")
		}
	})
}

func TestTrailers(t *testing.T) {
	onEachWay(t, setting{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(body)
		w.Header().Set("Grpc-Status", "0 "+r.Trailer.Get("X-Checksum"))
	}, func(t *testing.T, b *bench, client *http.Client) {
		request, _ := http.NewRequest("POST", b.url("/"), io.MultiReader(strings.NewReader("hello"))) // of unknown length
		request.Trailer = http.Header{"X-Checksum": {"5"}}
		response, body := b.do(client, request)
		if body != "hello" || response.Trailer.Get("Grpc-Status") != "0 5" {
			t.Errorf("%q, trailers %v", body, response.Trailer)
		}
	})
}

// Each side gets at once what the other has said, in both directions at the same time. The HTTP/1 client of net/http does not read
// while it writes.
func TestStreaming(t *testing.T) {
	onWays(t, 2, setting{}, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			_ = control.EnableFullDuplex()
		}
		_ = control.Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "you said "+line)
			_ = control.Flush()
		}
	}, func(t *testing.T, b *bench, client *http.Client) {
		upload, says := io.Pipe()
		request, _ := http.NewRequest("POST", b.url("/"), upload)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for _, word := range []string{"one\n", "two\n", "three\n"} {
			_, _ = io.WriteString(says, word)
			if line, err := lines.ReadString('\n'); line != "you said "+word {
				t.Fatalf("%q, %v", line, err)
			}
		}
		_ = says.Close()
		if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
			t.Fatalf("%q, %v", rest, err)
		}
	})
}

func TestBodilessResponses(t *testing.T) {
	onEachWay(t, setting{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	}, func(t *testing.T, b *bench, client *http.Client) {
		for _, test := range []struct {
			method, path string
			status       int
			length       string
		}{{"GET", "/204", 204, ""}, {"GET", "/304", 304, ""}, {"HEAD", "/", 200, "5"}, {"GET", "/", 200, "5"}} {
			request, _ := http.NewRequest(test.method, b.url(test.path), nil)
			response, _ := b.do(client, request)
			if response.StatusCode != test.status || response.Header.Get("Content-Length") != test.length {
				t.Errorf("%s %s: %d, length %q", test.method, test.path, response.StatusCode, response.Header.Get("Content-Length"))
			}
		}
	})
}

// What poise answers itself.
func TestAnswers(t *testing.T) {
	path := func(is string) []dataplane.Rule {
		return []dataplane.Rule{{Type: "PATH", Compare: "EQUAL_TO", Value: is}}
	}
	b := newBench(t, setting{listener: dataplane.Listener{HTTP: &dataplane.Requests{
		StrictTransportSecurity: "max-age=10;",
		Policies: []dataplane.Policy{
			{ID: "no", Action: dataplane.Reject, Rules: path("/no")},
			{ID: "there", Action: dataplane.RedirectPrefix, Location: "https://there.example", Code: 301, Rules: path("/here")},
		},
	}}})
	for _, version := range []int{1, 2} {
		client := b.client(version)
		for _, test := range []struct {
			path     string
			status   int
			location string
		}{{"/no", 403, ""}, {"/here", 301, "https://there.example/here"}, {"/", 503, ""}} {
			response, body := b.get(client, test.path)
			if response.StatusCode != test.status || response.Header.Get("Location") != test.location || !strings.Contains(body, "<h1>") {
				t.Errorf("HTTP/%d %s: %d %q", version, test.path, response.StatusCode, body)
			}
			if got := response.Header.Get("Strict-Transport-Security"); got != "max-age=10;" {
				t.Errorf("HTTP/%d %s: HSTS %q", version, test.path, got)
			}
		}
	}
	c := b.meter.Read()
	if c.Denied != 2 || c.Responses[4] != 2 || c.Responses[3] != 2 || c.Responses[5] != 2 {
		t.Errorf("counted %+v", c)
	}
}

func TestMetrics(t *testing.T) {
	page := func(w io.Writer) { _, _ = io.WriteString(w, "up 1\n") }
	for _, plain := range []bool{true, false} {
		b := newBench(t, setting{protocol: dataplane.Prometheus, metrics: page, plain: plain})
		client := b.client(1)
		response, body := b.get(client, "/metrics")
		if body != "up 1\n" || response.Header.Get("Content-Type") != "text/plain; version=0.0.4" || response.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%q, %v", body, response.Header)
		}
		if response, _ := b.get(client, "/"); response.StatusCode != 403 {
			t.Errorf("/: %d", response.StatusCode)
		}
		request, _ := http.NewRequest("POST", b.url("/metrics"), nil)
		if response, _ := b.do(client, request); response.StatusCode != 403 {
			t.Errorf("POST: %d", response.StatusCode)
		}
	}
}

// Clients may begin with the preface of HTTP/2 where there is no TLS.
func TestHTTP2WithoutTLS(t *testing.T) {
	b := newBench(t, setting{plain: true}, member(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }))
	for _, version := range []int{1, 2} {
		if response, body := b.get(b.client(version), "/"); body != "hello" || response.ProtoMajor != version {
			t.Errorf("HTTP/%d: %q by %s", version, body, response.Proto)
		}
	}
}

func TestAccessLog(t *testing.T) {
	b := newBench(t, setting{}, member(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }))
	follower := b.log.Follow(t.Context())
	b.get(b.client(2), "/path?query")
	select {
	case r := <-follower.Records:
		if r.Method != "GET" || r.Target != "/path?query" || r.Status != 200 || r.PoolID != "pool" || r.MemberID != "a" || r.Version != "HTTP/2.0" ||
			r.BytesOut != 5 || r.End != accesslog.Complete || r.TLSVersion != "TLSv1.3" || r.TotalMs <= 0 {
			t.Errorf("%+v", r)
		}
	case <-time.After(patience):
		t.Error("no record")
	}
}
