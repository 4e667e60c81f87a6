package linux

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// card is one veth pair: an interface in a namespace, and its plug in a bridge of the switch.
type card struct {
	name      string // the interface, in its namespace
	plug      string // its other end, in the switch
	networkID string
	mac       net.HardwareAddr // nil: the kernel's choice
	mtu       int              // bytes; 0: the kernel's choice
	addresses []netip.Prefix
	gateways  []netip.Addr // default routes
	settings  settings     // beside those of the namespace
	// bridged cards hear what is said to everybody. Load balancers' are beside the bridge, which takes 1,023 ports: they
	// forward by their MAC address alone.
	bridged bool
	isLeg   bool // of a router or the host, which have all load balancers of the network as neighbours
}

// portCard describes the card of a port. Both ends have the same name, which starts as the port's id does.
func portCard(p fabric.Port) card {
	name := shortName(p.ID)
	return card{
		name: name, plug: name, networkID: p.NetworkID, mac: p.MAC, mtu: p.MTU,
		addresses: p.Addresses, gateways: p.Gateways,
	}
}

// shortName makes an interface name (at most 15 bytes) of an id: its first eight bytes to be recognised by, and six
// hexadecimal digits of its hash to tell it from others that start alike.
func shortName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return id[:min(8, len(id))] + "-" + hex.EncodeToString(sum[:3])
}

// connect makes the namespace have exactly these cards and routes, and returns what neighbours should be told.
func (f *Fabric) connect(space *namespace, cards []card, routes []fabric.Route) ([]news, error) {
	h, err := space.netlink()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := f.removeOtherCards(h, cards); err != nil {
		return nil, err
	}
	var all []news
	for _, c := range cards {
		fresh, err := f.install(space, h, c)
		if err != nil {
			return nil, fmt.Errorf("card %s: %w", c.name, err)
		}
		all = append(all, fresh)
	}
	if err := setDefaultRoutes(h, cards); err != nil {
		return nil, err
	}
	return all, setStaticRoutes(h, routes)
}

// silence brings every card of the namespace down, so that its addresses no longer answer even if somebody still
// holds a socket there and the namespace with it. To remove the cards would take some 30 ms each, where the kernel
// removes them together with the namespace, and many namespaces at once.
func silence(space *namespace) error {
	return eachLink(space, func(h *netlink.Handle, link netlink.Link) error {
		if err := h.LinkSetDown(link); err != nil {
			return fmt.Errorf("interface %s down: %w", link.Attrs().Name, err)
		}
		return nil
	})
}

func eachLink(space *namespace, do func(h *netlink.Handle, link netlink.Link) error) error {
	h, err := space.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := dump(h.LinkList)
	if err != nil {
		return fmt.Errorf("list of interfaces: %w", err)
	}
	for _, link := range links {
		if err := do(h, link); err != nil {
			return err
		}
	}
	return nil
}

// forget has nothing forwarded any more to the card, whose plug is the other end.
func (f *Fabric) forget(inside netlink.Link) error {
	if _, isCard := inside.(*netlink.Veth); !isCard || f.forward == nil {
		return nil
	}
	return errors.Join(f.part(inside.Attrs().ParentIndex), f.forward.forget(inside.Attrs().ParentIndex))
}

// removeOtherCards removes the veth ends that are not among the cards.
func (f *Fabric) removeOtherCards(h *netlink.Handle, cards []card) error {
	links, err := dump(h.LinkList)
	if err != nil {
		return fmt.Errorf("list of interfaces: %w", err)
	}
	for _, link := range links {
		name := link.Attrs().Name
		wanted := slices.ContainsFunc(cards, func(c card) bool { return c.name == name })
		if _, isCard := link.(*netlink.Veth); !isCard || wanted {
			continue
		}
		if err := errors.Join(f.forget(link), removeLink(h, name)); err != nil {
			return err
		}
	}
	return nil
}

// install makes the card be there, in the right bridge, configured and up.
func (f *Fabric) install(space *namespace, h *netlink.Handle, c card) (news, error) {
	bridge, err := f.bridge.LinkByName(shortName(c.networkID))
	if err != nil {
		return news{}, fmt.Errorf("network %s: %w", c.networkID, err)
	}
	ends, err := f.findOrInsert(space, h, c, bridge)
	if err != nil {
		return news{}, err
	}
	if err := space.set(c.settings); err != nil {
		return news{}, err
	}
	added, err := setAddresses(h, ends.inside, c.addresses)
	if err != nil {
		return news{}, err
	}
	if c.isNewsTo(ends, bridge) {
		added = c.addresses
	}
	if err := f.adjust(h, ends, bridge, c); err != nil {
		return news{}, err
	}
	moved, err := f.connectPlug(ends, bridge, c)
	if err == nil {
		err = f.introduce(space, h, c, ends, bridge.Attrs().Index)
	}
	if err != nil {
		return news{}, err
	}
	if slices.ContainsFunc(added, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		err = awaitAddresses(h, ends.inside)
	}
	return news{bridge: bridge.Attrs().Index, mac: ends.inside.Attrs().HardwareAddr, addresses: added, moved: moved}, err
}

// connectPlug has frames forwarded to the card and from it.
func (f *Fabric) connectPlug(ends *pair, bridge netlink.Link, c card) (moved []netip.Addr, err error) {
	if f.forward == nil {
		return nil, nil
	}
	want := c.outlet(bridge.Attrs().Index)
	want.mac = ends.inside.Attrs().HardwareAddr
	if c.bridged {
		// Whose MAC address is not known has not said a word yet: nobody looks for it but by asking for its address.
		if err := f.bridge.LinkSetFlood(ends.outside, false); err != nil {
			return nil, fmt.Errorf("bridge port: %w", err)
		}
	}
	return f.forward.connect(ends.outside, want)
}

