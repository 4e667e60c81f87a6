package datagram

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/dataplane"
)

// TestSoak has clients come and go while one configuration follows the other and flows make room for each other. Every answer
// must be to the client's own question, clients must be served all the time, and in the end all counts must agree.
func TestSoak(t *testing.T) {
	visits := int64(3000)
	if testing.Short() {
		visits = 600
	}
	steady, _ := echo(t, "steady")
	fickle, _ := echo(t, "fickle")
	b := newBenchOn(t, vip, 40, steady, fickle, refusing(t, "refusing"))
	b.config.Pools[0].Monitor = &dataplane.Monitor{}
	for i := range 2 {
		b.config.Listeners = append(b.config.Listeners, dataplane.Listener{
			ID: fmt.Sprint("listener", i), Protocol: dataplane.UDP, Port: freePort(t, vip), PoolID: "pool",
		})
	}
	b.apply()
	var listeners []*bench // each sees one of them
	for i := range b.config.Listeners {
		one := *b
		one.config.Listeners = b.config.Listeners[i : i+1]
		listeners = append(listeners, &one)
	}
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for n := next.Add(1); n <= visits; n = next.Add(1) {
				visit(listeners[n%3], n)
			}
		})
	}
	over := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() { changeUntil(b, over) })
	clients.Wait()
	close(over)
	changes.Wait()
	agree(b)
}

// visit is one client, who asks a few times.
func visit(b *bench, n int64) {
	c := b.client()
	defer c.Close()
	for i := range 1 + n%4 {
		question := fmt.Sprintf("%d.%d", n, i)
		deadline := time.Now().Add(patience)
		for {
			_, answer, _ := strings.Cut(c.ask(question, 4*glance), ":")
			if answer == question {
				break
			}
			if answer != "" && !strings.HasPrefix(answer, fmt.Sprintf("%d.", n)) {
				b.t.Errorf("%s was answered with %s", question, answer)
			}
			if time.Now().After(deadline) {
				b.t.Errorf("%s was not answered", question)
				return
			}
		}
	}
}

// changeUntil applies one configuration after the other. The steady member is in all of them.
func changeUntil(b *bench, over chan struct{}) {
	random := rand.New(rand.NewPCG(1, 2))
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		config := dataplane.Config{Listeners: slices.Clone(b.config.Listeners), Pools: slices.Clone(b.config.Pools)}
		pool := &config.Pools[0]
		pool.Algorithm = []dataplane.Algorithm{dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIPPort}[random.IntN(3)]
		if random.IntN(3) == 0 {
			pool.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: time.Second}
		}
		pool.Members = slices.Clone(pool.Members)[:1+random.IntN(3)]
		for i := range pool.Members {
			pool.Members[i].Weight = 1 + random.IntN(3)
			pool.Members[i].Disabled = i > 0 && random.IntN(4) == 0
		}
		config.Listeners[0].ConnectionLimit = 20 + random.IntN(30)
		b.server.Apply(&config, b.bind)
		state := []dataplane.HealthState{dataplane.HealthUp, dataplane.HealthDown}[random.IntN(2)]
		b.server.SetHealth(dataplane.Health{PoolID: "pool", MemberID: "fickle", State: state})
	}
}

// agree compares what is counted in different places.
func agree(b *bench) {
	b.apply()
	b.settled()
	var listeners, members, withMember int64
	for _, c := range b.server.Counters() {
		listeners += c.Active
	}
	for _, m := range b.server.MemberCounters() {
		members += m.Active
	}
	for _, l := range b.engine.loops {
		l.do(func() {
			withMember += int64(len(l.flows))
			for f := range l.silent.all() {
				listeners--
				if (f.member == nil) != (f.fd == none) {
					b.t.Error("a flow has a member without a socket, or a socket without a member")
				}
			}
			if l.open != int64(len(l.flows)) || l.open > l.limit {
				b.t.Errorf("%d descriptors are counted, %d used, %d allowed", l.open, len(l.flows), l.limit)
			}
		})
	}
	if listeners != 0 || members != withMember {
		b.t.Errorf("%d more flows are counted than there are; %d have a member, %d are counted", listeners, withMember, members)
	}
}
