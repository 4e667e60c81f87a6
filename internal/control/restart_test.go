package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"poise/internal/database/databasetest"
	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/rest"
)

// queries counts what a database is asked.
type queries struct{ all, writes atomic.Int64 }

func (q *queries) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	q.all.Add(1)
	if strings.HasPrefix(e.Query, "UPDATE") || strings.HasPrefix(e.Query, "INSERT") {
		q.writes.Add(1)
	}
	return ctx
}

func (q *queries) AfterQuery(context.Context, *bun.QueryEvent) {}

// A restart reads all load balancers and their ports together, looks at each once, and writes nothing where nothing is
// new.
func TestRestartAsksLittle(t *testing.T) {
	const few, many, most = 10, 40, 4 // queries for each load balancer: one is usual, and a few are looked at twice
	db := databasetest.SQLite(t)
	asked := &queries{}
	db.AddQueryHook(asked)
	c := start(t, db, nil).withSubnet(t, "127.81.10.0/24")
	subnet, made := c.subnet, 0
	restart := func(n int) (all, writes int64) {
		for ; made < n; made++ {
			address, _ := c.serveTCP(t, c.create(t), greeter(t, "one"))
			eventually(t, "service", func() error { _, err := ask(address); return err })
		}
		eventually(t, "an idle control plane", c.isIdle)
		c.stop()
		all, writes = asked.all.Load(), asked.writes.Load()
		c = start(t, db, nil)
		eventually(t, "all load balancers", c.isIdle)
		c.stop()
		all, writes = asked.all.Load()-all, asked.writes.Load()-writes
		c = start(t, db, nil)
		c.subnet = subnet
		return all, writes
	}
	base, baseWrites := restart(few)
	all, writes := restart(many)
	if each := float64(all-base) / (many - few); each > most {
		t.Errorf("%.1f queries for each load balancer, want at most %d", each, most)
	}
	if writes-baseWrites > (many-few)/3 { // one for each would be many; a few may come from a listener that was late
		t.Errorf("%d writes at a start with %d load balancers, %d with %d", writes, many, baseWrites, few)
	}
}

// isIdle says what the control plane still has to do.
func (c *cloud) isIdle() error {
	opening, known := c.Opening()
	switch {
	case !known || opening > 0:
		return errors.New("load balancers are not tried yet")
	case c.QueueLength() > 0:
		return errors.New("load balancers wait")
	}
	return nil
}

// heldUp is a node that applies nothing before it is let go, and remembers with which ports it applied what.
type heldUp struct {
	link.Node
	letGo chan struct{}
	mu    sync.Mutex
	asked map[string]bool // guarded by mu, as is ports
	ports map[string][]fabric.Port
}

func (h *heldUp) Apply(ctx context.Context, a link.Assignment) error {
	h.mu.Lock()
	h.asked[a.LoadBalancerID] = true
	h.mu.Unlock()
	select {
	case <-h.letGo:
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	h.ports[a.LoadBalancerID] = a.Ports
	h.mu.Unlock()
	return h.Node.Apply(ctx, a)
}

// A port that is changed after the start has read all of them, and before its load balancer's turn, is plugged as it is then.
func TestRestartPlugsChangedPorts(t *testing.T) {
	const balancers = 12 // load balancers beyond the workers wait for their turn
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.12.0/24")
	made := map[string]lb.Snapshot{}
	for range balancers {
		s := c.create(t)
		made[s.Tree.ID] = s
	}
	eventually(t, "an idle control plane", c.isIdle)
	c.stop()

	h := &heldUp{letGo: make(chan struct{}), asked: map[string]bool{}, ports: map[string][]fabric.Port{}}
	c = start(t, db, func(n link.Node) link.Node { h.Node = n; return h })
	c.network.OnAttachmentChange(c.AttachmentChanged)
	eventually(t, "busy workers", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.asked) < workers {
			return fmt.Errorf("%d of %d", len(h.asked), workers)
		}
		return nil
	})
	var waiting lb.Snapshot
	h.mu.Lock()
	for id, s := range made {
		if !h.asked[id] {
			waiting = s
		}
	}
	h.mu.Unlock()
	c.changePort(t, waiting.Tree.VIP.PortID, map[string]any{"fixed_ips": []any{
		map[string]any{"subnet_id": waiting.Tree.VIP.SubnetID, "ip_address": waiting.Tree.VIP.Address.String()},
		map[string]any{"subnet_id": waiting.Tree.VIP.SubnetID, "ip_address": "127.81.12.200"},
	}})
	close(h.letGo)
	eventually(t, "the second address", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if ports := h.ports[waiting.Tree.ID]; len(ports) != 1 || len(ports[0].Addresses) != 2 {
			return fmt.Errorf("ports %v", ports)
		}
		return nil
	})
}

func (c *cloud) changePort(t *testing.T, id string, change map[string]any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"port": change})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(rest.WithCaller(t.Context(), admin), http.MethodPut, "/v2.0/ports/"+id, bytes.NewReader(body))
	w := httptest.NewRecorder()
	c.network.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("port %s: %d %s", id, w.Code, w.Body)
	}
}
