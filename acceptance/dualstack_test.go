package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// TestDualStackAndSecurityGroups reaches a load balancer at both of its addresses, and then only where its security group
// lets through.
func TestDualStackAndSecurityGroups(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	h.run("openstack subnet create --network network-regionone --ip-version 6 --subnet-range fd00:25::/64 subnet6")
	h.run("openstack port set --fixed-ip subnet=subnet6,ip-address=fd00:25::2 srv-lbaas-2")
	h.run("openstack network qos policy create gold")
	h.run("openstack loadbalancer create --name both --vip-subnet-id subnet-regionone --vip-address 10.15.25.80 " +
		"--additional-vip subnet-id=subnet6,ip-address=fd00:25::80 --vip-qos-policy-id gold --wait")
	h.run("openstack loadbalancer listener create --name web --protocol TCP --protocol-port 80 --wait both")
	h.run("openstack loadbalancer pool create --name web --listener web --protocol TCP --lb-algorithm ROUND_ROBIN --wait")
	h.run("openstack loadbalancer member create --address " + h.place.Member() + " --protocol-port 61234 --wait web")

	shown := h.run("openstack loadbalancer show both -c additional_vips -c vip_qos_policy_id -f value")
	policy := h.run("openstack network qos policy show gold -c id -f value")
	for _, wanted := range []string{"fd00:25::80", policy} {
		if !strings.Contains(shown, wanted) {
			t.Errorf("the load balancer does not show %s: %s", wanted, shown)
		}
	}
	four, six := fetchFrom("10.15.25.80"), fetchFrom("[fd00:25::80]")
	answers := func(command string) {
		t.Helper()
		h.retry(func() error { return h.prints(command, "Yello from srv-lbaas-1!") })
	}
	isShut := func(command string) {
		t.Helper()
		h.retry(func() error {
			if output, err := h.shell.Type(t.Context(), command); err == nil {
				return fmt.Errorf("a filtered address says %q", output)
			}
			return nil
		})
	}
	answers(four)
	answers(six)

	h.run("openstack security group create guard")
	h.run("openstack security group rule create --ethertype IPv6 --protocol tcp --dst-port 80 --remote-ip fd00:25::/64 guard")
	h.run(vipGroups(`["'$(openstack security group show guard -c id -f value)'"]`))
	isShut(four)
	answers(six)
	h.run("openstack security group rule create --protocol tcp --dst-port 80 --remote-group guard guard")
	isShut(four)
	h.run("openstack port set --enable-port-security --security-group guard srv-lbaas-2")
	answers(four) // the client is in the group now
	h.run("openstack port set --no-security-group --disable-port-security srv-lbaas-2")
	isShut(four)
	h.run(vipGroups(`[]`))
	answers(four)
	h.run("openstack port set --security-group guard $(openstack loadbalancer show both -c vip_port_id -f value)")
	isShut(four)
	answers(six)
	h.run("openstack port set --no-security-group $(openstack loadbalancer show both -c vip_port_id -f value)")
	answers(four)

	h.run("openstack loadbalancer delete --cascade --wait both")
	h.run("openstack security group delete guard")
	h.run("openstack network qos policy delete gold")
	h.run("poise lab down")
}

// vipGroups is a command that sets the load balancer's vip_sg_ids.
func vipGroups(ids string) string {
	return `wget -q -O - --method=PUT --header "X-Auth-Token: $(openstack token issue -c id -f value)"` +
		` --header "Content-Type: application/json" --body-data '{"loadbalancer": {"vip_sg_ids": ` + ids + `}}'` +
		` http://127.0.0.1:9876/load-balancer/v2/lbaas/loadbalancers/$(openstack loadbalancer show both -c id -f value)`
}

// fetchFrom is a command by which a server of the lab fetches a page.
func fetchFrom(host string) string {
	return "poise lab exec srv-lbaas-2 -- wget -q --tries=1 --timeout=2 -O - http://" + host + "/"
}
