package balance

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"poise/internal/dataplane"
)

var client = netip.MustParseAddrPort("192.0.2.7:40000")

func clientN(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), uint16(1024+n%60000))
}

// pool makes members from words like "a", "b*3" (weight 3), "c*0", "d+" (backup), "e-" (disabled).
func pool(algorithm dataplane.Algorithm, words string) dataplane.Pool {
	p := dataplane.Pool{ID: "pool", Algorithm: algorithm}
	for word := range strings.FieldsSeq(words) {
		m := dataplane.Member{ID: word[:1], Weight: 1}
		_, _ = fmt.Sscanf(word[1:], "*%d", &m.Weight)
		m.Backup = strings.HasSuffix(word, "+")
		m.Disabled = strings.HasSuffix(word, "-")
		p.Members = append(p.Members, m)
	}
	return p
}

// sequence is the ids of n picks, each released at once.
func sequence(b *Balancer, n int) string {
	var ids strings.Builder
	for range n {
		m := b.Pick(client)
		if m == nil {
			ids.WriteString(".")
			continue
		}
		ids.WriteString(m.ID)
		m.Release()
	}
	return ids.String()
}

func TestPick(t *testing.T) {
	monitor := &dataplane.Monitor{}
	for _, test := range []struct {
		name      string
		algorithm dataplane.Algorithm
		members   string
		down      string
		monitor   *dataplane.Monitor
		want      string
	}{
		{"round robin alternates", dataplane.RoundRobin, "a b", "", nil, "abababab"},
		{"round robin spreads weights", dataplane.RoundRobin, "a*5 b c", "", nil, "aabacaaa"},
		{"weight 0 gets nothing", dataplane.RoundRobin, "a*0 b c", "", nil, "bcbcbcbc"},
		{"all weights 0", dataplane.RoundRobin, "a*0 b*0", "", nil, "........"},
		{"disabled gets nothing", dataplane.RoundRobin, "a- b", "", nil, "bbbbbbbb"},
		{"down gets nothing", dataplane.RoundRobin, "a b c", "b", monitor, "acacacac"},
		{"all down", dataplane.RoundRobin, "a b", "ab", monitor, "........"},
		{"without a monitor nobody is down", dataplane.RoundRobin, "a b", "ab", nil, "abababab"},
		{"backups rest", dataplane.RoundRobin, "a b+ c+", "", monitor, "aaaaaaaa"},
		{"all backups share when no primary is left", dataplane.RoundRobin, "a b+ c+", "a", monitor, "bcbcbcbc"},
		{"a drained primary does not hold backups off", dataplane.RoundRobin, "a*0 b+", "", nil, "bbbbbbbb"},
		{"no members", dataplane.RoundRobin, "", "", nil, "........"},
		{"least connections of an idle pool alternates", dataplane.LeastConnections, "a b", "", nil, "abababab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pool(test.algorithm, test.members)
			p.Monitor = test.monitor
			b := New(p, nil)
			for _, id := range test.down {
				b.SetDown(string(id), true)
			}
			if diff := cmp.Diff(test.want, sequence(b, 8)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFailoverKeepsAlternation(t *testing.T) {
	b := New(pool(dataplane.RoundRobin, "a b c"), nil)
	var firsts, seconds strings.Builder
	for range 12 {
		m := b.Pick(client)
		firsts.WriteString(m.ID)
		if m.ID == "a" { // a refuses
			second := b.Pick(client, m)
			seconds.WriteString(second.ID)
		}
	}
	if got := firsts.String() + " " + seconds.String(); got != "abcabcabcabc bcbc" {
		t.Errorf("got %s", got)
	}
}

func TestFailoverTriesEveryMemberOnce(t *testing.T) {
	for _, algorithm := range []dataplane.Algorithm{
		dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIP, dataplane.SourceIPPort,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			b := New(pool(algorithm, "a b*9 c d+"), nil)
			var tried []*Member
			for m := b.Pick(client); m != nil; m = b.Pick(client, tried...) {
				tried = append(tried, m)
			}
			if len(tried) != 4 || tried[3].ID != "d" {
				t.Errorf("tried %d members, the last is %s", len(tried), tried[len(tried)-1].ID)
			}
		})
	}
}

func TestLeastConnectionsWeighs(t *testing.T) {
	b := New(pool(dataplane.LeastConnections, "a*3 b*1"), nil)
	for range 40 {
		b.Pick(client)
	}
	got := []int64{b.members[0].Active(), b.members[1].Active()}
	if diff := cmp.Diff([]int64{30, 10}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigChangeKeepsTurns(t *testing.T) {
	p := pool(dataplane.RoundRobin, "a b c")
	b := New(p, nil)
	got := sequence(b, 4)
	got += sequence(New(p, b), 4)
	if got != "abcabcab" {
		t.Errorf("got %s", got)
	}
}

func TestWeightChangeOwesNothing(t *testing.T) {
	b := New(pool(dataplane.RoundRobin, "a*256 b*1"), nil)
	for range 129 {
		b.Pick(client)
	}
	if got := sequence(New(pool(dataplane.RoundRobin, "a b"), b), 4); got != "abab" {
		t.Errorf("got %s", got)
	}
}

// TestAlgorithmChangeOwesNothing lets one member wait for long while another has fewer connections; round robin must not
// make up for it.
func TestAlgorithmChangeOwesNothing(t *testing.T) {
	first := New(pool(dataplane.RoundRobin, "a b"), nil)
	sequence(first, 2)
	least := New(pool(dataplane.LeastConnections, "a b"), first)
	for range 50 { // a takes what has come first and keeps it
		least.Pick(client, least.members[1])
	}
	if got := sequence(least, 50); got != strings.Repeat("b", 50) {
		t.Fatal(got)
	}
	then := New(pool(dataplane.RoundRobin, "a b"), least)
	if got := sequence(then, 8); got != "abababab" {
		t.Errorf("picks: %s", got)
	}
	if m := then.Pick(client, then.members[0]); m.ID != "b" {
		t.Errorf("failover: %s", m.ID)
	}
}

func TestConfigChangeKeepsHealthAndConnections(t *testing.T) {
	p := pool(dataplane.LeastConnections, "a b")
	p.Monitor = &dataplane.Monitor{}
	b := New(p, nil)
	held := b.Pick(client)
	b.SetDown("b", true)
	next := New(pool(dataplane.LeastConnections, "b a c"), b)
	next.pool.Monitor = p.Monitor
	if got := sequence(next, 2); got != "cc" {
		t.Errorf("got %s", got)
	}
	held.Release()
	if n := next.members[1].Active(); n != 0 {
		t.Errorf("%d active after the release through the old balancer", n)
	}
}

func TestSourceHashIsStable(t *testing.T) {
	const clients = 3000
	all := New(pool(dataplane.SourceIP, "a b c*2"), nil)
	without := New(pool(dataplane.SourceIP, "a c*2"), nil)
	count := map[string]int{}
	for i := range clients {
		before, after := all.Pick(clientN(i)), without.Pick(clientN(i))
		count[before.ID]++
		if before.ID != "b" && before.ID != after.ID {
			t.Fatalf("%s moved from %s to %s", clientN(i), before.ID, after.ID)
		}
	}
	for id, share := range map[string]int{"a": 1, "b": 1, "c": 2} {
		if want := clients * share / 4; count[id] < want*8/10 || count[id] > want*12/10 {
			t.Errorf("%s has %d clients, want about %d", id, count[id], want)
		}
	}
}

func TestSourceHashSees(t *testing.T) {
	for _, test := range []struct {
		algorithm dataplane.Algorithm
		members   int // that clients of one address and many ports reach
	}{{dataplane.SourceIP, 1}, {dataplane.SourceIPPort, 3}} {
		t.Run(string(test.algorithm), func(t *testing.T) {
			b := New(pool(test.algorithm, "a b c"), nil)
			seen := map[string]bool{}
			for port := range uint16(100) {
				seen[b.Pick(netip.AddrPortFrom(client.Addr(), 1024+port)).ID] = true
			}
			if len(seen) != test.members {
				t.Errorf("reached %d members, want %d", len(seen), test.members)
			}
		})
	}
}

func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(pool(dataplane.RoundRobin, "a b c+"), nil)
		a, other := b.members[0], b.members[1]
		a.Rest()
		if got := sequence(b, 4); got != "bbbb" {
			t.Errorf("while a rests: %s", got)
		}
		other.Rest()
		if got := sequence(b, 4); got != "abab" {
			t.Errorf("while all primaries rest: %s", got)
		}
		time.Sleep(restTime) // the bubble's clock
		if got := sequence(b, 4); got != "abab" {
			t.Errorf("afterwards: %s", got)
		}
	})
}

// TestModel compares the Balancer, through any order of picks, releases, health and configuration changes, with what
// must hold of each pick.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{down: map[string]bool{}, active: map[string]int64{}}
		m.configure(t)
		t.Repeat(map[string]func(*rapid.T){
			"configure": m.configure,
			"pick":      m.pick,
			"release":   m.release,
			"health":    m.health,
			"":          m.check,
		})
	})
}

