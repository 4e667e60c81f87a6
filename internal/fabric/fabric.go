// Package fabric is how an address reaches a load balancer: networks, ports, routers and floating IPs made real.
//
// This file holds what the two fabrics have in common: the description of what should exist ([Topology]) and of
// what is plugged in ([Port]). The rooms below make it true on one machine:
//
//	linux     namespaces, bridges, veth pairs, nftables; needs root. Tenants may use overlapping addresses.
//	loopback  addresses of 127.0.0.0/8 on the host itself; needs nothing, isolates nothing.
//
// Everything here is level, not edge: a fabric compares what it is given with what is there and makes the difference,
// any number of times, above all after a crash.
package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"poise/internal/dataplane"
)

// Topology is everything that the network service wants to exist on this machine, apart from the plugged ports.
type Topology struct {
	Networks    []Network
	Routers     []Router
	FloatingIPs []FloatingIP
}

// Network is a layer-2 segment.
type Network struct {
	ID  string
	MTU int
	// External networks are reachable from the host: the host itself has the gateway addresses of their subnets.
	External bool
	Subnets  []Subnet
}

// Subnet is an address range of a network.
type Subnet struct {
	ID      string
	CIDR    netip.Prefix
	Gateway netip.Addr // the zero Addr: no gateway
}

// Router connects networks; it forwards between its interfaces and, towards its external gateway, masquerades
// what comes from inside.
type Router struct {
	ID         string
	Interfaces []RouterPort
	Gateway    *RouterPort // the leg on the external network; nil: none
	SNAT       bool        // masquerade traffic from inside that leaves through Gateway
	// NextHops are the default routes of the gateway leg, at most one for each IP family: the external subnets' gateways.
	NextHops []netip.Addr
	// Routes lead beyond the networks of the legs. Each NextHop is an address in one of those networks.
	Routes []Route
}

// Route says by which neighbour a range is reached. Both ends are of the same IP family.
type Route struct {
	Destination netip.Prefix
	NextHop     netip.Addr
}

// NeverRouted are the ranges to which no route leads and that are never forwarded for tenants: link-local addresses, which
// no router forwards (RFC 3927 §7, RFC 4291 §2.5.6) and where clouds have their metadata services, and that service in
// IPv6 (fd00:ec2::254 of AWS).
var NeverRouted = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::/32"),
}

// RouterPort is one leg of a router.
type RouterPort struct {
	PortID    string
	NetworkID string
	MAC       net.HardwareAddr
	Addresses []netip.Prefix // address and prefix length, as an interface would carry them
}

// FloatingIP maps an external address to a fixed one, both ways.
type FloatingIP struct {
	ID       string
	Address  netip.Addr // on the external network
	Fixed    netip.Addr // the port's address
	PortID   string     // the port that it is associated with
	RouterID string     // the router that translates
}

// Port is a network card to plug: one end in its network, the other in a namespace of its own or a server's.
type Port struct {
	ID        string
	NetworkID string
	MAC       net.HardwareAddr
	MTU       int
	Addresses []netip.Prefix
	Gateways  []netip.Addr // default routes, at most one for each IP family
	// Routes lead to other ranges: each NextHop is another address in the range of one of Addresses. Of several ports with
	// a route to one destination, the first counts.
	Routes []Route
	// Floating are the floating IPs associated with this port.
	Floating []netip.Addr
	// Filter is what the port lets through; nil: everything. The loopback fabric, which isolates nothing, refuses one.
	Filter *Filter
}

// Endpoint is a plugged load balancer.
type Endpoint struct {
	Net dataplane.Net
	// Bind are the addresses to listen on. In linux they are the port's fixed addresses (floating IPs arrive
	// translated); in loopback the floating addresses stand beside them.
	Bind []netip.Addr
}

// Fabric makes networks real on this machine. All methods are idempotent and safe for concurrent use.
type Fabric interface {
	// Name is "linux" or "loopback".
	Name() string

	// CheckSubnet says whether the fabric can carry the range in a network; the error is a sentence for the user. The
	// ranges that the network itself has already are no reason against it.
	CheckSubnet(networkID string, cidr netip.Prefix, external bool) error

	// CheckMember says whether members of load balancers may be, or be checked, at the address; the error is a sentence
	// for the user.
	CheckMember(at netip.AddrPort) error

	// Apply makes the networks, routers and floating IPs be exactly those of t. What it cannot make it skips, and
	// says so in the joined error; the rest is made all the same.
	Apply(ctx context.Context, t Topology) error

	// Plug gives the load balancer its namespace and ports; ports it had and that are not listed are removed.
	// The networks must have been applied before.
	Plug(ctx context.Context, loadBalancerID string, ports []Port) (Endpoint, error)

	// Unplug takes the load balancer's namespace away with everything in it; unknown ids are fine.
	Unplug(ctx context.Context, loadBalancerID string) error

	// Prune unplugs every load balancer that is not listed, those of an earlier process included.
	Prune(ctx context.Context, loadBalancerIDs []string) error

	// PlugServer, UnplugServer and PruneServers do the same for servers of the playground.
	PlugServer(ctx context.Context, serverID string, ports []Port) (Server, error)
	UnplugServer(ctx context.Context, serverID string) error
	PruneServers(ctx context.Context, serverIDs []string) error

	// Release closes what this process holds open. What it made on the host stays, as after a crash, and the next start adopts it.
	Release()

	// Close takes away everything that this fabric made on the host, and releases it. After a Release it does nothing.
	Close() error
}

// Server is a plugged server of the playground.
type Server struct {
	Net  dataplane.Net
	Bind []netip.Addr
	// Namespace is the name below /run/netns, "" in the loopback fabric.
	Namespace string
}

// UnsupportedSubnetError says why a fabric cannot carry a subnet.
type UnsupportedSubnetError struct {
	CIDR netip.Prefix
	Why  string
}

func (e *UnsupportedSubnetError) Error() string {
	return fmt.Sprintf("subnet %s cannot be used here: %s", e.CIDR, e.Why)
}
