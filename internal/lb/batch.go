package lb

import "net/netip"

// ReplaceMembers makes the pool's members be those of the list (Octavia's batch update, octavia-resources.md §4.1);
// with additiveOnly members that are not listed stay. Members are told apart by address and port. Attributes that a
// listed member leaves out get their defaults, except name, tags and subnet, which an existing member keeps.
func (t *LoadBalancer) ReplaceMembers(poolID string, list []MemberCreate, additiveOnly bool) error {
	p, err := t.mutablePool(poolID)
	if err != nil {
		return err
	}
	existing, listed := p.byAddress(), make(map[*Member]bool, len(list))
	for _, in := range list {
		m := existing[in.key()]
		switch {
		case m == nil || m.CreatedIn == t.Generation: // what the list has twice is refused like what the pool has already
			if m, err = t.addMember(p, in, existing); err != nil {
				return err
			}
		case listed[m]:
			return ErrValidation("members", "Member must be updated only once in the same request.")
		default:
			if err := t.resetMember(m, in); err != nil {
				return err
			}
		}
		listed[m] = true
	}
	removed := 0
	for _, m := range p.Members {
		if !additiveOnly && !listed[m] && !m.Deleted {
			t.remove(&m.Object)
			removed++
		}
	}
	if len(list) > 0 || removed > 0 {
		t.touchUsers(p)
	}
	return nil
}

// resetMember writes a listed member over an existing one.
func (t *LoadBalancer) resetMember(m *Member, in MemberCreate) error {
	if err := checkMemberAddress("monitor_address", in.MonitorAddress.Or(netip.Addr{})); err != nil {
		return err
	}
	attrs := in.MemberAttrs
	attrs.AdminStateUp = Some(!attrs.AdminStateUp.Null && attrs.AdminStateUp.Or(true))
	attrs.Weight = Some(attrs.Weight.Or(1))
	attrs.Backup = Some(attrs.Backup.Or(false))
	attrs.MonitorAddress = Some(attrs.MonitorAddress.Or(netip.Addr{}))
	attrs.MonitorPort = Some(attrs.MonitorPort.Or(0))
	setMember(m, attrs)
	m.AddressText = in.AddressText
	attrs.apply(&m.Object)
	in.SubnetID.Into(&m.SubnetID, "")
	t.touch(&m.Object)
	return nil
}

// NewSubnets returns the ids of the subnets that the list gives to members which are not on them yet. The caller of a batch
// update must be able to see them.
func (p *Pool) NewSubnets(list []MemberCreate) []string {
	existing := p.byAddress()
	var ids []string
	for _, in := range list {
		m, id := existing[in.key()], in.SubnetID.Or("")
		if id != "" && (m == nil || m.SubnetID != id) {
			ids = append(ids, id)
		}
	}
	return ids
}
