package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// client2 speaks HTTP/2 to the bench.
func (b *bench) client2() *http.Client {
	c := client(b.t)
	transport := c.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.Protocols = &http.Protocols{}
	transport.Protocols.SetHTTP2(true)
	transport.DisableCompression, transport.MaxConnsPerHost = true, 1
	return c
}

func (b *bench) url2(path string) string { return "https://" + b.addr() + path }

// get2 is a response with its body read.
func (b *bench) get2(c *http.Client, path string) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequest("GET", b.url2(path), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do2(c, request)
}

func (b *bench) do2(c *http.Client, request *http.Request) (*http.Response, string) {
	b.t.Helper()
	response, err := c.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(body)
}

// TestHTTP2Messages has what it says reach the member as HTTP/1.1, and what that answers reach the client.
func TestHTTP2Messages(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		header http.Header
		body   io.Reader
		member []string
		status int
		want   string // body
		field  string // "Name: value" of the answer
	}{
		{"GET", "GET", nil, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Y: z\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\nok",
		}, 200, "ok", "X-Y: z"},
		{"an answer in chunks", "GET", nil, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\n\r\n",
		}, 200, "ok", "Transfer-Encoding: "},
		{"an answer until the end", "GET", nil, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 299 OK\r\n\r\nok",
		}, 299, "ok", "Connection: "},
		{"hints", "GET", nil, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		}, 204, "", ""},
		{"HEAD", "HEAD", nil, nil, []string{
			"HEAD /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		}, 200, "", "Content-Length: 5"},
		{"not modified", "GET", nil, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		}, 304, "", "Etag: \"x\""},
		{"a body with a length", "POST", nil, strings.NewReader("hello"), []string{
			"POST /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nContent-Length: 5\r\nX-Forwarded-For: 127.0.0.1\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		}, 200, "", "Content-Length: 0"},
		{"cookies", "GET", http.Header{"Cookie": {"a=1; b=2"}}, nil, []string{
			"GET /p?q HTTP/1.1\r\nHost: a\r\naccept: x\r\nCookie: a=1; b=2\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		}, 200, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newHTTP2Bench(t, script(t, "a", test.member...))
			request, err := http.NewRequest(test.method, b.url2("/p?q"), test.body)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "a"
			request.Header = http.Header{"Accept": {"x"}, "User-Agent": nil}
			for name, values := range test.header {
				request.Header[name] = values
			}
			response, body := b.do2(b.client2(), request)
			if response.StatusCode != test.status || body != test.want || response.ProtoMajor != 2 {
				t.Errorf("%s %d %q", response.Proto, response.StatusCode, body)
			}
			if name, value, _ := strings.Cut(test.field, ": "); name != "" && response.Header.Get(name) != value {
				t.Errorf("%v", response.Header)
			}
		})
	}
}

func TestHTTP2Bodies(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(body)
		w.Header().Set("Grpc-Status", "0 "+r.Trailer.Get("X-Checksum"))
	}))
	c := b.client2()
	var all sync.WaitGroup
	for _, size := range []int{0, 1, 16 << 10, 100_000, 3 << 20, 3 << 20, 3 << 20} {
		all.Go(func() {
			sent := strings.Repeat("0123456789", size/10)
			request, _ := http.NewRequest("POST", b.url2("/"), io.MultiReader(strings.NewReader(sent))) // of unknown length
			request.Trailer = http.Header{"X-Checksum": {"5"}}
			response, err := c.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if string(body) != sent || err != nil || response.Trailer.Get("Grpc-Status") != "0 5" {
				t.Errorf("%d of %d bytes, %v, trailers %v", len(body), len(sent), err, response.Trailer)
			}
		})
	}
	all.Wait()
	c.CloseIdleConnections()
	eventually(t, "the connection ends", func() bool { return b.counters().Active == 0 })
}

// Each side gets at once what the other has said, in both directions at the same time.
func TestHTTP2Streaming(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
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
	}))
	upload, says := io.Pipe()
	request, _ := http.NewRequest("POST", b.url2("/"), upload)
	response, err := b.client2().Do(request)
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
}

func TestHTTP2Answers(t *testing.T) {
	path := func(is string) []dataplane.Rule {
		return []dataplane.Rule{{Type: "PATH", Compare: "EQUAL_TO", Value: is}}
	}
	b := newHTTP2Bench(t)
	b.config.Listeners[0].HTTP = &dataplane.Requests{StrictTransportSecurity: "max-age=10;", Policies: []dataplane.Policy{
		{ID: "no", Action: dataplane.Reject, Rules: path("/no")},
		{ID: "there", Action: dataplane.RedirectPrefix, Location: "https://there.example", Code: 301, Rules: path("/here")},
	}}
	b.apply()
	many := http.Header{}
	for i := range 200 {
		many.Set(fmt.Sprintf("X-%d", i), "1")
	}
	c := b.client2()
	for _, test := range []struct {
		method, path string
		header       http.Header
		status       int
		location     string
	}{
		{"GET", "/no", nil, 403, ""},
		{"HEAD", "/no", nil, 403, ""},
		{"GET", "/here", nil, 301, "https://there.example/here"},
		{"GET", "/", nil, 503, ""},
		{"GET", "/" + strings.Repeat("a", 9<<10), nil, 414, ""},
		{"GET", "/", many, 431, ""},
		{"GET", "/", http.Header{"Long": {strings.Repeat("a", 15<<10)}, "Longer": {strings.Repeat("b", 4<<10)}}, 431, ""},
	} {
		request, _ := http.NewRequest(test.method, b.url2(test.path), nil)
		request.Header = test.header
		response, body := b.do2(c, request)
		if response.StatusCode != test.status || response.Header.Get("Location") != test.location || strings.Contains(body, "<h1>") != (test.method == "GET") {
			t.Errorf("%.20s: %d %q", test.path, response.StatusCode, body)
		}
		if got := response.Header.Get("Strict-Transport-Security"); got != "max-age=10;" {
			t.Errorf("%.20s: HSTS %q", test.path, got)
		}
	}
	if got := b.counters(); got.Denied != 2 || got.Handshakes != 1 || got.Responses[5] != 1 {
		t.Errorf("counted %+v", got)
	}
}

