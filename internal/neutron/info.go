package neutron

import (
	"net/http"

	"poise/internal/rest"
)

// extensions are the parts of Neutron beyond its core that are spoken here.
var extensions = []struct{ alias, name, description string }{
	{"allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs"},
	{"binding", "Port Binding", "Shows the binding attributes of ports; nothing is bound by them"},
	{"ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Gateways with and without source translation"},
	{"external-net", "Neutron external network", "Marks networks as external"},
	{"default-subnetpools", "Default Subnetpools", "Subnets from the default subnet pool"},
	{"extra_dhcp_opt", "Neutron Extra DHCP options", "Kept and shown; nothing here speaks DHCP"},
	{"extraroute", "Neutron Extra Route", "Routes of routers"},
	{"extraroute-atomic", "Atomically add/remove extra routes", "Routes of routers, some at a time"},
	{"fip-port-details", "Floating IP Port Details Extension", "Shows the port of a floating IP"},
	{"ip-substring-filtering", "IP address substring filtering", "Ports by a part of their addresses"},
	{"net-mtu", "Network MTU", "Shows the MTU of networks"},
	{"net-mtu-writable", "Network MTU (writable)", "Sets the MTU of networks"},
	{"pagination", "Pagination support", "Pages of lists"},
	{"port-security", "Port Security", "Ports without it are in no security group and not filtered; source addresses are not checked"},
	{"port-security-groups-filtering", "Port filtering on security groups", "Ports by their security groups"},
	{"project-id", "project_id field enabled", "project_id beside tenant_id"},
	{"qos", "Quality of Service", "Policies without rules: nothing is shaped by them"},
	{"quota-check-limit-default", "Quota engine limit check by default", "A limit below what is used is refused, unless forced"},
	{"quota_details", "Quota details management support", "Shows what is used"},
	{"quotas", "Quota management support", "How much a project may have"},
	{"revision-if-match", "If-Match constraints based on revision_number", "Changes only what has not been changed meanwhile"},
	{"router", "Neutron L3 Router", "Routers and floating IPs"},
	{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "Shows the range of a rule"},
	{"security-group", "security-group", "Filters what reaches and leaves the ports of servers and load balancers"},
	{"sorting", "Sorting support", "Order of lists"},
	{"standard-attr-description", "standard-attr-description", "Descriptions"},
	{"standard-attr-revisions", "Resource revision numbers", "Counts the changes of an object"},
	{"standard-attr-tag", "Tag support", "Tags"},
	{"subnet_allocation", "Subnet Allocation", "Subnet pools"},
	{"subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Adds ranges to subnet pools and takes them away"},
	{"tag-creation", "Tag creation", "Adds tags to those that are there"},
	{"standard-attr-timestamp", "Resource timestamps", "Times of creation and of the last change"},
}

const extensionsUpdated = "2026-11-01T00:00:00-00:00"

func extensionView(i int) object {
	e := extensions[i]
	return object{"alias": e.alias, "name": e.name, "description": e.description, "updated": extensionsUpdated, "links": []object{}}
}

func (s *Service) serveExtensions(w http.ResponseWriter, _ *http.Request) error {
	views := make([]object, len(extensions))
	for i := range extensions {
		views[i] = extensionView(i)
	}
	rest.WriteJSON(w, http.StatusOK, object{"extensions": views})
	return nil
}

func (s *Service) serveExtension(w http.ResponseWriter, r *http.Request) error {
	for i, e := range extensions {
		if e.alias == r.PathValue("alias") {
			rest.WriteJSON(w, http.StatusOK, object{"extension": extensionView(i)})
			return nil
		}
	}
	return notFound("ExtensionsNotFound", "Extensions not found: %s.", r.PathValue("alias"))
}
