package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// filterTable is the name of the nftables table that filters a load balancer's or a server's ports. A namespace without
// filtered ports has none, and the kernel then does not track its connections either.
const filterTable = "poise-filter"

// filters are the filters of a namespace's cards, by the card's name.
type filters map[string]cardFilter

// cardFilter is what a card lets through.
type cardFilter struct {
	*fabric.Filter // nil: everything
	// others are addresses of other cards that are not reached by this one: the kernel would take packets for them at any
	// card, past the filter of theirs.
	others []netip.Addr
}

// filtersOf are the filters of a namespace. The cards of a load balancer stand for themselves.
func filtersOf(r role, ports []fabric.Port) filters {
	all := filters{}
	for i, p := range ports {
		f := cardFilter{Filter: p.Filter}
		for j, other := range ports {
			for _, a := range other.Addresses {
				if i != j && r == roleLoadBalancer {
					f.others = append(f.others, a.Addr())
				}
			}
		}
		if f.Filter != nil || f.others != nil {
			all[shortName(p.ID)] = f
		}
	}
	return all
}

// judge tells whether some card has a filter of groups, and so connections are tracked.
func (want filters) judge() bool {
	for _, f := range want {
		if f.Filter != nil {
			return true
		}
	}
	return false
}

// filter makes the namespace filter exactly so. A filter that cannot be put in force closes its port until one can:
// what was in force before may let through what was revoked.
func (n *namespace) filter(want filters) error {
	n.filtering.Lock()
	defer n.filtering.Unlock()
	if n.filtered != nil && reflect.DeepEqual(n.filtered, want) {
		return nil
	}
	known := n.filtered != nil
	n.filtered = nil
	err := n.enforce(want, known)
	if err == nil {
		n.filtered = want
		return nil
	}
	err = fmt.Errorf("the security groups cannot be applied, so the port is closed until they can: %w", err)
	if closeErr := n.enforce(want.closed(), known); closeErr != nil {
		return errors.Join(err, closeErr, silence(n))
	}
	return err
}

// enforce replaces all rules in one transaction, and then ends the connections that these rules would not have let
// through. known says that this process knows what was in force before.
func (n *namespace) enforce(want filters, known bool) error {
	if err := want.replace(n); err != nil {
		return err
	}
	if !want.judge() {
		return nil
	}
	return n.settleConnections(want, known)
}

// closed are filters of the same cards that let nothing through.
func (want filters) closed() filters {
	all := filters{}
	for card, f := range want {
		if f.Filter != nil {
			f.Filter = &fabric.Filter{}
		}
		all[card] = f
	}
	return all
}

