package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// translation is a router's address translation (IPv4).
type translation struct {
	outside    string     // the gateway leg's interface
	address    netip.Addr // the gateway leg's own address, behind which others hide; the zero Addr: none
	masquerade bool       // hide what goes outside and has no floating IP
	// fixed are the fixed addresses by floating IP.
	fixed map[netip.Addr]netip.Addr
}

// ruleTable is the name of the nftables table in a router's namespace.
const ruleTable = "poise"

// apply replaces the rules in one transaction, and then forgets the connections that the rules in force would not
// have made: those of a floating IP that has moved must not go on to where it was. A nil translation removes all.
func (t *translation) apply(space *namespace) error {
	conn, err := space.nftables()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	// To delete a table that does not exist is an error, to add one that does is not.
	table := conn.AddTable(&nftables.Table{Name: ruleTable, Family: nftables.TableFamilyIPv4})
	conn.DelTable(table)
	if t != nil {
		conn.AddTable(table)
		if err := t.addRules(conn, table); err != nil {
			return fmt.Errorf("rules: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return t.forgetOthers(space)
}

// addRules writes, in nft's words:
//
//	chain prerouting  { dnat to ip daddr map @fixed }    # and output, for people in the router's namespace
//	chain postrouting {
//		oifname outside iifname != outside snat to ip saddr map @floating
//		iifname != outside ct status dnat snat to ip saddr map @floating   # hairpin: inside, by a floating
//		iifname != outside ct status dnat snat to address                  # IP, back inside
//		oifname outside iifname != outside snat to address                 # if masquerade
//	}
//	chain forward { iifname outside ct state new ct status != dnat drop }  # if masquerade
//
// The last one keeps out who is outside, such as another tenant's router with a route to this one. Inside addresses of a
// router that translates are reached by a floating IP only.
func (t *translation) addRules(conn *nftables.Conn, table *nftables.Table) error {
	fixed := addressMap(table, "fixed", 1)
	floating := addressMap(table, "floating", 2)
	there, back := t.elements()
	if err := errors.Join(conn.AddSet(fixed, there), conn.AddSet(floating, back)); err != nil {
		return err
	}
	chain := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority,
		})
	}
	add := func(c *nftables.Chain, parts ...[]expr.Any) {
		rule := &nftables.Rule{Table: table, Chain: c}
		for _, p := range parts {
			rule.Exprs = append(rule.Exprs, p...)
		}
		conn.AddRule(rule)
	}
	add(chain("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest), destinationFrom(fixed))
	add(chain("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest), destinationFrom(fixed))

	post := chain("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	leaves, inside := linkIs(expr.MetaKeyOIFNAME, t.outside), iifnameIsNot(t.outside)
	add(post, leaves, inside, sourceFrom(floating))
	add(post, inside, destinationTranslated(), sourceFrom(floating))
	if t.address.IsValid() {
		add(post, inside, destinationTranslated(), sourceIs(t.address))
		if t.masquerade {
			add(post, leaves, inside, sourceIs(t.address))
		}
	}
	if t.masquerade {
		forward := conn.AddChain(&nftables.Chain{
			Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
		})
		add(forward, linkIs(expr.MetaKeyIIFNAME, t.outside), connectionIsNew(), destinationNotTranslated(), verdict(expr.VerdictDrop))
	}
	return nil
}

// elements are those of the two maps: floating to fixed, and back. Of several floating IPs of one fixed
// address the lowest is what it is seen as.
func (t *translation) elements() (there, back []nftables.SetElement) {
	for floating, fixed := range t.fixed {
		there = append(there, nftables.SetElement{Key: floating.AsSlice(), Val: fixed.AsSlice()})
	}
	for fixed, floating := range t.floating() {
		back = append(back, nftables.SetElement{Key: fixed.AsSlice(), Val: floating.AsSlice()})
	}
	return there, back
}

func (t *translation) floating() map[netip.Addr]netip.Addr {
	byFixed := map[netip.Addr]netip.Addr{}
	for floating, fixed := range t.fixed {
		if other, ok := byFixed[fixed]; !ok || floating.Less(other) {
			byFixed[fixed] = floating
		}
	}
	return byFixed
}

// addressMap maps addresses to addresses; id tells it from the other maps of the same transaction.
func addressMap(table *nftables.Table, name string, id uint32) *nftables.Set {
	return &nftables.Set{
		Table: table, Name: name, ID: id, IsMap: true,
		KeyType: nftables.TypeIPAddr, DataType: nftables.TypeIPAddr,
	}
}

// Offsets in the IPv4 header (RFC 791).
const (
	sourceOffset      = 12
	destinationOffset = 16
)

// destinationFrom looks the destination up and translates it to what it finds; no entry, no translation.
func destinationFrom(m *nftables.Set) []expr.Any {
	return append(lookUp(destinationOffset, m),
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1})
}

func sourceFrom(m *nftables.Set) []expr.Any {
	return append(lookUp(sourceOffset, m),
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1})
}

func sourceIs(address netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: address.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}
}

func lookUp(offset uint32, m *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
	}
}

func iifnameIsNot(name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: paddedName(name)},
	}
}

func paddedName(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

// ipsDestinationTranslated is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const ipsDestinationTranslated = 1 << 5

func destinationTranslated() []expr.Any {
	return connectionHas(expr.CtKeySTATUS, ipsDestinationTranslated, expr.CmpOpNeq)
}

func destinationNotTranslated() []expr.Any {
	return connectionHas(expr.CtKeySTATUS, ipsDestinationTranslated, expr.CmpOpEq)
}

func connectionIsNew() []expr.Any {
	return connectionHas(expr.CtKeySTATE, expr.CtStateBitNEW, expr.CmpOpNeq)
}

// connectionHas compares bits of the tracked connection with zero.
func connectionHas(key expr.CtKey, bits uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 4)},
	}
}

// forgetOthers deletes the tracked connections that this translation would not have made.
func (t *translation) forgetOthers(space *namespace) error {
	var h *netlink.Handle
	err := space.enter(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return fmt.Errorf("connection tracking: %w", err)
	}
	defer h.Close()
	if t == nil {
		t = &translation{}
	}
	outdated := outdated{t.fixed, t.floating(), t.address}
	if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, outdated); err != nil {
		return fmt.Errorf("connection tracking: %w", err)
	}
	return nil
}

// outdated matches tracked connections with a translation that is not in force.
type outdated struct {
	fixed    map[netip.Addr]netip.Addr // by floating IP
	floating map[netip.Addr]netip.Addr // by fixed address
	address  netip.Addr
}

// MatchConntrackFlow compares the two directions of a flow: where they do not mirror each other, it is translated.
func (o outdated) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	source, _ := netip.AddrFromSlice(flow.Forward.SrcIP)
	destination, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	answers, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	answered, _ := netip.AddrFromSlice(flow.Reverse.DstIP)
	source, destination, answers, answered = source.Unmap(), destination.Unmap(), answers.Unmap(), answered.Unmap()

	// What was for a floating IP must go where it points now, and a floating IP must be translated at all.
	if fixed := o.fixed[destination]; fixed.IsValid() || answers != destination {
		if answers != fixed {
			return true
		}
	}
	return answered != source && answered != o.address && answered != o.floating[source]
}
