package linux

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Neighbours that the fabric knows are given to the kernel: each load balancer's to the routers and the host in its network,
// and the gateway to each load balancer. Entries that were learned from outside the kernel (NTF_EXT_LEARNED) do not count
// against its limit of neighbours (Linux 5.0, net/core/neighbour.c neigh_alloc), which is one for all namespaces and can
// only be raised by the host; and nobody has to ask. One that turns out wrong is asked for anew, like any other.

// acquainted is a card of a router or the host.
type acquainted struct {
	space  *namespace
	bridge int // interface index of the network's bridge
	link   int // interface index of the card
}

// legs are all of them, by their plugs.
type legs struct {
	mu  sync.Mutex
	all map[string]acquainted // guarded by mu
}

func (l *legs) put(plug string, one acquainted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]acquainted{}
	}
	l.all[plug] = one
}

func (l *legs) of(bridge int) (found []acquainted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if one.bridge == bridge {
			found = append(found, one)
		}
	}
	return found
}

// introduce makes a card and the legs of its network neighbours. h is a socket in the card's namespace.
func (f *Fabric) introduce(space *namespace, h *netlink.Handle, c card, ends *pair, bridge int) error {
	switch {
	case f.forward == nil:
		return nil
	case c.isLeg:
		one := acquainted{space, bridge, ends.inside.Attrs().Index}
		f.legs.put(c.plug, one)
		return f.meetAll(h, one)
	case c.bridged: // a server, which may give itself other addresses and be gone tomorrow
		return nil
	}
	for _, gateway := range c.gateways {
		if mac := f.forward.macOf(bridge, gateway); mac != nil {
			if err := meet(h, ends.inside.Attrs().Index, gateway, mac); err != nil {
				return err
			}
		}
	}
	return f.tellLegs(bridge, func(h *netlink.Handle, link int) error {
		for _, p := range c.addresses {
			if err := meet(h, link, p.Addr(), ends.inside.Attrs().HardwareAddr); err != nil {
				return err
			}
		}
		return nil
	})
}

// part has the legs of the network forget the plug's addresses.
func (f *Fabric) part(index int) error {
	o := f.forward.outletAt(index)
	if o.bridged || len(o.addresses) == 0 {
		return nil
	}
	return f.tellLegs(o.network, func(h *netlink.Handle, link int) error {
		for _, a := range o.addresses {
			if err := h.NeighDel(&netlink.Neigh{LinkIndex: link, IP: a.AsSlice()}); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("neighbour %s: %w", a, err)
			}
		}
		return nil
	})
}

// tellLegs calls tell for each leg of the network. One whose namespace or card is gone needs nothing.
func (f *Fabric) tellLegs(bridge int, tell func(h *netlink.Handle, link int) error) error {
	for _, one := range f.legs.of(bridge) {
		h, err := one.space.netlink()
		if err == nil {
			err = tell(h, one.link)
			h.Close()
		}
		if err != nil && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

// meetAll makes the leg's neighbours be the load balancers of its network.
func (f *Fabric) meetAll(h *netlink.Handle, one acquainted) error {
	want := f.forward.besideAddresses(one.bridge)
	have, err := dump(func() ([]netlink.Neigh, error) { return h.NeighList(one.link, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list of neighbours: %w", err)
	}
	for _, n := range have {
		address, _ := netip.AddrFromSlice(n.IP)
		address = address.Unmap()
		if n.Flags&netlink.NTF_EXT_LEARNED == 0 {
			continue
		}
		if mac, ok := want[address]; ok && bytes.Equal(mac, n.HardwareAddr) {
			delete(want, address)
			continue
		}
		if err := h.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("neighbour %s: %w", address, err)
		}
	}
	for address, mac := range want {
		if err := meet(h, one.link, address, mac); err != nil {
			return err
		}
	}
	return nil
}

func meet(h *netlink.Handle, link int, address netip.Addr, mac net.HardwareAddr) error {
	err := h.NeighSet(&netlink.Neigh{
		LinkIndex: link, IP: address.AsSlice(), HardwareAddr: mac, State: netlink.NUD_STALE, Flags: netlink.NTF_EXT_LEARNED,
	})
	if err != nil {
		return fmt.Errorf("neighbour %s: %w", address, err)
	}
	return nil
}

func (f *forwarder) outletAt(index int) outlet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outlets[index]
}

// besideAddresses are the addresses of the load balancers in the network, with their MAC addresses.
func (f *forwarder) besideAddresses(bridge int) map[netip.Addr]net.HardwareAddr {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[netip.Addr]net.HardwareAddr{}
	for _, o := range f.outlets {
		if o.network != bridge || o.bridged {
			continue
		}
		for _, a := range o.addresses {
			all[a] = o.mac
		}
	}
	return all
}
