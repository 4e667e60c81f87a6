package control_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"poise/internal/database/databasetest"
	"poise/internal/link"
)

// workers is how many load balancers are applied at the same time.
const workers = 8

// orderly is a node that writes down in which order load balancers are applied. The first of them wait for each other, so that
// each worker has one before any takes its second.
type orderly struct {
	link.Node
	begun chan struct{} // closed when each worker has one
	mu    sync.Mutex
	order []string // guarded by mu
}

func (r *orderly) Apply(ctx context.Context, a link.Assignment) error {
	r.mu.Lock()
	r.order = append(r.order, a.LoadBalancerID)
	if len(r.order) == workers {
		close(r.begun)
	}
	r.mu.Unlock()
	select {
	case <-r.begun:
	case <-ctx.Done():
	}
	return r.Node.Apply(ctx, a)
}

// After a restart, load balancers with traffic come before those without, and before older ones.
func TestRestartBeginsWithTraffic(t *testing.T) {
	const balancers = 20
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.9.0/24")
	for range balancers {
		c.create(t)
	}
	busy := c.create(t)
	address, _ := c.serveTCP(t, busy, greeter(t, "one"))
	eventually(t, "service", func() error { _, err := ask(address); return err })
	for range 2 { // the second restart finds what the first one kept
		c.stop()
		r := &orderly{begun: make(chan struct{})}
		c = start(t, db, func(n link.Node) link.Node { r.Node = n; return r })
		eventually(t, "all load balancers", func() error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.order) <= balancers {
				return fmt.Errorf("%d are applied", len(r.order))
			}
			return nil
		})
		r.mu.Lock()
		if at := slices.Index(r.order, busy.Tree.ID); at >= workers {
			t.Errorf("the load balancer with traffic is the %dth of %d", at+1, len(r.order))
		}
		r.mu.Unlock()
	}
}
