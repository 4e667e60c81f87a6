package neutron

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

// maxRoutes bounds the routes that one request names, whatever the quota is.
const maxRoutes = 1_000

// setRoutes gives the router these routes and no others. Each next hop must be a neighbour of the router.
func (s *Service) setRoutes(ctx context.Context, c *change, r *router, routes []hostRoute) error {
	legs, err := c.prefixesOfLegs(ctx, r.Legs)
	if err != nil {
		return err
	}
	r.Routes = []hostRoute{}
	for _, route := range routes {
		if why := route.problem(legs); why != "" {
			return badRequest("InvalidRoutes", "Invalid format for routes: %s by %s, %s", route.Destination, route.NextHop, why)
		}
		if !slices.Contains(r.Routes, route) {
			r.Routes = append(r.Routes, route)
		}
	}
	quota, err := s.lockQuota(ctx, c, r.ProjectID)
	if err != nil {
		return err
	}
	if most := quota[quotaRoute]; most >= 0 && len(r.Routes) > most {
		return errOverQuota(quotaRoute)
	}
	return nil
}

// problem says why a router with these legs cannot have the route, "" when it can.
func (r hostRoute) problem(legs []netip.Prefix) string {
	connected := false
	for _, leg := range legs {
		connected = connected || leg.Contains(r.NextHop)
		if leg.Addr() == r.NextHop {
			return "the nexthop is used by router"
		}
	}
	switch {
	case r.Destination != r.Destination.Masked():
		return fmt.Sprintf("the destination is not a range; %s would be one", r.Destination.Masked())
	case r.Destination.Addr().Is4() != r.NextHop.Is4():
		return "the destination and the nexthop are of different IP versions"
	case !connected:
		return "the nexthop is not connected with router"
	}
	return ""
}

// prefixesOfLegs are the addresses of the legs, each with the length of its subnet's prefix.
func (c *change) prefixesOfLegs(ctx context.Context, legs []*port) ([]netip.Prefix, error) {
	prefixes := []netip.Prefix{}
	for _, leg := range legs {
		for _, a := range leg.Addresses {
			s, err := findSubnet(ctx, c.tx, admin, a.SubnetID)
			if err != nil {
				return nil, err
			}
			prefixes = append(prefixes, netip.PrefixFrom(netip.MustParseAddr(a.Address), s.prefix().Bits()))
		}
	}
	return prefixes, nil
}

// checkUnrouted refuses to take a leg away that the router needs to reach a next hop.
func (c *change) checkUnrouted(ctx context.Context, r *router, leg *port) error {
	if len(r.Routes) == 0 {
		return nil
	}
	prefixes, err := c.prefixesOfLegs(ctx, []*port{leg})
	if err != nil {
		return err
	}
	for i, prefix := range prefixes {
		if slices.ContainsFunc(r.Routes, func(route hostRoute) bool { return prefix.Contains(route.NextHop) }) {
			return conflict("RouterInterfaceInUseByRoute",
				"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.",
				leg.Addresses[i].SubnetID, r.ID)
		}
	}
	return nil
}

func (s *Service) serveAddRoutes(w http.ResponseWriter, r *http.Request) error {
	return s.serveRoutes(w, r, "add_extraroutes", func(have, named []hostRoute) []hostRoute { return append(have, named...) })
}

// serveRemoveRoutes takes away those routes that the router has of the ones named.
func (s *Service) serveRemoveRoutes(w http.ResponseWriter, r *http.Request) error {
	return s.serveRoutes(w, r, "remove_extraroutes", func(have, named []hostRoute) []hostRoute {
		return slices.DeleteFunc(have, func(route hostRoute) bool { return slices.Contains(named, route) })
	})
}

// serveRoutes makes the router's new routes of those it has and those that the request names, in one transaction, so that
// two clients at the same time do not undo each other's.
func (s *Service) serveRoutes(w http.ResponseWriter, r *http.Request, rule string, edit func(have, named []hostRoute) []hostRoute) error {
	b, err := readBody(w, r, "router")
	if err != nil {
		return err
	}
	named := []hostRoute{}
	listUpTo(b, "routes", maxRoutes, &named)
	if err := b.close(object{}); err != nil {
		return err
	}
	id := r.PathValue("id")
	err = s.change(r.Context(), b.caller, func(ctx context.Context, c *change) error {
		if err := c.heedIfMatch(ctx, s.routers(), id, r.Header); err != nil {
			return err
		}
		of, err := c.ownRouter(ctx, id, rule)
		if err != nil {
			return err
		}
		if err := s.setRoutes(ctx, c, of, edit(slices.Clone(of.Routes), named)); err != nil {
			return err
		}
		c.topology = true
		return c.save(ctx, of)
	})
	if err != nil {
		return err
	}
	return s.answer(w, r, s.routers(), http.StatusOK, id)
}
