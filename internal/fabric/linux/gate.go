package linux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// The host's interface on an external network is the gateway of tenants' routers: whatever listens on a wildcard address
// of the host would answer them. This file refuses what they begin. It needs no connection tracking, whose one table
// of a fixed size tenants could fill for the whole host.

// HostPort is a run of ports of the host that tenants may reach at the host's addresses.
type HostPort struct {
	Protocol uint8 // unix.IPPROTO_TCP or IPPROTO_UDP
	Ports    fabric.PortRange
}

// ParseHostPorts reads ports in the form of the configuration: "tcp/443", "udp/53" or "tcp/8000-8080".
func ParseHostPorts(texts []string) ([]HostPort, error) {
	var all []HostPort
	for _, text := range texts {
		name, ports, _ := strings.Cut(text, "/")
		protocol, known := map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[name]
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		from, fromErr := strconv.ParseUint(first, 10, 16)
		to, toErr := strconv.ParseUint(last, 10, 16)
		if !known || fromErr != nil || toErr != nil || from == 0 || to < from {
			return nil, fmt.Errorf(`%q is not a port such as "tcp/443", "udp/53" or "tcp/8000-8080"`, text)
		}
		all = append(all, HostPort{protocol, fabric.PortRange{First: uint16(from), Last: uint16(to)}})
	}
	return all, nil
}

const (
	// udpAnswerTime is for how long answers come back to a UDP socket of the host that has sent something.
	udpAnswerTime = 2 * time.Minute
	// maxUDPPeers is how many pairs of such a socket and its peer are known at once; more get no answers.
	maxUDPPeers = 65_536
)

// gateTable is the nftables table on the host.
func (f *Fabric) gateTable() *nftables.Table {
	return &nftables.Table{Name: "poise-" + f.tag, Family: nftables.TableFamilyINet}
}

// shutGate puts the rules in force, in nft's words, with "card" for all interfaces that this fabric makes on the host:
//
//	chain input {
//		iifname != card accept
//		tcp flags & (fin|syn|rst|ack) != syn accept        # what goes on, and resets
//		meta l4proto { icmp, ipv6-icmp } accept            # ping, errors, neighbour discovery
//		ip saddr . udp dport . udp sport @udp4 accept      # answers; likewise udp6
//		meta l4proto tcp th dport 443 accept               # each of allowed
//		drop
//	}
//	chain output  { oifname card update @udp4 { ip daddr . udp sport . udp dport } }
//	chain forward { iifname card ip daddr 169.254.0.0/16 drop }    # each of fabric.NeverRouted
func (f *Fabric) shutGate(allowed []HostPort) error {
	conn, err := f.spaces.home.nftables()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	table := conn.AddTable(f.gateTable())
	conn.DelTable(table)
	conn.AddTable(table)
	g := gate{conn: conn, table: table, cards: []byte(f.hostLinkPrefix())}
	four, six := g.peers("udp4", nftables.TypeIPAddr, 1), g.peers("udp6", nftables.TypeIP6Addr, 2)
	g.input(allowed, four, six)
	g.output(four, six)
	g.forward()
	if g.err != nil {
		return fmt.Errorf("rules for the host: %w", g.err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("rules for the host: %w", err)
	}
	return nil
}

// openGate takes the rules away.
func (f *Fabric) openGate() error {
	conn, err := f.spaces.home.nftables()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseLasting() }()
	conn.DelTable(conn.AddTable(f.gateTable()))
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("rules for the host: %w", err)
	}
	return nil
}

// gate collects the rules of one transaction.
type gate struct {
	conn  *nftables.Conn
	table *nftables.Table
	cards []byte // how the names of the host's interfaces begin
	err   error
}

