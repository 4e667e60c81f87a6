package neutron

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// subnetPool is a supply of ranges: a subnet that names it has its own cut out of it.
type subnetPool struct {
	bun.BaseModel `bun:"table:neutron_subnet_pools,alias:o"`
	common
	Name         string         `bun:"name"`
	Prefixes     []netip.Prefix `bun:"prefixes"` // all of one IP version, none inside another
	DefaultBits  int            `bun:"default_prefixlen"`
	MinBits      int            `bun:"min_prefixlen"`
	MaxBits      int            `bun:"max_prefixlen"`
	DefaultQuota *int64         `bun:"default_quota"` // what one project may take, in quota units; nil or 0: all
	Shared       bool           `bun:"shared"`
	Default      bool           `bun:"is_default"`
}

// The shortest prefix that a pool gives away unless its owner says otherwise, and the unit of its quota (Neutron's values).
const (
	minBits4, minBits6     = 8, 64
	quotaUnit4, quotaUnit6 = 32, 64 // addresses, networks of 64 bits
)

func (s *Service) subnetPools() kind {
	return kind{
		name: "subnetpool", plural: "subnetpools",
		columns: map[string]string{"id": "o.id", "name": "o.name", "project_id": "o.project_id", "tenant_id": "o.project_id"},
		list:    s.listSubnetPools,
		create:  s.createSubnetPool,
		update:  s.updateSubnetPool,
		remove:  s.deleteSubnetPool,
	}
}

func (s *Service) subnetPoolRoutes() []rest.Route {
	const one = "/v2.0/subnetpools/{id}"
	return []rest.Route{
		{Method: http.MethodPut, Pattern: one + "/add_prefixes", Handler: func(w http.ResponseWriter, r *http.Request) error {
			return s.servePrefixes(w, r, func(have, named []netip.Prefix) []netip.Prefix { return append(have, named...) })
		}},
		{Method: http.MethodPut, Pattern: one + "/remove_prefixes", Handler: func(w http.ResponseWriter, r *http.Request) error {
			return s.servePrefixes(w, r, func(have, named []netip.Prefix) []netip.Prefix {
				return slices.DeleteFunc(have, func(p netip.Prefix) bool { return slices.Contains(named, p) })
			})
		}},
	}
}

// isIPv6 tells the IP version of the pool's ranges.
func (o *subnetPool) isIPv6() bool { return len(o.Prefixes) > 0 && o.Prefixes[0].Addr().Is6() }

func (o *subnetPool) read(b *body) {
	b.text("name", &o.Name)
	b.text("description", &o.Description)
	b.adminOnly("subnetpool", "is_default")
	b.flag("is_default", &o.Default)
	list(b, "prefixes", &o.Prefixes)
	b.none("address_scope_id")
	if b.fault != nil {
		return
	}
	if o.Prefixes = tidy(o.Prefixes); len(o.Prefixes) == 0 {
		b.fail(badRequest("HTTPBadRequest", "Failed to parse request. Required attribute 'prefixes' not specified"))
	}
	if b.creating() {
		o.MinBits, o.MaxBits = minBits4, 32
		if o.isIPv6() {
			o.MinBits, o.MaxBits = minBits6, 128
		}
	}
	b.number("min_prefixlen", 0, 128, &o.MinBits)
	b.number("max_prefixlen", 0, 128, &o.MaxBits)
	if b.creating() {
		o.DefaultBits = o.MinBits
	}
	b.number("default_prefixlen", 0, 128, &o.DefaultBits)
	if string(b.attributes["default_quota"]) == "null" {
		b.take("default_quota")
		o.DefaultQuota = nil
	} else if b.has("default_quota") {
		quota := 0
		b.number("default_quota", 0, maxQuota, &quota)
		units := int64(quota)
		o.DefaultQuota = &units
	}
	b.fail(o.check())
}

