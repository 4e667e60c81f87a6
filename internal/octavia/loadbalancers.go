package octavia

import (
	"iter"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"poise/internal/lb"
	"poise/internal/rest"
)

var loadBalancers = &resource{
	kind: lb.KindLoadBalancer, policy: "loadbalancer", path: "/loadbalancers",
	envelope: "loadbalancer", plural: "loadbalancers", argument: "load_balancer",

	attributes: append(projectAttributes(), attributes{
		idAttribute, nameAttribute,
		description(func(o object) string { return o.Tree.Description }),
		provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{name: "vip_address", use: onCreate, kind: address, read: func(o object) any { return ipText(o.Tree.VIP.Address) }},
		{name: "vip_port_id", use: onCreate, kind: identity, read: func(o object) any { return orNull(o.Tree.VIP.PortID) }},
		{name: "vip_subnet_id", use: onCreate, kind: identity, read: func(o object) any { return orNull(o.Tree.VIP.SubnetID) }},
		{name: "vip_network_id", use: onCreate, kind: identity, read: func(o object) any { return orNull(o.Tree.VIP.NetworkID) }},
		{name: "vip_qos_policy_id", use: changeable, kind: identity, read: func(o object) any { return orNull(o.Tree.VIP.QoSPolicyID) }},
		{
			name: "vip_sg_ids", use: changeable | composed, kind: identities,
			read: func(o object) any { return append([]string{}, o.Tree.VIP.SecurityGroupIDs...) },
		},
		fixed("vip_vnic_type", 0, nil, "normal"),
		{name: "additional_vips", use: onCreate | composed, kind: additionalVIPs, read: readAdditionalVIPs},
		{
			name: "listeners", use: onCreate | composed,
			kind: partList("load_balancer.loadbalancer.listeners", nestedListeners("load_balancer.loadbalancer.listeners")),
			read: func(o object) any { return references(o.Tree.Listeners) },
		},
		{
			name: "pools", use: onCreate | composed,
			kind: partList("load_balancer.loadbalancer.pools", nestedPools("load_balancer.loadbalancer.pools")),
			read: func(o object) any { return references(o.Tree.Pools) },
		},
		{name: "provider", use: onCreate, kind: text(lb.MaxProviderName), read: func(o object) any { return o.Tree.Provider }},
		{name: "flavor_id", use: onCreate, kind: identity, read: func(o object) any { return orNull(o.Tree.FlavorID) }},
		{
			name: "availability_zone", use: onCreate, kind: text(lb.MaxZoneName),
			read: func(o object) any { return orNull(o.Tree.AvailabilityZone) },
		},
		fixed("server_group_id", hidden, nil, nil), // of Octavia's pairs of virtual machines
		{name: topology, use: hidden, read: func(o object) any { return o.topology }},
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, _ string) iter.Seq[object] {
		return func(yield func(object) bool) { yield(object{Snapshot: s, base: &s.Tree.Object}) }
	},
	lookUp: lookUpTopologies,
	update: func(t *lb.LoadBalancer, _ object, in values) error { return t.Update(loadBalancerAttrs(in)) },
}

func loadBalancerAttrs(in values) lb.LoadBalancerAttrs {
	return lb.LoadBalancerAttrs{Common: common(in), Description: opt[string](in, "description"), VIPOptions: vipOptions(in)}
}

// postLoadBalancer makes a load balancer. Octavia answers with the whole tree below it.
func postLoadBalancer(c *call) error {
	in, err := c.attributes(loadBalancers.attributes, loadBalancers.argument, loadBalancers.envelope, onCreate)
	if err != nil {
		return err
	}
	asked := get[string](in.values, "tenant_id")
	if asked == "" {
		asked = get[string](in.values, "project_id")
	}
	project, err := c.newProject(asked)
	if err != nil {
		return err
	}
	if err := c.allowsGroups(in, project); err != nil {
		return err
	}
	if err := checkLoadBalancer(in); err != nil {
		return err
	}
	placement, provider, err := c.placement(in.values)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	create := loadBalancerCreate(uuid.NewString(), project, in.values)
	create.Provider, create.Placement = provider, placement
	if err := c.checkGraph(create); err != nil {
		return err
	}
	s, err := c.Control.Create(c.r.Context(), c.caller, create, vipRequest(create.ID, project, in.values))
	if err != nil {
		return err
	}
	rest.WriteJSON(c.w, http.StatusCreated, map[string]any{loadBalancers.envelope: expanded(s)})
	return nil
}

// loadBalancerCreate is a new load balancer with what is to be below it.
func loadBalancerCreate(id, project string, in values) lb.LoadBalancerCreate {
	create := lb.LoadBalancerCreate{LoadBalancerAttrs: loadBalancerAttrs(in), ID: id, ProjectID: project}
	for _, l := range get[[]values](in, "listeners") {
		create.Listeners = append(create.Listeners, listenerCreate(uuid.NewString(), l))
	}
	for _, p := range get[[]values](in, "pools") {
		create.Pools = append(create.Pools, poolCreate(uuid.NewString(), p))
	}
	return create
}

// checkLoadBalancer refuses a load balancer without a VIP.
func checkLoadBalancer(in request) error {
	vip := vipRequest("", "", in.values)
	if vip.PortID == "" && vip.NetworkID == "" && vip.SubnetID == "" {
		return lb.ErrValidation("", "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
	}
	return nil
}

func vipRequest(id, project string, in values) lb.VIPRequest {
	return lb.VIPRequest{
		LoadBalancerID: id, ProjectID: project,
		PortID:    get[string](in, "vip_port_id"),
		NetworkID: get[string](in, "vip_network_id"),
		SubnetID:  get[string](in, "vip_subnet_id"),
		Address:   get[netip.Addr](in, "vip_address"),

		Additional: get[[]lb.AdditionalVIP](in, "additional_vips"),
		VIPOptions: vipOptions(in).Added(lb.VIPOptions{}),
	}
}

// deleteLoadBalancer removes a load balancer; with ?cascade=true, all that is below it as well.
func deleteLoadBalancer(c *call) error {
	cascade := looseBoolean(c.query.Get("cascade"))
	return loadBalancers.removeWith(c, func(t *lb.LoadBalancer, _ object) error { return t.Delete(cascade) })
}
