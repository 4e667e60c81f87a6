package lb_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/lb"
)

// TestRollup holds the table of octavia-rules.md §12. Each case changes the house, says what the node saw, and names
// the statuses that come out.
func TestRollup(t *testing.T) {
	off := lb.Common{AdminStateUp: lb.Some(false)}
	weight0 := lb.MemberAttrs{Weight: lb.Some(0)}
	up, down := lb.SeenMember{Checked: true, Up: true}, lb.SeenMember{Checked: true, Reason: "connection refused"}
	listening := lb.SeenListener{Listening: true}
	well := map[string]lb.SeenListener{"l1": listening, "l2": listening}
	members := func(m1, m2 lb.SeenMember) map[string]lb.SeenMember {
		return map[string]lb.SeenMember{"m1": m1, "m2": m2}
	}
	updateRoot := func(in lb.LoadBalancerAttrs) step {
		return func(t *lb.LoadBalancer) error { return t.Update(in) }
	}
	tests := map[string]struct {
		changes []step
		seen    lb.Seen
		before  string
		want    string
	}{
		"all is well": {
			seen: lb.Seen{Listeners: well, Members: members(up, up)},
			want: "lb=ONLINE l1=ONLINE l2=ONLINE p1=ONLINE h1=ONLINE m1=ONLINE m2=ONLINE p2=OFFLINE m3=NO_MONITOR",
		},
		"nothing seen yet": {
			want: "lb=ONLINE l1=OFFLINE l2=OFFLINE p1=ONLINE m1=ONLINE m2=ONLINE",
		},
		"load balancer disabled": {
			changes: []step{updateRoot(lb.LoadBalancerAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)}, before: "m1=ERROR m2=ONLINE",
			want: "lb=OFFLINE l1=OFFLINE l2=OFFLINE p1=OFFLINE m1=ERROR m2=ONLINE",
		},
		"listener disabled": {
			changes: []step{updateListener("l1", lb.ListenerAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Members: members(down, down)}, before: "m1=ONLINE m2=ERROR",
			want: "lb=ONLINE l1=OFFLINE l2=ONLINE p1=OFFLINE m1=ONLINE m2=ERROR",
		},
		"listener cannot be opened": {
			seen: lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Reason: "address already in use"}, "l2": listening}, Members: members(up, up)},
			want: "lb=DEGRADED l1=ERROR l2=ONLINE p1=ONLINE",
		},
		"no listener can be opened": {
			seen: lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Reason: "taken"}, "l2": {Reason: "taken"}}, Members: members(up, up)},
			want: "lb=ERROR l1=ERROR l2=ERROR p1=ONLINE",
		},
		"the only listener that is enabled cannot be opened": {
			changes: []step{updateListener("l2", lb.ListenerAttrs{Common: off})},
			seen:    lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Reason: "taken"}}, Members: members(up, up)},
			want:    "lb=ERROR l1=ERROR l2=OFFLINE p1=ONLINE",
		},
		"the only listener has lost its certificate": {
			changes: []step{updateListener("l2", lb.ListenerAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Uncarried: map[string]string{"l1": "the secret is gone"}},
			want:    "lb=ERROR l1=ERROR p1=OFFLINE",
		},
		"listener full": {
			seen: lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Listening: true, Full: true}}, Members: members(up, up)},
			want: "lb=DEGRADED l1=DEGRADED l2=OFFLINE p1=ONLINE",
		},
		"a circle, or no descriptors for a listener's clients": {
			seen: lb.Seen{
				Listeners: map[string]lb.SeenListener{"l1": {Listening: true, Trouble: "new clients wait"}, "l2": listening},
				Members:   members(up, up),
			},
			want: "lb=DEGRADED l1=DEGRADED l2=ONLINE p1=ONLINE",
		},
		"pool disabled": {
			changes: []step{updatePool("p1", lb.PoolAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Members: members(down, down)}, before: "m1=ONLINE m2=ONLINE",
			want: "lb=ONLINE l1=ONLINE p1=OFFLINE m1=ONLINE m2=ONLINE",
		},
		"pool without members": {
			changes: []step{deleteMember("p1", "m1"), deleteMember("p1", "m2")},
			seen:    lb.Seen{Listeners: well},
			want:    "lb=ONLINE p1=ONLINE",
		},
		"pool without listener, before and after": {
			seen: lb.Seen{Listeners: well, Members: members(up, up)}, before: "m3=ERROR",
			want: "lb=ONLINE p2=OFFLINE m3=NO_MONITOR",
		},
		"new member of a pool without listener": {
			changes: []step{createMonitor("p2", "h2", "TCP")},
			seen:    lb.Seen{Listeners: well, Members: members(up, up)},
			want:    "lb=ONLINE p2=OFFLINE m3=OFFLINE h2=ONLINE",
		},
		"a monitor that came after the member of a pool without listener": {
			changes: []step{createMonitor("p2", "h2", "TCP")},
			seen:    lb.Seen{Listeners: well}, before: "m3=NO_MONITOR",
			want: "p2=OFFLINE m3=OFFLINE",
		},
		"a disabled member of a pool that is not served": {
			changes: []step{updateMember("p2", "m3", lb.MemberAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well}, before: "m3=NO_MONITOR",
			want: "p2=OFFLINE m3=OFFLINE",
		},
		"a disabled member of a checked pool that is not served": {
			changes: []step{updatePool("p1", lb.PoolAttrs{Common: off}), updateMember("p1", "m1", lb.MemberAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well}, before: "m1=ERROR m2=ERROR",
			want: "p1=OFFLINE m1=OFFLINE m2=ERROR",
		},
		"one member down": {
			seen: lb.Seen{Listeners: well, Members: members(down, up)},
			want: "lb=DEGRADED l1=ONLINE p1=DEGRADED m1=ERROR m2=ONLINE",
		},
		"all members down": {
			seen: lb.Seen{Listeners: well, Members: members(down, down)},
			want: "lb=ERROR l1=ONLINE p1=ERROR m1=ERROR m2=ERROR",
		},
		"a backup member down": {
			changes: []step{updateMember("p1", "m2", lb.MemberAttrs{Backup: lb.Some(true)})},
			seen:    lb.Seen{Listeners: well, Members: members(up, down)},
			want:    "lb=DEGRADED p1=DEGRADED m2=ERROR",
		},
		"members not checked yet": {
			seen: lb.Seen{Listeners: well},
			want: "lb=ONLINE p1=ONLINE m1=ONLINE m2=ONLINE",
		},
		"one member draining": {
			changes: []step{updateMember("p1", "m1", weight0)},
			seen:    lb.Seen{Listeners: well, Members: members(up, up)},
			want:    "lb=ONLINE p1=ONLINE m1=DRAINING m2=ONLINE",
		},
		"a draining member down": {
			changes: []step{updateMember("p1", "m1", weight0)},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)},
			want:    "lb=DEGRADED p1=DEGRADED m1=ERROR m2=ONLINE",
		},
		"all members draining": {
			changes: []step{updateMember("p1", "m1", weight0), updateMember("p1", "m2", weight0)},
			seen:    lb.Seen{Listeners: well, Members: members(up, up)},
			want:    "lb=ERROR p1=ERROR m1=DRAINING m2=DRAINING",
		},
		"one member disabled": {
			changes: []step{updateMember("p1", "m1", lb.MemberAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)},
			want:    "lb=ONLINE p1=ONLINE m1=OFFLINE m2=ONLINE",
		},
		"all members disabled": {
			changes: []step{updateMember("p1", "m1", lb.MemberAttrs{Common: off}), updateMember("p1", "m2", lb.MemberAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well},
			want:    "lb=ERROR p1=ERROR m1=OFFLINE m2=OFFLINE",
		},
		"health monitor disabled": {
			changes: []step{updateMonitor("h1", lb.HealthMonitorAttrs{Common: off})},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)},
			want:    "lb=ONLINE p1=ONLINE h1=OFFLINE m1=NO_MONITOR m2=NO_MONITOR",
		},
		"health monitor deleted": {
			changes: []step{deleteMonitor("h1")},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)}, before: "m1=ERROR",
			want: "lb=ONLINE p1=ONLINE m1=NO_MONITOR m2=NO_MONITOR",
		},
		"a member that is down is being deleted": {
			changes: []step{deleteMember("p1", "m1")},
			seen:    lb.Seen{Listeners: well, Members: members(down, up)},
			want:    "lb=ONLINE p1=ONLINE m1=ERROR m2=ONLINE",
		},
		"two listeners share a pool, one of them disabled": {
			changes: []step{
				updateListener("l2", lb.ListenerAttrs{DefaultPoolID: lb.Some("p1")}),
				updateListener("l1", lb.ListenerAttrs{Common: off}),
			},
			seen: lb.Seen{Listeners: well, Members: members(up, down)},
			want: "lb=DEGRADED l1=OFFLINE l2=ONLINE p1=DEGRADED m2=ERROR",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := map[string]lb.Status{}
			for id, status := range pairs(test.before) {
				before[id] = lb.Status{Operating: lb.OperatingStatus(status)}
			}
			got := lb.Rollup(change(t, house(t), test.changes...), test.seen, before, noon)
			for id, status := range pairs(test.want) {
				if string(got[id].Operating) != status {
					t.Errorf("%s is %s, want %s", id, got[id].Operating, status)
				}
			}
		})
	}
}

