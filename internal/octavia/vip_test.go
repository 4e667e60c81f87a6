package octavia_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVIPAttributes(t *testing.T) {
	a := newAPI(t)
	made := a.must("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`",
		"additional_vips": [{"subnet_id": "`+networkID+`", "ip_address": "fd00::5", "port_id": null}],
		"vip_qos_policy_id": "`+policyID+`", "vip_sg_ids": ["`+groupID+`"]}}`, 201)
	path := "/loadbalancers/" + id(made)
	wantVIP := func(policy any, groups ...any) {
		t.Helper()
		shown := a.must("member", "GET", path, "", 200)
		want := map[string]any{
			"additional_vips":   []any{map[string]any{"subnet_id": networkID, "ip_address": "fd00::5", "port_id": missingID}},
			"vip_qos_policy_id": policy, "vip_sg_ids": append([]any{}, groups...),
		}
		got := map[string]any{}
		for name := range want {
			got[name] = shown[name]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("(-want +got)\n", diff)
		}
	}
	wantVIP(policyID, groupID)
	a.refused("member", "PUT", path, `{"loadbalancer": {"vip_qos_policy_id": "`+missingID+`"}}`, 400, "qos_policy "+missingID+" not found.")
	a.refused("member", "PUT", path, `{"loadbalancer": {"vip_sg_ids": ["`+missingID+`"]}}`, 400, "Security Group "+missingID+" not found.")
	a.refused("member", "PUT", path, `{"loadbalancer": {"vip_sg_ids": ["web"]}}`, 400, "Value should be UUID format")
	a.refused("member", "PUT", path, `{"loadbalancer": {"additional_vips": []}}`, 400, "Unknown attribute")
	a.refused("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`", "additional_vips": [{}]}}`, 400, "Mandatory field missing.")
	a.refused("member", "POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": 80, "loadbalancer_id": "`+id(made)+`",
		"allowed_cidrs": ["10.0.0.0/8"]}}`, 400, "Allowed CIDRs are not allowed when using custom VIP Security Groups.")
	a.must("member", "PUT", path, `{"loadbalancer": {"name": "n"}}`, 200)
	wantVIP(policyID, groupID)
	a.must("member", "PUT", path, `{"loadbalancer": {"vip_qos_policy_id": null, "vip_sg_ids": null}}`, 200)
	wantVIP(nil)
	a.refused("memberB", "PUT", path, `{"loadbalancer": {"vip_sg_ids": []}}`, 403, "Policy does not allow")
}
