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
}

// prefixes are the places at which Octavia offers the same resources.
var prefixes = []string{"/v2", "/v2.0", "/v2/lbaas", "/v2.0/lbaas"}

// table is every route behind the token check. A line that stands here takes the place of the resource's own.
func table() []route {
	all := []route{
		{"GET", "/octavia", "", version},
		{"GET", watchPattern, "loadbalancer:get_all", watch},
		{"POST", "/loadbalancers", "loadbalancer:post", postLoadBalancer},
		{"PUT", "/loadbalancers/{id}", "loadbalancer:put", putLoadBalancer},
		{"DELETE", "/loadbalancers/{id}", "loadbalancer:delete", deleteLoadBalancer},
		{"GET", "/loadbalancers/{id}/stats", "loadbalancer:get_stats", loadBalancerStats},
		{"GET", "/loadbalancers/{id}/status", "loadbalancer:get_status", loadBalancerStatus},
		{"GET", "/loadbalancers/{id}/statuses", "loadbalancer:get_status", loadBalancerStatus},
		{"PUT", "/loadbalancers/{id}/failover", "loadbalancer:put_failover", failoverLoadBalancer},
		{"GET", "/listeners/{id}/stats", "listener:get_stats", listenerStats},
		{"GET", logPattern, "listener:get_one", followListener},
		{"PUT", "/pools/{pool}/members", "member:put", putMembers},
		{"GET", "/providers", "provider:get_all", listProviders},
		{
			"GET", "/providers/{id}/flavor_capabilities", "provider-flavor:get_all",
			listCapabilities(lb.Flavors, "flavor_capabilities"),
		},
		{
			"GET", "/providers/{id}/availability_zone_capabilities", "provider-availability-zone:get_all",
			listCapabilities(lb.AvailabilityZones, "availability_zone_capabilities"),
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
		return r.handle(&call{
			API: a, w: w, r: req, caller: rest.CallerFrom(req.Context()), policy: r.policy, maxBody: rest.MaxBody,
		})
	}
}

// refuseArguments refuses query parameters; requests that change something take none but the known ones.
func (c *call) refuseArguments(known ...string) error {
	for name := range c.r.URL.Query() {
		if !slices.Contains(known, name) {
			return errUnknownArgument(name)
		}
	}
	return nil
}

// version answers at the root of a version, like Octavia with a bare string.
func version(c *call) error {
	rest.WriteJSON(c.w, http.StatusOK, "v2")
	return nil
}
