package lb

import "net/netip"

// Member is one server of a pool.
type Member struct {
	Object
	Address        netip.Addr `json:"address"`
	ProtocolPort   int        `json:"protocol_port"`
	SubnetID       string     `json:"subnet_id,omitempty"`
	Weight         int        `json:"weight"`
	Backup         bool       `json:"backup"`
	MonitorAddress netip.Addr `json:"monitor_address,omitzero"`
	MonitorPort    int        `json:"monitor_port,omitempty"`

	// AddressText and MonitorAddressText are the addresses as they were written, "" where that is the canonical text: answers
	// repeat them. Rules compare the addresses themselves.
	AddressText        string `json:"address_text,omitempty"`
	MonitorAddressText string `json:"monitor_address_text,omitempty"`
}

// MemberAttrs are the attributes of a member that can be changed.
type MemberAttrs struct {
	Common
	Weight         Opt[int]
	Backup         Opt[bool]
	MonitorAddress Opt[netip.Addr]
	MonitorPort    Opt[int]
	// MonitorAddressText belongs to MonitorAddress, see [Member].
	MonitorAddressText string
}

// MemberCreate makes a member.
type MemberCreate struct {
	MemberAttrs
	ID           string
	Address      netip.Addr
	AddressText  string // see [Member]
	ProtocolPort int
	SubnetID     Opt[string]
}

// notForMembers are addresses that no member can have (IANA's registries of special-purpose addresses), or that are the
// metadata services of clouds, which tell whoever asks about the machine that asks.
var notForMembers = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // "this host": the kernel would connect to itself
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved, broadcast
	netip.MustParsePrefix("169.254.169.254/32"),
	netip.MustParsePrefix("::/127"),    // unspecified, loopback
	netip.MustParsePrefix("fe80::/10"), // link-local: an address of each link, and members name none
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::254/128"),
}

// checkMemberAddress refuses an address that traffic or checks of a member cannot go to. The zero Addr is none.
func checkMemberAddress(field string, address netip.Addr) error {
	address = address.Unmap().WithZone("")
	for _, never := range notForMembers {
		if never.Contains(address) {
			return ErrOption(field, address.String(), "member "+field)
		}
	}
	return nil
}

// CreateMember adds a member to a pool (octavia-rules.md §4).
func (t *LoadBalancer) CreateMember(poolID string, in MemberCreate) (*Member, error) {
	p, err := t.mutablePool(poolID)
	if err != nil {
		return nil, err
	}
	m, err := t.addMember(p, in, p.byAddress())
	if err != nil {
		return nil, err
	}
	t.touchUsers(p)
	return m, nil
}

// addMember adds a member; existing are those that the pool has, and has the new one afterwards.
func (t *LoadBalancer) addMember(p *Pool, in MemberCreate, existing map[netip.AddrPort]*Member) (*Member, error) {
	address := in.Address.Unmap()
	if err := checkMemberAddress("address", address); err != nil {
		return nil, err
	}
	if err := checkMemberAddress("monitor_address", in.MonitorAddress.Or(netip.Addr{})); err != nil {
		return nil, err
	}
	if len(p.Members) >= MaxMembers {
		return nil, ErrValidation("", "A pool cannot have more than %d members.", MaxMembers)
	}
	if existing[in.key()] != nil {
		return nil, errConflict("address", "Another member on this pool is already using ip %s on protocol_port %d", address, in.ProtocolPort)
	}
	m := &Member{
		Object: t.newObject(in.ID, in.Common), Address: address, AddressText: in.AddressText,
		ProtocolPort: in.ProtocolPort, SubnetID: in.SubnetID.Or(""), Weight: 1,
	}
	setMember(m, in.MemberAttrs)
	p.Members = append(p.Members, m)
	existing[m.key()] = m
	return m, nil
}

// byAddress are the pool's members by what tells them apart; those that are being deleted are not among them.
func (p *Pool) byAddress() map[netip.AddrPort]*Member {
	all := make(map[netip.AddrPort]*Member, len(p.Members))
	for _, m := range p.Members {
		if !m.Deleted {
			all[m.key()] = m
		}
	}
	return all
}

func (m *Member) key() netip.AddrPort { return netip.AddrPortFrom(m.Address, uint16(m.ProtocolPort)) }

func (in MemberCreate) key() netip.AddrPort {
	return netip.AddrPortFrom(in.Address.Unmap(), uint16(in.ProtocolPort))
}

// UpdateMember changes a member.
func (t *LoadBalancer) UpdateMember(poolID, id string, in MemberAttrs) (*Member, error) {
	p, m, err := t.mutableMember(poolID, id)
	if err != nil {
		return nil, err
	}
	if err := checkMemberAddress("monitor_address", in.MonitorAddress.Or(netip.Addr{})); err != nil {
		return nil, err
	}
	setMember(m, in)
	in.apply(&m.Object)
	t.touch(&m.Object)
	t.touchUsers(p)
	return m, nil
}

// DeleteMember removes a member.
func (t *LoadBalancer) DeleteMember(poolID, id string) error {
	p, m, err := t.mutableMember(poolID, id)
	if err != nil {
		return err
	}
	t.remove(&m.Object)
	t.touchUsers(p)
	return nil
}

func (t *LoadBalancer) mutableMember(poolID, id string) (*Pool, *Member, error) {
	p, err := t.Pool(poolID)
	if err != nil {
		return nil, nil, err
	}
	m, err := p.Member(id)
	if err != nil {
		return nil, nil, err
	}
	if err := t.mutable(KindPool, &p.Object); err != nil {
		return nil, nil, err
	}
	return p, m, t.mutable(KindMember, &m.Object)
}

func setMember(m *Member, in MemberAttrs) {
	in.Weight.Into(&m.Weight, 1)
	in.Backup.Into(&m.Backup, false)
	if in.MonitorAddress.Set {
		m.MonitorAddress, m.MonitorAddressText = in.MonitorAddress.Or(netip.Addr{}), in.MonitorAddressText
	}
	in.MonitorPort.Into(&m.MonitorPort, 0)
}