// pair is a card as it exists.
type pair struct{ inside, outside netlink.Link }

func (f *Fabric) findOrInsert(space *namespace, h *netlink.Handle, c card, bridge netlink.Link) (*pair, error) {
	ends, err := f.find(h, c)
	if ends != nil || err != nil {
		return ends, err
	}
	if err := f.insert(space, c, bridge); err != nil {
		return nil, err
	}
	if ends, err = f.find(h, c); err == nil && ends == nil {
		err = errors.New("it vanished while it was being made")
	}
	return ends, err
}

// find returns both ends of the card, or nil. Ends that do not belong together are removed: a port has one
// place, and what is left of an earlier one gives way.
func (f *Fabric) find(h *netlink.Handle, c card) (*pair, error) {
	inside, err := findLink(h, c.name)
	if err != nil {
		return nil, err
	}
	outside, err := findLink(f.bridge, c.plug)
	if err != nil {
		return nil, err
	}
	if inside != nil && outside != nil &&
		inside.Attrs().ParentIndex == outside.Attrs().Index && outside.Attrs().ParentIndex == inside.Attrs().Index {
		return &pair{inside, outside}, nil
	}
	if outside != nil && f.forward != nil {
		err = f.forward.forget(outside.Attrs().Index)
	}
	return nil, errors.Join(err, removeLink(h, c.name), removeLink(f.bridge, c.plug))
}

// insert makes the pair: the plug up and in its place, the card down in its namespace.
func (f *Fabric) insert(space *namespace, c card, bridge netlink.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = c.plug, c.mtu, net.FlagUp
	if c.bridged {
		attrs.MasterIndex = bridge.Attrs().Index
	}
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr = c.name, c.mac
	err := space.use(func(fd int) error {
		veth.PeerNamespace = netlink.NsFd(fd)
		return f.bridge.LinkAdd(veth)
	})
	switch {
	case errors.Is(err, unix.EXFULL):
		return fmt.Errorf("network %s is full: it takes 1023 routers and servers on one node: %w", c.networkID, err)
	case err != nil:
		return fmt.Errorf("veth pair: %w", err)
	}
	return nil
}

// isNewsTo says whether the neighbours have not met the card, or know it by another MAC address, or are others.
func (c card) isNewsTo(ends *pair, bridge netlink.Link) bool {
	return !isUp(ends.inside) || !isUp(ends.outside) ||
		c.mac != nil && !bytes.Equal(ends.inside.Attrs().HardwareAddr, c.mac) ||
		ends.outside.Attrs().MasterIndex != c.master(bridge)
}

// master is the interface index of the bridge that the plug is a port of, 0 for none.
func (c card) master(bridge netlink.Link) int {
	if !c.bridged {
		return 0
	}
	return bridge.Attrs().Index
}

// adjust changes what differs of the two ends, and brings the card up.
func (f *Fabric) adjust(h *netlink.Handle, ends *pair, bridge netlink.Link, c card) error {
	inside, outside := ends.inside, ends.outside
	if c.mtu != 0 && (inside.Attrs().MTU != c.mtu || outside.Attrs().MTU != c.mtu) {
		if err := errors.Join(h.LinkSetMTU(inside, c.mtu), f.bridge.LinkSetMTU(outside, c.mtu)); err != nil {
			return fmt.Errorf("MTU: %w", err)
		}
	}
	if c.mac != nil && !bytes.Equal(inside.Attrs().HardwareAddr, c.mac) {
		if err := h.LinkSetHardwareAddr(inside, c.mac); err != nil {
			return fmt.Errorf("MAC address: %w", err)
		}
		inside.Attrs().HardwareAddr = c.mac
	}
	if outside.Attrs().MasterIndex != c.master(bridge) {
		if err := f.bridge.LinkSetMasterByIndex(outside, c.master(bridge)); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
	}
	if isUp(inside) && isUp(outside) {
		return nil
	}
	if err := errors.Join(f.bridge.LinkSetUp(outside), h.LinkSetUp(inside)); err != nil {
		return fmt.Errorf("link up: %w", err)
	}
	return f.awaitCarrier(h, ends, bridge)
}

// awaitCarrier makes the bridge forward to the new plug now, not when the kernel's link watch comes round to it: to
// ask for one link's state runs the watch for it (Linux 6.8, net/core/rtnetlink.c rtnl_getlink).
func (f *Fabric) awaitCarrier(h *netlink.Handle, ends *pair, bridge netlink.Link) error {
	_, insideErr := h.LinkByIndex(ends.inside.Attrs().Index)
	_, outsideErr := f.bridge.LinkByIndex(ends.outside.Attrs().Index)
	_, bridgeErr := f.bridge.LinkByIndex(bridge.Attrs().Index)
	if err := errors.Join(insideErr, outsideErr, bridgeErr); err != nil {
		return fmt.Errorf("carrier: %w", err)
	}
	return nil
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }

// findLink returns nil when there is no link of that name.
func findLink(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return link, nil
}

// removeLink removes the link, a veth with its other end. Somebody else may have been faster.
func removeLink(h *netlink.Handle, name string) error {
	link, err := findLink(h, name)
	if link == nil || err != nil {
		return err
	}
	if err := h.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removal of interface %s: %w", name, err)
	}
	return nil
}

// maxDumps is how often a list is asked for that others keep changing meanwhile.
const maxDumps = 10

// dump lists, again when the list changed while the kernel was writing it.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range maxDumps {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