type model struct {
	pool   dataplane.Pool
	b      *Balancer
	held   []*Member
	down   map[string]bool
	active map[string]int64
}

func (m *model) configure(t *rapid.T) {
	m.pool = dataplane.Pool{
		Algorithm: rapid.SampledFrom([]dataplane.Algorithm{
			dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIP, dataplane.SourceIPPort,
		}).Draw(t, "algorithm"),
		Monitor: &dataplane.Monitor{},
	}
	if rapid.Bool().Draw(t, "affinity") {
		m.pool.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP}
	}
	kept := map[string]bool{}
	for _, id := range []string{"a", "b", "c", "d"} {
		if rapid.Bool().Draw(t, "has "+id) {
			kept[id] = true
			m.pool.Members = append(m.pool.Members, dataplane.Member{
				ID: id, Weight: rapid.IntRange(0, 3).Draw(t, "weight"),
				Backup: rapid.Bool().Draw(t, "backup"), Disabled: rapid.Bool().Draw(t, "disabled"),
			})
		}
	}
	m.b = New(m.pool, m.b)
	for _, id := range []string{"a", "b", "c", "d"} {
		if !kept[id] { // a member that goes and comes back starts afresh
			delete(m.down, id)
			delete(m.active, id)
			m.forget(id)
		}
	}
}

