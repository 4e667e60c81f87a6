package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The limits of what nobody is known to have: questions for unknown addresses, and other frames to everybody.
const (
	// A load balancer asks for its members; one with more than ten dead ones waits longer for the answers.
	balancerAsks, balancerBurst = 10, 100 // each second, and at once
	// Routers ask for whatever anybody sends through them, servers may speak to all others.
	cardAsks, cardBurst = 100, 200
	// networkCopies bounds what the frames to everybody cost: each is copied to every port of the bridge, and copies wait in
	// a queue that everybody shares (net.core.netdev_max_backlog, 1,000 frames for each processor).
	networkCopies, networkBurst = 5_000, 500
)

// forwarder carries frames between the cards of a network by their MAC addresses, and knows who has which address: a
// question for an address that somebody has goes to him alone. It lives in the kernel (forward_program.go) and goes on
// without this process; a later one adopts it.
type forwarder struct {
	program                          *ebpf.Program
	ports, networks, macs, addresses *ebpf.Map
	guests                           *ebpf.Map
	links                            *netlink.Handle // in the switch

	mu      sync.Mutex // guards what follows, which is what the maps hold
	outlets map[int]outlet
	owners  map[macKey]int          // plugs by the MAC address behind them
	answers map[addressKey]macValue // whose the addresses are
	former  map[addressKey]macValue // whose those were that nobody has now, at most maxFormer
	bridged map[int]int             // ports of each network's bridge
}

// maxFormer bounds the memory for addresses that nobody has any more.
const maxFormer = 10_000

// outlet is the switch's end of a card.
type outlet struct {
	network   int // interface index of the bridge
	bridged   bool
	mac       net.HardwareAddr
	addresses []netip.Addr
	isKnown   bool // as a plug: without it, the program leaves its frames to the bridge
}

// openForwarder adopts the program that an earlier process left in the switch, or loads it.
func openForwarder(h *netlink.Handle, links []netlink.Link) (*forwarder, error) {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("loopback of the switch: %w", err)
	}
	f := &forwarder{
		links: h, outlets: map[int]outlet{}, owners: map[macKey]int{}, answers: map[addressKey]macValue{},
		former: map[addressKey]macValue{}, bridged: map[int]int{},
	}
	adopted, err := f.adopt(lo)
	if err == nil && !adopted {
		err = f.load()
	}
	if err == nil {
		err = f.attach(lo) // where the next process finds it
	}
	if err == nil {
		err = f.read(links)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *forwarder) load() error {
	_ = rlimit.RemoveMemlock() // before Linux 5.11 maps count as locked memory; if it matters, loading says so
	spec := &ebpf.CollectionSpec{Maps: forwardMaps(), Programs: map[string]*ebpf.ProgramSpec{programName: forwardProgram()}}
	all, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("forwarding program: %w", err)
	}
	f.program = all.DetachProgram(programName)
	for name, m := range f.maps() {
		*m = all.DetachMap(name)
	}
	all.Close()
	return nil
}

// maps are the places of the maps by their names.
func (f *forwarder) maps() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		mapPorts: &f.ports, mapNetworks: &f.networks, mapMACs: &f.macs, mapAddresses: &f.addresses,
		mapGuests: &f.guests,
	}
}

// adopt takes over the program at the switch's loopback interface, which sees no frames. One of another version stays where
// it is until the cards that have it are plugged again.
func (f *forwarder) adopt(lo netlink.Link) (bool, error) {
	filters, err := f.links.FilterList(lo, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return false, nil // nothing has been attached yet
	}
	for _, filter := range filters {
		found, ok := filter.(*netlink.BpfFilter)
		if !ok || found.Name != programName {
			continue
		}
		if f.program, err = ebpf.NewProgramFromID(ebpf.ProgramID(found.Id)); err != nil {
			return false, fmt.Errorf("forwarding program of an earlier process: %w", err)
		}
		return true, f.adoptMaps()
	}
	return false, nil
}

func (f *forwarder) adoptMaps() error {
	info, err := f.program.Info()
	if err != nil {
		return fmt.Errorf("forwarding program of an earlier process: %w", err)
	}
	ids, _ := info.MapIDs()
	places := f.maps()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return fmt.Errorf("map of the forwarding program: %w", err)
		}
		about, err := m.Info()
		if place := places[about.Name]; err == nil && place != nil && *place == nil {
			*place = m
			continue
		}
		_ = m.Close()
	}
	for name, place := range places {
		if *place == nil {
			return fmt.Errorf("the forwarding program has lost its map %s", name)
		}
	}
	return nil
}

