// Package linux makes networks real with the Linux kernel: namespaces, bridges, veth pairs and nftables.
//
//	 host                    poise-<tag>-switch               poise-<tag>-rtr-<id>
//	┌────────────────────┐  ┌───────────────────────────┐    ┌─────────────────────┐
//	│ poi<tag>x…         │  │ ┌───────────────────────┐ │    │ gateway leg:        │
//	│ gateways of the ●──┼──┼─● bridge: external net  ●─┼────┼─● own address       │
//	│ external subnets   │  │ └───────────────────────┘ │    │ │ and floating IPs  │
//	└────────────────────┘  │                           │    │ nftables: NAT       │
//	 poise-<tag>-lb-<id>    │ ┌───────────────────────┐ │    │ │                   │
//	┌────────────────────┐  │ │                       ●─┼────┼─● inside leg        │
//	│ address of VIP ●───┼──┼─● bridge: tenant net A  │ │    └─────────────────────┘
//	└────────────────────┘  │ │                       ●─┼──┐  poise-<tag>-srv-<id>
//	 poise-<tag>-lb-<id>    │ └───────────────────────┘ │  │ ┌─────────────────────┐
//	┌────────────────────┐  │ ┌───────────────────────┐ │  └─┼─● a server of the   │
//	│ the same one ●─────┼──┼─● bridge: tenant net B  │ │    │   playground        │
//	└────────────────────┘  │ └───────────────────────┘ │    └─────────────────────┘
//	                        └───────────────────────────┘       ●──● is a veth pair
//
// Load balancers are drawn at their bridge, but stand beside it: forward.go carries frames between cards by MAC address, and
// the bridge only what is meant for everybody.
//
// All bridges stand in one namespace of their own, the switch, so that neither the host's firewall nor its bridge
// filters see what tenants send, and the host has one interface for each external network and nothing else. Every load
// balancer, server and router has a namespace with one card (a veth end) for each port; tenants may therefore use
// overlapping addresses. Routers translate floating IPs and masquerade.
//
// The namespaces are bind mounts below /run/netns, as `ip netns` makes them: a person can look inside, and they outlive
// this process. Whatever is found there with this fabric's tag is adopted and completed, never made anew, so
// that connections survive a restart; what is no longer wanted goes with the first Apply and Prune.
package linux

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"regexp"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
)

// Config is what a Fabric needs to know.
type Config struct {
	// Tag sets the namespaces and interfaces of several poise instances on one host apart: one to six hexadecimal
	// digits, always the same for the same data directory.
	Tag string
	Log *slog.Logger // nil: silence
	// HostPorts are the ports of the host that tenants may reach; what else they begin at the host's addresses is refused.
	HostPorts []HostPort
}

// Fabric implements [fabric.Fabric].
type Fabric struct {
	tag    string
	log    *slog.Logger
	spaces *namespaces
	bridge *netlink.Handle // in the switch
	host   *netlink.Handle // in the namespace that the process started in

	lan           *namespace   // the switch
	forward       *forwarder   // nil: the kernel takes no such program, and bridges do all the forwarding
	megaphone     int          // a packet socket in the switch that only sends, -1 before it is open
	restoreLimits func() error // puts back what RaiseNeighbourLimits raised

	// open is held for reading while anything is made or removed, and for writing by Close.
	open   sync.RWMutex
	closed bool // guarded by open

	// busy serialises what happens to one namespace, by the hash of its name.
	busy [64]sync.Mutex

	legs legs // the routers' and the host's cards

	finding sync.Mutex
	found   leftovers // what no plug has asked for yet; guarded by finding

	applying sync.Mutex
	applied  *applied // what Apply made last; nil before its first run; guarded by applying
}

var (
	tagPattern = regexp.MustCompile(`^[0-9a-f]{1,6}$`)
	errClosed  = errors.New("the fabric is closed")
)