func (m *model) forget(id string) {
	var held []*Member
	for _, h := range m.held {
		if h.ID != id {
			held = append(held, h)
		}
	}
	m.held = held
}

func (m *model) pick(t *rapid.T) {
	var tried []*Member
	for _, member := range m.b.members {
		if rapid.Bool().Draw(t, "tried "+member.ID) {
			tried = append(tried, member)
		}
	}
	got := m.b.Pick(clientN(rapid.IntRange(0, 5).Draw(t, "client")), tried...)
	var primary, backup int
	for _, member := range m.b.members {
		if member.Disabled || m.down[member.ID] || member.Weight == 0 || contains(tried, member) {
			continue
		}
		if member.Backup {
			backup++
		} else {
			primary++
		}
	}
	if got == nil {
		if primary+backup > 0 {
			t.Fatalf("no pick although %d primaries and %d backups are usable", primary, backup)
		}
		return
	}
	if got.Disabled || m.down[got.ID] || contains(tried, got) {
		t.Fatalf("picked unusable %s", got.ID)
	}
	if m.pool.Persistence == nil && (got.Weight == 0 || got.Backup && primary > 0) {
		t.Fatalf("picked %s (weight %d, backup %t)", got.ID, got.Weight, got.Backup)
	}
	m.active[got.ID]++
	m.held = append(m.held, got)
}

func (m *model) release(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip()
	}
	last := m.held[len(m.held)-1]
	m.held = m.held[:len(m.held)-1]
	last.Release()
	m.active[last.ID]--
}

func (m *model) health(t *rapid.T) {
	if len(m.b.members) == 0 {
		t.Skip()
	}
	id := rapid.SampledFrom(m.b.members).Draw(t, "member").ID
	m.down[id] = rapid.Bool().Draw(t, "down")
	m.b.SetDown(id, m.down[id])
}

func (m *model) check(t *rapid.T) {
	for _, member := range m.b.members {
		if member.Active() != m.active[member.ID] {
			t.Fatalf("%s has %d active, want %d", member.ID, member.Active(), m.active[member.ID])
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, algorithm := range []dataplane.Algorithm{dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIP} {
		for _, words := range []string{"a b", "a b c d", "a b c d e f g h i j"} {
			balancer := New(pool(algorithm, words), nil)
			b.Run(fmt.Sprintf("%s of %d", algorithm, len(balancer.members)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					balancer.Pick(client).Release()
				}
			})
		}
	}
	b.Run("from all cores", func(b *testing.B) {
		balancer := New(pool(dataplane.RoundRobin, "a b c d"), nil)
		b.RunParallel(func(next *testing.PB) {
			for next.Next() {
				balancer.Pick(client).Release()
			}
		})
	})
	b.Run("after a rest", func(b *testing.B) {
		balancer := New(pool(dataplane.RoundRobin, "a b c d"), nil)
		for _, m := range balancer.members {
			m.tally.restUntil.Store(1)
		}
		for b.Loop() {
			balancer.Pick(client).Release()
		}
	})
}
