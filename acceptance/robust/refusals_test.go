package robust

import (
	"fmt"
	"strings"
)

// The faults that come again and again.
const (
	notAllowed   = "Policy does not allow this request to be performed."
	notJSON      = "Request is not in valid JSON format"
	tooLarge     = "the request body is too large"
	needsToken   = "The request you have made requires authentication."
	nameTooLong  = "Invalid input for field/attribute name. Value: '{long}'. Value should have a maximum character requirement of 255"
	portTooSmall = "Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1"
	portTooLarge = "Invalid input for field/attribute protocol_port. Value: '70000'. Value should be lower or equal to 65535"
)

// wrongInput are requests for load balancing that are wrong in themselves, or do not fit what is there.
var wrongInput = []refused{
	{"demo", "GET", "{L}/loadbalancers/{missing}", "", 404, "Load Balancer {missing} not found."},
	{"demo", "PUT", "{L}/loadbalancers/{missing}", `{"loadbalancer": {"name": "x"}}`, 404, "Load Balancer {missing} not found."},
	{"demo", "DELETE", "{L}/loadbalancers/{missing}?cascade=true", "", 404, "Load Balancer {missing} not found."},
	{"demo", "GET", "{L}/loadbalancers/not-an-id", "", 404, "Load Balancer not-an-id not found."},
	{"demo", "GET", "{L}/listeners/{missing}", "", 404, "Listener {missing} not found."},
	{"demo", "PUT", "{L}/listeners/{missing}", `{"listener": {"name": "x"}}`, 404, "Listener {missing} not found."},
	{"demo", "DELETE", "{L}/listeners/{missing}", "", 404, "Listener {missing} not found."},
	{"demo", "DELETE", "{L}/listeners/{pool}", "", 404, "Listener {pool} not found."},
	{"demo", "PUT", "{L}/pools/{missing}", `{"pool": {"name": "x"}}`, 404, "Pool {missing} not found."},
	{"demo", "DELETE", "{L}/pools/{missing}", "", 404, "Pool {missing} not found."},
	{"demo", "PUT", "{L}/pools/{pool}/members/{missing}", `{"member": {"weight": 2}}`, 404, "Member {missing} not found."},
	{"demo", "DELETE", "{L}/pools/{pool}/members/{missing}", "", 404, "Member {missing} not found."},
	{"demo", "DELETE", "{L}/pools/{otherpool}/members/{member}", "", 404, "Member {member} not found."},
	{"demo", "PUT", "{L}/pools/{missing}/members", `{"members": []}`, 404, "Pool {missing} not found."},
	{"demo", "POST", "{L}/pools/{missing}/members", `{"member": {"address": "10.0.0.1", "protocol_port": 80}}`, 404, "Pool {missing} not found."},
	{"demo", "PUT", "{L}/healthmonitors/{missing}", `{"healthmonitor": {"delay": 2}}`, 404, "Health Monitor {missing} not found."},
	{"demo", "DELETE", "{L}/healthmonitors/{missing}", "", 404, "Health Monitor {missing} not found."},
	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{missing}", "protocol": "TCP", "protocol_port": 81}}`, 404, "Load Balancer {missing} not found."},
	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 81, "default_pool_id": "{missing}"}}`, 404, "Pool {missing} not found."},
	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 81, "default_pool_id": "{otherpool}"}}`, 404, "Pool {otherpool} not found."},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"default_pool_id": "{otherpool}"}}`, 404, "Pool {otherpool} not found."},
	{"demo", "POST", "{L}/pools", `{"pool": {"loadbalancer_id": "{missing}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`, 404, "Load Balancer {missing} not found."},
	{"demo", "POST", "{L}/healthmonitors", `{"healthmonitor": {"pool_id": "{missing}", "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}}`, 404, "Pool {missing} not found."},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{missing}"}}`, 400, "Subnet {missing} not found."},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_port_id": "{missing}"}}`, 400, "Port {missing} not found."},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_network_id": "{missing}"}}`, 400, "Network {missing} not found."},
	{"demo", "POST", "{L}/pools/{pool}/members", `{"member": {"address": "10.0.0.1", "protocol_port": 80, "subnet_id": "{missing}"}}`, 400, "Subnet {missing} not found."},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "name": 5}}`, 400, "Invalid input for field/attribute name. Value: '5'. Value should be string"},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": 7}}`, 400, "Invalid input for field/attribute vip_subnet_id. Value: '7'. Value should be UUID format"},
	{"demo", "PUT", "{L}/loadbalancers/{lb}", `{"loadbalancer": {"admin_state_up": "perhaps"}}`, 400, "Invalid input for field/attribute load_balancer. Value: '{'loadbalancer': {'admin_state_up': 'perhaps'}}'. Value not an unambiguous boolean: perhaps"},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"connection_limit": "many"}}`, 400, "Invalid input for field/attribute listener_. Value: '{'listener': {'connection_limit': 'many'}}'. invalid literal for int() with base 10: 'many'"},
	{"demo", "PUT", "{L}/pools/{pool}", `{"pool": []}`, 400, "Invalid input for field/attribute pool_. Value: '{'pool': []}'. Value not a valid dict: []"},
	{"demo", "PUT", "{L}/pools/{pool}/members", `{"members": {}}`, 400, "Invalid input for field/attribute members_. Value: '{'members': {}}'. Value not a valid list: {}"},
	{"demo", "PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"weight": 257}}`, 400, "Invalid input for field/attribute weight. Value: '257'. Value should be lower or equal to 256"},
	{"demo", "PUT", "{L}/healthmonitors/{monitor}", `{"healthmonitor": {"delay": -1}}`, 400, "Invalid input for field/attribute delay. Value: '-1'. Value should be greater or equal to 0"},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "colour": "red"}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: colour"},
	{"demo", "PUT", "{L}/loadbalancers/{lb}", `{"loadbalancer": {"vip_address": "{vip}"}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: vip_address"},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"protocol_port": 81}}`, 400, "Unknown attribute for argument listener_.listener: protocol_port"},
	{"demo", "PUT", "{L}/pools/{pool}", `{"pool": {"protocol": "TCP"}}`, 400, "Unknown attribute for argument pool_.pool: protocol"},
	{"demo", "PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"address": "10.0.0.1"}}`, 400, "Unknown attribute for argument member_.member: address"},
	{"demo", "PUT", "{L}/pools/{pool}/members", `{"members": [{"address": "10.0.0.1", "protocol_port": 80, "colour": "red"}]}`, 400, "Unknown attribute for argument members_.members: colour"},
	{"demo", "PUT", "{L}/healthmonitors/{monitor}", `{"healthmonitor": {"type": "TCP"}}`, 400, "Unknown attribute for argument health_monitor_.healthmonitor: type"},
	{"demo", "PUT", "{L}/loadbalancers/{lb}?colour=red", `{"loadbalancer": {"name": "x"}}`, 400, `Unknown argument: "colour"`},
	{"demo", "DELETE", "{L}/listeners/{listener}?cascade=true", "", 400, `Unknown argument: "cascade"`},
	{"demo", "DELETE", "{L}/loadbalancers", "", 400, `Missing argument: "id"`},

	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 0}}`, 400, portTooSmall},
	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 70000}}`, 400, portTooLarge},
	{"demo", "POST", "{L}/pools/{pool}/members", `{"member": {"address": "10.0.0.1", "protocol_port": 0}}`, 400, portTooSmall},
	{"demo", "POST", "{L}/pools/{pool}/members", `{"member": {"address": "10.0.0.1", "protocol_port": 70000}}`, 400, portTooLarge},
	{"demo", "PUT", "{L}/pools/{pool}/members", `{"members": [{"address": "10.0.0.1", "protocol_port": 80}, {"address": "10.0.0.2", "protocol_port": 70000}]}`, 400, portTooLarge},
	{"demo", "PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"monitor_port": 70000}}`, 400, "Invalid input for field/attribute monitor_port. Value: '70000'. Value should be lower or equal to 65535"},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "vip_address": "10.15.26.7"}}`, 400, "Validation failure: vip_address 10.15.26.7 is not an address of subnet {subnet}."},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_network_id": "{network}", "vip_address": "10.15.26.7"}}`, 400, "Validation failure: Supplied network does not contain a subnet for VIP address specified."},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "vip_address": "{vip}"}}`, 409, "The VIP IP address is already in use: {vip}"},
	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_port_id": "{port}"}}`, 400, "Validation failure: Port {port} is already used by device lb-{lb} "},
	{"demo", "POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 80}}`, 409, "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80"},
	{"demo", "POST", "{L}/pools", `{"pool": {"listener_id": "{listener}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`, 409, "This listener already has a default pool"},
	{"demo", "POST", "{L}/pools/{pool}/members", `{"member": {"address": "{address}", "protocol_port": 61234}}`, 409, "Another member on this pool is already using ip {address} on protocol_port 61234"},
	{"demo", "POST", "{L}/healthmonitors", `{"healthmonitor": {"pool_id": "{pool}", "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}}`, 409, "This pool already has a health monitor"},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "name": "{long}"}}`, 400, nameTooLong},
	{"demo", "PUT", "{L}/loadbalancers/{lb}", `{"loadbalancer": {"name": "{long}"}}`, 400, nameTooLong},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"name": "{long}"}}`, 400, nameTooLong},
	{"demo", "PUT", "{L}/pools/{pool}", `{"pool": {"name": "{long}"}}`, 400, nameTooLong},
	{"demo", "PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"name": "{long}"}}`, 400, nameTooLong},
	{"demo", "PUT", "{L}/healthmonitors/{monitor}", `{"healthmonitor": {"name": "{long}"}}`, 400, nameTooLong},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "name": "{huge}"}}`, 413, tooLarge},
	{"demo", "PUT", "{L}/loadbalancers/{lb}", `{"loadbalancer": {"name": "{huge}"}}`, 413, tooLarge},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"name": "{huge}"}}`, 413, tooLarge},
	{"demo", "PUT", "{L}/pools/{pool}", `{"pool": {"name": "{huge}"}}`, 413, tooLarge},
	{"demo", "PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"name": "{huge}"}}`, 413, tooLarge},
	{"demo", "PUT", "{L}/healthmonitors/{monitor}", `{"healthmonitor": {"name": "{huge}"}}`, 413, tooLarge},

	{"demo", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}"`, 400, notJSON},
	{"demo", "PUT", "{L}/listeners/{listener}", `{"listener": {"name": "x"}} and more`, 400, notJSON},
	{"demo", "PUT", "{L}/pools/{pool}", `pool`, 400, notJSON},
	{"demo", "PUT", "{L}/pools/{pool}/members", `{"members": [}`, 400, notJSON},
	{"demo", "PUT", "{L}/healthmonitors/{monitor}", `{'healthmonitor': {}}`, 400, notJSON},
}

