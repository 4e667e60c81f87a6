package linux

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"poise/internal/fabric"
)

// applied is what there is because of Apply. What Apply failed to make, or found at its first run, stands there
// with the zero value: it differs from anything wanted, so the next Apply sees to it.
type applied struct {
	segments map[string]segment // by the bridge's name
	routers  map[string]router  // by id
}

// segment is what this fabric makes of a network: a bridge, and the host's card in it if the network is external.
type segment struct {
	networkID string
	mtu       int
	host      *card
}

// Apply makes the networks, routers and floating IPs be exactly those of t. See [fabric.Fabric].
func (f *Fabric) Apply(ctx context.Context, t fabric.Topology) error {
	f.open.RLock()
	defer f.open.RUnlock()
	if f.closed {
		return errClosed
	}
	f.applying.Lock()
	defer f.applying.Unlock()
	if f.applied == nil {
		found, err := f.inspect()
		if err != nil {
			return fmt.Errorf("what an earlier process left: %w", err)
		}
		f.applied = found
	}
	segments, routers := f.compile(t)
	return errors.Join(
		f.applySegments(ctx, segments),
		f.applyRouters(ctx, routers),
		f.removeRouters(ctx, routers),
		f.removeSegments(ctx, segments),
	)
}

// compile turns the topology into what has to be made of it, in a form that can be compared.
func (f *Fabric) compile(t fabric.Topology) (map[string]segment, map[string]router) {
	segments := map[string]segment{}
	mtus := map[string]int{}
	for _, n := range t.Networks {
		s := segment{networkID: n.ID, mtu: n.MTU}
		if n.External {
			s.host = f.hostCard(n)
		}
		segments[shortName(n.ID)] = s
		mtus[n.ID] = n.MTU
	}
	floating := map[string][]fabric.FloatingIP{}
	for _, ip := range t.FloatingIPs {
		if ip.RouterID != "" && ip.Fixed.IsValid() {
			floating[ip.RouterID] = append(floating[ip.RouterID], ip)
		}
	}
	routers := map[string]router{}
	for _, r := range t.Routers {
		routers[r.ID] = compileRouter(r, floating[r.ID], mtus)
	}
	return segments, routers
}

// hostCard is the host's own card in an external network: the gateway of its subnets.
func (f *Fabric) hostCard(n fabric.Network) *card {
	bridge := shortName(n.ID)
	name := f.hostLink(bridge)
	c := &card{
		name: name, plug: hostPlug(bridge), networkID: n.ID, mac: hostMAC(name), mtu: n.MTU, settings: hostSettings(name),
		bridged: true, isLeg: true,
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			c.addresses = append(c.addresses, netip.PrefixFrom(s.Gateway, s.CIDR.Bits()))
		}
	}
	slices.SortFunc(c.addresses, comparePrefixes)
	return c
}

// hostLinkPrefix begins the names of all interfaces that this fabric makes on the host.
func (f *Fabric) hostLinkPrefix() string { return "poi" + f.tag + "x" }

// hostLink names the host's end for a bridge, by the last digits of the bridge's name (15 bytes with the longest tag).
func (f *Fabric) hostLink(bridge string) string { return f.hostLinkPrefix() + bridge[len(bridge)-5:] }

// hostPlug names the switch's end; no port is called so, as their names have a dash after at most eight bytes of id.
func hostPlug(bridge string) string { return "host--" + bridge[len(bridge)-5:] }

// hostMAC is always the same for the same interface, and set: what the kernel makes up, the host's udev may replace.
func hostMAC(link string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(link))
	return append(net.HardwareAddr{0x02}, sum[:5]...) // locally administered
}

// inspect finds the bridges and routers that exist, whoever made them.
func (f *Fabric) inspect() (*applied, error) {
	found := &applied{segments: map[string]segment{}, routers: map[string]router{}}
	links, err := dump(f.bridge.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list of bridges: %w", err)
	}
	for _, link := range links {
		if _, ok := link.(*netlink.Bridge); ok {
			found.segments[link.Attrs().Name] = segment{}
		}
	}
	ids, err := f.spaces.list(roleRouter)
	for _, id := range ids {
		found.routers[id] = router{}
	}
	if len(found.segments)+len(found.routers) > 0 {
		f.log.Info("adopting what an earlier process left", "networks", len(found.segments), "routers", len(found.routers))
	}
	return found, err
}

func (f *Fabric) applySegments(ctx context.Context, want map[string]segment) error {
	var errs []error
	for _, bridge := range slices.Sorted(maps.Keys(want)) {
		s := want[bridge]
		have, exists := f.applied.segments[bridge]
		if exists && reflect.DeepEqual(have, s) {
			continue
		}
		f.applied.segments[bridge] = segment{}
		if err := f.applySegment(ctx, bridge, s); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", s.networkID, err))
			continue
		}
		f.applied.segments[bridge] = s
	}
	return errors.Join(errs...)
}

func (f *Fabric) applySegment(ctx context.Context, bridge string, s segment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.makeBridge(bridge, s); err != nil {
		return err
	}
	if s.host == nil {
		return f.removeHostLink(bridge)
	}
	fresh, err := f.install(f.spaces.home, f.host, *s.host)
	if err != nil {
		return fmt.Errorf("the host's interface %s: %w", s.host.name, err)
	}
	return f.announce([]news{fresh})
}

// makeBridge relies on the kernel's defaults for a bridge without the spanning tree protocol: ports forward at once.
func (f *Fabric) makeBridge(name string, s segment) error {
	link, err := findLink(f.bridge, name)
	if err != nil {
		return err
	}
	if link == nil {
		noSnooping := false
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		link = &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &noSnooping}
		if err := f.bridge.LinkAdd(link); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
	}
	// The alias is for people who look into the switch.
	if err := f.bridge.LinkSetAlias(link, s.networkID); err != nil {
		return fmt.Errorf("alias of the bridge: %w", err)
	}
	if s.mtu != 0 {
		if err := f.bridge.LinkSetMTU(link, s.mtu); err != nil {
			return fmt.Errorf("MTU of the bridge: %w", err)
		}
	}
	return f.bridge.LinkSetUp(link)
}

func (f *Fabric) removeSegments(ctx context.Context, want map[string]segment) error {
	var errs []error
	for bridge := range f.applied.segments {
		if _, keep := want[bridge]; keep || ctx.Err() != nil {
			continue
		}
		err := errors.Join(f.removeHostLink(bridge), f.removeBridge(bridge))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		delete(f.applied.segments, bridge)
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (f *Fabric) removeHostLink(bridge string) error {
	link, err := findLink(f.host, f.hostLink(bridge))
	if link == nil || err != nil {
		return err
	}
	return errors.Join(f.forget(link), removeLink(f.host, link.Attrs().Name))
}

func (f *Fabric) removeBridge(name string) error {
	link, err := findLink(f.bridge, name)
	if link == nil || err != nil {
		return err
	}
	if f.forward != nil {
		err = f.forward.forgetNetwork(link.Attrs().Index)
	}
	return errors.Join(err, removeLink(f.bridge, name))
}

// removeHostLinks removes every interface of the tag from the host.
func (f *Fabric) removeHostLinks() error {
	links, err := dump(f.host.LinkList)
	if err != nil {
		return fmt.Errorf("list of the host's interfaces: %w", err)
	}
	var errs []error
	for _, link := range links {
		if name := link.Attrs().Name; strings.HasPrefix(name, f.hostLinkPrefix()) {
			errs = append(errs, removeLink(f.host, name))
		}
	}
	return errors.Join(errs...)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
