package console

import (
	"context"
	"net/http"
)

// order is what a form asks of an API: an object of a kind that is to be made or, with an id, changed. A form carries it out,
// or shows it as commands (copyas.go).
type order struct {
	*kind
	id     string // of what is changed; "" makes something
	parent string // the id of what it is made in, where the command line wants that in a place of its own
	gone   bool   // the object is to be deleted, with all that is below it
	in     body
	fixed  body // attributes that stay as they are, as far as Terraform wants them
}

// kind is a kind of objects that forms make and change, with the words of the command line and of Terraform for it.
type kind struct {
	of             service
	path, envelope string
	below          string // of kinds whose objects are below another one: the path between its id and the object's
	command        string // of openstack, without the verb
	resource       string // of Terraform
	parentIn       string // the attribute that has the parent's id in Terraform and, unless below, in the body
	attributes     []attribute
}

// attribute is an attribute of the API with its name elsewhere, in the order in which it is shown.
type attribute struct {
	name      string
	flag      string // of the command line; "" is the name with dashes, none is "-"
	terraform string // "" is the name, none is "-"
}

// The kinds that forms know.
var (
	balancerKind = &kind{
		of: loadBalancing, path: "loadbalancers", envelope: "loadbalancer", command: "loadbalancer", resource: "openstack_lb_loadbalancer_v2",
		attributes: []attribute{
			{name: "name"},
			{name: "description"},
			{name: "vip_subnet_id"},
			{name: "vip_network_id"},
			{name: "vip_port_id"},
			{name: "vip_address"},
			{name: "flavor_id", flag: "flavor"},
		},
	}
	listenerKind = &kind{
		of: loadBalancing, path: "listeners", envelope: "listener", command: "loadbalancer listener", resource: "openstack_lb_listener_v2",
		parentIn: "loadbalancer_id",
		attributes: []attribute{
			{name: "name"},
			{name: "description"},
			{name: "protocol"},
			{name: "protocol_port"},
			{name: "default_pool_id", flag: "default-pool"},
			{name: "connection_limit"},
			{name: "timeout_client_data"},
			{name: "timeout_member_connect"},
			{name: "timeout_member_data"},
			{name: "timeout_tcp_inspect"},
			{name: "allowed_cidrs", flag: "allowed-cidr"},
			{name: "default_tls_container_ref"},
			{name: "sni_container_refs"},
			{name: "tls_versions", flag: "tls-version"},
			{name: "alpn_protocols", flag: "alpn-protocol"},
			{name: "client_authentication"},
			{name: "client_ca_tls_container_ref"},
			{name: "client_crl_container_ref", flag: "client-crl-container-ref"},
			{name: "hsts_max_age"},
			{name: "hsts_include_subdomains"},
			{name: "hsts_preload"},
			{name: "insert_headers"},
		},
	}
	poolKind = &kind{
		of: loadBalancing, path: "pools", envelope: "pool", command: "loadbalancer pool", resource: "openstack_lb_pool_v2",
		attributes: []attribute{
			{name: "name"},
			{name: "description"},
			{name: "protocol"},
			{name: "lb_algorithm", terraform: "lb_method"},
			{name: "listener_id", flag: "listener"},
			{name: "loadbalancer_id", flag: "loadbalancer"},
			{name: "session_persistence", terraform: "persistence"},
		},
	}
	memberKind = &kind{
		of: loadBalancing, path: "pools", below: "/members", envelope: "member", command: "loadbalancer member", resource: "openstack_lb_member_v2",
		parentIn:   "pool_id",
		attributes: []attribute{{name: "name"}, {name: "address"}, {name: "protocol_port"}, {name: "weight"}},
	}
	monitorKind = &kind{
		of: loadBalancing, path: "healthmonitors", envelope: "healthmonitor", command: "loadbalancer healthmonitor",
		resource: "openstack_lb_monitor_v2", parentIn: "pool_id",
		attributes: []attribute{
			{name: "name"},
			{name: "type"},
			{name: "delay"},
			{name: "timeout"},
			{name: "max_retries"},
			{name: "max_retries_down"},
			{name: "http_method"},
			{name: "url_path"},
			{name: "expected_codes"},
		},
	}
	policyKind = &kind{
		of: loadBalancing, path: "l7policies", envelope: "l7policy", command: "loadbalancer l7policy", resource: "openstack_lb_l7policy_v2",
		parentIn: "listener_id",
		attributes: []attribute{
			{name: "name"},
			{name: "description"},
			{name: "action"},
			{name: "position"},
			{name: "redirect_pool_id", flag: "redirect-pool"},
			{name: "redirect_url"},
			{name: "redirect_prefix"},
			{name: "redirect_http_code"},
		},
	}
	ruleKind = &kind{
		of: loadBalancing, path: "l7policies", below: "/rules", envelope: "rule", command: "loadbalancer l7rule", resource: "openstack_lb_l7rule_v2",
		parentIn:   "l7policy_id",
		attributes: []attribute{{name: "type"}, {name: "compare_type"}, {name: "key"}, {name: "value"}, {name: "invert"}},
	}
	floatingKind = &kind{
		of: networking, path: "floatingips", envelope: "floatingip", command: "floating ip", resource: "openstack_networking_floatingip_v2",
		parentIn: "floating_network_id", attributes: []attribute{{name: "pool", flag: "-"}, {name: "port_id", flag: "port"}},
	}
	attachKind = &kind{
		of: networking, path: "floatingips", envelope: "floatingip", command: "floating ip",
		resource: "openstack_networking_floatingip_associate_v2", attributes: []attribute{{name: "floating_ip", flag: "-"}, {name: "port_id", flag: "port"}},
	}
	quotaKind = &kind{
		of: loadBalancing, path: "quotas", envelope: "quota", command: "loadbalancer quota", resource: "openstack_lb_quota_v2",
		attributes: []attribute{
			{name: "project_id", flag: "-"},
			{name: "loadbalancer"},
			{name: "listener"},
			{name: "pool"},
			{name: "member"},
			{name: "healthmonitor", terraform: "health_monitor"},
			{name: "l7policy", terraform: "l7_policy"},
			{name: "l7rule", terraform: "l7_rule"},
		},
	}
	profileKind = &kind{
		of: loadBalancing, path: "flavorprofiles", envelope: "flavorprofile", command: "loadbalancer flavorprofile",
		resource:   "openstack_lb_flavorprofile_v2",
		attributes: []attribute{{name: "name"}, {name: "provider_name", flag: "provider"}, {name: "flavor_data"}},
	}
	flavorKind = &kind{
		of: loadBalancing, path: "flavors", envelope: "flavor", command: "loadbalancer flavor", resource: "openstack_lb_flavor_v2",
		attributes: []attribute{
			{name: "name"}, {name: "description"}, {name: "flavor_profile_id", flag: "flavorprofile"}, {name: "enabled", flag: "enable"},
		},
	}
)

// carryOut makes or changes the object.
func (c *cloud) carryOut(ctx context.Context, o order, out any) error {
	path, in, method := o.path, body{}, http.MethodPost
	for name, value := range o.in {
		in[name] = value
	}
	switch {
	case o.below != "":
		path += "/" + o.parent + o.below
	case o.parentIn != "" && o.id == "":
		in[o.parentIn] = o.parent
	}
	switch {
	case o.gone && o.kind == balancerKind:
		return c.call(ctx, o.of, http.MethodDelete, path+"/"+o.id+"?cascade=true", nil, nil)
	case o.gone:
		return c.call(ctx, o.of, http.MethodDelete, path+"/"+o.id, nil, nil)
	case o.id != "":
		method, path = http.MethodPut, path+"/"+o.id
	}
	return c.call(ctx, o.of, method, path, body{o.envelope: in}, out)
}
