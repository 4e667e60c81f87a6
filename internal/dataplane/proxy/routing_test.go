package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"poise/internal/dataplane"
)

// costlyRules match nothing, and have a long path looked at byte by byte by n thousand instructions.
func costlyRules(n int) (all []dataplane.Policy) {
	for i := range n {
		all = append(all, dataplane.Policy{ID: fmt.Sprint("costly ", i), Action: dataplane.Reject, Rules: []dataplane.Rule{
			{Type: "PATH", Compare: "REGEX", Value: fmt.Sprintf("[ab]{0,%d}[ac]{0,190}[xy]", 250+i)},
		}})
	}
	return all
}

// getLong asks for a path of n bytes.
func getLong(n int, more string) string {
	return "GET /" + strings.Repeat("a", n) + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n"
}

// TestCostlyRulesHoldNobodyElse has the rules of one load balancer take seconds for each request, and asks another one that
// has the same loops.
func TestCostlyRulesHoldNobodyElse(t *testing.T) {
	a := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") }))
	a.config.Listeners[0].HTTP.Policies = costlyRules(30)
	a.apply()
	b := a.another(httpMember(t, "b", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") }))
	before := a.counters()
	for range 8 {
		tell(t, a.dial(), getLong(7000, ""))
	}
	eventually(t, "a's requests arrive", func() bool { return a.counters().Requests-before.Requests == 8 })
	for range 50 {
		if got := b.say(get); !strings.HasSuffix(got, "b") {
			t.Fatalf("b's client got %q", got)
		}
	}
	if done := a.counters().Responses; done != before.Responses {
		t.Errorf("fifty requests had to wait for a's, of which some are answered: %v", done)
	}
}

// TestLateDecision has requests that take many turns go where they belong, whole, and in their order.
func TestLateDecision(t *testing.T) {
	path := "/" + strings.Repeat("a", 1000)
	asked := "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
	forwarded := asked + "X-Forwarded-For: 127.0.0.1\r\n\r\nabc"
	b := newHTTPBench(t, script(t, "m", forwarded, okay, forwarded, okay, gotten, okay))
	b.config.Listeners[0].HTTP.Policies = append(costlyRules(2), dataplane.Policy{
		ID: "last", Action: dataplane.Reject, Rules: []dataplane.Rule{{Type: "PATH", Compare: "REGEX", Value: "[ab]+evil$"}},
	})
	b.apply()
	evil := "GET " + path + "evil HTTP/1.1\r\nHost: a\r\n\r\n"
	got := b.say(asked + "\r\nabc" + asked + "\r\nabc" + get + evil)
	if !strings.HasPrefix(got, okay+okay+okay+"HTTP/1.1 403 Forbidden\r\n") {
		t.Errorf("got %q", got)
	}
}

// TestLateDecisionOverHTTP2 has requests of one connection decided one beside the other.
func TestLateDecisionOverHTTP2(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "m", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, len(r.URL.Path), " ", string(body))
	}))
	b.config.Listeners[0].HTTP.Policies = costlyRules(2)
	b.apply()
	c := b.client2()
	answers := make(chan string)
	for i := range 5 {
		go func() {
			request, _ := http.NewRequest("POST", b.url2("/"+strings.Repeat("a", 500+i)), strings.NewReader(fmt.Sprint("body ", i)))
			_, got := b.do2(c, request)
			answers <- got
		}()
	}
	got := map[string]bool{}
	for range 5 {
		got[<-answers] = true
	}
	for i := range 5 {
		if want := fmt.Sprintf("%d body %d", 501+i, i); !got[want] {
			t.Errorf("no answer %q among %v", want, got)
		}
	}
}

// TestLateDecisionThatNobodyWaitsFor has clients leave before their requests are decided, and others come.
func TestLateDecisionThatNobodyWaitsFor(t *testing.T) {
	b := newHTTPBench(t, script(t, "m", gotten, okay))
	b.config.Listeners[0].HTTP.Policies = costlyRules(8)
	b.apply()
	for i := range 20 {
		conn := b.dial()
		tell(t, conn, getLong(7000, ""))
		eventually(t, "the request arrives", func() bool { return b.counters().Requests == uint64(i+1) })
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	eventually(t, "the clients are gone", func() bool { return b.counters().Active == 0 })
	if got := b.say(get); got != okay {
		t.Errorf("got %q", got)
	}
}
