// Package loopback makes networks of the host's own loopback interface: it needs no privileges and isolates nothing.
//
// On Linux every address of 127.0.0.0/8 answers on lo without being configured. A subnet is therefore a range in it
// that nobody else has; plugging a port is bookkeeping; a floating IP is one more address to listen on, where
// the linux fabric would translate. Everything can reach everything.
package loopback

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"poise/internal/dataplane"
	"poise/internal/fabric"
)

// Fabric implements [fabric.Fabric].
type Fabric struct {
	log *slog.Logger

	mu       sync.Mutex       // guards what follows
	networks []fabric.Network // as last applied
	api      netip.AddrPort   // what the server listens on; see Protect
}

// New returns the fabric; log may be nil.
func New(log *slog.Logger) *Fabric {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fabric{log: log}
}

// Name is "loopback".
func (f *Fabric) Name() string { return "loopback" }

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// The host's own services are in the first range of the loopback interface: no members there. The wider one is kept from
// tenants' subnets, as resolvers and the like are in it (127.0.0.53).
var (
	notForMembers = netip.MustParsePrefix("127.0.0.0/24")
	notForSubnets = netip.MustParsePrefix("127.0.0.0/16")
)

// Protect keeps members away from the address that the server's APIs are served on.
func (f *Fabric) Protect(api netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.api = netip.AddrPortFrom(api.Addr().Unmap(), api.Port())
}

// CheckMember refuses the host's own services.
func (f *Fabric) CheckMember(at netip.AddrPort) error {
	f.mu.Lock()
	api := f.api
	f.mu.Unlock()
	address := at.Addr().Unmap().WithZone("")
	if notForMembers.Contains(address) {
		return fmt.Errorf("%s is one of the host's own addresses: %s is not for members", address, notForMembers)
	}
	if at.Port() != api.Port() || !api.IsValid() {
		return nil
	}
	own := address == api.Addr()
	if api.Addr().IsUnspecified() {
		var err error
		if own, err = isHosts(address); err != nil {
			return err
		}
	}
	if own {
		return fmt.Errorf("%s is where this server's own API is", at)
	}
	return nil
}

// isHosts tells whether the host answers at the address.
func isHosts(address netip.Addr) (bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("list of the host's addresses: %w", err)
	}
	return loopback.Contains(address) || slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == address
	}), nil
}

// CheckSubnet admits ranges inside 127.0.0.0/8 that no other applied network has: two networks with the same addresses
// would be one.
func (f *Fabric) CheckSubnet(networkID string, cidr netip.Prefix, _ bool) error {
	if !cidr.IsValid() || !loopback.Contains(cidr.Addr()) || cidr.Bits() < loopback.Bits() {
		return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: "this process may not create network namespaces, " +
			"so networks are addresses of the host's loopback interface: use a range inside 127.0.0.0/8, or run poise as root"}
	}
	if cidr.Overlaps(notForSubnets) {
		return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: fmt.Sprintf("%s is the host's own; use another range of %s", notForSubnets, loopback)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.networks {
		for _, s := range n.Subnets {
			if n.ID != networkID && s.CIDR.Overlaps(cidr) {
				return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: fmt.Sprintf(
					"it overlaps with %s of network %s, and networks on the loopback interface cannot be kept apart", s.CIDR, n.ID)}
			}
		}
	}
	return nil
}

// Apply remembers which ranges are taken.
func (f *Fabric) Apply(ctx context.Context, t fabric.Topology) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks = slices.Clone(t.Networks)
	f.log.Debug("applied", "networks", len(t.Networks), "routers", len(t.Routers), "floatingIPs", len(t.FloatingIPs))
	return nil
}

// Plug says where to listen.
func (f *Fabric) Plug(ctx context.Context, _ string, ports []fabric.Port) (fabric.Endpoint, error) {
	addresses, err := bind(ports)
	if err != nil {
		return fabric.Endpoint{}, err
	}
	return fabric.Endpoint{Net: host{}, Bind: addresses}, ctx.Err()
}

// PlugServer says where to listen.
func (f *Fabric) PlugServer(ctx context.Context, _ string, ports []fabric.Port) (fabric.Server, error) {
	addresses, err := bind(ports)
	if err != nil {
		return fabric.Server{}, err
	}
	return fabric.Server{Net: host{}, Bind: addresses}, ctx.Err()
}

// Unplug has nothing to take away, and neither have UnplugServer, Prune, PruneServers and Close.
func (f *Fabric) Unplug(ctx context.Context, _ string) error { return ctx.Err() }

// UnplugServer does nothing.
func (f *Fabric) UnplugServer(ctx context.Context, _ string) error { return ctx.Err() }

// Prune does nothing.
func (f *Fabric) Prune(ctx context.Context, _ []string) error { return ctx.Err() }

// PruneServers does nothing.
func (f *Fabric) PruneServers(ctx context.Context, _ []string) error { return ctx.Err() }

// Close does nothing.
func (f *Fabric) Close() error { return nil }

// Release has nothing to do.
func (f *Fabric) Release() {}

// bind lists fixed and floating addresses, in the ports' order. It refuses addresses outside 127.0.0.0/8: to
// listen on them could take over a service of the host.
func bind(ports []fabric.Port) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for _, p := range ports {
		if p.Filter != nil {
			return nil, fmt.Errorf("port %s has security groups, and the loopback interface cannot filter: "+
				"take them away, or run poise as root", p.ID)
		}
		for _, a := range p.Addresses {
			addresses = append(addresses, a.Addr())
		}
		addresses = append(addresses, p.Floating...)
	}
	for _, a := range addresses {
		if !loopback.Contains(a) {
			return nil, &fabric.UnsupportedSubnetError{
				CIDR: netip.PrefixFrom(a, a.BitLen()),
				Why:  "the loopback fabric serves addresses in 127.0.0.0/8 only",
			}
		}
	}
	return addresses, nil
}

// host is the network that this process is in.
type host struct{}

// Socket implements [dataplane.Net].
func (host) Socket(family, kind int) (int, error) {
	fd, err := dataplane.OpenSocket(family, kind)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

var (
	_ fabric.Fabric = (*Fabric)(nil)
	_ dataplane.Net = host{}
)