// replace writes the rules, in nft's words:
//
//	table inet poise-filter {
//		chain input {
//			type filter hook input priority filter
//			iifname "card" ip daddr …of another card… drop
//			ct state established,related accept
//			meta l4proto ipv6-icmp icmpv6 type 130-137 accept
//			iifname "card" …what may come in… accept
//			iifname "card" drop
//		}
//		chain output { the same with oifname }
//	}
func (want filters) replace(space *namespace) error {
	conn, err := space.nftables()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	table := conn.AddTable(&nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet})
	conn.DelTable(table)
	if len(want) > 0 {
		conn.AddTable(table)
		w := &filterWriter{conn: conn, table: table, sets: map[string]*nftables.Set{}}
		w.chain("input", nftables.ChainHookInput, expr.MetaKeyIIFNAME, want, func(f *fabric.Filter) []fabric.Pass { return f.In })
		w.chain("output", nftables.ChainHookOutput, expr.MetaKeyOIFNAME, want, func(f *fabric.Filter) []fabric.Pass { return f.Out })
		if w.err != nil {
			return fmt.Errorf("filter: %w", w.err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// filterWriter collects the rules of one transaction.
type filterWriter struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  map[string]*nftables.Set // by their elements: rules with the same remote group share one
	err   error
}

func (w *filterWriter) chain(name string, hook *nftables.ChainHook, card expr.MetaKey, want filters, side func(*fabric.Filter) []fabric.Pass) {
	chain := w.conn.AddChain(&nftables.Chain{
		Name: name, Table: w.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	add := func(parts ...[]expr.Any) {
		rule := &nftables.Rule{Table: w.table, Chain: chain}
		for _, p := range parts {
			rule.Exprs = append(rule.Exprs, p...)
		}
		w.conn.AddRule(rule)
	}
	if name == "input" {
		for link, f := range want {
			for _, other := range f.others {
				add(linkIs(card, link), familyIs(other.Is6()), loadRemote(other.Is6(), false), []expr.Any{
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: other.AsSlice()},
				}, verdict(expr.VerdictDrop))
			}
		}
	}
	if !want.judge() {
		return
	}
	add(isAnswer(), verdict(expr.VerdictAccept))
	add(protocolIs(unix.IPPROTO_ICMPV6), neighbourhood(), verdict(expr.VerdictAccept))
	for link, f := range want {
		if f.Filter == nil {
			continue
		}
		for _, pass := range side(f.Filter) {
			for _, remote := range w.remotes(pass, name == "input") {
				add(linkIs(card, link), familyIs(pass.IPv6), what(pass), remote, verdict(expr.VerdictAccept))
			}
		}
		add(linkIs(card, link), verdict(expr.VerdictDrop))
	}
}

// remotes are the alternatives for the other side of the packet: anybody, one network each, or a set of addresses.
func (w *filterWriter) remotes(pass fabric.Pass, incoming bool) [][]expr.Any {
	if len(pass.Remotes) == 0 {
		return [][]expr.Any{nil}
	}
	var all [][]expr.Any
	var single []netip.Addr
	for _, r := range pass.Remotes {
		if r.IsSingleIP() {
			single = append(single, r.Addr())
			continue
		}
		all = append(all, append(loadRemote(pass.IPv6, incoming),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(r.Addr().BitLen() / 8), Mask: maskOf(r), Xor: make([]byte, r.Addr().BitLen()/8)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: r.Masked().Addr().AsSlice()}))
	}
	if len(single) == 0 {
		return all
	}
	set := w.set(single, pass.IPv6)
	return append(all, append(loadRemote(pass.IPv6, incoming), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}))
}

// maxElements is how many elements one message takes: its attributes have at most 64 KiB, and an element some 30 bytes.
const maxElements = 1_000

// set is the set of these addresses. It has a name, which the table's other sets have not: the kernel takes two sets
// without one for the same.
func (w *filterWriter) set(addresses []netip.Addr, ipv6 bool) *nftables.Set {
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	var key []byte
	for _, a := range addresses {
		key = append(key, a.AsSlice()...)
	}
	if set := w.sets[string(key)]; set != nil {
		return set
	}
	number := uint32(len(w.sets) + 1)
	set := &nftables.Set{Table: w.table, ID: number, Name: fmt.Sprintf("remotes%d", number), KeyType: nftables.TypeIPAddr}
	if ipv6 {
		set.KeyType = nftables.TypeIP6Addr
	}
	w.sets[string(key)] = set
	w.err = errors.Join(w.err, w.conn.AddSet(set, nil))
	for chunk := range slices.Chunk(addresses, maxElements) {
		elements := make([]nftables.SetElement, len(chunk))
		for i, a := range chunk {
			elements[i].Key = a.AsSlice()
		}
		w.err = errors.Join(w.err, w.conn.SetAddElements(set, elements))
	}
	return set
}

func maskOf(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return mask
}

// Offsets in the IPv6 header (RFC 8200).
const (
	source6Offset      = 8
	destination6Offset = 24
)

// loadRemote loads the sender of what comes in, the receiver of what goes out.
func loadRemote(ipv6, incoming bool) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Len: 4}
	switch {
	case ipv6 && incoming:
		load.Offset, load.Len = source6Offset, 16
	case ipv6:
		load.Offset, load.Len = destination6Offset, 16
	case incoming:
		load.Offset = sourceOffset
	default:
		load.Offset = destinationOffset
	}
	return []expr.Any{load}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

func linkIs(key expr.MetaKey, name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: paddedName(name)},
	}
}

