package octavia_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// dataModels are the attributes of Octavia's data models (octavia/common/data_models.py of 2026-08) that lists can be filtered
// by, under the names of the API (api/v2/types) and of storage, and what openstacksdk sends beside (_query_mapping in
// openstack/load_balancer/v2). Each resource has two objects, and each query finds the first of them alone. What Octavia has and
// no object of poise does finds none; "=" stands for the value that the object shows. Left out are Octavia's
// relations to whole objects (vip, stats, load_balancer, …), by which Octavia cannot filter either: it answers 500.
var dataModels = map[string]string{
	"loadbalancers": `id== project_id=* name== description== provisioning_status=* operating_status=* admin_state_up== enabled=false
		topology=* server_group_id=- created_at== updated_at== provider== flavor_id== availability_zone== tags=a vip_address==
		vip_address=2001:DB8:0::5 vip_subnet_id=* vip_network_id=* vip_port_id=* vip_qos_policy_id== vip_vnic_type=* vip_sg_ids={group}
		additional_vips=FD00:0::9`,
	"listeners": `id== project_id=* name== description== default_pool_id== loadbalancer_id=* load_balancer_id=* protocol==
		protocol_port== connection_limit== admin_state_up== enabled=false provisioning_status=* operating_status=*
		default_tls_container_ref== tls_certificate_id=d sni_container_refs=s1 sni_containers=s3,s1 peer_port=- l7policies={policy}
		insert_headers=X-Forwarded-For created_at== updated_at== timeout_client_data== timeout_member_connect==
		timeout_member_data== timeout_tcp_inspect== tags=a client_ca_tls_container_ref== client_ca_tls_certificate_id=c
		client_authentication== client_crl_container_ref== client_crl_container_id=r allowed_cidrs=10.0.0.0/8
		allowed_cidrs=192.0.2.7/24,10.0.0.0/16 tls_ciphers== tls_versions=TLSv1.2 alpn_protocols=h2,http/1.0 hsts_max_age==
		hsts_include_subdomains== hsts_preload==`,
	"pools": `id== project_id=* name== description== loadbalancer_id=* load_balancer_id=* protocol== lb_algorithm== admin_state_up==
		enabled=false operating_status=* members={member} healthmonitor_id== health_monitor_id={monitor} session_persistence=c
		listeners={http} listener_id={http} created_at== updated_at== provisioning_status=* tags=a tls_container_ref==
		tls_certificate_id=t ca_tls_container_ref== ca_tls_certificate_id=c crl_container_ref== crl_container_id=r tls_enabled==
		tls_ciphers== tls_versions=TLSv1.2 alpn_protocols=h2`,
	"pools/{pool}/members": `id== project_id=* name== pool_id=* address== address=2001:DB8:0::1 ip_address=2001:db8::1 protocol_port== weight==
		backup== admin_state_up== enabled=false subnet_id== operating_status=* created_at== updated_at==
		provisioning_status=* monitor_address== monitor_address=2001:db8::2 monitor_port== tags=a vnic_type=*`,
	"healthmonitors": `id== project_id=* name== pool_id={pool} type== delay== timeout== max_retries== rise_threshold=7 max_retries_down==
		fall_threshold=6 http_method== url_path== expected_codes== admin_state_up== enabled=false provisioning_status=*
		operating_status=* created_at== updated_at== tags=a http_version== domain_name== pools={pool}`,
	"l7policies": `id== project_id=* name== description== listener_id=* action== redirect_pool_id=- redirect_url=- position==
		admin_state_up== enabled=false rules={rule} l7rules={rule} provisioning_status=* operating_status=* created_at==
		updated_at== redirect_prefix== tags=a redirect_http_code==`,
	"l7policies/{policy}/rules": `id== project_id=* l7policy_id=* type== compare_type== key== value== rule_value=v invert==
		admin_state_up== enabled=false provisioning_status=* operating_status=* created_at== updated_at== tags=a`,
}

// booleans are the attributes for which any value but a word for true says false.
const booleans = " admin_state_up enabled backup tls_enabled invert hsts_include_subdomains hsts_preload "

// TestEveryAttributeIsAFilter asks each list for each attribute of Octavia's data models: with the value of an object ("=", or
// what is said) the list has this object alone, with a value that all have ("*") both, and with another value none.
func TestEveryAttributeIsAFilter(t *testing.T) {
	a := newAPI(t)
	in := a.everything()
	for path, queries := range dataModels {
		object := a.list("admin", "/"+in.Replace(path)+"?tags=a")
		if len(object) != 1 {
			t.Fatalf("%s: %d objects with a tag of one", path, len(object))
		}
		for _, query := range strings.Fields(queries) {
			t.Run(path+"/"+query, func(t *testing.T) {
				a.TB = t
				name, value, _ := strings.Cut(query, "=")
				found := func(value string) (ids []string) {
					t.Helper()
					for _, o := range a.list("admin", "/"+in.Replace(path)+"?"+url.Values{name: {value}}.Encode()) {
						ids = append(ids, id(o))
					}
					return ids
				}
				if ids := found("nothing's"); len(ids) != 0 && !strings.Contains(booleans, " "+name+" ") {
					t.Errorf("a value that nothing has finds %v", ids)
				}
				switch value {
				case "-":
				case "*":
					if got := found(shared(in, name, object[0])); len(got) != 2 {
						t.Errorf("the value of both finds %v", got)
					}
				case "=":
					value = fmt.Sprint(object[0][name])
					fallthrough
				default:
					if got := found(in.Replace(value)); len(got) != 1 || got[0] != id(object[0]) {
						t.Errorf("%q finds %v, want %s", in.Replace(value), got, id(object[0]))
					}
				}
			})
		}
	}
}

