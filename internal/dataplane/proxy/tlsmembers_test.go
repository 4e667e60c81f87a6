package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// Each member's session is kept apart, so that members in turn are resumed as well as a single one.
func TestTLSSessionsWithMembers(t *testing.T) {
	authority := testpki.NewAuthority(t, "test")
	tell := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %t", name, r.TLS.DidResume) }
	}
	for name, bench := range map[string]func(*testing.T, ...dataplane.Member) *bench{"relayed": newBench, "HTTP": newHTTPBench} {
		bench := bench(t, secureMember(t, "a", authority.Issue(t, "a"), tell("a")), secureMember(t, "b", authority.Issue(t, "b"), tell("b")))
		bench.config.Pools[0].TLS = &dataplane.ClientTLS{CAs: [][]byte{authority.Raw}}
		bench.apply()
		// Two rounds, as a member's ticket is read with its first answer.
		for i, want := range []string{"a false", "b false", "a true", "b true", "a true", "b true"} {
			answer := bench.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if !strings.HasSuffix(answer, "\r\n\r\n"+want) {
				t.Errorf("%s, request %d: %q, want %s", name, i, answer, want)
			}
			bench.server.engine.onEachLoop(func(l *loop) { l.idle.keep(func(*upstream) bool { return false }) })
		}
	}
}
