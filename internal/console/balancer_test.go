package console_test

import (
	"strings"
	"testing"
)

// A load balancer's details show every additional VIP with its subnet, and the list finds the load balancer by it.
func TestAdditionalVIPs(t *testing.T) {
	cloud := newCloud(t)
	for id, more := range map[string][]map[string]string{
		"two": {{"ip_address": "10.1.0.9", "subnet_id": "subnet-four"}, {"ip_address": "fd00::9", "subnet_id": "subnet-six"}}, "none": {},
	} {
		cloud.add("loadbalancers", map[string]any{
			"id": id, "name": "lb-" + id, "project_id": "p-ann", "vip_address": "10.0.0.9", "additional_vips": more,
		})
	}
	v := signedIn(t, serve(t, cloud), "ann")
	details := v.get("/load-balancers/One/two?tab=details").text
	for _, want := range []string{"10.1.0.9", `title="subnet-four"`, "fd00::9", `title="subnet-six"`} {
		if !strings.Contains(details, want) {
			t.Errorf("%q is not in the details", want)
		}
	}
	if details := v.get("/load-balancers/One/none?tab=details").text; strings.Contains(details, "Additional VIP") {
		t.Error("a load balancer with one VIP has a line for another")
	}
	found := v.get("/load-balancers?q=fd00::9").text
	if !strings.Contains(found, "lb-two") || strings.Contains(found, "lb-none") {
		t.Error("the list does not find the load balancer by its additional VIP alone")
	}
}
