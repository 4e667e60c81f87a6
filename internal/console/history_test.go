package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A member's line says what its last check saw and since when, and the pane behind it lists the checks.
func TestMemberHealth(t *testing.T) {
	cloud := newCloud(t)
	cloud.fill(t, "ann", "web")
	since := time.Now().Add(-3 * time.Minute).UTC()
	cloud.answers["pools/pool-one/members/member-one/health"] = map[string]any{"health": map[string]any{
		"operating_status": "ERROR", "status_reason": "no answer", "since": since,
		"probes": []map[string]any{
			{"time": since, "count": 36, "ok": false, "reason": "connection refused by 10.0.0.5:80", "duration_ms": 0.21, "changed": true},
			{"time": since.Add(-time.Hour), "count": 700, "ok": true, "duration_ms": 0.4},
		},
	}}
	v := signedIn(t, serve(t, cloud), "ann")
	for path, words := range map[string][]string{
		"/load-balancers/One/one?tab=pools&pool=pool-one":                  {"ERROR for 3 min: connection refused by 10.0.0.5:80", `class="check-bad"`, `class="check-ok"`, "36 of 736 failed"},
		"/load-balancers/One/one/pools/pool-one/members/member-one/health": {"ERROR for 3 min: connection refused by 10.0.0.5:80", "36 times since", "0.21 ms", "700 times since"},
		"/load-balancers/One/one?tab=history":                              {"web", "ERROR"},
	} {
		got := v.get(path)
		for _, word := range words {
			if !strings.Contains(got.text, word) {
				t.Errorf("%s: %q is missing\n%s", path, word, got.text)
			}
		}
	}
}

// A cloud that remembers nothing shows nothing of the past, and no error.
func TestCloudWithoutMemory(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "web")
	v := signedIn(t, serve(t, cloud), "ann")
	for path, want := range map[string]string{
		"/load-balancers/One/one?tab=history":             "does not remember",
		"/load-balancers/One/one?tab=traffic":             "does not say",
		"/load-balancers/One/one?tab=pools&pool=pool-one": "10.0.0.5",
	} {
		if got := v.get(path); got.StatusCode != http.StatusOK || !strings.Contains(got.text, want) || strings.Contains(got.text, "timeline") {
			t.Errorf("%s: %d\n%s", path, got.StatusCode, got.text)
		}
	}
	if got := v.get("/load-balancers/One/one/pools/pool-one/members/member-one/health"); got.StatusCode != http.StatusNotFound {
		t.Errorf("the pane: %d", got.StatusCode)
	}
}

// The picture has a line for each way that traffic takes, as thick as it has much.
func TestTrafficMap(t *testing.T) {
	cloud := newCloud(t)
	cloud.fill(t, "ann", "web")
	got := signedIn(t, serve(t, cloud), "ann").get("/load-balancers/One/one?tab=traffic", "HX-Request", "true")
	if boxes, edges := strings.Count(got.text, `class="map-box`), strings.Count(got.text, `class="edge`); boxes != 6 || edges != 5 {
		t.Errorf("%d boxes and %d edges, want the load balancer, its listener, a policy, what is left, pool and member with 5 ways:\n%s", boxes, edges, got.text)
	}
	if !strings.Contains(got.text, "data-chart=") {
		t.Error("there is no chart")
	}
}

// loads finds what a page loads besides.
var loads = regexp.MustCompile(`(?:src|href)="/console(/static/[^"]+)"`)

// A person who comes for the first time gets no more than 250 kB.
func TestFirstPageIsLight(t *testing.T) {
	cloud := newCloud(t)
	for i := range 100 {
		cloud.balancer("ann", fmt.Sprintf("lb-%d", i), "a load balancer with a name")
	}
	v := signedIn(t, serve(t, cloud), "ann")
	page := v.get("/load-balancers", "Accept-Encoding", "gzip")
	sum, plain := len(page.text), v.get("/load-balancers").text
	for _, found := range loads.FindAllStringSubmatch(plain, -1) {
		sum += len(v.get(found[1], "Accept-Encoding", "gzip").text)
	}
	if most := 250_000; sum > most {
		t.Errorf("%d bytes, want at most %d", sum, most)
	}
	t.Logf("%d bytes", sum)
}

// A page costs little, with 100 load balancers; how fast it is, is for bench/console to say.
func TestPagesAreCheap(t *testing.T) {
	cloud := newCloud(t)
	for i := range 100 {
		cloud.balancer("ann", fmt.Sprintf("lb-%d", i), "a load balancer with a name")
	}
	v := signedIn(t, serve(t, cloud), "ann")
	v.get("/load-balancers")                       // now everything has been read once
	const pages, most = 20, 100 * time.Millisecond // it is some 5 ms
	before := processorTime(t)
	for range pages {
		v.get("/load-balancers")
	}
	if each := (processorTime(t) - before) / pages; each > most {
		t.Errorf("a page costs %v, want at most %v", each, most)
	}
}

// processorTime is what this process has used, with the fake cloud in it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
