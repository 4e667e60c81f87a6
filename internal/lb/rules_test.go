package lb_test

import (
	"net/netip"
	"testing"

	"poise/internal/lb"
)

// TestRefusals holds each rule that refuses a change of the house.
func TestRefusals(t *testing.T) {
	cidrs := func(texts ...string) lb.ListenerAttrs {
		var list []netip.Prefix
		for _, text := range texts {
			list = append(list, netip.MustParsePrefix(text))
		}
		return lb.ListenerAttrs{AllowedCIDRs: lb.Some(list)}
	}
	protocol := func(name string) step {
		return func(t *lb.LoadBalancer) error {
			_, err := t.CreateListener(lb.ListenerCreate{ID: "x", Protocol: name, ProtocolPort: 90})
			return err
		}
	}
	member := func(address string) lb.MemberCreate {
		return lb.MemberCreate{ID: "x", Address: netip.MustParseAddr(address), ProtocolPort: 80}
	}
	tests := map[string]struct {
		change  step
		code    lb.Code
		message string
	}{
		"listener on a taken port":              {createListener("x", 80), lb.Conflict, "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80"},
		"listener of an unserved protocol":      {protocol("SCTP"), lb.Unsupported, "Provider 'poise' does not support a requested option: SCTP protocol listeners are not supported."},
		"listener with another IP version":      {updateListener("l1", cidrs("10.0.0.0/8", "fd00::/64")), lb.Invalid, "Validation failure: CIDR fd00::/64 IP version incompatible with all VIPs ['192.0.2.1'] IP version."},
		"listener with a missing pool":          {updateListener("l2", lb.ListenerAttrs{DefaultPoolID: lb.Some("x")}), lb.NotFound, "Pool x not found."},
		"listener with a pool being deleted":    {then(deletePool("p2"), updateListener("l2", lb.ListenerAttrs{DefaultPoolID: lb.Some("p2")})), lb.Immutable, "Pool p2 is immutable and cannot be updated."},
		"missing listener updated":              {updateListener("x", lb.ListenerAttrs{}), lb.NotFound, "Listener x not found."},
		"missing listener deleted":              {deleteListener("x"), lb.NotFound, "Listener x not found."},
		"deleted listener updated":              {then(deleteListener("l1"), updateListener("l1", lb.ListenerAttrs{})), lb.Immutable, "Listener l1 is immutable and cannot be updated."},
		"deleted listener deleted":              {then(deleteListener("l1"), deleteListener("l1")), lb.Immutable, "Listener l1 is immutable and cannot be updated."},
		"pool for a listener that has one":      {createPool("x", "l1"), lb.Conflict, "This listener already has a default pool"},
		"pool for a missing listener":           {createPool("x", "nosuch"), lb.NotFound, "Listener nosuch not found."},
		"pool for a listener being deleted":     {then(deleteListener("l2"), createPool("x", "l2")), lb.Immutable, "Listener l2 is immutable and cannot be updated."},
		"pool of an unserved protocol":          {pool("SCTP", lb.PoolAttrs{}), lb.Unsupported, "Provider 'poise' does not support a requested option: SCTP protocol pools are not supported."},
		"pool without algorithm":                {updatePool("p1", lb.PoolAttrs{Algorithm: lb.Null[lb.Algorithm]()}), lb.Invalid, "None is not a valid option for lb_algorithm"},
		"persistence by app cookie, nameless":   {updatePool("p1", persistence("APP_COOKIE")), lb.Invalid, `Validation failure: Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`},
		"persistence by an odd cookie":          {updatePool("p1", persistence("APP_COOKIE", "a=b")), lb.Invalid, `Validation failure: Supplied "cookie_name" is invalid.`},
		"persistence by address with cookie":    {updatePool("p1", persistence("SOURCE_IP", "cookie_name")), lb.Invalid, `Validation failure: Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`},
		"persistence with UDP's timeout":        {updatePool("p1", persistence("SOURCE_IP", "persistence_timeout")), lb.Invalid, "Validation failure: persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools."},
		"persistence of no type":                {updatePool("p1", persistence("")), lb.Invalid, "Invalid input for field/attribute type. Value: 'None'. Mandatory field missing."},
		"persistence of an unknown type":        {updatePool("p1", persistence("x")), lb.Invalid, "x is not a valid option for session_persistence"},
		"missing pool updated":                  {updatePool("x", lb.PoolAttrs{}), lb.NotFound, "Pool x not found."},
		"missing pool deleted":                  {deletePool("x"), lb.NotFound, "Pool x not found."},
		"deleted pool updated":                  {then(deletePool("p1"), updatePool("p1", lb.PoolAttrs{})), lb.Immutable, "Pool p1 is immutable and cannot be updated."},
		"member at a taken address":             {createMember("p1", "x", one, 80), lb.Conflict, "Another member on this pool is already using ip 10.0.0.1 on protocol_port 80"},
		"member at the same address as IPv6":    {createMember("p1", "x", netip.MustParseAddr("::ffff:10.0.0.1"), 80), lb.Conflict, "Another member on this pool is already using ip 10.0.0.1 on protocol_port 80"},
		"member at the metadata service":        {createMember("p1", "x", netip.MustParseAddr("169.254.169.254"), 80), lb.Invalid, "169.254.169.254 is not a valid option for member address"},
		"member of a missing pool":              {createMember("x", "x", one, 80), lb.NotFound, "Pool x not found."},
		"member of a pool being deleted":        {then(deletePool("p1"), createMember("p1", "x", one, 81)), lb.Immutable, "Pool p1 is immutable and cannot be updated."},
		"member updated through another pool":   {updateMember("p2", "m1", lb.MemberAttrs{}), lb.NotFound, "Member m1 not found."},
		"member deleted through another pool":   {deleteMember("p2", "m1"), lb.NotFound, "Member m1 not found."},
		"member of a missing pool updated":      {updateMember("x", "m1", lb.MemberAttrs{}), lb.NotFound, "Pool x not found."},
		"deleted member updated":                {then(deleteMember("p1", "m1"), updateMember("p1", "m1", lb.MemberAttrs{})), lb.Immutable, "Member m1 is immutable and cannot be updated."},
		"member of a deleted pool updated":      {then(deletePool("p1"), updateMember("p1", "m1", lb.MemberAttrs{})), lb.Immutable, "Pool p1 is immutable and cannot be updated."},
		"batch with an existing member twice":   {replaceMembers("p1", true, member("10.0.0.1"), member("10.0.0.1")), lb.Invalid, "Validation failure: Member must be updated only once in the same request."},
		"batch with a new member twice":         {replaceMembers("p1", true, member("10.0.0.9"), member("::ffff:10.0.0.9")), lb.Conflict, "Another member on this pool is already using ip 10.0.0.9 on protocol_port 80"},
		"member nowhere":                        {createMember("p1", "x", netip.MustParseAddr("0.0.0.0"), 80), lb.Invalid, "0.0.0.0 is not a valid option for member address"},
		"member nowhere, IPv6":                  {createMember("p1", "x", netip.MustParseAddr("::"), 80), lb.Invalid, ":: is not a valid option for member address"},
		"member at IPv6's loopback":             {createMember("p1", "x", netip.MustParseAddr("::1"), 80), lb.Invalid, "::1 is not a valid option for member address"},
		"member on a link":                      {createMember("p1", "x", netip.MustParseAddr("fe80::1"), 80), lb.Invalid, "fe80::1 is not a valid option for member address"},
		"member on a link with its name":        {createMember("p1", "x", netip.MustParseAddr("fe80::1%eth0"), 80), lb.Invalid, "fe80::1 is not a valid option for member address"},
		"member at many":                        {createMember("p1", "x", netip.MustParseAddr("224.0.0.1"), 80), lb.Invalid, "224.0.0.1 is not a valid option for member address"},
		"member at many, IPv6":                  {createMember("p1", "x", netip.MustParseAddr("ff02::1"), 80), lb.Invalid, "ff02::1 is not a valid option for member address"},
		"member at all":                         {createMember("p1", "x", netip.MustParseAddr("255.255.255.255"), 80), lb.Invalid, "255.255.255.255 is not a valid option for member address"},
		"member at the metadata service, IPv6":  {createMember("p1", "x", netip.MustParseAddr("fd00:ec2::254"), 80), lb.Invalid, "fd00:ec2::254 is not a valid option for member address"},
		"member at the mapped metadata service": {createMember("p1", "x", netip.MustParseAddr("::ffff:169.254.169.254"), 80), lb.Invalid, "169.254.169.254 is not a valid option for member address"},
		"monitor at the metadata service":       {updateMember("p1", "m1", lb.MemberAttrs{MonitorAddress: lb.Some(netip.MustParseAddr("169.254.169.254"))}), lb.Invalid, "169.254.169.254 is not a valid option for member monitor_address"},
		"batch with the metadata service":       {replaceMembers("p1", true, member("169.254.169.254")), lb.Invalid, "169.254.169.254 is not a valid option for member address"},
		"batch of a missing pool":               {replaceMembers("x", false), lb.NotFound, "Pool x not found."},
		"batch of a deleted pool":               {then(deletePool("p1"), replaceMembers("p1", false)), lb.Immutable, "Pool p1 is immutable and cannot be updated."},
		"second health monitor":                 {createMonitor("p1", "x", "TCP"), lb.Conflict, "This pool already has a health monitor"},
		"health monitor of a missing pool":      {createMonitor("x", "x", "TCP"), lb.NotFound, "Pool x not found."},
		"UDP health monitor of a TCP pool":      {createMonitor("p2", "x", "UDP-CONNECT"), lb.Invalid, "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP."},
		"SCTP health monitor of a TCP pool":     {createMonitor("p2", "x", "SCTP"), lb.Invalid, "Validation failure: The SCTP type is only supported for pools of type UDP/SCTP."},
		"health monitor without delay":          {updateMonitor("h1", lb.HealthMonitorAttrs{DelaySec: lb.Null[int]()}), lb.Invalid, "None is not a valid option for delay"},
		"health monitor without timeout":        {updateMonitor("h1", lb.HealthMonitorAttrs{TimeoutSec: lb.Null[int]()}), lb.Invalid, "None is not a valid option for timeout"},
		"health monitor without retries":        {updateMonitor("h1", lb.HealthMonitorAttrs{MaxRetries: lb.Null[int]()}), lb.Invalid, "None is not a valid option for max_retries"},
		"HTTP option of a TCP health monitor":   {updateMonitor("h1", lb.HealthMonitorAttrs{URLPath: lb.Null[string]()}), lb.Invalid, "url_path is not a valid option for health monitors of type TCP"},
		"missing health monitor updated":        {updateMonitor("x", lb.HealthMonitorAttrs{}), lb.NotFound, "Health Monitor x not found."},
		"missing health monitor deleted":        {deleteMonitor("x"), lb.NotFound, "Health Monitor x not found."},
		"deleted health monitor updated":        {then(deleteMonitor("h1"), updateMonitor("h1", lb.HealthMonitorAttrs{})), lb.Immutable, "Health Monitor h1 is immutable and cannot be updated."},
		"load balancer with children deleted":   {deleteAll(false), lb.Invalid, "Validation failure: Cannot delete Load Balancer lb - it has children"},
		"deleted load balancer deleted":         {then(deleteAll(true), deleteAll(true)), lb.Immutable, "Invalid state PENDING_DELETE of loadbalancer resource lb"},
		"deleted load balancer updated":         {then(deleteAll(true), func(t *lb.LoadBalancer) error { return t.Update(lb.LoadBalancerAttrs{}) }), lb.Immutable, "Invalid state PENDING_DELETE of loadbalancer resource lb"},
		"listener on a deleted load balancer":   {then(deleteAll(true), createListener("x", 90)), lb.Immutable, "Load Balancer lb is immutable and cannot be updated."},
		"pool on a deleted load balancer":       {then(deleteAll(true), createPool("x", "")), lb.Immutable, "Load Balancer lb is immutable and cannot be updated."},
		"member below a deleted load balancer":  {then(deleteAll(true), updateMember("p1", "m1", lb.MemberAttrs{})), lb.Immutable, "Load Balancer lb is immutable and cannot be updated."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tree := house(t)
			err := test.change(tree.Next(at(tree.Generation + 1)))
			if lb.CodeOf(err) != test.code || err.Error() != test.message {
				t.Errorf("%v (code %d), want %s (code %d)", err, lb.CodeOf(err), test.message, test.code)
			}
		})
	}
}

