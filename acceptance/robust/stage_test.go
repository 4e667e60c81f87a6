package robust

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"poise/internal/clouds"
)

// stage is a server with something of everything, and people who may and who may not touch it.
type stage struct {
	*server
	people map[string]client
	ids    map[string]string // what stands for {name} in paths, bodies and messages
}

// newStage makes a load balancer with all that can be below it, in the project demo. Its owner is "demo"; "reader" may
// look at it, "eve" belongs to another project, "nobody" has no token, "forger" made one up, "late" had one that was
// revoked, and "admin" may do everything.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := newServer(t, "")
	g := &stage{server: s, people: map[string]client{"demo": s.demo, "admin": s.admin, "nobody": newClient(s.listen)}, ids: map[string]string{
		"L": "/load-balancer/v2/lbaas", "N": "/network/v2.0", "C": "/compute/v2.1", "I": "/identity/v3",
		"missing": "00000000-1111-2222-3333-444444444444", "subnet": s.subnet, "external": s.external,
		"address": s.members[0].address, "long": strings.Repeat("x", 256), "huge": strings.Repeat("x", 1<<17),
	}}
	for _, create := range []struct{ as, name, path, body string }{
		{"demo", "lb", "{L}/loadbalancers", `{"loadbalancer": {"name": "one", "vip_subnet_id": "{subnet}"}}`},
		{"demo", "listener", "{L}/listeners", `{"listener": {"loadbalancer_id": "{lb}", "protocol": "TCP", "protocol_port": 80}}`},
		{"demo", "pool", "{L}/pools", `{"pool": {"listener_id": "{listener}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`},
		{"demo", "member", "{L}/pools/{pool}/members", `{"member": {"address": "{address}", "protocol_port": 61234}}`},
		{"demo", "monitor", "{L}/healthmonitors", `{"healthmonitor": {"pool_id": "{pool}", "type": "TCP", "delay": 5, "timeout": 5, "max_retries": 1, "max_retries_down": 10}}`},
		{"demo", "otherlb", "{L}/loadbalancers", `{"loadbalancer": {"name": "two", "vip_subnet_id": "{subnet}"}}`},
		{"demo", "otherpool", "{L}/pools", `{"pool": {"loadbalancer_id": "{otherlb}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}`},
		{"demo", "floatingip", "{N}/floatingips", `{"floatingip": {"floating_network_id": "{external}"}}`},
		{"admin", "project", "{I}/projects", `{"project": {"name": "other"}}`},
		{"admin", "eve", "{I}/users", `{"user": {"name": "eve", "password": "a long password"}}`},
		{"admin", "rita", "{I}/users", `{"user": {"name": "rita", "password": "a long password"}}`},
	} {
		body := g.in(create.body)
		kind := strings.Split(body, `"`)[1]
		g.ids[create.name] = g.people[create.as].must(t, "POST", g.in(create.path), kind, body).text("id")
	}
	lb := s.demo.must(t, "GET", g.in("{L}/loadbalancers/{lb}"), "loadbalancer", nil)
	g.ids["vip"], g.ids["port"] = lb.text("vip_address"), lb.text("vip_port_id")
	g.findNeighbours()
	g.signInPeople()
	g.waitUntilCalm()
	return g
}

func (g *stage) findNeighbours() {
	g.t.Helper()
	find := func(name, path, plural, called string) {
		g.t.Helper()
		for _, o := range g.admin.list(g.t, g.in(path), plural) {
			if o["name"] == called {
				g.ids[name] = o.text("id")
				return
			}
		}
		g.t.Fatalf("there is no %s in %s", called, path)
	}
	find("network", "{N}/networks", "networks", "network-regionone")
	find("router", "{N}/routers", "routers", "router-regionone")
	find("server", "{C}/servers?all_tenants=1", "servers", "srv-lbaas-1")
	find("demoproject", "{I}/projects", "projects", "demo")
	find("demouser", "{I}/users", "users", "demo")
	find("memberrole", "{I}/roles", "roles", "member")
	find("readerrole", "{I}/roles", "roles", "reader")
}

func (g *stage) signInPeople() {
	g.t.Helper()
	for _, path := range []string{"{I}/projects/{project}/users/{eve}/roles/{memberrole}", "{I}/projects/{demoproject}/users/{rita}/roles/{readerrole}"} {
		g.admin.must(g.t, "PUT", g.in(path), "", nil)
	}
	g.people["eve"] = g.signInAs("eve", "a long password", "other")
	g.people["reader"] = g.signInAs("rita", "a long password", "demo")
	late := g.signIn(clouds.User)
	r, err := http.NewRequestWithContext(g.t.Context(), "DELETE", "http://"+g.listen+"/identity/v3/auth/tokens", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", late.token)
	r.Header.Set("X-Subject-Token", late.token)
	if a, err := late.http.Do(r); err != nil || a.StatusCode != http.StatusNoContent {
		g.t.Fatalf("sign-out: %v %v", a, err)
	}
	forger := newClient(g.listen)
	forger.token = strings.Repeat("A", len(late.token))
	g.people["late"], g.people["forger"] = late, forger
}

// in puts the ids into a text.
func (g *stage) in(text string) string {
	var pairs []string
	for name, id := range g.ids {
		pairs = append(pairs, "{"+name+"}", id)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// waitUntilCalm waits until nothing changes by itself any more.
func (g *stage) waitUntilCalm() {
	g.t.Helper()
	eventually(g.t, "calm", patience, func() error {
		now, err := takeCensus(g.t.Context(), g.demo)
		if err != nil {
			return err
		}
		member := g.demo.must(g.t, "GET", g.in("{L}/pools/{pool}/members/{member}"), "member", nil)
		if member["operating_status"] != "ONLINE" {
			return fmt.Errorf("the member is %v", member["operating_status"])
		}
		return now.active()
	})
	eventually(g.t, "calm", patience, func() error {
		before := g.everything()
		time.Sleep(50 * time.Millisecond) // there is nothing to wait for: what is seen is that nothing happens
		if diff := difference(before, g.everything()); diff != "" {
			return fmt.Errorf("it changes by itself:\n%s", diff)
		}
		return nil
	})
}
