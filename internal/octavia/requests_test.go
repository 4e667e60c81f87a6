package octavia_test

import (
	"strings"
	"testing"
)

const xs = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" // 32 characters

// refusals are requests that Octavia refuses; where there is a number, a recorded Octavia answered it in this way.
var refusals = []struct {
	name, method, path, body string
	status                   int
	message                  string
}{
	{"21 put collection", "PUT", "/loadbalancers", `{"loadbalancer": {}}`, 400, `Missing argument: "id"`},
	{"25 malformed", "POST", "/loadbalancers", `{"loadbalancer": {`, 400, "Request is not in valid JSON format"},
	{"two values", "POST", "/loadbalancers", `{} {}`, 400, "Request is not in valid JSON format"},
	{"27 empty object", "POST", "/loadbalancers", `{}`, 400, `Missing argument: "load_balancer"`},
	{"28 array", "POST", "/loadbalancers", `[]`, 400, "Value not a valid dict"},
	{"string", "POST", "/loadbalancers", `"loadbalancer"`, 400, "Value not a valid dict"},
	{"null", "POST", "/loadbalancers", `null`, 400, "Value not a valid dict"},
	{"29 wrong key", "POST", "/loadbalancers", `{"load_balancer": {}}`, 400, "Unknown attribute for argument load_balancer: load_balancer"},
	{"key beside", "POST", "/loadbalancers", `{"loadbalancer": {}, "x": 1}`, 400, "Unknown attribute for argument load_balancer: x"},
	{"null in envelope", "POST", "/loadbalancers", `{"loadbalancer": null}`, 400, "Value not a valid dict"},
	{"list in envelope", "PUT", "/pools/{pool}", `{"pool": []}`, 400, "Value not a valid dict"},
	{"32 no VIP", "POST", "/loadbalancers", `{"loadbalancer": {}}`, 400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."},
	{"33 unknown", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "nosuch": 1}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: nosuch"},
	{"two unknown", "POST", "/loadbalancers", `{"loadbalancer": {"foo": 1, "bar": 1}}`, 400, "Unknown attributes for argument load_balancer.loadbalancer: bar, foo"},
	{"34 read-only", "POST", "/loadbalancers", `{"loadbalancer": {"provisioning_status": "ACTIVE"}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: provisioning_status"},
	{"35 bad uuid", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "zzz"}}`, 400, "Invalid input for field/attribute vip_subnet_id. Value: 'zzz'. Value should be UUID format"},
	{"36 missing subnet", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{missing}"}}`, 400, "Subnet {missing} not found."},
	{"39 bad address", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "vip_address": "10.0.0.999"}}`, 400, "Invalid input for field/attribute vip_address. Value: '10.0.0.999'. Value should be IPv4 or IPv6 format"},
	{"address with zone", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "vip_address": "fe80::1%eth0"}}`, 400, "Value should be IPv4 or IPv6 format"},
	{"41 address alone", "POST", "/loadbalancers", `{"loadbalancer": {"vip_address": "10.0.0.77"}}`, 400, "VIP must contain one of"},
	{"42 long name", "POST", "/loadbalancers", `{"loadbalancer": {"name": "` + strings.Repeat(xs, 8) + `"}}`, 400, "Value should have a maximum character requirement of 255"},
	{"43 long description", "PUT", "/listeners/{listener}", `{"listener": {"description": "` + strings.Repeat(xs, 8) + `"}}`, 400, "Invalid input for field/attribute description."},
	{"44 name is a number", "POST", "/loadbalancers", `{"loadbalancer": {"name": 5}}`, 400, "Invalid input for field/attribute name. Value: '5'. Value should be string"},
	{"null character", "POST", "/loadbalancers", `{"loadbalancer": {"name": "a\u0000"}}`, 400, "Invalid input for field/attribute name."},
	{"no UTF-8", "POST", "/loadbalancers", "{\"loadbalancer\": {\"description\": \"\xc3\"}}", 400, "Invalid input for field 'loadbalancer.description': the text is not valid UTF-8."},
	{"null character in an id", "GET", "/loadbalancers/a%00", "", 404, ""},
	{"bytes in an id", "GET", "/loadbalancers/%ff", "", 404, ""},
	{"null character in a filter", "GET", "/loadbalancers?project_id=a%00", "", 400, "One or more arguments"},
	{"bytes in a filter", "GET", "/pools?project_id=%ff", "", 400, "One or more arguments"},
	{"45 name is null", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{missing}", "name": null}}`, 400, "Subnet {missing} not found."},
	{"46 yes is true", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{missing}", "admin_state_up": "yes"}}`, 400, "Subnet {missing} not found."},
	{"47 not a boolean", "POST", "/loadbalancers", `{"loadbalancer": {"admin_state_up": "perhaps"}}`, 400, "Invalid input for field/attribute load_balancer. Value: '{'loadbalancer': {'admin_state_up': 'perhaps'}}'. Value not an unambiguous boolean: perhaps"},
	{"True is not a boolean", "PUT", "/loadbalancers/{lb}", `{"loadbalancer": {"admin_state_up": "True"}}`, 400, "Value not an unambiguous boolean: True"},
	{"48 provider", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "provider": "nosuch"}}`, 400, "Provider 'nosuch' is not enabled."},
	{"49 flavor", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "flavor_id": "{missing}"}}`, 400, "Validation failure: Invalid flavor_id."},
	{"flavor null", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "flavor_id": null}}`, 400, "Validation failure: Invalid flavor_id."},
	{"50 zone", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "availability_zone": "nosuch"}}`, 400, "Validation failure: Invalid availability zone."},
	{"52 other project", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "project_id": "` + projectB + `"}}`, 403, "Policy does not allow this request to be performed."},
	{"53 tenant wins", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "project_id": "` + projectA + `", "tenant_id": "` + projectB + `"}}`, 403, "Policy does not allow"},
	{"54 bad tags", "POST", "/loadbalancers", `{"loadbalancer": {"tags": "a"}}`, 400, "Invalid input for field/attribute load_balancer. Value: '{'loadbalancer': {'tags': 'a'}}'. Value not a valid list: a"},
	{"tag is a number", "POST", "/loadbalancers", `{"loadbalancer": {"tags": [1]}}`, 400, "Invalid input for field/attribute tags."},
	{"57 show odd id", "GET", "/loadbalancers/not-a-uuid", "", 404, "Load Balancer not-a-uuid not found."},
	{"58 show missing", "GET", "/loadbalancers/{missing}", "", 404, "Load Balancer {missing} not found."},
	{"59 delete missing", "DELETE", "/loadbalancers/{missing}", "", 404, "Load Balancer {missing} not found."},
	{"60 put missing", "PUT", "/loadbalancers/{missing}", `{"loadbalancer": {"name": "x"}}`, 404, "Load Balancer {missing} not found."},
	{"61 status missing", "GET", "/loadbalancers/{missing}/status", "", 404, "Load Balancer {missing} not found."},
	{"68 put VIP", "PUT", "/loadbalancers/{lb}", `{"loadbalancer": {"vip_subnet_id": "{subnet}"}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: vip_subnet_id"},
	{"69 put id", "PUT", "/loadbalancers/{lb}", `{"loadbalancer": {"id": "{lb}"}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer: id"},

	{"73 no protocol", "POST", "/listeners", `{"listener": {"protocol_port": 80, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute protocol. Value: 'None'. Mandatory field missing."},
	{"74 no port", "POST", "/listeners", `{"listener": {"protocol": "TCP", "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute protocol_port. Value: 'None'. Mandatory field missing."},
	{"no load balancer", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 80}}`, 400, "Invalid input for field/attribute loadbalancer_id. Value: 'None'. Mandatory field missing."},
	{"75 bad protocol", "POST", "/listeners", `{"listener": {"protocol": "FTP", "protocol_port": 80, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute protocol. Value: 'FTP'. Value should be one of: "},
	{"76 lower protocol", "POST", "/listeners", `{"listener": {"protocol": "tcp", "protocol_port": 80, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute protocol. Value: 'tcp'."},
	{"77 port 0", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 0, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1"},
	{"78 port 65536", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 65536, "loadbalancer_id": "{lb}"}}`, 400, "Value: '65536'. Value should be lower or equal to 65535"},
	{"79 port is a word", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": "http", "loadbalancer_id": "{lb}"}}`, 400, "invalid literal for int() with base 10: 'http'"},
	{"port is huge", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 1e300, "loadbalancer_id": "{lb}"}}`, 400, "Value should be lower or equal to 65535"},
	{"port is beyond", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 1e999, "loadbalancer_id": "{lb}"}}`, 400, "infinity"},
	{"80 missing load balancer", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "loadbalancer_id": "{missing}"}}`, 404, "Load Balancer {missing} not found."},
	{"81 load balancer null", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "loadbalancer_id": null}}`, 404, "Load Balancer None not found."},
	{"82 missing pool", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "default_pool_id": "{missing}", "loadbalancer_id": "{lb}"}}`, 404, "Pool {missing} not found."},
	{"87 bad CIDR", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "allowed_cidrs": ["10.0.0.0/99"], "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute allowed_cidrs. Value: '['10.0.0.0/99']'. Value should be IPv4 or IPv6 CIDR format"},
	{"88 CIDR family", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "allowed_cidrs": ["fd00::/64"], "loadbalancer_id": "{lb}"}}`, 400, "Validation failure: CIDR fd00::/64 IP version incompatible with all VIPs ['10.0.2.35'] IP version."},
	{"89 bad limit", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "connection_limit": -2, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute connection_limit. Value: '-2'. Value should be greater or equal to -1"},
	{"90 bad timeout", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "timeout_client_data": -1, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute timeout_client_data. Value: '-1'. Value should be greater or equal to 0"},
	{"SCTP listener", "POST", "/listeners", `{"listener": {"protocol": "SCTP", "protocol_port": 81, "loadbalancer_id": "{lb}"}}`, 501, "Provider 'poise' does not support a requested option: SCTP"},
	{"83 no certificate", "POST", "/listeners", `{"listener": {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "loadbalancer_id": "{lb}"}}`, 400, "Validation failure: An SNI or default certificate container reference must be provided for TERMINATED_HTTPS protocol listeners."},
	{"84 certificate on HTTP", "POST", "/listeners", `{"listener": {"protocol": "HTTP", "protocol_port": 443, "default_tls_container_ref": "http://x/containers/missing", "loadbalancer_id": "{lb}"}}`, 400, "Validation failure: Certificate container references are not allowed on HTTP protocol listeners."},
	{"missing certificate", "POST", "/listeners", `{"listener": {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "http://x/containers/missing", "loadbalancer_id": "{lb}"}}`, 400, "Could not retrieve certificate: ['http://x/containers/missing']"},
	{"missing certificate of a pool", "PUT", "/pools/{pool}", `{"pool": {"tls_container_ref": "missing"}}`, 400, "Could not retrieve certificate: ['missing']"},
	{"85 bad header", "POST", "/listeners", `{"listener": {"protocol": "HTTP", "protocol_port": 81, "insert_headers": {"X-Nosuch": "true"}, "loadbalancer_id": "{lb}"}}`, 400, "dict_keys(['X-Nosuch']) is not a valid option for insert_headers"},
	{"86 header on TCP", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 81, "insert_headers": {"X-Forwarded-For": "true"}, "loadbalancer_id": "{lb}"}}`, 400, "insert-headers is not a valid option for a TCP protocol listener."},
	{"header is a boolean", "POST", "/listeners", `{"listener": {"protocol": "HTTP", "protocol_port": 81, "insert_headers": {"X-Forwarded-For": true}, "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute insert_headers. Value: 'True'. Value should be string"},
	{"91 pool in a listener", "POST", "/listeners", `{"listener": {"protocol": "HTTP", "protocol_port": 81, "default_pool": {"protocol": "HTTP"}, "loadbalancer_id": "{lb}"}}`, 400, "Validation failure: default_pool can only be given when creating a fully populated loadbalancer."},
	{"unknown application protocol", "PUT", "/listeners/{listener}", `{"listener": {"alpn_protocols": ["h9"]}}`, 400, "Invalid input for field/attribute alpn_protocols. Value: 'h9'. Value should be a valid ALPN protocol ID"},
	{"96 port taken", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 80, "loadbalancer_id": "{lb}"}}`, 409, "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80"},
	{"98 put protocol", "PUT", "/listeners/{listener}", `{"listener": {"protocol": "TCP"}}`, 400, "Unknown attribute for argument listener_.listener: protocol"},
	{"99 put port", "PUT", "/listeners/{listener}", `{"listener": {"protocol_port": 81}}`, 400, "Unknown attribute for argument listener_.listener: protocol_port"},
	{"100 put load balancer", "PUT", "/listeners/{listener}", `{"listener": {"loadbalancer_id": "{lb}"}}`, 400, "Unknown attribute for argument listener_.listener: loadbalancer_id"},

	{"107 no parent", "POST", "/pools", `{"pool": {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`, 400, "Validation failure: Must provide at least one of: loadbalancer_id, listener_id"},
	{"108 no algorithm", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}"}}`, 400, "Invalid input for field/attribute lb_algorithm. Value: 'None'. Mandatory field missing."},
	{"109 bad algorithm", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "NOPE"}}`, 400, "Value: 'NOPE'. Value should be one of: ROUND_ROBIN,"},
	{"110 bad protocol", "POST", "/pools", `{"pool": {"protocol": "TERMINATED_HTTPS", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN"}}`, 400, "Invalid input for field/attribute protocol. Value: 'TERMINATED_HTTPS'."},
	{"111 mismatch", "POST", "/pools", `{"pool": {"protocol": "UDP", "listener_id": "{listener}", "lb_algorithm": "ROUND_ROBIN"}}`, 400, "Validation failure: The pool protocol 'UDP' is invalid while the listener protocol is 'TCP'."},
	{"members in a pool", "POST", "/pools", `{"pool": {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": "{lb}", "members": [{}]}}`, 400, "Validation failure: members can only be given when creating a fully populated loadbalancer."},
	{"112 no cookie name", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"type": "APP_COOKIE"}}}`, 400, `Field "cookie_name" must be specified`},
	{"113 cookie name", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"type": "HTTP_COOKIE", "cookie_name": "x"}}}`, 400, `Field "cookie_name" can only be specified`},
	{"114 bad persistence", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"type": "NOPE"}}}`, 400, "Invalid input for field/attribute type. Value: 'NOPE'."},
	{"persistence without type", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {}}}`, 400, "Invalid input for field/attribute type. Value: 'None'. Mandatory field missing."},
	{"persistence unknown", "POST", "/pools", `{"pool": {"protocol": "TCP", "loadbalancer_id": "{lb}", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"typ": 1}}}`, 400, "Unknown attribute for argument pool_.pool.session_persistence: typ"},
	{"persistence timeout", "PUT", "/pools/{pool}", `{"pool": {"session_persistence": {"type": "SOURCE_IP", "persistence_timeout": "60"}}}`, 400, "persistence_timeout and persistence_granularity is only for UDP"},
	{"117 second default", "POST", "/pools", `{"pool": {"protocol": "TCP", "listener_id": "{listener}", "lb_algorithm": "ROUND_ROBIN"}}`, 409, "This listener already has a default pool"},
	{"119 put protocol", "PUT", "/pools/{pool}", `{"pool": {"protocol": "TCP"}}`, 400, "Unknown attribute for argument pool_.pool: protocol"},
	{"algorithm null", "PUT", "/pools/{pool}", `{"pool": {"lb_algorithm": null}}`, 400, "None is not a valid option for lb_algorithm"},
	{"missing listener", "POST", "/pools", `{"pool": {"protocol": "TCP", "listener_id": "{missing}", "lb_algorithm": "ROUND_ROBIN"}}`, 404, "Listener {missing} not found."},

	{"121 no address", "POST", "/pools/{pool}/members", `{"member": {"protocol_port": 80}}`, 400, "Invalid input for field/attribute address. Value: 'None'. Mandatory field missing."},
	{"122 bad address", "POST", "/pools/{pool}/members", `{"member": {"address": "nope", "protocol_port": 80}}`, 400, "Invalid input for field/attribute address. Value: 'nope'. Value should be IPv4 or IPv6 format"},
	{"123 no port", "POST", "/pools/{pool}/members", `{"member": {"address": "10.0.0.20"}}`, 400, "Invalid input for field/attribute protocol_port. Value: 'None'. Mandatory field missing."},
	{"124 bad weight", "POST", "/pools/{pool}/members", `{"member": {"address": "10.0.0.20", "protocol_port": 80, "weight": 257}}`, 400, "Invalid input for field/attribute weight. Value: '257'. Value should be lower or equal to 256"},
	{"125 bad subnet", "POST", "/pools/{pool}/members", `{"member": {"address": "10.0.0.21", "protocol_port": 80, "subnet_id": "{missing}"}}`, 400, "Subnet {missing} not found."},
	{"128 duplicate", "POST", "/pools/{pool}/members", `{"member": {"address": "10.0.0.20", "protocol_port": 80}}`, 409, "Another member on this pool is already using ip 10.0.0.20 on protocol_port 80"},
	{"metadata address", "POST", "/pools/{pool}/members", `{"member": {"address": "169.254.169.254", "protocol_port": 80}}`, 400, "169.254.169.254 is not a valid option for member address"},
	{"130 wrong pool", "GET", "/pools/{missing}/members/{member}", "", 404, "Pool {missing} not found."},
	{"missing member", "GET", "/pools/{pool}/members/{missing}", "", 404, "Member {missing} not found."},
	{"132 put address", "PUT", "/pools/{pool}/members/{member}", `{"member": {"address": "10.0.0.21"}}`, 400, "Unknown attribute for argument member_.member: address"},
	{"136 bad batch", "PUT", "/pools/{pool}/members", `{"members": [{"address": "10.0.0.20"}]}`, 400, "Invalid input for field/attribute protocol_port. Value: 'None'. Mandatory field missing."},
	{"batch is an object", "PUT", "/pools/{pool}/members", `{"members": {}}`, 400, "Value not a valid list: {}"},
	{"batch of numbers", "PUT", "/pools/{pool}/members", `{"members": [1]}`, 400, "Value not a valid dict: 1"},
	{"batch of a missing pool", "PUT", "/pools/{missing}/members", `{"members": []}`, 404, "Pool {missing} not found."},
	{"batch on a missing subnet", "PUT", "/pools/{pool}/members", `{"members": [{"address": "10.0.0.9", "protocol_port": 80, "subnet_id": "{missing}"}]}`, 400, "Subnet {missing} not found."},
	{"243 same member twice", "PUT", "/pools/{pool}/members", `{"members": [{"address": "10.0.0.20", "protocol_port": 80}, {"address": "10.0.0.20", "protocol_port": 80}]}`, 400, "Validation failure: Member must be updated only once in the same request."},

	{"138 no delay", "POST", "/healthmonitors", `{"healthmonitor": {"type": "TCP", "pool_id": "{pool}"}}`, 400, "Invalid input for field/attribute delay. Value: 'None'. Mandatory field missing."},
	{"139 bad type", "POST", "/healthmonitors", `{"healthmonitor": {"type": "NOPE", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": "{pool}"}}`, 400, "Value: 'NOPE'. Value should be one of: PING, TCP, HTTP, TLS-HELLO, UDP-CONNECT, HTTPS, SCTP"},
	{"142 11 retries", "POST", "/healthmonitors", `{"healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 11, "pool_id": "{pool}"}}`, 400, "Invalid input for field/attribute max_retries. Value: '11'. Value should be lower or equal to 10"},
	{"143 URL on TCP", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"url_path": "/"}}`, 400, "url_path is not a valid option for health monitors of type TCP"},
	{"null URL on TCP", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"url_path": null}}`, 400, "url_path is not a valid option for health monitors of type TCP"},
	{"144 bad URL", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"url_path": "noslash"}}`, 400, "Invalid input for field/attribute url_path. Value: 'noslash'. Value must be a valid URL Path string"},
	{"URL with a line break", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"url_path": "/a\r\nX-B:1"}}`, 400, "Value must be a valid URL Path string"},
	{"URL with a query on TCP", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"url_path": "/up?deep=1"}}`, 400, "url_path is not a valid option for health monitors of type TCP"},
	{"145 bad codes", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"expected_codes": "abc"}}`, 400, `Invalid input for field/attribute expected_codes. Value: 'abc'. Value should match the pattern ^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$`},
	{"146 bad method", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"http_method": "BREW"}}`, 400, "Invalid input for field/attribute http_method. Value: 'BREW'."},
	{"bad domain", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"domain_name": "a..b"}}`, 400, "Invalid input for field/attribute domain_name. Value: 'a..b'. Value should match the pattern"},
	{"148 domain without version", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"domain_name": "x.example"}}`, 400, "Validation failure: 'http_version' must be specified when 'domain_name' is provided."},
	{"147 UDP on TCP", "POST", "/healthmonitors", `{"healthmonitor": {"type": "UDP-CONNECT", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": "{pool}"}}`, 400, "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP."},
	{"150 second monitor", "POST", "/healthmonitors", `{"healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": "{pool}"}}`, 409, "This pool already has a health monitor"},
	{"152 put type", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"type": "TCP"}}`, 400, "Unknown attribute for argument health_monitor_.healthmonitor: type"},
	{"pool null", "POST", "/healthmonitors", `{"healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": null}}`, 404, "Pool None not found."},
	{"delay null", "PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {"delay": null}}`, 400, "None is not a valid option for delay"},

	{"154 no action", "POST", "/l7policies", `{"l7policy": {"listener_id": "{listener}"}}`, 400, "Invalid input for field/attribute action. Value: 'None'. Mandatory field missing."},
	{"155 bad action", "POST", "/l7policies", `{"l7policy": {"action": "NOPE", "listener_id": "{listener}"}}`, 400, "Invalid input for field/attribute action. Value: 'NOPE'. Value should be one of: REDIRECT_TO_POOL, REJECT, REDIRECT_PREFIX, REDIRECT_TO_URL"},
	{"policy on TCP", "POST", "/l7policies", `{"l7policy": {"action": "REJECT", "listener_id": "{listener}"}}`, 501, "Provider 'poise' does not support a requested option: TCP protocol listeners do not support L7 policies"},
	{"policy on nothing", "POST", "/l7policies", `{"l7policy": {"action": "REJECT", "listener_id": "{missing}"}}`, 404, "Listener {missing} not found."},
	{"156 redirect without pool", "POST", "/l7policies", `{"l7policy": {"action": "REDIRECT_TO_POOL", "listener_id": "{http}"}}`, 400, "Invalid L7 Policy arguments: redirect_pool_id or redirect_pool must not be None"},
	{"157 redirect without URL", "POST", "/l7policies", `{"l7policy": {"action": "REDIRECT_TO_URL", "listener_id": "{http}"}}`, 400, "Invalid L7 Policy arguments: redirect_url must not be None"},
	{"158 bad URL", "POST", "/l7policies", `{"l7policy": {"action": "REDIRECT_TO_URL", "redirect_url": "nope", "listener_id": "{http}"}}`, 400, "Invalid input for field/attribute redirect_url. Value: 'nope'. Value must be a valid URL string"},
	{"159 bad code", "POST", "/l7policies", `{"l7policy": {"action": "REDIRECT_TO_URL", "redirect_url": "http://x.example/", "redirect_http_code": 200, "listener_id": "{http}"}}`, 400, "Invalid input for field/attribute redirect_http_code. Value: '200'. Value should be one of: 301, 302, 303, 307, 308"},
	{"160 bad position", "POST", "/l7policies", `{"l7policy": {"action": "REJECT", "position": 0, "listener_id": "{http}"}}`, 400, "Invalid input for field/attribute position. Value: '0'. Value should be greater or equal to 1"},
	{"empty policy update", "PUT", "/l7policies/{policy}", `{"l7policy": {}}`, 400, "Invalid L7 Policy arguments: Invalid update options"},
	{"put listener of a policy", "PUT", "/l7policies/{policy}", `{"l7policy": {"listener_id": "{http}"}}`, 400, "Unknown attribute for argument l7policy_.l7policy: listener_id"},
	{"missing policy", "GET", "/l7policies/{missing}", "", 404, "L7 Policy {missing} not found."},
	{"rules of a missing policy", "GET", "/l7policies/{missing}/rules", "", 404, "L7Policy {missing} not found."},
	{"missing rule", "GET", "/l7policies/{policy}/rules/{missing}", "", 404, "L7 Rule {missing} not found."},
	{"164 bad type", "POST", "/l7policies/{policy}/rules", `{"rule": {"type": "NOPE", "compare_type": "EQUAL_TO", "value": "x"}}`, 400, "Invalid input for field/attribute type. Value: 'NOPE'. Value should be one of: SSL_CONN_HAS_CERT, PATH,"},
	{"165 header without key", "POST", "/l7policies/{policy}/rules", `{"rule": {"type": "HEADER", "compare_type": "EQUAL_TO", "value": "x"}}`, 400, "Error parsing L7Rule: Invalid L7 Rule: L7 rule type requires a key"},
	{"166 bad expression", "POST", "/l7policies/{policy}/rules", `{"rule": {"type": "PATH", "compare_type": "REGEX", "value": "("}}`, 400, "Error parsing L7Rule: Unable to parse regular expression: missing "},
	{"167 comparison of a file type", "POST", "/l7policies/{policy}/rules", `{"rule": {"type": "FILE_TYPE", "compare_type": "STARTS_WITH", "value": "x"}}`, 400, "Error parsing L7Rule: Invalid L7 Rule: invalid comparison type for rule type"},
	{"rule with a line break", "POST", "/l7policies/{policy}/rules", `{"rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "a\nb"}}`, 400, "Invalid input for field/attribute value."},
	{"unknown in a rule's update", "PUT", "/l7policies/{policy}/rules/{missing}", `{"rule": {"x": 1}}`, 400, "Unknown attribute for argument l7rule_.rule: x"},
	{"179 bad tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "listeners": [{"protocol": "HTTP", "protocol_port": 0}]}}`, 400, "Invalid input for field/attribute protocol_port. Value: '0'. Value should be greater or equal to 1"},
	{"unknown in a tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "listeners": [{"loadbalancer_id": "{lb}"}]}}`, 400, "Unknown attribute for argument load_balancer.loadbalancer.listeners: loadbalancer_id"},
	{"nameless pool in a tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "pools": [{"protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}]}}`, 400, "Validation failure: Pools must be named when creating a fully populated loadbalancer."},
	{"SR-IOV in a tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "pools": [{"name": "a", "members": [{"address": "10.0.0.1", "protocol_port": 1, "request_sriov": true}]}]}}`, 501, "request_sriov"},
	{"missing subnet in a tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "pools": [{"name": "a", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP", "members": [{"address": "10.0.0.1", "protocol_port": 1, "subnet_id": "{missing}"}]}]}}`, 400, "Subnet {missing} not found."},
	{"missing certificate in a tree", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "{subnet}", "listeners": [{"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "sni_container_refs": ["missing"]}]}}`, 400, "Could not retrieve certificate: ['missing']"},

	{"174 delete with children", "DELETE", "/loadbalancers/{lb}", "", 400, "Validation failure: Cannot delete Load Balancer {lb} - it has children"},
	{"failover", "PUT", "/loadbalancers/{lb}/failover", "", 403, "Policy does not allow"},
	{"argument of POST", "POST", "/listeners?x=1", `{"listener": {}}`, 400, `Unknown argument: "x"`},
	{"argument of PUT", "PUT", "/loadbalancers/{lb}?cascade=true", `{"loadbalancer": {}}`, 400, `Unknown argument: "cascade"`},
	{"argument of DELETE", "DELETE", "/listeners/{listener}?cascade=true", "", 400, `Unknown argument: "cascade"`},
	{"argument of batch", "PUT", "/pools/{pool}/members?y=1", `{"members": []}`, 400, `Unknown argument: "y"`},
	{"delete collection", "DELETE", "/pools/{pool}/members", "", 400, `Missing argument: "id"`},
	{"quota", "PUT", "/quotas/x", `{"quota": {}}`, 403, "Policy does not allow"},
}

