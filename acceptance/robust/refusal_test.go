package robust

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refused is a request that must be refused. In path, body and fault, {name} stands for an id of the stage.
type refused struct {
	as, method, path, body string
	status                 int
	fault                  string // the message, as a whole
}

// everything is all that the APIs and the network show.
func (g *stage) everything() map[string]any {
	g.t.Helper()
	all := map[string]any{"host": hostState(g.t)}
	for _, path := range []string{
		"{L}/loadbalancers", "{L}/listeners", "{L}/pools", "{L}/pools/{pool}/members", "{L}/pools/{otherpool}/members", "{L}/healthmonitors",
		"{L}/loadbalancers/{lb}/status", "{N}/networks", "{N}/subnets", "{N}/ports", "{N}/routers", "{N}/floatingips",
		"{C}/servers/detail?all_tenants=1", "{I}/projects", "{I}/users", "{I}/roles", "{I}/role_assignments", "{I}/domains", "{I}/regions",
		"{I}/users/{demouser}/application_credentials",
	} {
		a, err := g.admin.send(g.t.Context(), "GET", g.in(path), nil)
		if err != nil || a.status != http.StatusOK {
			g.t.Fatalf("GET %s: %v %v", path, a, err)
		}
		all[path] = a.body
	}
	return all
}

func difference(before, after map[string]any) string { return cmp.Diff(before, after) }

// faultOf is the message of a refusal, in each API's form.
func faultOf(a answer) string {
	if text, ok := a.body["faultstring"].(string); ok {
		return text
	}
	for _, v := range a.body {
		if o, ok := v.(map[string]any); ok {
			return fmt.Sprint(o["message"])
		}
	}
	return ""
}

// TestRefusedRequestChangesNothing sends requests that must be refused, and looks at everything after every few of them.
func TestRefusedRequestChangesNothing(t *testing.T) {
	const few = 10
	g := newStage(t)
	before := g.everything()
	all := slices.Concat(wrongInput, wrongNeighbourInput, strangers(), readers(), unauthenticated())
	for these := range slices.Chunk(all, few) {
		var names []string
		for _, r := range these {
			name := strings.Join([]string{r.as, r.method, r.path, r.body}, " ")
			names = append(names, name)
			t.Run(name[:min(len(name), 120)], func(t *testing.T) {
				var body any
				if r.body != "" {
					body = g.in(r.body)
				}
				a, err := g.people[r.as].send(t.Context(), r.method, g.in(r.path), body)
				if err != nil || a.status != r.status || faultOf(a) != g.in(r.fault) {
					t.Errorf("%d %q %v\nwant %d %q", a.status, faultOf(a), err, r.status, g.in(r.fault))
				}
			})
		}
		after := g.everything()
		if diff := difference(before, after); diff != "" {
			t.Errorf("one of these has changed something\n%s\n%s", strings.Join(names, "\n"), diff)
		}
		before = after
	}
}

// TestVIPPortMayBeDeleted deletes a load balancer's port, which Neutron allows its owner: the load balancer says so, and
// can be deleted.
func TestVIPPortMayBeDeleted(t *testing.T) {
	s := newServer(t, "")
	path := kindOf("loadbalancer").path
	lb := s.demo.must(t, "POST", path, "loadbalancer", object{"loadbalancer": object{"vip_subnet_id": s.subnet}})
	path += "/" + lb.text("id")
	s.demo.must(t, "DELETE", "/network/v2.0/ports/"+lb.text("vip_port_id"), "", nil)
	eventually(t, "ERROR with the reason", patience, func() error {
		o := s.demo.must(t, "GET", path+"?status_reasons=true", "loadbalancer", nil)
		if o["provisioning_status"] != "ERROR" || !strings.Contains(o.text("status_reason"), lb.text("vip_port_id")) {
			return fmt.Errorf("%v: %v", o["provisioning_status"], o["status_reason"])
		}
		return nil
	})
	s.demo.must(t, "DELETE", path, "", nil)
	eventually(t, "gone", patience, func() error {
		if a, err := s.demo.send(t.Context(), "GET", path, nil); err != nil || a.status != http.StatusNotFound {
			return fmt.Errorf("%v %w", a, err)
		}
		return nil
	})
}
