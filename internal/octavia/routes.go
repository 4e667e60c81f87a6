package octavia

import (
	"net/http"
	"slices"

	"poise/internal/lb"
	"poise/internal/rest"
)

// route is one line of the route table. Its pattern is relative to the API's version.
type route struct {
	method, pattern string
	policy          string // the name of the policy that admits the caller, "" when every caller with a token is admitted
	handle          func(*call) error
	takes           []parameter // in the query
}

// prefixes are the places at which Octavia offers the same resources.
var prefixes = []string{"/v2", "/v2.0", "/v2/lbaas", "/v2.0/lbaas"}

// table is every route behind the token check. A line that stands here takes the place of the resource's own.
func table() []route {
	all := []route{
		{"GET", "/octavia", "", version, nil},
		{"GET", watchPattern, "loadbalancer:get_all", watch, []parameter{projectParameter}},
		{"POST", "/loadbalancers", "loadbalancer:post", postLoadBalancer, nil},
		{"PUT", "/loadbalancers/{id}", "loadbalancer:put", putLoadBalancer, nil},
		{"DELETE", "/loadbalancers/{id}", "loadbalancer:delete", deleteLoadBalancer, []parameter{cascadeParameter}},
		{"GET", "/loadbalancers/{id}/stats", "loadbalancer:get_stats", loadBalancerStats, nil},
		{"GET", "/loadbalancers/{id}/status", "loadbalancer:get_status", loadBalancerStatus, nil},
		{"GET", "/loadbalancers/{id}/statuses", "loadbalancer:get_status", loadBalancerStatus, nil},
		{"PUT", "/loadbalancers/{id}/failover", "loadbalancer:put_failover", failoverLoadBalancer, nil},
		{"GET", "/listeners/{id}/stats", "listener:get_stats", listenerStats, nil},
		{"GET", logPattern, "listener:get_one", followListener, nil},
		{"PUT", "/pools/{pool}/members", "member:put", putMembers, []parameter{additiveParameter}},
		{"GET", "/providers", "provider:get_all", listProviders, describedParameters},
		{
			"GET", "/providers/{id}/flavor_capabilities", "provider-flavor:get_all",
			listCapabilities(lb.Flavors, "flavor_capabilities"), describedParameters,
		},
		{
			"GET", "/providers/{id}/availability_zone_capabilities", "provider-availability-zone:get_all",
			listCapabilities(lb.AvailabilityZones, "availability_zone_capabilities"), describedParameters,
		},
	}
	all = append(all, pastRoutes()...)
	all = append(all, quotaRoutes()...)
	all = append(all, amphoraRoutes()...)
	for _, k := range catalogues {
		all = append(all, k.routes()...)
	}
	for _, res := range []*resource{loadBalancers, listeners, pools, members, healthMonitors, l7Policies, l7Rules} {
		for _, r := range res.routes() {
			taken := func(own route) bool { return own.method == r.method && own.pattern == r.pattern }
			if !slices.ContainsFunc(all, taken) {
				all = append(all, r)
			}
		}
	}
	return all
}

// routes spells the table out for every prefix.
func (a *API) routes() []rest.Route {
	var all []rest.Route
	for _, prefix := range prefixes {
		all = append(all, rest.Route{Method: "GET", Pattern: prefix, Handler: a.handler(route{handle: version})})
		for _, r := range table() {
			all = append(all, rest.Route{Method: r.method, Pattern: prefix + r.pattern, Handler: a.handler(r)})
		}
	}
	return all
}

func (a *API) handler(r route) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, req *http.Request) error {
		c := &call{API: a, w: w, r: req, route: r, caller: rest.CallerFrom(req.Context()), maxBody: rest.MaxBody}
		c.query, c.unknown = r.read(req.URL.Query())
		if r.refuses(c.unknown) {
			return errUnknownArgument(c.unknown[0])
		}
		return r.handle(c)
	}
}

// version answers at the root of a version, like Octavia with a bare string.
func version(c *call) error {
	rest.WriteJSON(c.w, http.StatusOK, "v2")
	return nil
}
