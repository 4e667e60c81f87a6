package neutron

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
)

// filterOf is what the port's groups let through. A port that is in no group lets nothing through.
func filterOf(ctx context.Context, db bun.IDB, p *port) (*fabric.Filter, error) {
	filter := &fabric.Filter{}
	ids := p.groupIDs()
	if len(ids) == 0 {
		return filter, nil
	}
	rules, err := rowsOf[groupRule](ctx, db, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("u.group_id IN ?", bun.Tuple(ids)).Order("u.created_at", "u.id")
	})
	if err != nil {
		return nil, err
	}
	members, err := membersOf(ctx, db, rules)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		pass, some := r.pass(members)
		switch {
		case !some:
		case r.Direction == ingress:
			filter.In = append(filter.In, pass)
		default:
			filter.Out = append(filter.Out, pass)
		}
	}
	return filter, nil
}

// membersOf are the addresses of the ports in the groups that rules refer to, by group.
func membersOf(ctx context.Context, db bun.IDB, rules []*groupRule) (map[string][]netip.Addr, error) {
	members := map[string][]netip.Addr{}
	ids := []string{}
	for _, r := range rules {
		if r.RemoteGroupID != "" {
			ids = append(ids, r.RemoteGroupID)
		}
	}
	if len(ids) == 0 {
		return members, nil
	}
	rows := []struct{ GroupID, Address string }{}
	err := db.NewSelect().TableExpr("neutron_port_groups AS m").ColumnExpr("m.group_id, a.address").
		Join("JOIN neutron_addresses AS a ON a.port_id = m.port_id").
		Where("m.group_id IN ?", bun.Tuple(ids)).Where(groupsThatCount).Order("m.group_id", "a.address").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("members of security groups: %w", err)
	}
	for _, row := range rows {
		members[row.GroupID] = append(members[row.GroupID], netip.MustParseAddr(row.Address))
	}
	return members, nil
}

// pass is the rule as the fabric takes it; some is false when there is nobody whom it could let through.
func (r *groupRule) pass(members map[string][]netip.Addr) (pass fabric.Pass, some bool) {
	pass = fabric.Pass{IPv6: r.Ethertype == version6, Protocol: r.number()}
	switch {
	case pass.Protocol == icmp4 || pass.Protocol == icmp6:
		pass.ICMPType, pass.ICMPCode = octet(r.PortMin), octet(r.PortMax)
	case r.PortMin != nil && r.PortMax != nil:
		pass.Ports = fabric.PortRange{First: uint16(*r.PortMin), Last: uint16(*r.PortMax)}
	}
	if r.RemotePrefix != "" {
		if prefix := netip.MustParsePrefix(r.RemotePrefix); prefix.Bits() > 0 {
			pass.Remotes = []netip.Prefix{prefix}
		}
	}
	if r.RemoteGroupID == "" {
		return pass, true
	}
	for _, a := range members[r.RemoteGroupID] {
		if a.Is6() == pass.IPv6 {
			pass.Remotes = append(pass.Remotes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return pass, len(pass.Remotes) > 0
}

func octet(n *int) *uint8 {
	if n == nil {
		return nil
	}
	value := uint8(*n)
	return &value
}