func (o *subnetPool) check() error {
	for _, p := range o.Prefixes {
		if p.Addr().Is4In6() || p.Addr().Is6() != o.isIPv6() {
			return badRequest("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
		}
	}
	most := 32
	if o.isIPv6() {
		most = 128
	}
	switch {
	case o.MaxBits > most:
		return badRequest("IllegalSubnetPoolPrefixBounds", "Illegal prefix bounds: max_prefixlen=%d, ip_version's is %d.", o.MaxBits, most)
	case o.MinBits > o.MaxBits:
		return badRequest("IllegalSubnetPoolPrefixBounds", "Illegal prefix bounds: min_prefixlen=%d, max_prefixlen=%d.", o.MinBits, o.MaxBits)
	case o.DefaultBits < o.MinBits || o.DefaultBits > o.MaxBits:
		return badRequest("IllegalSubnetPoolPrefixBounds",
			"Illegal prefix bounds: default_prefixlen=%d, min_prefixlen=%d, max_prefixlen=%d.", o.DefaultBits, o.MinBits, o.MaxBits)
	}
	return nil
}

// tidy sorts the ranges and leaves out those inside another.
func tidy(prefixes []netip.Prefix) []netip.Prefix {
	kept := []netip.Prefix{}
	masked := slices.Clone(prefixes)
	for i := range masked {
		masked[i] = masked[i].Masked()
	}
	slices.SortFunc(masked, netip.Prefix.Compare) // a range comes before those inside it
	for _, p := range masked {
		if len(kept) == 0 || !kept[len(kept)-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

func (o *subnetPool) view() object {
	v := o.common.view()
	v["name"], v["prefixes"], v["shared"], v["is_default"] = o.Name, o.Prefixes, o.Shared, o.Default
	v["default_prefixlen"], v["min_prefixlen"], v["max_prefixlen"] = o.DefaultBits, o.MinBits, o.MaxBits
	v["default_quota"], v["address_scope_id"], v["ip_version"] = o.DefaultQuota, nil, 4
	if o.isIPv6() {
		v["ip_version"] = 6
	}
	return v
}

func selectSubnetPools(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*subnetPool, error) {
	return rowsOf[subnetPool](ctx, db, n, func(q *bun.SelectQuery) *bun.SelectQuery {
		if isAdmin(c) {
			return q
		}
		return q.Where("(o.project_id = ? AND o.project_id <> '') OR o.shared", c.ProjectID)
	})
}

func errSubnetPool(id string) error {
	return notFound("SubnetPoolNotFound", "Subnet pool %s could not be found.", id)
}

func (s *Service) listSubnetPools(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectSubnetPools(ctx, db, caller, n)
	return viewsOf(rows, (*subnetPool).view), err
}

func (s *Service) createSubnetPool(ctx context.Context, c *change, b *body) (string, error) {
	o := &subnetPool{common: newCommon(b.project("subnetpool")), Prefixes: []netip.Prefix{}}
	b.adminOnly("subnetpool", "shared")
	b.flag("shared", &o.Shared)
	o.read(b)
	if err := b.close(o.view()); err != nil {
		return "", err
	}
	c.grows(o.ProjectID, quotaPool)
	return o.ID, c.insert(ctx, o)
}

// ownSubnetPool finds a pool that the caller may change, and makes the transaction the only one that changes it.
func (c *change) ownSubnetPool(ctx context.Context, s *Service, id, rule string) (*subnetPool, error) {
	if err := c.lockObject(ctx, s.subnetPools(), id); err != nil {
		return nil, err
	}
	rows, err := selectSubnetPools(ctx, c.tx, c.caller, byID(id))
	o, err := one(rows, err, errSubnetPool(id))
	if err != nil {
		return nil, err
	}
	return o, mayChange(c.caller, o.ProjectID, rule)
}

func (s *Service) updateSubnetPool(ctx context.Context, c *change, id string, b *body) error {
	o, err := c.ownSubnetPool(ctx, s, id, "update_subnetpool")
	if err != nil {
		return err
	}
	before := slices.Clone(o.Prefixes)
	o.read(b)
	if err := b.close(o.view()); err != nil {
		return err
	}
	for _, p := range before {
		if !o.covers(p) {
			return badRequest("IllegalSubnetPoolPrefixUpdate", "Illegal subnetpool prefix update: Existing prefixes must be a subset of the new prefixes.")
		}
	}
	return c.save(ctx, o)
}

func (o *subnetPool) covers(p netip.Prefix) bool {
	return slices.ContainsFunc(o.Prefixes, func(whole netip.Prefix) bool {
		return whole.Bits() <= p.Bits() && whole.Contains(p.Addr())
	})
}

func (s *Service) deleteSubnetPool(ctx context.Context, c *change, id string) error {
	o, err := c.ownSubnetPool(ctx, s, id, "delete_subnetpool")
	if err != nil {
		return err
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*subnet)(nil)).Where("s.subnetpool_id = ?", id))
	if err != nil {
		return err
	}
	if used {
		return badRequest("SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations.")
	}
	return c.remove(ctx, o)
}

// servePrefixes adds ranges to a pool or takes some away, unless a subnet has a part of them.
func (s *Service) servePrefixes(w http.ResponseWriter, r *http.Request, edit func(have, named []netip.Prefix) []netip.Prefix) error {
	raw, err := rest.ReadText(w, r, rest.MaxBody)
	if err != nil {
		return err
	}
	var named struct{ Prefixes []netip.Prefix }
	if err := json.Unmarshal(raw, &named); err != nil || len(named.Prefixes) == 0 || len(named.Prefixes) > maxEntries {
		return invalid("prefixes", "it must be a list of 1 to %d IP ranges", maxEntries)
	}
	var o *subnetPool
	err = s.change(r.Context(), rest.CallerFrom(r.Context()), func(ctx context.Context, c *change) (err error) {
		id := r.PathValue("id")
		if err := c.heedIfMatch(ctx, s.subnetPools(), id, r.Header); err != nil {
			return err
		}
		if o, err = c.ownSubnetPool(ctx, s, id, "update_subnetpool"); err != nil {
			return err
		}
		if o.Prefixes = tidy(edit(o.Prefixes, tidy(named.Prefixes))); len(o.Prefixes) > maxEntries {
			return invalid("prefixes", "more than %d entries", maxEntries)
		}
		if err := o.check(); err != nil {
			return err
		}
		taken, err := c.takenOf(ctx, o)
		if err != nil {
			return err
		}
		for _, t := range taken {
			if !o.covers(t.prefix()) {
				return badRequest("IllegalSubnetPoolPrefixUpdate", "Illegal subnetpool prefix update: %s is in use by subnet %s.", t.CIDR, t.ID)
			}
		}
		return c.save(ctx, o)
	})
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"prefixes": o.Prefixes})
	return nil
}

// takenOf are the subnets whose ranges come from the pool, in the order of their ranges.
func (c *change) takenOf(ctx context.Context, o *subnetPool) ([]*subnet, error) {
	taken, err := selectSubnets(ctx, c.tx, admin, where("s.subnetpool_id = ?", o.ID))
	slices.SortFunc(taken, func(a, b *subnet) int { return a.prefix().Compare(b.prefix()) })
	return taken, err
}
