package lb

import (
	"net/netip"
	"slices"
)

// ReplaceMembers makes the pool's members be those of the list (Octavia's batch update, octavia-resources.md §4.1);
// with additiveOnly members that are not listed stay. Members are told apart by address and port. Attributes that a
// listed member leaves out get their defaults, except name, tags and subnet, which an existing member keeps.
func (t *LoadBalancer) ReplaceMembers(poolID string, list []MemberCreate, additiveOnly bool) error {
	p, err := t.mutablePool(poolID)
	if err != nil {
		return err
	}
	existing := map[netip.AddrPort]*Member{}
	for _, m := range p.Members {
		if !m.Deleted {
			existing[m.key()] = m
		}
	}
	updated := map[*Member]bool{}
	for _, in := range list {
		m := existing[in.key()]
		switch {
		case m == nil:
			if _, err := t.addMember(p, in); err != nil {
				return err
			}
		case updated[m]:
			return ErrValidation("members", "Member must be updated only once in the same request.")
		default:
			t.resetMember(m, in)
			updated[m] = true
		}
	}
	removed := 0
	if !additiveOnly {
		for _, m := range existing {
			if !updated[m] {
				t.remove(&m.Object)
				removed++
			}
		}
	}
	if len(list) > 0 || removed > 0 {
		t.touchUsers(p)
	}
	return nil
}

// resetMember writes a listed member over an existing one.
func (t *LoadBalancer) resetMember(m *Member, in MemberCreate) {
	attrs := in.MemberAttrs
	attrs.AdminStateUp = Some(!attrs.AdminStateUp.Null && attrs.AdminStateUp.Or(true))
	attrs.Weight = Some(attrs.Weight.Or(1))
	attrs.Backup = Some(attrs.Backup.Or(false))
	attrs.MonitorAddress = Some(attrs.MonitorAddress.Or(netip.Addr{}))
	attrs.MonitorPort = Some(attrs.MonitorPort.Or(0))
	setMember(m, attrs)
	attrs.apply(&m.Object)
	if in.SubnetID != "" {
		m.SubnetID = in.SubnetID
	}
	t.touch(&m.Object)
}

func (m *Member) key() netip.AddrPort { return netip.AddrPortFrom(m.Address, uint16(m.ProtocolPort)) }

func (in MemberCreate) key() netip.AddrPort {
	return netip.AddrPortFrom(in.Address.Unmap(), uint16(in.ProtocolPort))
}

// NewMembers are the listed members that the pool does not have yet: those whose subnet still wants a look.
func (p *Pool) NewMembers(list []MemberCreate) []MemberCreate {
	return slices.DeleteFunc(slices.Clone(list), func(in MemberCreate) bool {
		return slices.ContainsFunc(p.Members, func(m *Member) bool { return !m.Deleted && m.key() == in.key() })
	})
}