// wrongNeighbourInput are such requests for the neighbours.
var wrongNeighbourInput = []refused{
	{"demo", "GET", "{N}/ports/{missing}", "", 404, "Port {missing} could not be found."},
	{"demo", "DELETE", "{N}/networks/{missing}", "", 404, "Network {missing} could not be found."},
	{"demo", "PUT", "{N}/subnets/{missing}", `{"subnet": {"name": "x"}}`, 404, "Subnet {missing} could not be found."},
	{"demo", "PUT", "{N}/floatingips/{floatingip}", `{"floatingip": {"port_id": "{missing}"}}`, 404, "Port {missing} could not be found."},
	{"demo", "PUT", "{N}/networks/{network}", `{"network": {"colour": "red"}}`, 400, "Unrecognized attribute(s) 'colour'"},
	{"demo", "PUT", "{N}/networks/{network}", `{"network": {"name": "{long}"}}`, 400, "Invalid input for name. Reason: '{long}' exceeds maximum length of 255."},
	{"demo", "PUT", "{N}/networks/{network}", `{"network": {"name": "{huge}"}}`, 413, "the request body is too large"},
	{"demo", "POST", "{N}/networks", `{"network": `, 400, "The request body is not a JSON object."},
	{"demo", "DELETE", "{N}/networks/{network}", "", 409, "Unable to complete operation on network {network}. There are one or more ports still in use on the network."},
	{"demo", "DELETE", "{N}/subnets/{subnet}", "", 409, "Unable to complete operation on subnet {subnet}: One or more ports have an IP allocation from this subnet."},
	{"admin", "GET", "{C}/servers/{missing}", "", 404, "Instance {missing} could not be found."},
	{"admin", "DELETE", "{C}/servers/{missing}", "", 404, "Instance {missing} could not be found."},
	{"admin", "POST", "{C}/servers", `{"server": {"name": "{long}", "networks": [{"uuid": "{network}"}]}}`, 400, "name must consist of a-z, 0-9 and -, at most 63 characters, not '{long}'"},
	{"admin", "POST", "{C}/servers", `{"server": {"name": "x", "networks": [{"uuid": "{missing}"}]}}`, 404, "Network {missing} could not be found."},
	{"admin", "POST", "{C}/servers", `{"server": {"name": "{huge}"}}`, 413, "the request body is too large"},
	{"admin", "GET", "{I}/users/{missing}", "", 404, "Could not find user: {missing}."},
	{"admin", "POST", "{I}/projects", `{"project": {"name": "demo"}}`, 409, "Conflict occurred attempting to store project - it is not permitted to have two projects with the same name in the same domain : demo."},
	{"admin", "POST", "{I}/users", `{"user": {"name": "{long}"}}`, 400, "Invalid input for field 'name': is longer than 255 characters"},
	{"admin", "POST", "{I}/users", `{"user": {"name": 5}}`, 400, "Invalid input for field 'user.name': a number is not of the right type"},
	{"admin", "POST", "{I}/users", `{"user": {"name": "x"`, 400, "the body is not valid JSON: unexpected EOF"},
	{"admin", "POST", "{I}/users", `{"user": {"name": "{huge}"}}`, 413, tooLarge},
}

