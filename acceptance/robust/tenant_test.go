package robust

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// tenant is a project with a user, a network and a load balancer of its own. Its listener has no pool: each request gets a 503.
type tenant struct {
	client
	lb, listener, vip string
	inside            string // the load balancer's namespace, from which its VIP can be reached
}

const tenantPassword = "a long password"

// newTenant makes a project whose only user has the role member.
func (s *server) newTenant(name string) *tenant {
	s.t.Helper()
	project := s.admin.must(s.t, "POST", "/identity/v3/projects", "project", object{"project": object{"name": name}}).text("id")
	user := s.admin.must(s.t, "POST", "/identity/v3/users", "user", object{"user": object{"name": name, "password": tenantPassword}}).text("id")
	for _, role := range s.admin.list(s.t, "/identity/v3/roles?name=member", "roles") {
		s.admin.must(s.t, "PUT", "/identity/v3/projects/"+project+"/users/"+user+"/roles/"+role.text("id"), "", nil)
	}
	t := &tenant{client: s.signInAs(name, tenantPassword, name)}
	network := t.must(s.t, "POST", "/network/v2.0/networks", "network", object{"network": object{"name": name}}).text("id")
	subnet := t.must(s.t, "POST", "/network/v2.0/subnets", "subnet", object{"subnet": object{
		"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24",
	}}).text("id")
	lb := t.must(s.t, "POST", lbaas+"/loadbalancers", "loadbalancer", object{"loadbalancer": object{"name": name, "vip_subnet_id": subnet}})
	t.lb, t.vip = lb.text("id"), lb.text("vip_address")
	t.listener = t.must(s.t, "POST", lbaas+"/listeners", "listener", object{"listener": object{
		"loadbalancer_id": t.lb, "protocol": "HTTP", "protocol_port": 80, "tags": []string{"access-log"},
	}}).text("id")
	eventually(s.t, "the listener of "+name, patience, func() error {
		a, err := t.send(s.t.Context(), "GET", lbaas+"/listeners/"+t.listener, nil)
		if l := a.inside("listener"); err == nil && (l["provisioning_status"] != "ACTIVE" || l["operating_status"] != "ONLINE") {
			err = fmt.Errorf("%v", a)
		}
		return err
	})
	for _, space := range namespaceNames(s.t) {
		if strings.HasSuffix(space, "-lb-"+t.lb) {
			t.inside = space
		}
	}
	return t
}

// openStream opens a stream of server-sent events; it ends with the test. The text is what a refusal says.
func (c client) openStream(t *testing.T, path string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", c.token)
	r.Header.Set("Accept", "text/event-stream")
	answer, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		words := make([]byte, 1<<10)
		n, _ := answer.Body.Read(words)
		text = string(words[:n])
	}
	return answer.StatusCode, text
}
