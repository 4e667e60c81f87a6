package neutron

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"poise/internal/database"
)

func TestDefaultPools(t *testing.T) {
	for _, one := range []struct{ cidr, gateway, want string }{
		{"10.0.0.0/24", "10.0.0.1", "[{10.0.0.2 10.0.0.254}]"},
		{"10.0.0.0/24", "10.0.0.9", "[{10.0.0.1 10.0.0.8} {10.0.0.10 10.0.0.254}]"},
		{"10.0.0.0/24", "10.0.0.254", "[{10.0.0.1 10.0.0.253}]"},
		{"10.0.0.0/24", "", "[{10.0.0.1 10.0.0.254}]"},
		{"10.0.0.0/31", "10.0.0.0", "[{10.0.0.1 10.0.0.1}]"},
		{"10.0.0.0/32", "10.0.0.0", "[]"},
		{"2001:db8::/64", "2001:db8::1", "[{2001:db8::2 2001:db8::ffff:ffff:ffff:ffff}]"},
		{"0.0.0.0/0", "", "[{0.0.0.1 255.255.255.254}]"},
	} {
		gateway, _ := netip.ParseAddr(one.gateway)
		if got := fmt.Sprint(defaultPools(netip.MustParsePrefix(one.cidr), gateway)); got != one.want {
			t.Errorf("%s without %q: got %s, want %s", one.cidr, one.gateway, got, one.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, one := range []struct {
		prefix, address string
		place           int64
		ok              bool
	}{
		{"10.0.0.0/8", "10.0.1.2", 258, true},
		{"2001:db8::/64", "2001:db8::1:0", 1 << 16, true},
		{"2001:db8::/64", "2001:db8:0:0:ffff::", 0, false},
		{"2001:db8::/32", "2001:db8:1::", 0, false},
		{"2001:db8::ff00/120", "2001:db8::ff09", 9, true},
	} {
		prefix, address := netip.MustParsePrefix(one.prefix), netip.MustParseAddr(one.address)
		place, ok := placeOf(prefix, address)
		if place != one.place || ok != one.ok {
			t.Errorf("%s in %s: got %d %v", address, prefix, place, ok)
		}
		if ok && addressAt(prefix, place) != address {
			t.Errorf("place %d of %s: got %s", place, prefix, addressAt(prefix, place))
		}
	}
}

func openDB(t testing.TB) *database.DB {
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestAllocatorModel compares the allocator with a set of the addresses that are taken: a wanted address is given
// exactly when it is a free host address, any address exactly when the pools have a free one, and it is one of those.
func TestAllocatorModel(t *testing.T) {
	db := openDB(t)
	if _, err := New(t.Context(), Config{DB: db}); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := newAllocatorModel(t, db)
		t.Repeat(map[string]func(*rapid.T){
			"any":    func(t *rapid.T) { m.give(t, netip.Addr{}) },
			"wanted": func(t *rapid.T) { m.give(t, addressAt(m.subnet.prefix(), rapid.Int64Range(0, 18).Draw(t, "place"))) },
			"back":   m.takeBack,
		})
	})
}

type allocatorModel struct {
	db     *database.DB
	port   *port
	subnet *subnet
	taken  map[netip.Addr]address
}

func newAllocatorModel(t *rapid.T, db *database.DB) *allocatorModel {
	m := &allocatorModel{db: db, taken: map[netip.Addr]address{}}
	n := &network{common: newCommon("p"), MTU: defaultMTU}
	m.port = newPort("p", n.ID)
	prefix := netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.0/28", "2001:db8::/124"}).Draw(t, "prefix"))
	m.subnet = &subnet{common: newCommon("p"), NetworkID: n.ID, CIDR: prefix.String(), DNS: []string{}, HostRoutes: []hostRoute{}, Pools: []pool{}}
	for from := rapid.Int64Range(1, 6).Draw(t, "from"); from < 14; from += rapid.Int64Range(2, 9).Draw(t, "gap") {
		to := min(from+rapid.Int64Range(0, 1).Draw(t, "length"), 14)
		m.subnet.Pools = append(m.subnet.Pools, pool{addressAt(prefix, from), addressAt(prefix, to)})
	}
	m.in(t, func(ctx context.Context, c *change) error {
		for _, row := range []any{n, m.subnet, m.port} {
			if err := c.insert(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
	return m
}

func (m *allocatorModel) in(t *rapid.T, f func(context.Context, *change) error) {
	err := m.db.Tx(context.Background(), func(ctx context.Context, tx bun.Tx) error { return f(ctx, &change{tx: tx, caller: admin}) })
	if err != nil {
		t.Fatal(err)
	}
}

func (m *allocatorModel) give(t *rapid.T, wanted netip.Addr) {
	var refused error
	m.port.Addresses = nil
	m.in(t, func(ctx context.Context, c *change) error {
		refused = c.give(ctx, m.port, m.subnet, wanted)
		return nil
	})
	free := func(a netip.Addr) bool { _, busy := m.taken[a]; return !busy }
	possible := hosts(m.subnet.prefix()).contains(wanted) && free(wanted)
	if !wanted.IsValid() {
		for _, p := range m.subnet.Pools {
			for a := p.Start; p.contains(a); a = a.Next() {
				possible = possible || free(a)
			}
		}
	}
	if possible != (refused == nil) {
		t.Fatalf("possible %v, but %v", possible, refused)
	}
	if refused != nil {
		return
	}
	given := netip.MustParseAddr(m.port.Addresses[0].Address)
	inPool := wanted.IsValid()
	for _, p := range m.subnet.Pools {
		inPool = inPool || p.contains(given)
	}
	if !free(given) || !inPool || (wanted.IsValid() && given != wanted) {
		t.Fatalf("gave %s for %s with %v taken", given, wanted, m.taken)
	}
	m.taken[given] = m.port.Addresses[0]
}

func (m *allocatorModel) takeBack(t *rapid.T) {
	a := addressAt(m.subnet.prefix(), rapid.Int64Range(0, 18).Draw(t, "place"))
	m.in(t, func(ctx context.Context, c *change) error {
		return c.takeBack(ctx, address{SubnetID: m.subnet.ID, Address: a.String()})
	})
	delete(m.taken, a)
}

// FuzzReadSubnet looks for requests that make the service panic.
func FuzzReadSubnet(f *testing.F) {
	f.Add(`"10.0.0.0/24"`, `[{"start":"10.0.0.1","end":"10.0.0.9"}]`, `[{"destination":"0.0.0.0/0","nexthop":"10.0.0.1"}]`, `"10.0.0.1"`)
	f.Add(`"::/0"`, `[{}]`, `[{}]`, `null`)
	f.Fuzz(func(_ *testing.T, cidr, pools, routes, gateway string) {
		b := &body{method: "POST", caller: admin, attributes: map[string]json.RawMessage{
			"cidr": json.RawMessage(cidr), "allocation_pools": json.RawMessage(pools), "host_routes": json.RawMessage(routes), "gateway_ip": json.RawMessage(gateway), "ip_version": json.RawMessage("4"),
		}}
		s := &subnet{}
		if prefix := readCIDR(b); b.fault == nil {
			s.CIDR = prefix.String()
			s.read(b)
			s.readRange(b)
		}
	})
}