func familyIs(ipv6 bool) []expr.Any {
	family := byte(unix.NFPROTO_IPV4)
	if ipv6 {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
	}
}

func protocolIs(number uint8) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// isAnswer matches packets of connections that were let through, and the errors about them.
func isAnswer() []expr.Any {
	return connectionHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED, expr.CmpOpNeq)
}

// neighbourhood matches the ICMPv6 types that IPv6 cannot do without: multicast listeners and neighbour discovery
// (RFC 4861, RFC 2710).
func neighbourhood() []expr.Any {
	const first, last = 130, 137
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{first}, ToData: []byte{last}},
	}
}

// what matches protocol, ports, or type and code.
func what(pass fabric.Pass) []expr.Any {
	if pass.Protocol == 0 {
		return nil
	}
	parts := protocolIs(pass.Protocol)
	if pass.Ports != (fabric.PortRange{}) {
		parts = append(parts,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, // destination port
			&expr.Range{
				Op: expr.CmpOpEq, Register: 1,
				FromData: binary.BigEndian.AppendUint16(nil, pass.Ports.First), ToData: binary.BigEndian.AppendUint16(nil, pass.Ports.Last),
			})
	}
	for offset, octet := range []*uint8{pass.ICMPType, pass.ICMPCode} {
		if octet != nil {
			parts = append(parts,
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: uint32(offset), Len: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{*octet}})
		}
	}
	return parts
}

// settleConnections makes the connections there are obey the rules. Where this process does not know the rules before,
// there may have been none, and nothing tracked: connections in progress are then taken up at their next packet, if the
// rules let that through. Later, what is not tracked is none, so that an ended connection cannot come back by its next
// packet.
func (n *namespace) settleConnections(want filters, known bool) error {
	loose := "1"
	if known {
		loose = "0"
	}
	if err := n.set(settings{{"netfilter/nf_conntrack_tcp_loose", loose}}); err != nil {
		return err
	}
	var h *netlink.Handle
	err := n.enter(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_NETFILTER, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return fmt.Errorf("connection tracking: %w", err)
	}
	defer h.Close()
	own, err := ownAddresses(h)
	if err != nil {
		return err
	}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, forbidden{want, own}); err != nil {
			return fmt.Errorf("connection tracking: %w", err)
		}
	}
	return nil
}

// ownAddresses are the namespace's addresses by the name of the card that has them.
func ownAddresses(h *netlink.Handle) (map[netip.Addr]string, error) {
	links, err := dump(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list of interfaces: %w", err)
	}
	own := map[netip.Addr]string{}
	for _, link := range links {
		all, err := addresses(h, link)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			own[p.Addr()] = link.Attrs().Name
		}
	}
	return own, nil
}

// forbidden matches tracked connections that the filters would not let begin.
type forbidden struct {
	filters filters
	own     map[netip.Addr]string
}

// MatchConntrackFlow looks at the first packet of the flow.
func (f forbidden) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	source, _ := netip.AddrFromSlice(flow.Forward.SrcIP)
	destination, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	source, destination = source.Unmap(), destination.Unmap()
	if filter := f.filters[f.own[destination]].Filter; filter != nil {
		return !passes(filter.In, source, flow)
	}
	if filter := f.filters[f.own[source]].Filter; filter != nil {
		return !passes(filter.Out, destination, flow)
	}
	return false
}

// passes says whether the flow may go on. What the kernel tells of a flow of ICMP has no type: where a rule depends on
// it the flow ends, and its next request is judged anew.
func passes(all []fabric.Pass, remote netip.Addr, flow *netlink.ConntrackFlow) bool {
	for _, pass := range all {
		ports := pass.Ports
		if pass.ICMPType != nil || pass.IPv6 != remote.Is6() || pass.Protocol != 0 && pass.Protocol != flow.Forward.Protocol ||
			ports != (fabric.PortRange{}) && (flow.Forward.DstPort < ports.First || flow.Forward.DstPort > ports.Last) {
			continue
		}
		if len(pass.Remotes) == 0 {
			return true
		}
		for _, r := range pass.Remotes {
			if r.Contains(remote) {
				return true
			}
		}
	}
	return false
}