// pairs reads "id=STATUS id=STATUS".
func pairs(s string) map[string]string {
	all := map[string]string{}
	for _, pair := range strings.Fields(s) {
		id, status, _ := strings.Cut(pair, "=")
		all[id] = status
	}
	return all
}

// TestReasons holds that whatever is not well says why, up to the load balancer.
func TestReasons(t *testing.T) {
	named := change(t, house(t),
		updateListener("l1", lb.ListenerAttrs{Common: lb.Common{Name: lb.Some("web")}}),
		updatePool("p1", lb.PoolAttrs{Common: lb.Common{Name: lb.Some("shop")}}))
	down := lb.SeenMember{Checked: true, Reason: "connection refused"}
	statuses := lb.Rollup(named, lb.Seen{
		Listeners: map[string]lb.SeenListener{"l1": {Reason: "address already in use"}},
		Members:   map[string]lb.SeenMember{"m1": down, "m2": {Checked: true, Up: true}},
	}, nil, noon)
	for id, want := range map[string]string{
		"m1": "connection refused",
		"m2": "",
		"l1": "address already in use",
		"p1": "1 of 2 members down: connection refused",
		"lb": "listener web: address already in use",
	} {
		if got := statuses[id].Reason; got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	statuses = lb.Rollup(named, lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Reason: "address already in use"}}}, nil, noon)
	if got := statuses["lb"]; got.Reason != "listener web: address already in use" || got.Operating != lb.InError {
		t.Errorf("lb: %+v", got)
	}
}

