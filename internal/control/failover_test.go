package control_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"poise/internal/database/databasetest"
	"poise/internal/lb"
	"poise/internal/link"
)

// recorder keeps the assignments that a node has applied.
type recorder struct {
	link.Node
	mu      sync.Mutex // guards applied
	applied []link.Assignment
}

func (r *recorder) Apply(ctx context.Context, a link.Assignment) error {
	err := r.Node.Apply(ctx, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = append(r.applied, a)
	return err
}

func (r *recorder) last() link.Assignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied[len(r.applied)-1]
}

// TestFailover applies a load balancer from scratch as a generation of its own, which ends ACTIVE and serves as before.
func TestFailover(t *testing.T) {
	r := &recorder{}
	c := start(t, databasetest.SQLite(t), func(inner link.Node) link.Node { r.Node = inner; return r }).withSubnet(t, "127.81.9.0/24")
	created := c.create(t)
	address, _ := c.serveTCP(t, created, greeter(t, "one"))
	id := created.Tree.ID
	before := c.until(t, id, "ACTIVE", isActive)
	pending, err := c.Failover(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if status := pending.Provisioning(&pending.Tree.Object); status != lb.PendingUpdate {
		t.Errorf("right after the failover it is %s", status)
	}
	after := c.until(t, id, "ACTIVE again", isActive)
	if after.Tree.Generation != before.Tree.Generation+1 || after.Observed.Applied != after.Tree.Generation {
		t.Errorf("generation %d after %d", after.Tree.Generation, before.Tree.Generation)
	}
	if last := r.last(); !last.Replug || last.Generation != after.Tree.Generation {
		t.Errorf("the node was told generation %d, replug %v", last.Generation, last.Replug)
	}
	if answer, err := ask(address); err != nil || answer != "one" {
		t.Errorf("after the failover it answers %q (%v)", answer, err)
	}
	if _, err := c.Failover(t.Context(), "nosuch"); lb.CodeOf(err) != lb.NotFound {
		t.Errorf("failover of what is not there: %v", err)
	}
}

// held is a node that keeps one assignment waiting.
type held struct {
	recorder
	generation atomic.Int64  // of the assignment that waits
	reached    chan struct{} // closed when it does
	release    chan struct{} // closed when it may go on
}

func (h *held) Apply(ctx context.Context, a link.Assignment) error {
	if a.Generation == h.generation.Load() {
		close(h.reached)
		<-h.release
	}
	return h.recorder.Apply(ctx, a)
}

// TestFailoverDuringAnotherChange is one that comes while the node takes the generation before it: its ports are made
// sure of all the same.
func TestFailoverDuringAnotherChange(t *testing.T) {
	h := &held{reached: make(chan struct{}), release: make(chan struct{})}
	c := start(t, databasetest.SQLite(t), func(inner link.Node) link.Node { h.Node = inner; return h }).withSubnet(t, "127.81.11.0/24")
	id := c.create(t).Tree.ID
	before := c.until(t, id, "ACTIVE", isActive)
	h.generation.Store(before.Tree.Generation + 1)
	c.change(t, id, func(t *lb.LoadBalancer) error {
		return t.Update(lb.LoadBalancerAttrs{Description: lb.Some("changed")})
	})
	<-h.reached
	_, err := c.Failover(t.Context(), id)
	close(h.release)
	if err != nil {
		t.Fatal(err)
	}
	after := c.until(t, id, "ACTIVE again", isActive)
	if last := h.last(); !last.Replug || last.Generation != after.Tree.Generation {
		t.Errorf("the node was told generation %d of %d, replug %v", last.Generation, after.Tree.Generation, last.Replug)
	}
}
