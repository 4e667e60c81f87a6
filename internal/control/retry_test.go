package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"poise/internal/control"
	"poise/internal/database/databasetest"
	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/rest"
	"poise/internal/store"
)

// fullNode cannot plug any load balancer: the first time with a reason that people understand, then with one that is only what
// the first attempt left behind. Once it is mended it plugs all.
type fullNode struct {
	link.Node
	mu       sync.Mutex // guards what follows
	attempts map[string]int
	mended   bool
}

const readable, leftOver = "the network has no room for another port: a bridge takes 1,023", "bridge: exchange full"

func (n *fullNode) Apply(_ context.Context, a link.Assignment) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attempts[a.LoadBalancerID]++
	switch {
	case n.mended:
		return nil
	case n.attempts[a.LoadBalancerID] == 1:
		return errors.New(readable)
	default:
		return errors.New(leftOver)
	}
}

func (n *fullNode) Prune(context.Context, []string) error         { return nil }
func (n *fullNode) Counters(string) map[string]dataplane.Counters { return nil }

func (n *fullNode) Members(string) map[dataplane.MemberKey]dataplane.MemberCounters { return nil }

// all counts the attempts.
func (n *fullNode) all() (sum int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, attempts := range n.attempts {
		sum += attempts
	}
	return sum
}

func (n *fullNode) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mended = true
}

// wideNetwork gives out VIPs and plugs them.
type wideNetwork struct{ control.Network }

func (wideNetwork) VIPOwners(context.Context) ([]string, error) { return nil, nil }
func (wideNetwork) CreateVIP(context.Context, rest.Caller, lb.VIPRequest) (lb.VIP, error) {
	return lb.VIP{PortID: uuid.NewString(), Address: netip.MustParseAddr("10.0.0.1")}, nil
}

func (wideNetwork) AttachVIP(context.Context, lb.VIP) (fabric.Port, error) { return fabric.Port{}, nil }

// noSecrets are never asked for.
type noSecrets struct{ control.Secrets }

func (noSecrets) Changed(context.Context, time.Time) ([]string, time.Time, error) {
	return nil, time.Time{}, nil
}

// TestRetriesCostNothing has load balancers that cannot be plugged, for an hour: each has one log line for each reason, pauses grow
// to a minute although others look for unacknowledged changes every few seconds, and the reason that people understand stays.
func TestRetriesCostNothing(t *testing.T) {
	const balancers = 20
	db := databasetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		node := &fullNode{attempts: map[string]int{}}
		s, err := store.New(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		c := control.New(s, wideNetwork{}, noSecrets{}, node, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx) })
		var ids []string
		for i := range balancers {
			id := fmt.Sprintf("lb-%d", i)
			ids = append(ids, id)
			if _, err := c.Create(ctx, admin, lb.LoadBalancerCreate{ID: id, ProjectID: "p"}, lb.VIPRequest{LoadBalancerID: id}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute) // of the bubble
		first := node.all()
		time.Sleep(time.Hour)
		if later := node.all() - first; later > 70*balancers || later < 55*balancers {
			t.Errorf("%d attempts in an hour at %d load balancers, want about 60 at each", later, balancers)
		}
		for _, id := range ids {
			snapshot, err := c.Snapshot(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := snapshot.Reason(&snapshot.Tree.Object), readable+"; the last attempt: "+leftOver; got != want {
				t.Errorf("reason %q, want %q", got, want)
			}
		}
		node.mend()
		time.Sleep(2 * time.Minute)
		for _, id := range ids {
			snapshot, err := c.Snapshot(ctx, id)
			if err != nil || snapshot.Reason(&snapshot.Tree.Object) != "" {
				t.Errorf("mended: %q %v", snapshot.Reason(&snapshot.Tree.Object), err)
			}
		}
		stop()
		running.Wait()
		if lines := strings.Count(log.String(), "could not be applied"); lines != 2*balancers {
			t.Errorf("%d lines about failures, want one for each of two reasons of %d load balancers", lines, balancers)
		}
		if lines := strings.Count(log.String(), "applied after all"); lines != balancers {
			t.Errorf("%d lines about the end of failures, want %d", lines, balancers)
		}
	})
}

func (wideNetwork) AttachPlainVIPs(context.Context, map[string]lb.VIP) (map[string]fabric.Port, error) {
	return nil, nil
}

func (wideNetwork) AttachMembers(context.Context, string, lb.VIP, []string) ([]fabric.Port, error) {
	return nil, nil
}
func (wideNetwork) DetachMembers(context.Context, string, lb.VIP, []string) error { return nil }

func (n *fullNode) Remove(context.Context, string) error { return nil }

// stubbornNetwork releases a port only after some attempts.
type stubbornNetwork struct {
	wideNetwork
	attempts chan error
	released chan string
}

func (n stubbornNetwork) ReleaseVIP(_ context.Context, id string) error {
	select {
	case err := <-n.attempts:
		return err
	default:
		n.released <- id
		return nil
	}
}

// The port of a load balancer that could not be made is released, however long that fails.
func TestPortOfNoLoadBalancerIsReleased(t *testing.T) {
	db := databasetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.New(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		network := stubbornNetwork{attempts: make(chan error, 3), released: make(chan string, 1)}
		for range cap(network.attempts) {
			network.attempts <- errors.New("disk full")
		}
		c := control.New(s, network, noSecrets{}, &fullNode{attempts: map[string]int{}}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx) })
		twice := []lb.ListenerCreate{{Protocol: "TCP", ProtocolPort: 80}, {Protocol: "TCP", ProtocolPort: 80}}
		in := lb.LoadBalancerCreate{ID: "lb", ProjectID: "p", Listeners: twice}
		if _, err := c.Create(ctx, admin, in, lb.VIPRequest{LoadBalancerID: "lb"}); err == nil {
			t.Error("two listeners of one port were taken")
		}
		select {
		case id := <-network.released:
			if id != "lb" {
				t.Errorf("the port of %q is released", id)
			}
		case <-time.After(time.Hour): // of the bubble
			t.Error("the port stays")
		}
		stop()
		running.Wait()
	})
}
