package control_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"poise/internal/database/databasetest"
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