func (g *gate) chain(name string, hook *nftables.ChainHook) func(parts ...[]expr.Any) {
	chain := g.conn.AddChain(&nftables.Chain{
		Name: name, Table: g.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
	return func(parts ...[]expr.Any) {
		rule := &nftables.Rule{Table: g.table, Chain: chain}
		for _, p := range parts {
			rule.Exprs = append(rule.Exprs, p...)
		}
		g.conn.AddRule(rule)
	}
}

// peers is a set of a remote address, the host's port and the remote port.
func (g *gate) peers(name string, address nftables.SetDatatype, id uint32) *nftables.Set {
	key := nftables.MustConcatSetType(address, nftables.TypeInetService, nftables.TypeInetService)
	set := &nftables.Set{
		Table: g.table, Name: name, ID: id, KeyType: key, Dynamic: true, HasTimeout: true, Timeout: udpAnswerTime, Size: maxUDPPeers,
	}
	g.err = errors.Join(g.err, g.conn.AddSet(set, nil))
	return set
}

func (g *gate) input(allowed []HostPort, four, six *nftables.Set) {
	add := g.chain("input", nftables.ChainHookInput)
	accept := verdict(expr.VerdictAccept)
	add([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: g.cards},
	}, accept)
	add(protocolIs(unix.IPPROTO_TCP), beginsNothing(), accept)
	add(protocolIs(unix.IPPROTO_ICMP), accept)
	add(protocolIs(unix.IPPROTO_ICMPV6), accept)
	for _, set := range []*nftables.Set{four, six} {
		add(familyIs(set == six), protocolIs(unix.IPPROTO_UDP), udpPeer(set == six, true),
			[]expr.Any{&expr.Lookup{SourceRegister: firstWord, SetName: set.Name, SetID: set.ID}}, accept)
	}
	for _, a := range allowed {
		add(what(fabric.Pass{Protocol: a.Protocol, Ports: a.Ports}), accept)
	}
	add(verdict(expr.VerdictDrop))
}

func (g *gate) output(four, six *nftables.Set) {
	add := g.chain("output", nftables.ChainHookOutput)
	for _, set := range []*nftables.Set{four, six} {
		add([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: g.cards},
		}, familyIs(set == six), protocolIs(unix.IPPROTO_UDP), udpPeer(set == six, false), []expr.Any{
			&expr.Dynset{SrcRegKey: firstWord, SetName: set.Name, SetID: set.ID, Operation: uint32(unix.NFT_DYNSET_OP_UPDATE)},
		})
	}
}

func (g *gate) forward() {
	add := g.chain("forward", nftables.ChainHookForward)
	for _, p := range fabric.NeverRouted {
		ipv6, octets := p.Addr().Is6(), p.Addr().BitLen()/8
		add([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: g.cards},
		}, familyIs(ipv6), loadRemote(ipv6, false), []expr.Any{
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(octets), Mask: maskOf(p), Xor: make([]byte, octets)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
		}, verdict(expr.VerdictDrop))
	}
}

// beginsNothing matches TCP segments that open no connection: all but SYN alone.
func beginsNothing() []expr.Any {
	const flagsOffset, fin, syn, rst, ack = 13, 0x01, 0x02, 0x04, 0x10 // RFC 9293 §3.1
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{syn}},
	}
}

// firstWord is the first of the registers of four bytes each (NFT_REG32_00, linux/netfilter/nf_tables.h).
const firstWord = unix.NFT_REG32_00

// udpPeer loads the remote address, the host's port and the remote port, from firstWord on.
func udpPeer(ipv6, incoming bool) []expr.Any {
	address := loadRemote(ipv6, incoming)[0].(*expr.Payload)
	address.DestRegister = firstWord
	own, remote := uint32(0), uint32(2) // offsets of the source and the destination port
	if incoming {
		own, remote = remote, own
	}
	next := firstWord + address.Len/4
	return []expr.Any{
		address,
		&expr.Payload{DestRegister: next, Base: expr.PayloadBaseTransportHeader, Offset: own, Len: 2},
		&expr.Payload{DestRegister: next + 1, Base: expr.PayloadBaseTransportHeader, Offset: remote, Len: 2},
	}
}