// read fills the memory from the maps, and takes out what is left of cards that are gone.
func (f *forwarder) read(links []netlink.Link) error {
	exists := map[int]bool{}
	for _, l := range links {
		exists[l.Attrs().Index] = true
	}
	if err := f.readPlugs(exists); err != nil {
		return fmt.Errorf("what the forwarding program knows: %w", err)
	}
	return nil
}

func (f *forwarder) readPlugs(exists map[int]bool) error {
	var index uint32
	var value portValue
	gone := map[int]bool{}
	all := f.ports.Iterate()
	for all.Next(&index, &value) {
		f.outlets[int(index)] = outlet{network: int(value.Network), bridged: value.Bridged != 0, isKnown: true}
		f.bridged[int(value.Network)] += int(value.Bridged)
		if !exists[int(index)] {
			gone[int(index)] = true
		}
	}
	var key macKey
	macs := f.macs.Iterate()
	for macs.Next(&key, &index) {
		f.owners[key] = int(index)
		p := f.outlets[int(index)]
		p.network, p.mac = int(key.Network), key.MAC[:]
		p.mac = slices.Clone(p.mac)
		f.outlets[int(index)] = p
		if !exists[int(index)] {
			gone[int(index)] = true
		}
	}
	var where addressKey
	var mac macValue
	addresses := f.addresses.Iterate()
	var nobodys []addressKey
	for addresses.Next(&where, &mac) {
		f.answers[where] = mac
		index, known := f.owners[macKey{Network: where.Network, MAC: mac.MAC}]
		if !known {
			nobodys = append(nobodys, where)
			continue
		}
		p := f.outlets[index]
		p.addresses = append(p.addresses, netip.AddrFrom16(where.Address).Unmap())
		f.outlets[index] = p
	}
	err := errors.Join(all.Err(), macs.Err(), addresses.Err())
	for _, where := range nobodys {
		err = errors.Join(err, f.deleteAddress(where))
	}
	for index := range gone {
		err = errors.Join(err, f.forgetPlug(index))
	}
	return err
}

// connect makes the plug forward for the card that is described, and returns the addresses that others may know by another
// MAC address.
func (f *forwarder) connect(link netlink.Link, want outlet) (moved []netip.Addr, err error) {
	f.mu.Lock()
	moved, err = f.learn(link.Attrs().Index, want)
	f.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
	}
	return moved, f.attach(link)
}

func (f *forwarder) learn(index int, want outlet) (moved []netip.Addr, err error) {
	have := f.outlets[index]
	if have.network != want.network || !slices.Equal(have.mac, want.mac) {
		if err := f.forgetPlug(index); err != nil {
			return nil, err
		}
		have = outlet{network: want.network, mac: want.mac}
	}
	for _, a := range have.addresses {
		if !slices.Contains(want.addresses, a) {
			err = errors.Join(err, f.releaseAddress(want.network, a, want.mac))
		}
	}
	have.addresses = want.addresses
	f.outlets[index] = have
	key := macKey{Network: uint32(want.network), MAC: [6]byte(want.mac)}
	f.owners[key] = index
	err = errors.Join(err, f.macs.Put(&key, uint32(index)))
	for _, a := range want.addresses {
		isMove, putErr := f.learnAddress(addressKeyOf(want.network, a), macValue{MAC: [6]byte(want.mac)})
		if isMove {
			moved = append(moved, a)
		}
		err = errors.Join(err, putErr)
	}
	return moved, errors.Join(err, f.learnPlug(index, have, want.bridged))
}

// learnAddress says whether another MAC address had the address before.
func (f *forwarder) learnAddress(key addressKey, mac macValue) (isMove bool, err error) {
	before, known := f.answers[key]
	if !known {
		before, known = f.former[key]
	}
	delete(f.former, key)
	f.answers[key] = mac
	return known && before != mac, f.addresses.Put(&key, &mac)
}

func (f *forwarder) learnPlug(index int, have outlet, bridged bool) error {
	if have.isKnown && have.bridged == bridged {
		return nil
	}
	value := portValue{Network: uint32(have.network), Limit: limit(balancerAsks, balancerBurst)}
	if bridged {
		value.Bridged, value.Limit = 1, limit(cardAsks, cardBurst)
	}
	if err := f.ports.Put(uint32(index), &value); err != nil {
		return err
	}
	f.countBridged(have, -1)
	have.isKnown, have.bridged = true, bridged
	f.outlets[index] = have
	f.countBridged(have, 1)
	return f.limitNetwork(have.network)
}

