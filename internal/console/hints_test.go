package console_test

import (
	"strings"
	"testing"
)

// Whoever makes a UDP listener or pool is told what QUIC needs; other protocols need nothing.
func TestHintForQUIC(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	for _, kind := range []string{"listener", "pool"} {
		cloud.add(kind+"s", map[string]any{
			"id": kind + "-udp", "name": "quic", "project_id": "p-ann", "protocol": "UDP", "protocol_port": 443,
			"loadbalancers": []map[string]any{{"id": "one"}},
		})
	}
	v := signedIn(t, serve(t, cloud), "ann")
	for path, hinted := range map[string]bool{
		"listeners/new?protocol=UDP": true, "listeners/new?protocol=TCP": false, "listeners/listener-udp/modify": true,
		"listeners/listener-one/modify": false, "pools/new?protocol=UDP": true, "pools/new": false, "pools/pool-udp/modify": true,
		"pools/pool-one/modify": false,
	} {
		got := v.get("/load-balancers/One/one/" + path)
		_, hint, found := strings.Cut(got.text, "For QUIC ")
		if found != hinted || got.StatusCode != 200 {
			t.Errorf("%s: %d, hint for QUIC %v, want %v", path, got.StatusCode, found, hinted)
		}
		if hinted && !strings.Contains(hint[:min(len(hint), 60)], "SOURCE_IP") {
			t.Errorf("%s: the hint does not name SOURCE_IP: %.60s", path, hint)
		}
	}
}
