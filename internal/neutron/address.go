package neutron

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// maxPlace is the last place that is counted: further out in a wide IPv6 range, addresses are given on request only.
const maxPlace = 1<<62 - 1

// placeOf counts from the first address of the prefix to the address; ok is false beyond maxPlace.
func placeOf(prefix netip.Prefix, a netip.Addr) (place int64, ok bool) {
	firstHigh, firstLow := halves(prefix.Masked().Addr())
	high, low := halves(a)
	if high != firstHigh || low < firstLow || low-firstLow > maxPlace {
		return 0, false
	}
	return int64(low - firstLow), true
}

// addressAt is the inverse of placeOf.
func addressAt(prefix netip.Prefix, place int64) netip.Addr {
	first := prefix.Masked().Addr()
	bytes := first.As16()
	low := binary.BigEndian.Uint64(bytes[8:])
	binary.BigEndian.PutUint64(bytes[8:], low+uint64(place))
	if first.Is4() {
		return netip.AddrFrom16(bytes).Unmap()
	}
	return netip.AddrFrom16(bytes)
}

func halves(a netip.Addr) (high, low uint64) {
	bytes := a.As16()
	return binary.BigEndian.Uint64(bytes[:8]), binary.BigEndian.Uint64(bytes[8:])
}

func lastOf(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// hosts are the addresses of the prefix that a card may have: in IPv4 neither the first nor the last, in IPv6 not the
// first (RFC 4291, section 2.6.1), except where there are no more than two.
func hosts(prefix netip.Prefix) pool {
	all := pool{Start: prefix.Masked().Addr(), End: lastOf(prefix)}
	if prefix.Addr().BitLen()-prefix.Bits() < 2 {
		return all
	}
	all.Start = all.Start.Next()
	if prefix.Addr().Is4() {
		all.End = all.End.Prev()
	}
	return all
}

func (p pool) contains(a netip.Addr) bool { return p.Start.Compare(a) <= 0 && a.Compare(p.End) <= 0 }

// span is a run of places, both ends included.
type span struct{ from, to int64 }

// spansFrom are the subnet's pools as places, in the order in which they are searched: from the place next on, and
// then from the beginning, so that an address that was given back rests for as long as possible.
func spansFrom(prefix netip.Prefix, pools []pool, next int64) []span {
	ahead, behind := []span{}, []span{}
	for _, p := range pools {
		from, ok := placeOf(prefix, p.Start)
		if !ok {
			continue
		}
		to, ok := placeOf(prefix, p.End)
		if !ok {
			to = maxPlace
		}
		if to >= next {
			ahead = append(ahead, span{max(from, next), to})
		}
		if from < next {
			behind = append(behind, span{from, min(to, next-1)})
		}
	}
	byStart := func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) }
	slices.SortFunc(ahead, byStart)
	slices.SortFunc(behind, byStart)
	return append(ahead, behind...)
}

// nextFree finds a free address in the subnet's pools; the zero Addr when there is none. The network is locked.
func (c *change) nextFree(ctx context.Context, s *subnet) (netip.Addr, error) {
	for _, run := range spansFrom(s.prefix(), s.Pools, s.NextPlace) {
		place, found, err := c.freeIn(ctx, s.ID, run)
		if err != nil {
			return netip.Addr{}, err
		}
		if found {
			return addressAt(s.prefix(), place), nil
		}
	}
	return netip.Addr{}, nil
}

// freeIn asks the index only: the first place of the run, or else the one after the first that has a free neighbour.
func (c *change) freeIn(ctx context.Context, subnetID string, run span) (place int64, found bool, err error) {
	taken := c.tx.NewSelect().Model((*address)(nil)).Where("a.subnet_id = ? AND a.place = ?", subnetID, run.from)
	busy, err := exists(ctx, taken)
	if err != nil || !busy {
		return run.from, err == nil, err
	}
	places := []int64{}
	err = c.tx.NewSelect().Model((*address)(nil)).ColumnExpr("a.place + 1").
		Where("a.subnet_id = ? AND a.place >= ? AND a.place < ?", subnetID, run.from, run.to).
		Where("NOT EXISTS (SELECT 1 FROM neutron_addresses b WHERE b.subnet_id = a.subnet_id AND b.place = a.place + 1)").
		Order("a.place").Limit(1).Scan(ctx, &places)
	if err != nil {
		return 0, false, fmt.Errorf("free address: %w", err)
	}
	if len(places) == 0 {
		return 0, false, nil
	}
	return places[0], true, nil
}

// give records the address as the port's. wanted is the zero Addr for the next free one.
func (c *change) give(ctx context.Context, p *port, s *subnet, wanted netip.Addr) error {
	chosen := wanted
	var err error
	if wanted.IsValid() {
		err = c.checkWanted(ctx, p, s, wanted)
	} else {
		chosen, err = c.nextFree(ctx, s)
	}
	if err != nil {
		return err
	}
	if !chosen.IsValid() {
		return conflict(kindFull, "No more IP addresses available on network %s.", s.NetworkID)
	}
	row := address{SubnetID: s.ID, Address: chosen.String(), PortID: p.ID, Position: len(p.Addresses)}
	if len(p.Addresses) > 0 {
		row.Position = p.Addresses[len(p.Addresses)-1].Position + 1
	}
	if place, ok := placeOf(s.prefix(), chosen); ok {
		row.Place = &place
	}
	if err := c.insert(ctx, &row); err != nil {
		return err
	}
	p.Addresses = append(p.Addresses, row)
	if wanted.IsValid() {
		return nil
	}
	s.NextPlace = *row.Place + 1
	if _, err := c.tx.NewUpdate().Model(s).Column("next_place").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("next place: %w", err)
	}
	return nil
}

func (c *change) checkWanted(ctx context.Context, p *port, s *subnet, wanted netip.Addr) error {
	if !hosts(s.prefix()).contains(wanted) {
		return badRequest(kindOutside, "IP address %s is not a valid IP for the specified subnet.", wanted)
	}
	taken := c.tx.NewSelect().Model((*address)(nil)).Where("a.subnet_id = ? AND a.address = ?", s.ID, wanted.String())
	busy, err := exists(ctx, taken)
	if err == nil && !busy && wanted == s.gateway() {
		busy, err = c.keepsGateway(ctx, p, s)
	}
	if err != nil {
		return err
	}
	if busy {
		return conflict(kindInUse, "Unable to complete operation for network %s. The IP address %s is in use.", s.NetworkID, wanted)
	}
	return nil
}

// keepsGateway tells whether the subnet's gateway address is not for the port, although no port has it. A tenant's own
// machine may be the gateway, but no load balancer; on external networks the host is.
func (c *change) keepsGateway(ctx context.Context, p *port, s *subnet) (bool, error) {
	if p.isVIP() {
		return true, nil
	}
	n, err := findNetwork(ctx, c.tx, admin, s.NetworkID)
	return err == nil && n.External, err
}

// takeBack frees one address of the port.
func (c *change) takeBack(ctx context.Context, a address) error {
	_, err := c.tx.NewDelete().Model((*address)(nil)).Where("subnet_id = ? AND address = ?", a.SubnetID, a.Address).Exec(ctx)
	if err != nil {
		return fmt.Errorf("address %s: %w", a.Address, err)
	}
	return nil
}
