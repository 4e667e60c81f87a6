package control_test

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"

	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// TestPassThrough carries HTTPS as bytes, and TCP to pools of other protocols.
func TestPassThrough(t *testing.T) {
	c := start(t, databasetest.SQLite(t), nil).withSubnet(t, "127.81.9.0/24")
	s := c.create(t)
	member := greeter(t, "one")
	for listener, pool := range map[string]string{"HTTPS": "HTTPS", "TCP": "HTTP"} {
		port := freePort(t, s.Tree.VIP.Address)
		c.change(t, s.Tree.ID, addListener(listener, int(port), pool, lb.PoolAttrs{}, lb.MemberCreate{Address: member.Addr(), ProtocolPort: int(member.Port())}))
		eventually(t, listener+" carried", func() error {
			_, err := ask(netip.AddrPortFrom(s.Tree.VIP.Address, port))
			return err
		})
	}
	c.until(t, s.Tree.ID, "everything ONLINE", func(s lb.Snapshot) bool { return s.Operating(&s.Tree.Object) == lb.Online && isActive(s) })
}

// TestUncarried shows listeners that the data plane does not carry in ERROR, and them and health monitors with the reason.
func TestUncarried(t *testing.T) {
	c := start(t, databasetest.SQLite(t), nil).withSubnet(t, "127.81.10.0/24")
	s := c.create(t)
	want := map[string]string{} // reasons by the listeners' protocols and pools
	for i, test := range []struct {
		listener, pool string
		attrs          lb.PoolAttrs
		reason         string
	}{
		{"HTTP", "HTTP", lb.PoolAttrs{}, "poise does not carry HTTP listeners yet"},
		{"UDP", "UDP", lb.PoolAttrs{}, "poise does not carry UDP listeners yet"},
		{"TCP", "PROXY", lb.PoolAttrs{}, "poise does not carry PROXY pools yet"},
		{"HTTPS", "TCP", lb.PoolAttrs{TLSEnabled: lb.Some(true)}, "poise does not speak TLS to members yet"},
	} {
		c.change(t, s.Tree.ID, addListener(test.listener, 20_000+i, test.pool, test.attrs))
		want[test.listener] = test.reason
	}
	pool := uuid.NewString()
	c.change(t, s.Tree.ID, func(t *lb.LoadBalancer) error {
		attrs := lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))}
		if _, err := t.CreatePool(lb.PoolCreate{ID: pool, Protocol: "TCP", PoolAttrs: attrs}); err != nil {
			return err
		}
		_, err := t.CreateHealthMonitor(pool, lb.HealthMonitorCreate{ID: uuid.NewString(), Type: "PING"})
		return err
	})
	s = c.until(t, s.Tree.ID, "all ACTIVE", isActive)
	for _, l := range s.Tree.Listeners {
		if s.Operating(&l.Object) != lb.InError || s.Reason(&l.Object) != want[string(l.Protocol)] {
			t.Errorf("%s listener is %s: %q", l.Protocol, s.Operating(&l.Object), s.Reason(&l.Object))
		}
	}
	for _, p := range s.Tree.Pools {
		if m := p.Monitor; m != nil && (s.Operating(&m.Object) != lb.Online || s.Reason(&m.Object) != "poise does not make PING health checks yet; the members are not checked") {
			t.Errorf("health monitor is %s: %q", s.Operating(&m.Object), s.Reason(&m.Object))
		}
	}
	if s.Operating(&s.Tree.Object) != lb.Online || s.Reason(&s.Tree.Object) == "" {
		t.Errorf("the load balancer is %s: %q", s.Operating(&s.Tree.Object), s.Reason(&s.Tree.Object))
	}
}

// addListener makes a listener with a pool of its own.
func addListener(protocol string, port int, pool string, attrs lb.PoolAttrs, members ...lb.MemberCreate) func(*lb.LoadBalancer) error {
	return func(t *lb.LoadBalancer) error {
		l, err := t.CreateListener(lb.ListenerCreate{ID: uuid.NewString(), Protocol: protocol, ProtocolPort: port})
		if err != nil {
			return err
		}
		attrs.Algorithm = lb.Some(lb.Algorithm("ROUND_ROBIN"))
		p, err := t.CreatePool(lb.PoolCreate{ID: uuid.NewString(), Protocol: pool, ListenerID: l.ID, PoolAttrs: attrs})
		if err != nil {
			return err
		}
		for _, m := range members {
			m.ID = uuid.NewString()
			if _, err := t.CreateMember(p.ID, m); err != nil {
				return err
			}
		}
		return nil
	}
}