// TestPermissions holds what the rules let pass, though one might think otherwise.
func TestPermissions(t *testing.T) {
	tests := map[string][]step{
		"the port of a listener being deleted is free":   {deleteListener("l1"), createListener("x", 80)},
		"the address of a member being deleted is free":  {deleteMember("p1", "m1"), createMember("p1", "x", one, 80)},
		"a health monitor being deleted may be replaced": {deleteMonitor("h1"), createMonitor("p1", "x", "TCP")},
		"the same member in two pools":                   {createMember("p2", "x", two, 80)},
		"the same address on another port":               {createMember("p1", "x", one, 81)},
		"two listeners share a pool":                     {updateListener("l2", lb.ListenerAttrs{DefaultPoolID: lb.Some("p1")})},
		"a listener lets go of its pool and takes one": {
			updateListener("l1", lb.ListenerAttrs{DefaultPoolID: lb.Null[string]()}), createPool("x", "l1"),
		},
		"a listener keeps the pool that it names again":    {updateListener("l1", lb.ListenerAttrs{DefaultPoolID: lb.Some("p1")})},
		"a default pool is deleted":                        {deletePool("p1"), createPool("x", "l1")},
		"a timeout longer than the delay":                  {updateMonitor("h1", lb.HealthMonitorAttrs{DelaySec: lb.Some(1), TimeoutSec: lb.Some(60)})},
		"an empty session persistence keeps its type":      {updatePool("p1", persistence("SOURCE_IP")), updatePool("p1", persistence(""))},
		"an empty load balancer is deleted":                {deleteListener("l1"), deleteListener("l2"), deletePool("p1"), deletePool("p2"), deleteAll(false)},
		"a load balancer with children is deleted whole":   {deleteAll(true)},
		"a batch that replaces a member by one like it":    {deleteMember("p1", "m1"), replaceMembers("p1", false, lb.MemberCreate{ID: "x", Address: one, ProtocolPort: 80})},
		"an empty batch on an empty pool changes nothing":  {deleteMember("p2", "m3"), replaceMembers("p2", false)},
		"a load balancer is changed while it is not ready": {func(t *lb.LoadBalancer) error { return t.Update(lb.LoadBalancerAttrs{}) }, createListener("x", 90)},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			tree := house(t)
			for _, s := range steps {
				tree = tree.Next(at(tree.Generation + 1))
				must(t, s(tree))
			}
		})
	}
}

func TestProvider(t *testing.T) {
	for name, want := range map[string]string{"": "poise", "poise": "poise", "amphora": "amphora", "amphorav2": "amphorav2", "octavia": "octavia"} {
		tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{Provider: name}, noon)
		must(t, err)
		if tree.Provider != want {
			t.Errorf("%q becomes %q", name, tree.Provider)
		}
	}
	_, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{Provider: "nosuch"}, noon)
	if lb.CodeOf(err) != lb.Invalid || err.Error() != "Provider 'nosuch' is not enabled." {
		t.Errorf("nosuch: %v", err)
	}
}
