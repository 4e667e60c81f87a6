package balance

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
)

func affine(words string, previous *Balancer) *Balancer {
	p := pool(dataplane.RoundRobin, words)
	p.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP}
	p.Monitor = &dataplane.Monitor{}
	return New(p, previous)
}

func TestAffinity(t *testing.T) {
	b := affine("a b", nil)
	if got := sequence(b, 3); got != "aaa" {
		t.Fatalf("got %s", got)
	}
	drained := affine("a*0 b", b)
	if got := sequence(drained, 3); got != "aaa" {
		t.Errorf("a drained member loses its client: %s", got)
	}
	drained.SetDown("a", true)
	if got := sequence(drained, 3); got != "bbb" {
		t.Errorf("a down member keeps its client: %s", got)
	}
	drained.SetDown("a", false)
	if got := sequence(drained, 3); got != "bbb" {
		t.Errorf("the client was not given to the new member for good: %s", got)
	}
	if m := drained.Pick(client, drained.members[1]); m != nil {
		t.Errorf("failover went to drained %s", m.ID)
	}
}

func TestAffinityForgetsTheOldest(t *testing.T) {
	a := newAffinity[netip.Addr](2)
	for _, n := range []int{1, 2, 1, 3} {
		a.put(clientN(n).Addr(), fmt.Sprint(n), time.Time{})
	}
	got := map[int]bool{}
	for n := 1; n <= 3; n++ {
		_, got[n] = a.get(clientN(n).Addr(), time.Time{})
	}
	if diff := cmp.Diff(map[int]bool{1: true, 2: false, 3: true}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAffinityOfNetworks is UDP's: clients of one network go together, and are forgotten when they are silent.
func TestAffinityOfNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool(dataplane.RoundRobin, "a b")
		p.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: time.Minute, MaskBits: 24}
		b := New(p, nil)
		who := func(addr string) string { return b.Pick(netip.AddrPortFrom(netip.MustParseAddr(addr), 1)).ID }
		if got := who("192.0.2.1") + who("192.0.2.200") + who("::ffff:192.0.2.3") + who("192.0.3.1"); got != "aaab" {
			t.Errorf("by network: %s", got)
		}
		if got := who("2001:db8::1") + who("2001:dff::1") + who("2001:e00::1"); got != "aab" {
			t.Errorf("by network of IPv6: %s", got)
		}
		time.Sleep(time.Minute) // the bubble's clock
		if got := who("192.0.2.1"); got != "a" {
			t.Errorf("after a minute: %s", got)
		}
		time.Sleep(time.Minute + 1)
		if got := who("192.0.2.1") + who("192.0.3.1"); got != "ab" {
			t.Errorf("after more than a minute: %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := who("192.0.3.1") + who("192.0.2.1"); got != "ab" {
			t.Errorf("forgotten clients are not balanced anew: %s", got)
		}
	})
}

// TestHeard keeps a client with its member that goes on with it for long without another pick.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool(dataplane.RoundRobin, "a b")
		p.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: time.Minute}
		b := New(p, nil)
		client := clientN(1)
		first := b.Pick(client).ID
		for range 10 {
			time.Sleep(40 * time.Second) // the bubble's clock
			b.Heard(client.Addr(), first)
			b.Heard(client.Addr(), "another")
			b.Heard(clientN(2).Addr(), "b")
		}
		if got := b.Pick(client).ID; got != first {
			t.Errorf("went from %s to %s", first, got)
		}
	})
}

func TestPickByID(t *testing.T) {
	p := pool(dataplane.RoundRobin, "a b*0 c+ d- e f")
	p.Monitor = &dataplane.Monitor{}
	b := New(p, nil)
	b.SetDown("e", true)
	for _, test := range []struct{ name, id, want string }{
		{"usable", "a", "a"},
		{"drained", "b", "b"},
		{"backup", "c", "c"},
		{"disabled", "d", ""},
		{"down", "e", ""},
		{"tried", "f", ""},
		{"nobody", "x", ""},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := b.PickByID(test.id, b.members[5])
			if got := id(m); got != test.want {
				t.Fatalf("%q", got)
			}
			if m != nil && (m.Active() != 1 || p.Members[m.Index].ID != m.ID) {
				t.Errorf("%d active, at %d", m.Active(), m.Index)
			}
		})
	}
}

func id(m *Member) string {
	if m == nil {
		return ""
	}
	return m.ID
}

func TestLearnedCookies(t *testing.T) {
	first := New(pool(dataplane.RoundRobin, "a b"), nil)
	first.Learn("one", first.members[1])
	p := pool(dataplane.RoundRobin, "a b c")
	p.Monitor = &dataplane.Monitor{}
	b := New(p, first)
	who := func(cookie string, tried ...*Member) string { return id(b.PickByCookie(cookie, client, tried...)) }
	if got := who("one") + who("one"); got != "bb" {
		t.Errorf("learned under the configuration before: %s", got)
	}
	if got := who("x") + who("x"); got != "ab" {
		t.Errorf("unknown: %s", got)
	}
	b.SetDown("b", true)
	moved := who("one")
	b.SetDown("b", false)
	if got := who("one"); got != moved || got == "b" {
		t.Errorf("after the member was down: %s, then %s", moved, got)
	}
	if got := who("one", b.members...); got != "" {
		t.Errorf("all were tried: %s", got)
	}
	b.Learn("one", b.members[2])
	if got := who("one"); got != "c" {
		t.Errorf("learned anew: %s", got)
	}
	long := strings.Repeat("x", maxCookie)
	b.Learn(long+"1", b.members[1])
	if got := who(long+"2") + who(long); got != "bb" {
		t.Errorf("by its first characters: %s", got)
	}
}

func TestLearnedCookiesAreLimited(t *testing.T) {
	b := New(pool(dataplane.RoundRobin, "a b"), nil)
	for i := range maxAffinities + 1 {
		b.Learn(fmt.Sprint(i), b.members[1])
	}
	if n := b.memory.cookies.recent.Len(); n != maxAffinities || len(b.memory.cookies.byKey) != n {
		t.Errorf("%d cookies", n)
	}
	if b.memory.cookies.has("0") || !b.memory.cookies.has("1") {
		t.Error("not the oldest was forgotten")
	}
}