// TestSince moves the time of a status only when the status changes.
func TestSince(t *testing.T) {
	tree := house(t)
	up, down := lb.SeenMember{Checked: true, Up: true}, lb.SeenMember{Checked: true, Reason: "refused"}
	var statuses map[string]lb.Status
	for minute, m1 := range []lb.SeenMember{up, up, down, down} {
		statuses = lb.Rollup(tree, lb.Seen{Members: map[string]lb.SeenMember{"m1": m1}}, statuses, noon.Add(time.Duration(minute)*time.Minute))
	}
	for id, minutes := range map[string]time.Duration{"m1": 2, "p1": 2, "lb": 2, "m2": 0, "l1": 0} {
		if got := statuses[id].Since.Sub(noon); got != minutes*time.Minute {
			t.Errorf("%s since %v, want %v minutes", id, got, int(minutes))
		}
	}
}

// TestProvisioning derives statuses from what a node has acknowledged or failed to apply.
func TestProvisioning(t *testing.T) {
	tree := change(t, house(t), // generation 9
		updateMember("p1", "m1", lb.MemberAttrs{}), // 10
		deleteListener("l2"))                       // 11
	tests := []struct {
		applied, failed int64
		want            string
	}{
		{0, 0, "lb=PENDING_CREATE l1=PENDING_CREATE p1=PENDING_CREATE m1=PENDING_CREATE m2=PENDING_CREATE l2=PENDING_DELETE"},
		{0, 9, "lb=PENDING_CREATE l1=PENDING_CREATE m1=PENDING_CREATE m2=ERROR m3=ERROR h1=ERROR l2=PENDING_DELETE"},
		{9, 0, "lb=PENDING_UPDATE l1=PENDING_UPDATE p1=PENDING_UPDATE m1=PENDING_UPDATE m2=ACTIVE p2=ACTIVE l2=PENDING_DELETE"},
		{9, 10, "lb=PENDING_UPDATE l1=ERROR p1=ERROR m1=ERROR m2=ACTIVE l2=PENDING_DELETE"},
		{10, 11, "lb=ERROR l1=ACTIVE p1=ACTIVE m1=ACTIVE l2=ERROR"},
		{10, 10, "lb=PENDING_UPDATE m1=ACTIVE l2=PENDING_DELETE"},
		{11, 10, "lb=ACTIVE l1=ACTIVE p1=ACTIVE m1=ACTIVE m2=ACTIVE l2=PENDING_DELETE"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("applied %d failed %d", test.applied, test.failed), func(t *testing.T) {
			s := lb.Snapshot{Tree: tree, Observed: lb.Observation{Applied: test.applied, FailedIn: test.failed, Failure: "no space left"}}
			for id, want := range pairs(test.want) {
				o := object(t, tree, id)
				if got := s.Provisioning(o); string(got) != want {
					t.Errorf("%s is %s, want %s", id, got, want)
				}
				if reason := s.Reason(o); (reason != "") != (want == "ERROR") {
					t.Errorf("%s is %s: %q", id, want, reason)
				}
			}
		})
	}
}

