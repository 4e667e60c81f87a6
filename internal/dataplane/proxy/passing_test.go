package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// TestMetricsListener has a PROMETHEUS listener answer with what the server was told to write.
func TestMetricsListener(t *testing.T) {
	bench := newBench(t)
	bench.server.ServeMetrics(func(w io.Writer) { fmt.Fprintln(w, "up 1") })
	bench.config.Listeners[0].Protocol = dataplane.Prometheus
	bench.apply()
	client := client(t)
	for path, want := range map[string]string{"/metrics": "200 up 1\n", "/other": ""} {
		answer, err := client.Get("http://" + bench.addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		got := fmt.Sprint(answer.StatusCode, " ", string(page))
		if want != "" && got != want || want == "" && answer.StatusCode < 400 {
			t.Errorf("%s: %s", path, got)
		}
	}
	client.CloseIdleConnections()
	eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
}

// TestHTTP2ClientsLeave has clients of HTTP/2 whose listener is removed: they are told to go, and their places are given back.
func TestHTTP2ClientsLeave(t *testing.T) {
	authority := testpki.NewAuthority(t, "test")
	pair := authority.Issue(t, "site.example", testpki.DNS("site.example"))
	bench := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") }))
	bench.config.Listeners[0].TLS = &dataplane.ServerTLS{
		Certificates: []dataplane.Certificate{certificate(t, pair)}, Handshake: dataplane.Handshake{ALPN: []string{"h2"}},
	}
	bench.apply()
	client := client(t)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: authority.Pool(), ServerName: "site.example"}
	transport.ForceAttemptHTTP2 = true
	answer, err := client.Get("https://" + bench.addr() + "/")
	if err != nil || answer.ProtoMajor != 2 {
		t.Fatalf("%v, %v", answer, err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	bench.config.Listeners = nil
	bench.apply()
	eventually(t, "the client has gone", func() bool { return bench.counters().Active == 0 })
}
