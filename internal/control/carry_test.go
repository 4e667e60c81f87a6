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