// requests are all that can be done with the objects of the stage, with the fault for an object that one may not know of
// beside the load balancers.
var requests = []struct{ method, path, body, hidden string }{
	{"GET", "{L}/loadbalancers/{lb}", "", ""},
	{"PUT", "{L}/loadbalancers/{lb}", `{"loadbalancer": {"name": "x"}}`, ""},
	{"DELETE", "{L}/loadbalancers/{lb}?cascade=true", "", ""},
	{"GET", "{L}/loadbalancers/{lb}/status", "", ""},
	{"GET", "{L}/loadbalancers/{lb}/stats", "", ""},
	{"POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "project_id": "{demoproject}"}}`, ""},
	{"GET", "{L}/listeners/{listener}", "", ""},
	{"GET", "{L}/listeners/{listener}/stats", "", ""},
	{"POST", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 81}}`, ""},
	{"PUT", "{L}/listeners/{listener}", `{"listener": {"name": "x"}}`, ""},
	{"DELETE", "{L}/listeners/{listener}", "", ""},
	{"GET", "{L}/pools/{pool}", "", ""},
	{"POST", "{L}/pools", `{"pool": {"loadbalancer_id": "{lb}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`, ""},
	{"PUT", "{L}/pools/{pool}", `{"pool": {"name": "x"}}`, ""},
	{"DELETE", "{L}/pools/{pool}", "", ""},
	{"GET", "{L}/pools/{pool}/members", "", ""},
	{"GET", "{L}/pools/{pool}/members/{member}", "", ""},
	{"POST", "{L}/pools/{pool}/members", `{"member": {"address": "10.0.0.1", "protocol_port": 80}}`, ""},
	{"PUT", "{L}/pools/{pool}/members", `{"members": []}`, ""},
	{"PUT", "{L}/pools/{pool}/members/{member}", `{"member": {"weight": 2}}`, ""},
	{"DELETE", "{L}/pools/{pool}/members/{member}", "", ""},
	{"GET", "{L}/healthmonitors/{monitor}", "", ""},
	{"POST", "{L}/healthmonitors", `{"healthmonitor": {"pool_id": "{otherpool}", "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}}`, ""},
	{"PUT", "{L}/healthmonitors/{monitor}", `{"healthmonitor": {"delay": 2}}`, ""},
	{"DELETE", "{L}/healthmonitors/{monitor}", "", ""},

	{"GET", "{N}/networks/{network}", "", "Network {network} could not be found."},
	{"PUT", "{N}/networks/{network}", `{"network": {"name": "x"}}`, "Network {network} could not be found."},
	{"DELETE", "{N}/networks/{network}", "", "Network {network} could not be found."},
	{"GET", "{N}/subnets/{subnet}", "", "Subnet {subnet} could not be found."},
	{"PUT", "{N}/subnets/{subnet}", `{"subnet": {"name": "x"}}`, "Subnet {subnet} could not be found."},
	{"DELETE", "{N}/subnets/{subnet}", "", "Subnet {subnet} could not be found."},
	{"POST", "{N}/ports", `{"port": {"network_id": "{network}"}}`, "Network {network} could not be found."},
	{"GET", "{N}/ports/{port}", "", "Port {port} could not be found."},
	{"PUT", "{N}/ports/{port}", `{"port": {"name": "x"}}`, "Port {port} could not be found."},
	{"DELETE", "{N}/ports/{port}", "", "Port {port} could not be found."},
	{"GET", "{N}/routers/{router}", "", "Router {router} could not be found"},
	{"PUT", "{N}/routers/{router}", `{"router": {"name": "x"}}`, "Router {router} could not be found"},
	{"PUT", "{N}/routers/{router}/remove_router_interface", `{"subnet_id": "{subnet}"}`, "Router {router} could not be found"},
	{"DELETE", "{N}/routers/{router}", "", "Router {router} could not be found"},
	{"GET", "{N}/floatingips/{floatingip}", "", "Floating IP {floatingip} could not be found"},
	{"PUT", "{N}/floatingips/{floatingip}", `{"floatingip": {"port_id": null}}`, "Floating IP {floatingip} could not be found"},
	{"DELETE", "{N}/floatingips/{floatingip}", "", "Floating IP {floatingip} could not be found"},
	{"GET", "{C}/servers/{server}", "", "Instance {server} could not be found."},
}

// strangers are requests of somebody of another project.
func strangers() (all []refused) {
	for _, r := range requests {
		if r.hidden == "" {
			all = append(all, refused{"eve", r.method, r.path, r.body, 403, notAllowed})
		} else {
			all = append(all, refused{"eve", r.method, r.path, r.body, 404, r.hidden})
		}
	}
	return append(all,
		refused{"eve", "GET", "{L}/loadbalancers?project_id={demoproject}", "", 403, notAllowed},
		refused{"eve", "GET", "{L}/listeners?project_id={demoproject}", "", 403, notAllowed},
		refused{"eve", "GET", "{L}/pools?project_id={demoproject}", "", 403, notAllowed},
		refused{"eve", "GET", "{L}/healthmonitors?project_id={demoproject}", "", 403, notAllowed},
		refused{"eve", "GET", "{L}/loadbalancers/{missing}", "", 404, "Load Balancer {missing} not found."},
		refused{"eve", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}"}}`, 400, "Subnet {subnet} not found."},
		refused{"eve", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_port_id": "{port}"}}`, 400, "Port {port} not found."},
		refused{"eve", "POST", "{L}/loadbalancers", `{"loadbalancer": {"vip_network_id": "{network}"}}`, 400, "Network {network} not found."},
		refused{"eve", "POST", "{N}/floatingips", `{"floatingip": {"floating_network_id": "{external}", "port_id": "{port}"}}`, 404, "Port {port} could not be found."},
		refused{"eve", "DELETE", "{C}/servers/{server}", "", 403, "Policy doesn't allow this to be performed: servers are changed by administrators."},
		refused{"demo", "DELETE", "{C}/servers/{server}", "", 403, "Policy doesn't allow this to be performed: servers are changed by administrators."},
		refused{"eve", "GET", "{I}/users", "", 403, "You are not authorized to perform the requested action: identity:list_users."},
		refused{"eve", "GET", "{I}/users/{demouser}", "", 403, "You are not authorized to perform the requested action: identity:get_user."},
		refused{"eve", "PUT", "{I}/projects/{demoproject}/users/{eve}/roles/{memberrole}", "", 403, "You are not authorized to perform the requested action: identity:create_grant."},
		refused{"demo", "POST", "{I}/projects", `{"project": {"name": "mine"}}`, 403, "You are not authorized to perform the requested action: identity:create_project."},
	)
}

// readers are changes by somebody who may only look.
func readers() (all []refused) {
	for _, r := range requests {
		if r.method != "GET" && strings.HasPrefix(r.path, "{L}") {
			all = append(all, refused{"reader", r.method, r.path, r.body, 403, notAllowed})
		}
	}
	return all
}

// unauthenticated are requests without a good token.
func unauthenticated() (all []refused) {
	for i, r := range requests {
		as := []string{"nobody", "forger", "late"}[i%3]
		all = append(all, refused{as, r.method, r.path, r.body, 401, needsToken})
	}
	for _, as := range []string{"nobody", "forger", "late"} {
		for _, path := range []string{"{L}/loadbalancers", "{N}/networks", "{C}/servers", "{I}/users", "/image/v2/images"} {
			all = append(all, refused{as, "GET", path, "", 401, needsToken})
		}
		all = append(all, refused{as, "POST", "{L}/loadbalancers", fmt.Sprintf(`{"loadbalancer": {"vip_subnet_id": %q}}`, "{subnet}"), 401, needsToken})
	}
	return all
}
