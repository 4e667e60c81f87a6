package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"poise/internal/fabric"
	"poise/internal/lb"
)

// maxMemberSubnets is in how many of its members' subnets a load balancer has a port. Members in further ones are reached by
// the gateways.
const maxMemberSubnets = 32

// memberSubnets are the subnets that the members of a tree name, beside those of the VIP, the oldest members' first.
func memberSubnets(t *lb.LoadBalancer) []string {
	seen := map[string]bool{"": true, t.VIP.SubnetID: true}
	for _, a := range t.VIP.Additional {
		seen[a.SubnetID] = true
	}
	var ids []string
	for _, p := range t.Pools {
		for _, m := range p.Members {
			if !m.Deleted && !seen[m.SubnetID] && len(ids) < maxMemberSubnets {
				seen[m.SubnetID] = true
				ids = append(ids, m.SubnetID)
			}
		}
	}
	return ids
}

// unreachable are the members to which no way leads from any of the ports, by id, and why.
func unreachable(t *lb.LoadBalancer, ports []fabric.Port) map[string]string {
	reasons := map[string]string{}
	for _, p := range t.Pools {
		for _, m := range p.Members {
			if why := noRoute(ports, m.Address); why != "" {
				reasons[m.ID] = why
			}
		}
	}
	return reasons
}

// noRoute says why nothing can go from the ports to the address, "" when it can. Ports that are not known yet are no reason,
// and neither are those of the loopback interface, where the host's own routes count.
func noRoute(ports []fabric.Port, to netip.Addr) string {
	var subnets []string
	for _, p := range ports {
		for _, prefix := range p.Addresses {
			if prefix.Contains(to) || prefix.Addr().IsLoopback() {
				return ""
			}
			subnets = append(subnets, prefix.Masked().String())
		}
		if slices.ContainsFunc(p.Gateways, func(gateway netip.Addr) bool { return gateway.Is4() == to.Is4() }) ||
			slices.ContainsFunc(p.Routes, func(r fabric.Route) bool { return r.Destination.Contains(to) }) {
			return ""
		}
	}
	if len(subnets) == 0 {
		return ""
	}
	return fmt.Sprintf("no route from the load balancer's subnets (%s) to %s; give the member the subnet_id of a subnet that it is in",
		strings.Join(subnets, ", "), to)
}
