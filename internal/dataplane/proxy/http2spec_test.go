package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// newHTTP2Bench serves a listener that terminates TLS and offers HTTP/2.
func newHTTP2Bench(t *testing.T, members ...dataplane.Member) *bench {
	t.Helper()
	b := newHTTPBench(t, members...)
	b.config.Listeners[0].TLS = &dataplane.ServerTLS{
		Certificates: []dataplane.Certificate{certificate(t, testpki.NewAuthority(t, "test").Issue(t, "site.example", testpki.DNS("site.example")))},
		Handshake:    dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
	}
	b.apply()
	return b
}

// h2spec asks a server all that RFC 7540 and RFC 7541 require of it, strict cases included.
func TestH2spec(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 100)))
	}))
	host, _, err := net.SplitHostPort(b.addr())
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Config{
		Host: host, Port: int(b.config.Listeners[0].Port), Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000,
		Strict: true, TLS: true, Insecure: true,
	}
	cases := 0
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		cases += h2specGroup(t, c, group)
	}
	if cases < 145 {
		t.Errorf("%d cases only", cases)
	}
}

// h2specGroup runs the cases of a group at once, each on a connection of its own.
func h2specGroup(t *testing.T, c *config.Config, group *spec.TestGroup) (cases int) {
	t.Run(group.ID(), func(t *testing.T) {
		for i, tc := range append(group.Tests, group.StrictTests...) {
			cases++
			t.Run(fmt.Sprintf("%d %s", i+1, tc.Desc), func(t *testing.T) {
				t.Parallel()
				conn, err := spec.Dial(c)
				if err == nil {
					defer conn.Close()
					err = tc.Run(c, conn)
				}
				if err != nil && !errors.Is(err, spec.ErrSkipped) {
					t.Errorf("%s: %v", tc.Requirement, err)
				}
			})
		}
	})
	for _, sub := range group.Groups {
		cases += h2specGroup(t, c, sub)
	}
	return cases
}