func TestRefusals(t *testing.T) {
	a := newAPI(t)
	tree := a.addPolicy("member", a.tree("member", "one"))
	a.control.acknowledge()
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			a.TB = t
			a.refused("member", test.method, tree.in(test.path), tree.in(test.body), test.status, tree.in(test.message))
		})
	}
	a.TB = t
	if left := a.tree("member", "two"); left.lb == "" || len(a.list("member", "/listeners")) != 3 {
		t.Error("a refused request has left something")
	}
}

// TestUnserved asks for what Octavia has and poise does not: refused by name, but taken with its default.
func TestUnserved(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	const member = `{"member": {"address": "10.0.0.9", "protocol_port": 80, "request_sriov": %s}}`
	a.refused("member", "POST", tree.in("/pools/{pool}/members"), strings.Replace(member, "%s", "true", 1), 501, "request_sriov")
	a.must("member", "POST", tree.in("/pools/{pool}/members"), strings.Replace(member, "%s", "false", 1), 201)
}

// list answers with the objects of a list.
func (a *api) list(user, path string) []map[string]any {
	a.Helper()
	got := a.send(user, "GET", path, "")
	if got.Code != 200 {
		a.Fatalf("GET %s as %s: %d %s", path, user, got.Code, got.Body)
	}
	all := []map[string]any{}
	for key, v := range got.body {
		if !strings.HasSuffix(key, "_links") {
			for _, object := range v.([]any) {
				all = append(all, object.(map[string]any))
			}
		}
	}
	return all
}