// shared is the value of an attribute that both objects of a list have.
func shared(in *strings.Replacer, name string, o map[string]any) string {
	if v, ok := o[name]; ok {
		return fmt.Sprint(v)
	}
	return in.Replace(map[string]string{
		"topology": "SINGLE", "loadbalancer_id": "{lb}", "load_balancer_id": "{lb}", "pool_id": "{pool}", "listener_id": "{http}",
		"l7policy_id": "{policy}",
	}[name])
}

// everything makes the objects of everyAttribute, and a plain one beside each. The ids stand for their names in paths.
func (a *api) everything() *strings.Replacer {
	a.Helper()
	ids := []string{"{subnet}", subnetID, "{missing}", missingID, "{group}", groupID, "{flavor}", a.flavorAndZone("zone")}
	post := func(path, envelope, attributes string) (where string) {
		a.Helper()
		in := strings.NewReplacer(ids...)
		path = in.Replace(path)
		return path + "/" + id(a.must("member", "POST", path, in.Replace(`{"`+envelope+`": `+attributes+`}`), 201))
	}
	where := map[string]string{}
	for _, full := range everyAttribute {
		path := post(full.path, full.envelope, full.body)
		ids = append([]string{full.as, path[strings.LastIndex(path, "/")+1:]}, ids...)
		if where[full.path] == "" {
			where[full.path] = full.envelope + " " + path
		}
	}
	post("/listeners", "listener", `{"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 80}`)
	post("/healthmonitors", "healthmonitor", `{"pool_id": "{udp}", "type": "UDP-CONNECT", "delay": 5, "timeout": 1, "max_retries": 1}`)
	post("/pools/{pool}/members", "member", `{"address": "10.0.0.1", "protocol_port": 81, "backup": false}`)
	post("/l7policies", "l7policy", `{"listener_id": "{http}", "action": "REJECT"}`)
	post("/l7policies/{policy}/rules", "rule", `{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}`)
	for _, full := range where { // so that each has been updated at a time of its own
		envelope, path, _ := strings.Cut(full, " ")
		a.must("member", "PUT", path, `{"`+envelope+`": {"tags": ["a", "z"]}}`, 200)
	}
	return strings.NewReplacer(ids...)
}

// TestFiltersOfWhatOperatorsManage asks the lists of what belongs to no load balancer for every attribute of Octavia's data models.
func TestFiltersOfWhatOperatorsManage(t *testing.T) {
	a := newAPI(t)
	a.flavorAndZone("zone")
	tree := a.addPolicy("member", a.tree("member", "one"))
	a.must("admin", "PUT", "/quotas/"+projectA, `{"quota": {"pool": 7}}`, 202)
	amphora := a.list("admin", "=/v2.0/octavia/amphorae")[0]
	for path, queries := range map[string]string{
		"/flavors":                  "name=f enabled=true description=",
		"/flavorprofiles":           "name=f provider_name=amphora flavor_data={}",
		"/availabilityzones":        "name=zone enabled=true description=",
		"/availabilityzoneprofiles": "name=z provider_name=amphora availability_zone_data={}",
		"/quotas": "project_id=" + projectA + ` pool=7 load_balancer=-1 loadbalancer=-1 listener=-1 health_monitor=-1 healthmonitor=-1 member=-1
			l7policy=-1 l7rule=-1 in_use_load_balancer=1 in_use_listener=2 in_use_pool=1 in_use_health_monitor=1 in_use_member=1
			in_use_l7policy=1 in_use_l7rule=1`,
		"=/v2.0/octavia/amphorae": fmt.Sprintf(`id=%s loadbalancer_id={lb} load_balancer_id={lb} compute_id=%s status=PENDING_CREATE role=STANDALONE
			lb_network_ip=::ffff:127.0.0.1 vrrp_ip=10.0.2.35 ha_ip=::FFFF:10.0.2.35 vrrp_port_id={missing} ha_port_id={missing}
			cert_busy=false vrrp_id=1 created_at=%s updated_at=%s project_id=%s`,
			amphora["id"], amphora["compute_id"], amphora["created_at"], amphora["updated_at"], projectA),
	} {
		for _, query := range strings.Fields(tree.in(queries)) {
			if got := a.list("admin", path+"?"+query); len(got) != 1 {
				t.Errorf("%s?%s: %v", path, query, got)
			}
		}
	}
	for _, query := range []string{"in_use_pool=2", "in_use_listener=x", "pool=8"} {
		if got := a.list("admin", "/quotas?"+query); len(got) != 0 {
			t.Errorf("quotas with %s: %v", query, got)
		}
	}
	for _, name := range []string{"cert_expiration", "vrrp_interface", "vrrp_priority", "cached_zone", "image_id", "compute_flavor"} {
		if got := a.list("admin", "=/v2.0/octavia/amphorae?"+name+"=x"); len(got) != 0 {
			t.Errorf("amphorae with %s: %v", name, got)
		}
	}
}