func (f *forwarder) countBridged(o outlet, change int) {
	if o.bridged {
		f.bridged[o.network] += change
	}
}

// limitNetwork adapts the network's limit to what one frame to everybody costs.
func (f *forwarder) limitNetwork(network int) error {
	copies := max(f.bridged[network], 1)
	value := limit(networkCopies/copies, networkBurst/copies)
	if err := f.networks.Put(uint32(network), &value); err != nil {
		return fmt.Errorf("limit of the network: %w", err)
	}
	return nil
}

// limit permits so many each second, and so many at once.
func limit(each, burst int) limitValue {
	interval := uint64(1e9) / uint64(max(each, 1))
	return limitValue{Interval: interval, Burst: interval * uint64(max(burst-1, 0))}
}

// forget takes out what is known of a card, by its plug. It comes before the plug goes.
func (f *forwarder) forget(index int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.forgetPlug(index); err != nil {
		return fmt.Errorf("forwarding: %w", err)
	}
	return nil
}

func (f *forwarder) forgetPlug(index int) error {
	p, known := f.outlets[index]
	if !known {
		return nil
	}
	var err error
	for _, a := range p.addresses {
		err = errors.Join(err, f.releaseAddress(p.network, a, p.mac))
	}
	if p.mac != nil {
		key := macKey{Network: uint32(p.network), MAC: [6]byte(p.mac)}
		if f.owners[key] == index { // or else another card has it now
			delete(f.owners, key)
			err = errors.Join(err, absentIsFine(f.macs.Delete(&key)))
		}
	}
	err = errors.Join(err, absentIsFine(f.ports.Delete(uint32(index))))
	delete(f.outlets, index)
	if p.bridged {
		f.countBridged(p, -1)
		err = errors.Join(err, f.limitNetwork(p.network))
	}
	return err
}

// releaseAddress takes the address from the MAC address, unless another one has it by now.
func (f *forwarder) releaseAddress(network int, a netip.Addr, mac net.HardwareAddr) error {
	key := addressKeyOf(network, a)
	if f.answers[key] != (macValue{MAC: [6]byte(mac)}) {
		return nil
	}
	return f.deleteAddress(key)
}

func (f *forwarder) deleteAddress(key addressKey) error {
	if len(f.former) >= maxFormer {
		clear(f.former)
	}
	f.former[key] = f.answers[key]
	delete(f.answers, key)
	return absentIsFine(f.addresses.Delete(&key))
}

// forgetNetwork takes out the limit of a network whose bridge goes.
func (f *forwarder) forgetNetwork(bridge int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.bridged, bridge)
	return absentIsFine(f.networks.Delete(uint32(bridge)))
}

// macOf is the MAC address of an address in the network, nil when nobody is known to have it.
func (f *forwarder) macOf(bridge int, a netip.Addr) net.HardwareAddr {
	f.mu.Lock()
	defer f.mu.Unlock()
	mac, ok := f.answers[addressKeyOf(bridge, a)]
	if !ok {
		return nil
	}
	return slices.Clone(mac.MAC[:])
}

// beside are the plugs of a network that are no ports of its bridge.
func (f *forwarder) beside(bridge int) (indexes []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for index, p := range f.outlets {
		if p.network == bridge && !p.bridged {
			indexes = append(indexes, index)
		}
	}
	return indexes
}

// attach has the program see what comes by the link.
func (f *forwarder) attach(link netlink.Link) error {
	index := link.Attrs().Index
	qdisc := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
	if err := f.links.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("forwarding on %s: %w", link.Attrs().Name, err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: f.program.FD(), Name: programName, DirectAction: true,
	}
	if err := f.links.FilterReplace(filter); err != nil {
		return fmt.Errorf("forwarding on %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// close closes the descriptors. What is attached stays.
func (f *forwarder) close() {
	if f.program != nil {
		_ = f.program.Close()
	}
	for _, m := range f.maps() {
		if *m != nil {
			_ = (*m).Close()
		}
	}
}

func addressKeyOf(bridge int, a netip.Addr) addressKey {
	return addressKey{Network: uint32(bridge), Address: a.As16()}
}

func absentIsFine(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
