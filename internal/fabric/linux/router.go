package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"poise/internal/fabric"
)

// router is what this fabric makes of a router: a namespace that forwards between its cards and translates addresses.
type router struct {
	id          string
	cards       []card
	translation *translation // nil: no leg to the outside, nothing to translate
	routes      []fabric.Route
}

// compileRouter puts the floating IPs on the gateway leg, so that the router answers for them. mtus are those of
// the networks by id.
func compileRouter(r fabric.Router, floating []fabric.FloatingIP, mtus map[string]int) router {
	compiled := router{id: r.ID, routes: r.Routes}
	for _, leg := range r.Interfaces {
		compiled.cards = append(compiled.cards, legCard(leg, mtus))
	}
	slices.SortFunc(compiled.cards, func(a, b card) int { return strings.Compare(a.name, b.name) })
	if r.Gateway == nil {
		return compiled
	}
	outside := legCard(*r.Gateway, mtus)
	outside.gateways = r.NextHops
	compiled.translation = &translation{outside: outside.name, masquerade: r.SNAT, fixed: map[netip.Addr]netip.Addr{}}
	for _, p := range outside.addresses {
		if p.Addr().Is4() {
			compiled.translation.address = p.Addr()
			break
		}
	}
	for _, ip := range floating {
		if !ip.Address.Is4() || !ip.Fixed.Is4() { // IPv6 is routed as it is
			continue
		}
		compiled.translation.fixed[ip.Address] = ip.Fixed
	}
	outside.addresses = slices.Clone(outside.addresses)
	for _, address := range slices.SortedFunc(maps.Keys(compiled.translation.fixed), netip.Addr.Compare) {
		outside.addresses = append(outside.addresses, netip.PrefixFrom(address, address.BitLen()))
	}
	compiled.cards = append(compiled.cards, outside)
	return compiled
}

func legCard(leg fabric.RouterPort, mtus map[string]int) card {
	c := portCard(fabric.Port{
		ID: leg.PortID, NetworkID: leg.NetworkID, MAC: leg.MAC, MTU: mtus[leg.NetworkID], Addresses: leg.Addresses,
	})
	c.bridged, c.isLeg, c.settings = true, true, legSettings(c.name)
	return c
}

// applyRouters announces the addresses when all routers stand: of two routers, the one that has just got a floating
// IP of the other has the last word.
func (f *Fabric) applyRouters(ctx context.Context, want map[string]router) error {
	var errs []error
	var fresh []news
	for _, id := range slices.Sorted(maps.Keys(want)) {
		have, exists := f.applied.routers[id]
		if exists && reflect.DeepEqual(have, want[id]) {
			continue
		}
		f.applied.routers[id] = router{}
		cards, err := f.applyRouter(ctx, id, have, want[id])
		if err != nil {
			errs = append(errs, fmt.Errorf("router %s: %w", id, err))
			continue
		}
		f.applied.routers[id] = want[id]
		fresh = append(fresh, cards...)
	}
	return errors.Join(append(errs, f.announce(fresh))...)
}

func (f *Fabric) applyRouter(ctx context.Context, id string, have, want router) ([]news, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	space, err := f.spaces.make(roleRouter, id)
	if err != nil {
		return nil, err
	}
	// The rules come before the floating addresses that they are for, or the router would refuse connections itself.
	if have.id != id || !reflect.DeepEqual(have.translation, want.translation) {
		if err := want.translation.apply(space); err != nil {
			return nil, err
		}
	}
	return f.connect(space, want.cards, want.routes)
}

func (f *Fabric) removeRouters(ctx context.Context, want map[string]router) error {
	var errs []error
	for id := range f.applied.routers {
		if _, keep := want[id]; keep || ctx.Err() != nil {
			continue
		}
		if err := f.removeSpace(roleRouter, id); err != nil {
			errs = append(errs, fmt.Errorf("removal of router %s: %w", id, err))
			continue
		}
		delete(f.applied.routers, id)
	}
	return errors.Join(errs...)
}
