package octavia

import (
	"slices"
	"time"

	"poise/internal/lb"
)

// A load balancer can be made with all that is below it in one request (octavia-resources.md §13). What is nested in it has
// the attributes of its own resource, without its parents and its project, and with its children.

// nested is a resource's table without some attributes and with others.
func nested(of *resource, without []string, with ...attribute) attributes {
	dropped := append([]string{"project_id", "tenant_id"}, without...)
	for _, a := range with {
		dropped = append(dropped, a.name)
	}
	kept := slices.DeleteFunc(slices.Clone(of.attributes), func(a attribute) bool { return slices.Contains(dropped, a.name) })
	return append(kept, with...)
}

// child is an attribute that holds what is nested.
func child(name string, kind kind) attribute {
	return attribute{name: name, use: onCreate | hidden | composed, kind: kind}
}

func nestedListeners(path string) attributes {
	return nested(listeners, []string{"loadbalancer_id"},
		child("default_pool", part(path+".default_pool", nestedPools(path+".default_pool"))),
		child("l7policies", partList(path+".l7policies", nestedPolicies(path+".l7policies"))))
}

// nestedPools also takes the mere name of a pool that is defined elsewhere.
func nestedPools(path string) attributes {
	return nested(pools, []string{"loadbalancer_id", "listener_id"},
		attribute{name: "protocol", use: onCreate, kind: oneOf(lb.PoolProtocols...)},
		attribute{name: "lb_algorithm", use: onCreate, kind: oneOf(lb.Algorithms...)},
		child("members", partList(path+".members", nested(members, nil))),
		child("healthmonitor", part(path+".healthmonitor", nested(healthMonitors, []string{"pool_id"}))))
}

func nestedPolicies(path string) attributes {
	return nested(l7Policies, []string{"listener_id", "redirect_pool_id"},
		child("redirect_pool", part(path+".redirect_pool", nestedPools(path+".redirect_pool"))),
		child("rules", partList(path+".rules", nested(l7Rules, nil))))
}

// checkGraph asks the rules, the network service and the key manager about what is to be below a new load balancer, before
// anything is allocated for it.
func (c *call) checkGraph(in lb.LoadBalancerCreate) error {
	draft, err := lb.NewLoadBalancer(in, time.Now())
	if err != nil {
		return err
	}
	var subnets []string
	for _, p := range draft.Pools {
		if err := c.checkReferences(draft.ProjectID, lb.References{}, p.References()); err != nil {
			return err
		}
		for _, m := range p.Members {
			subnets = append(subnets, m.SubnetID)
		}
	}
	if err := c.lookAtSubnets(subnets...); err != nil {
		return err
	}
	for _, l := range draft.Listeners {
		if err := c.checkReferences(draft.ProjectID, lb.References{}, l.References()); err != nil {
			return err
		}
	}
	return nil
}

// expanded is a load balancer with all that is below it, as the answer to its creation shows it.
func expanded(s lb.Snapshot) map[string]any {
	shown := loadBalancers.attributes.render(object{Snapshot: s, base: &s.Tree.Object}, nil)
	shown["listeners"] = expandAll(listeners, s, "", expandListener)
	shown["pools"] = expandAll(pools, s, "", expandPool)
	return shown
}

// expandAll renders the objects of a kind, and has each completed.
func expandAll(of *resource, s lb.Snapshot, parentID string, complete func(object, map[string]any)) []any {
	all := []any{}
	for o := range of.objects(s, parentID) {
		shown := of.attributes.render(o, nil)
		complete(o, shown)
		all = append(all, shown)
	}
	return all
}

func expandListener(o object, shown map[string]any) {
	delete(shown, "loadbalancers")
	policies := []any{}
	for _, p := range o.listener.Policies {
		policy := object{Snapshot: o.Snapshot, base: &p.Object, listener: o.listener, policy: p}
		whole := l7Policies.attributes.render(policy, nil)
		whole["rules"] = expandAll(l7Rules, o.Snapshot, p.ID, func(object, map[string]any) {})
		policies = append(policies, whole)
	}
	shown["l7policies"] = policies
}

func expandPool(o object, shown map[string]any) {
	delete(shown, "loadbalancers")
	delete(shown, "healthmonitor_id")
	shown["members"] = expandAll(members, o.Snapshot, o.pool.ID, func(object, map[string]any) {})
	shown["healthmonitor"] = nil
	if m := o.pool.Monitor; m != nil {
		monitor := healthMonitors.attributes.render(object{Snapshot: o.Snapshot, base: &m.Object, pool: o.pool, monitor: m}, nil)
		delete(monitor, "pools")
		shown["healthmonitor"] = monitor
	}
}