// New prepares the host and adopts what an earlier process with the same tag has left.
func New(ctx context.Context, cfg Config) (*Fabric, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !tagPattern.MatchString(cfg.Tag) {
		return nil, fmt.Errorf("fabric tag %q: want one to six hexadecimal digits", cfg.Tag)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	spaces, err := newNamespaces("poise-" + cfg.Tag + "-")
	if err != nil {
		return nil, err
	}
	f := &Fabric{tag: cfg.Tag, log: cfg.Log, spaces: spaces, megaphone: -1}
	if err := f.powerUp(cfg); err != nil {
		f.release()
		return nil, err
	}
	if others, err := f.spaces.others(); err == nil && len(others) > 0 {
		f.log.Info("networks of other data directories are on this host; they are left alone", "tags", others)
	}
	return f, nil
}

// powerUp shuts the host to tenants and opens the switch and the sockets that stay open.
func (f *Fabric) powerUp(cfg Config) (err error) {
	if err = f.shutGate(cfg.HostPorts); err != nil {
		return err
	}
	if f.host, err = f.spaces.home.netlink(); err != nil {
		return err
	}
	if f.lan, err = f.spaces.make(roleSwitch, ""); err != nil {
		return err
	}
	if f.bridge, err = f.lan.netlink(); err != nil {
		return err
	}
	links, err := dump(f.bridge.LinkList)
	if err != nil {
		return fmt.Errorf("interfaces of the switch: %w", err)
	}
	f.found = leftovers{}
	for _, l := range links {
		f.found[l.Attrs().Name] = l
	}
	if f.forward, err = openForwarder(f.bridge, links); err != nil {
		f.log.Warn("bridges do all the forwarding: a network takes 1023 ports, and frames to everybody are not limited", "err", err)
	}
	if f.megaphone, err = f.lan.Socket(unix.AF_PACKET, unix.SOCK_RAW); err != nil {
		return err
	}
	if f.restoreLimits, err = RaiseNeighbourLimits(); err != nil { // a small node does without
		f.log.Warn("with many load balancers the host may forget neighbours", "err", err)
	}
	if limits, err := neighbourTables(); err == nil {
		if tight := tightNeighbours(limits); tight != "" {
			f.log.Warn(tight)
		}
	}
	return nil
}

// release closes what this process holds open; what it made stays.
func (f *Fabric) release() {
	for _, h := range []*netlink.Handle{f.bridge, f.host} {
		if h != nil {
			h.Close()
		}
	}
	if f.forward != nil {
		f.forward.close()
	}
	if f.megaphone >= 0 {
		_ = unix.Close(f.megaphone)
	}
	f.spaces.close()
}

// Name is "linux".
func (f *Fabric) Name() string { return "linux" }

// Plug gives the load balancer its namespace and ports. See [fabric.Fabric].
func (f *Fabric) Plug(ctx context.Context, loadBalancerID string, ports []fabric.Port) (fabric.Endpoint, error) {
	space, err := f.plug(ctx, roleLoadBalancer, loadBalancerID, ports)
	if err != nil {
		return fabric.Endpoint{}, fmt.Errorf("plug load balancer %s: %w", loadBalancerID, err)
	}
	return fabric.Endpoint{Net: space, Bind: bind(ports)}, nil
}

// PlugServer gives a server of the playground its namespace and ports.
func (f *Fabric) PlugServer(ctx context.Context, serverID string, ports []fabric.Port) (fabric.Server, error) {
	space, err := f.plug(ctx, roleServer, serverID, ports)
	if err != nil {
		return fabric.Server{}, fmt.Errorf("plug server %s: %w", serverID, err)
	}
	return fabric.Server{Net: space, Bind: bind(ports), Namespace: space.name}, nil
}

// Unplug takes the load balancer's namespace away. Sockets that are still open in it lose their network.
func (f *Fabric) Unplug(ctx context.Context, loadBalancerID string) error {
	if err := f.unplug(ctx, roleLoadBalancer, loadBalancerID); err != nil {
		return fmt.Errorf("unplug load balancer %s: %w", loadBalancerID, err)
	}
	return nil
}

// UnplugServer takes the server's namespace away.
func (f *Fabric) UnplugServer(ctx context.Context, serverID string) error {
	if err := f.unplug(ctx, roleServer, serverID); err != nil {
		return fmt.Errorf("unplug server %s: %w", serverID, err)
	}
	return nil
}

// Prune unplugs every load balancer that is not listed, also those of an earlier process.
func (f *Fabric) Prune(ctx context.Context, loadBalancerIDs []string) error {
	return f.prune(ctx, roleLoadBalancer, loadBalancerIDs)
}

// PruneServers unplugs every server that is not listed, also those of an earlier process.
func (f *Fabric) PruneServers(ctx context.Context, serverIDs []string) error {
	return f.prune(ctx, roleServer, serverIDs)
}

// Release closes what this process holds open, and leaves on the host what it made.
func (f *Fabric) Release() {
	f.open.Lock()
	defer f.open.Unlock()
	if !f.closed {
		f.closed = true
		f.release()
	}
}

// Close takes away every namespace and interface of the tag.
func (f *Fabric) Close() error {
	f.open.Lock()
	defer f.open.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	defer f.release()

	err := f.removeHostLinks()
	err = errors.Join(err, f.openGate())
	for _, role := range []role{roleLoadBalancer, roleServer, roleRouter} {
		ids, listErr := f.spaces.list(role)
		err = errors.Join(err, listErr)
		for _, id := range ids {
			err = errors.Join(err, f.removeSpace(role, id))
		}
	}
	return errors.Join(err, f.spaces.remove(roleSwitch, ""), f.restoreLimits())
}

func (f *Fabric) plug(ctx context.Context, r role, id string, ports []fabric.Port) (*namespace, error) {
	f.open.RLock()
	defer f.open.RUnlock()
	if f.closed {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer f.lock(r, id)()
	if err := r.check(id); err != nil {
		return nil, err
	}
	cards := make([]card, len(ports))
	for i, p := range ports {
		cards[i] = portCard(p)
		cards[i].bridged = r != roleLoadBalancer || f.forward == nil
	}
	if space, err := f.adopt(r, id, ports, cards); space != nil || err != nil {
		return space, err
	}
	if err := f.setSeals(cards, ""); err != nil {
		return nil, err
	}
	space, err := f.furnishAndConnect(r, id, ports, cards)
	if err != nil {
		return nil, err
	}
	alias, err := f.seal(r, ports)
	if err != nil {
		return nil, err
	}
	return space, f.setSeals(cards, alias)
}

// furnishAndConnect makes the namespace and its cards as they should be.
func (f *Fabric) furnishAndConnect(r role, id string, ports []fabric.Port, cards []card) (*namespace, error) {
	space, err := f.spaces.make(r, id)
	if err != nil {
		return nil, err
	}
	// The filter comes before the cards that it is for, so that nothing slips in.
	if err := space.filter(filtersOf(r, ports)); err != nil {
		return nil, err
	}
	fresh, err := f.connect(space, cards, routesOf(ports))
	if err != nil {
		return nil, err
	}
	return space, f.announce(fresh)
}

func (f *Fabric) unplug(ctx context.Context, r role, id string) error {
	f.open.RLock()
	defer f.open.RUnlock()
	if f.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	defer f.lock(r, id)()
	return f.removeSpace(r, id)
}

// removeSpace takes the namespace out of the network, and then away. One that cannot be silenced goes all the same.
func (f *Fabric) removeSpace(r role, id string) error {
	if err := r.check(id); err != nil {
		return err
	}
	space, err := f.spaces.lookup(r, id)
	if space != nil {
		forgotten := eachLink(space, func(_ *netlink.Handle, link netlink.Link) error { return f.forget(link) })
		err = errors.Join(forgotten, silence(space))
	}
	return errors.Join(err, f.spaces.remove(r, id))
}

func (f *Fabric) prune(ctx context.Context, r role, keep []string) error {
	kept := map[string]bool{}
	for _, id := range keep {
		kept[id] = true
	}
	ids, err := f.spaces.list(r)
	for _, id := range ids {
		if kept[id] {
			continue
		}
		f.log.Info("removing what is no longer wanted", "namespace", f.spaces.name(r, id))
		err = errors.Join(err, f.unplug(ctx, r, id))
	}
	return err
}

// lock waits until nobody else works on the namespace; the caller calls what it returns.
func (f *Fabric) lock(r role, id string) (unlock func()) {
	h := fnv.New32a()
	h.Write([]byte(string(r) + id))
	m := &f.busy[h.Sum32()%uint32(len(f.busy))]
	m.Lock()
	return m.Unlock
}

// bind lists the addresses of the ports in their order.
func bind(ports []fabric.Port) []netip.Addr {
	var addresses []netip.Addr
	for _, p := range ports {
		for _, a := range p.Addresses {
			addresses = append(addresses, a.Addr())
		}
	}
	return addresses
}

// Socket implements [dataplane.Net]: it costs two changes of namespace beside the socket itself, some 4 µs.
func (n *namespace) Socket(family, kind int) (int, error) {
	fd := -1
	err := n.enter(func() (err error) {
		fd, err = dataplane.OpenSocket(family, kind)
		return err
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return -1, fmt.Errorf("socket in %s: %w", n.name, err)
	}
	return fd, nil
}

var (
	_ fabric.Fabric = (*Fabric)(nil)
	_ dataplane.Net = (*namespace)(nil)
)