func TestHTTP2MemberFailures(t *testing.T) {
	answering := func(answer string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, answer)
			}
		}
	}
	for _, test := range []struct {
		name   string
		member func(*net.TCPConn) // nil: refuses
		status int                // 0: the answer breaks off
		end    accesslog.End
	}{
		{"refuses", nil, 503, accesslog.MemberRefused},
		{"closes", answering(""), 502, accesslog.MemberClosed},
		{"sends nonsense", answering("SSH-2.0\r\n\r\n"), 502, accesslog.MemberInvalid},
		{"switches protocols unasked", answering("HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 502, accesslog.MemberInvalid},
		{"is silent", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }, 504, accesslog.MemberTimeout},
		{"stops in the middle", answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 0, accesslog.MemberClosed},
		{"sends a bad chunk", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-5\r\n"), 502, accesslog.MemberInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := refusing(t, "a")
			if test.member != nil {
				m = serve(t, "a", test.member)
			}
			b := newHTTP2Bench(t, m)
			b.config.Listeners[0].MemberTimeout = 200 * time.Millisecond
			b.apply()
			follower := b.server.Log("listener").Follow(t.Context())
			response, err := b.client2().Get(b.url2("/"))
			if err == nil {
				_, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
			}
			if test.status == 0 && err == nil || test.status != 0 && (err != nil || response.StatusCode != test.status) {
				t.Errorf("%+v, %v", response, err)
			}
			if r := <-follower.Records; r.End != test.end || r.Version != "HTTP/2.0" || r.TLSVersion != "TLSv1.3" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A client that cancels a request ends it at the member, and its other requests go on.
func TestHTTP2Cancel(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	b := newHTTP2Bench(t, httpMember(t, "a", func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			came <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		}
	}))
	c := b.client2()
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, "GET", b.url2("/slow"), nil)
	done := make(chan error)
	go func() {
		_, err := c.Do(request)
		done <- err
	}()
	<-came
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-left
	if response, _ := b.get2(c, "/"); response.StatusCode != 200 || b.counters().Handshakes != 1 {
		t.Errorf("%d over %d connections", response.StatusCode, b.counters().Handshakes)
	}
}

// A client whose listener is removed gets its answers, and then leaves.
func TestHTTP2GoAway(t *testing.T) {
	came, proceed := make(chan struct{}), make(chan struct{})
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-proceed
		_, _ = io.WriteString(w, "late")
	}))
	c := b.client2()
	done := make(chan string)
	go func() {
		_, body := b.get2(c, "/")
		done <- body
	}()
	<-came
	b.server.Apply(&dataplane.Config{}, b.bind)
	close(proceed)
	if body := <-done; body != "late" {
		t.Errorf("%q", body)
	}
	eventually(t, "the connection ends", func() bool { return b.counters().Active == 0 })
}

func TestHTTP2Timeouts(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		piece := make([]byte, 64<<10)
		for range 1 << 10 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	b.config.Listeners[0].ClientTimeout = 200 * time.Millisecond
	b.apply()
	c := b.client2()
	body, end := io.Pipe()
	defer end.Close()
	request, _ := http.NewRequest("POST", b.url2("/"), body)
	if response, _ := b.do2(c, request); response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("slow upload: %d", response.StatusCode)
	}
	follower := b.server.Log("listener").Follow(t.Context())
	response, err := c.Get(b.url2("/"))
	if err != nil {
		t.Fatal(err)
	}
	if r := <-follower.Records; r.End != accesslog.ClientTimeout {
		t.Errorf("a client that does not read: %+v", r)
	}
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("got all %d bytes", n)
	}
	_ = response.Body.Close()
	eventually(t, "an idle connection ends", func() bool { return b.counters().Active == 0 })
}

// Many answers of several windows' size share a connection, and none starves.
func TestHTTP2Sharing(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 64<<10)
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/small" {
			_, _ = io.WriteString(w, "small")
			return
		}
		_, _ = io.WriteString(w, large)
	}))
	c := b.client2()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			path, want := "/large", large
			if i%4 == 0 {
				path, want = "/small", "small"
			}
			if _, body := b.get2(c, path); body != want {
				t.Errorf("%d bytes of %d", len(body), len(want))
			}
		})
	}
	all.Wait()
	if n := b.counters().Handshakes; n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Members are told by PROXY who the client is: requests of one client share connections, those of two do not.
func TestHTTP2Proxy(t *testing.T) {
	headers := make(chan string, 10)
	b := newHTTP2Bench(t, serve(t, "a", func(c *net.TCPConn) {
		reader := bufio.NewReader(c)
		line, _ := reader.ReadString('\n')
		headers <- line
		for {
			if _, err := http.ReadRequest(reader); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	b.config.Pools[0].Proxy = dataplane.ProxyV1
	b.apply()
	for range 2 {
		c := b.client2()
		b.get2(c, "/")
		b.get2(c, "/")
		if line := <-headers; !strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 127.0.10.1 ") {
			t.Errorf("%q", line)
		}
	}
	if n := len(headers); n > 0 {
		t.Errorf("%d connections too many", n)
	}
}