// TestOperatingBeforeReports holds the statuses of objects that no node has reported.
func TestOperatingBeforeReports(t *testing.T) {
	tree := house(t)
	operating := func(tree *lb.LoadBalancer, pool string, member int) lb.OperatingStatus {
		p, err := tree.Pool(pool)
		must(t, err)
		return lb.Snapshot{Tree: tree}.OperatingMember(p, p.Members[member])
	}
	if got := operating(tree, "p1", 0); got != lb.Offline {
		t.Errorf("member with a health monitor is %s", got)
	}
	if got := operating(tree, "p2", 0); got != lb.NoMonitor {
		t.Errorf("member without a health monitor is %s", got)
	}
	if got := operating(change(t, tree, deleteMonitor("h1")), "p1", 0); got != lb.NoMonitor {
		t.Errorf("member whose health monitor is being deleted is %s", got)
	}
	if got := (lb.Snapshot{Tree: tree}).Operating(&tree.Object); got != lb.Offline {
		t.Errorf("load balancer is %s", got)
	}
}

// A member that has recovered still says what its last failed check saw.
func TestRollupKeepsTheLastFailure(t *testing.T) {
	seen := lb.Seen{
		Listeners: map[string]lb.SeenListener{"l1": {Listening: true}},
		Members:   map[string]lb.SeenMember{"m1": {Checked: true, Up: true, Reason: "connection refused by 10.0.0.1:80"}},
	}
	got := lb.Rollup(house(t), seen, nil, noon)["m1"]
	if want := "the last check that failed saw: connection refused by 10.0.0.1:80"; got.Operating != lb.Online || got.Reason != want {
		t.Errorf("m1 is %s (%q), want ONLINE (%q)", got.Operating, got.Reason, want)
	}
}

// TestRollupOfUncarried shows listeners that the data plane does not carry in ERROR, and what hangs on them as not served. A
// health monitor stays ONLINE, with the reason.
func TestRollupOfUncarried(t *testing.T) {
	tree := change(t, villa(t),
		policy("http", "y1", lb.L7PolicyAttrs{RedirectPoolID: lb.Some("pool-http")}), l7Rule("y1", "r1", ruleOf("PATH", "EQUAL_TO", "", "/")),
		l7Rule("y1", "r2", lb.L7RuleAttrs{
			Common: lb.Common{AdminStateUp: lb.Some(false)}, Type: lb.Some("PATH"), CompareType: lb.Some("EQUAL_TO"), Value: lb.Some("/"),
		}))
	seen := lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Listening: true}}}
	statuses := func(uncarried map[string]string) map[string]lb.Status {
		seen.Uncarried = uncarried
		return lb.Rollup(tree, seen, nil, noon)
	}
	check := func(got map[string]lb.Status, want map[string]lb.OperatingStatus) {
		t.Helper()
		for id, status := range want {
			if got[id].Operating != status {
				t.Errorf("%s is %s (%q), want %s", id, got[id].Operating, got[id].Reason, status)
			}
		}
	}
	check(statuses(nil), map[string]lb.OperatingStatus{"y1": lb.Online, "r1": lb.Online, "r2": lb.Offline, "pool-http": lb.Online, "h1": lb.Online, "m1": lb.Online})
	got := statuses(map[string]string{"http": "no HTTP", "h1": "no checks"})
	check(got, map[string]lb.OperatingStatus{
		"lb": lb.Degraded, "http": lb.InError, "pool-http": lb.Offline, "h1": lb.Online, "m1": lb.NoMonitor, "p1": lb.Online, "y1": lb.Online,
	})
	if got["http"].Reason != "no HTTP" || got["h1"].Reason != "no checks" || got["lb"].Reason != "listener http: no HTTP" {
		t.Errorf("reasons %q, %q and %q", got["http"].Reason, got["h1"].Reason, got["lb"].Reason)
	}
}

// TestRollupOfPoolWithoutMembers keeps Octavia's ONLINE, and says why nobody is served.
func TestRollupOfPoolWithoutMembers(t *testing.T) {
	tree := change(t, house(t), deleteMember("p1", "m1"), deleteMember("p1", "m2"))
	got := lb.Rollup(tree, lb.Seen{Listeners: map[string]lb.SeenListener{"l1": {Listening: true}, "l2": {Listening: true}}}, nil, noon)
	const why = "the pool has no members, so it serves nobody"
	if got["p1"].Operating != lb.Online || got["p1"].Reason != why || got["lb"].Operating != lb.Online || got["lb"].Reason != "pool p1: "+why {
		t.Errorf("pool %+v, load balancer %+v", got["p1"], got["lb"])
	}
}
