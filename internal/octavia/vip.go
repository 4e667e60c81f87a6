package octavia

import (
	"net/http"
	"net/netip"

	"poise/internal/lb"
)

// maxVIPs and maxGroups bound what one load balancer may ask for.
const (
	maxVIPs   = 50
	maxGroups = 50
)

// additionalVIP are the attributes of one entry of additional_vips. Its port is the VIP's, whatever a request says.
var additionalVIP = attributes{
	{name: "subnet_id", use: mandatory, kind: identity},
	{name: "ip_address", use: onCreate, kind: address},
	{name: "port_id", use: onCreate, kind: identity},
}

// additionalVIPs is a list of further addresses.
func additionalVIPs(name string, v any) (any, error) {
	entries, err := list(maxVIPs)(name, v)
	if err != nil {
		return nil, err
	}
	var all []lb.AdditionalVIP
	for _, entry := range entries.([]any) {
		in, err := additionalVIP.decode(name, entry, onCreate)
		if err != nil {
			return nil, err
		}
		all = append(all, lb.AdditionalVIP{
			SubnetID: get[string](in.values, "subnet_id"), Address: get[netip.Addr](in.values, "ip_address"),
		})
	}
	return all, nil
}

func readAdditionalVIPs(o object) any {
	all := []map[string]any{}
	for _, a := range o.Tree.VIP.Additional {
		all = append(all, map[string]any{"subnet_id": a.SubnetID, "ip_address": ipText(a.Address), "port_id": o.Tree.VIP.PortID})
	}
	return all
}

// identities is a list of UUIDs.
func identities(name string, v any) (any, error) {
	entries, err := list(maxGroups)(name, v)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, entry := range entries.([]any) {
		id, err := identity(name, entry)
		if err != nil {
			return nil, err
		}
		all = append(all, id.(string))
	}
	return all, nil
}

func vipOptions(in values) lb.VIPOptionAttrs {
	return lb.VIPOptionAttrs{
		QoSPolicyID: opt[string](in, "vip_qos_policy_id"), SecurityGroupIDs: opt[[]string](in, "vip_sg_ids"),
	}
}

// allowsGroups asks the policy that stands before vip_sg_ids alone.
func (c *call) allowsGroups(in request, project string) error {
	if _, given := in.values["vip_sg_ids"]; !given {
		return nil
	}
	return c.allowsPolicy(c.policy+":vip_sg_ids", project)
}

// putLoadBalancer changes a load balancer. What its VIP newly refers to must be there, and the caller's to see.
func putLoadBalancer(c *call) error {
	in, err := c.attributes(loadBalancers.attributes, loadBalancers.argument, loadBalancers.envelope, onUpdate)
	if err != nil {
		return err
	}
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	if err := c.allowsGroups(in, o.Tree.ProjectID); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	added := vipOptions(in.values).Added(o.Tree.VIP.VIPOptions)
	if err := c.Control.VIPOptionsVisible(c.r.Context(), c.caller, added); err != nil {
		return err
	}
	s, err := c.Control.Change(c.r.Context(), o.Tree.ID, func(t *lb.LoadBalancer) error {
		return t.Update(loadBalancerAttrs(in.values))
	})
	return loadBalancers.answerChanged(c, http.StatusOK, s, o.base.ID, err)
}
