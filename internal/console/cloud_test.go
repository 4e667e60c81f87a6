package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeCloud is a cloud that is not poise: it has the identity, load-balancer, network and compute APIs in small, and no stream
// of events. Each user sees a project of the same name.
type fakeCloud struct {
	*httptest.Server
	mux     *http.ServeMux
	mu      sync.Mutex // guards what follows
	objects map[string][]map[string]any
	refusal *refusal        // of the next change
	answers map[string]any  // of the load-balancer API to GET, by path, for what is no list
	admins  map[string]bool // users that may see and change what applies to everybody
	gone    map[string]bool // tokens that are no longer good
	sent    []sentRequest
}

// refusal is a fault in the load-balancer API's form.
type refusal struct {
	status          int
	message, header string
}

// sentRequest is a change that was asked for.
type sentRequest struct {
	method, path string
	body         map[string]any
}

// password is everybody's.
const password = "right"

func newCloud(t *testing.T) *fakeCloud {
	c := &fakeCloud{mux: http.NewServeMux(), objects: map[string][]map[string]any{}, answers: map[string]any{}, admins: map[string]bool{}, gone: map[string]bool{}}
	c.Server = httptest.NewServer(c.mux)
	t.Cleanup(c.Close)
	c.mux.HandleFunc("POST /identity/v3/auth/tokens", c.signIn)
	c.mux.HandleFunc("GET /identity/v3/auth/tokens", c.checked(func(w http.ResponseWriter, r *http.Request) {}))
	c.mux.HandleFunc("DELETE /identity/v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		c.revoke(r.Header.Get("X-Subject-Token"))
		w.WriteHeader(http.StatusNoContent)
	})
	c.mux.HandleFunc("GET /identity/v3/auth/projects", c.checked(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.Header.Get("X-Auth-Token"), "token-")
		answer(w, 200, map[string]any{"projects": []map[string]string{{"id": "p-" + name, "name": name}}})
	}))
	for _, service := range []string{"lb", "network", "compute"} {
		c.mux.HandleFunc("GET /"+service+"/{$}", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, map[string]any{"versions": []map[string]any{
				{"id": "v2.0", "status": "CURRENT", "links": []map[string]string{{"rel": "self", "href": c.URL + "/" + service + "/v2.0"}}},
			}})
		})
	}
	c.mux.HandleFunc("GET /keys/{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"versions": map[string]any{"values": []map[string]any{
			{"id": "v1", "status": "stable", "links": []map[string]string{{"rel": "self", "href": c.URL + "/keys/v1/"}}},
		}}})
	})
	c.mux.HandleFunc("/keys/v1/", c.checked(c.keyManaging))
	c.mux.HandleFunc("/lb/v2.0/lbaas/", c.checked(c.loadBalancing))
	c.mux.HandleFunc("/network/v2.0/", c.checked(c.inventory("/network/v2.0/")))
	c.mux.HandleFunc("/compute/", c.checked(c.inventory("/compute/")))
	return c
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (c *fakeCloud) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
				Token struct{ ID string }
			}
			Scope any
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	name := in.Auth.Identity.Password.User.Name
	if token := in.Auth.Identity.Token.ID; token != "" {
		name = strings.TrimPrefix(token, "token-")
	} else if in.Auth.Identity.Password.User.Password != password {
		answer(w, 401, map[string]any{"error": map[string]any{"message": "no", "code": 401}})
		return
	}
	token := map[string]any{
		"expires_at": "2999-01-01T00:00:00.000000Z", "user": map[string]any{"id": "u-" + name, "name": name, "domain": map[string]string{"name": "Default"}},
	}
	if in.Auth.Scope != nil {
		token["project"] = map[string]string{"id": "p-" + name, "name": name}
		token["roles"] = []map[string]string{{"name": "member"}}
		token["catalog"] = c.catalog()
	}
	w.Header().Set("X-Subject-Token", "token-"+name)
	answer(w, 201, map[string]any{"token": token})
}

// catalog has a region One, and a region Two without load balancers of anybody.
func (c *fakeCloud) catalog() []map[string]any {
	entry := func(kind, path string) map[string]any {
		var endpoints []map[string]string
		for _, region := range []string{"One", "Two"} {
			endpoints = append(endpoints, map[string]string{"interface": "public", "region": region, "region_id": region, "url": c.URL + path})
		}
		return map[string]any{"type": kind, "name": kind, "endpoints": endpoints}
	}
	return []map[string]any{entry("load-balancer", "/lb"), entry("network", "/network"), entry("compute", "/compute/v2.1"), entry("key-manager", "/keys")}
}

func (c *fakeCloud) revoke(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone[token] = true
}

// checked lets requests with a good token pass.
func (c *fakeCloud) checked(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Auth-Token")
		c.mu.Lock()
		bad := c.gone[token] || token == ""
		c.mu.Unlock()
		if bad {
			answer(w, 401, map[string]any{"error": map[string]any{"message": "no"}})
			return
		}
		next(w, r)
	}
}

// loadBalancing lists the objects of a kind, and takes changes down.
func (c *fakeCloud) loadBalancing(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/lb/v2.0/lbaas/")
	if strings.HasPrefix(path, "flavor") || strings.HasPrefix(path, "quotas/") && path != "quotas/p-"+userOf(r) {
		if !c.admins[userOf(r)] && (r.Method != http.MethodGet || path != "flavors") {
			answer(w, 403, map[string]any{"faultstring": "Policy does not allow this request to be performed."})
			return
		}
	}
	if found, ok := c.answers[path]; ok && r.Method == http.MethodGet {
		answer(w, 200, found)
		return
	}
	if r.Method == http.MethodGet {
		c.list(w, r, path)
		return
	}
	if c.refusal != nil {
		if c.refusal.header != "" {
			w.Header().Set("Poise-Fault-Field", c.refusal.header)
		}
		answer(w, c.refusal.status, map[string]any{"faultcode": "Client", "faultstring": c.refusal.message})
		c.refusal = nil
		return
	}
	sent := sentRequest{method: r.Method, path: path}
	_ = json.NewDecoder(r.Body).Decode(&sent.body)
	c.sent = append(c.sent, sent)
	answer(w, 200, sent.body)
}

// list answers like Octavia: it refuses to be asked for reasons, and knows no stream of events.
func (c *fakeCloud) list(w http.ResponseWriter, r *http.Request, path string) {
	all, known := c.objects[path]
	query := r.URL.Query()
	switch {
	case path == "watch":
		answer(w, 404, map[string]any{"faultstring": "Not Found"})
		return
	case query.Has("status_reasons"):
		answer(w, 400, map[string]any{"faultstring": "One or more arguments are either duplicate or invalid"})
		return
	case !known && strings.Contains(path, "/"):
		answer(w, 404, map[string]any{"faultstring": "Pool not found."})
		return
	}
	found := []map[string]any{}
	for _, o := range all {
		mine := query.Get("project_id") == "" || o["project_id"] == query.Get("project_id")
		if id := query.Get("loadbalancer_id"); id != "" {
			mine = mine && fmt.Sprint(o["loadbalancers"]) == fmt.Sprint([]map[string]any{{"id": id}})
		}
		if mine && (query.Get("id") == "" || o["id"] == query.Get("id")) {
			found = append(found, o)
		}
	}
	answer(w, 200, map[string]any{path[strings.LastIndex(path, "/")+1:]: found})
}

// userOf is who asks.
func userOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Auth-Token"), "token-")
}

// keyManaging has secrets and containers, which only their owner sees, and takes changes down.
func (c *fakeCloud) keyManaging(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/keys/v1/")
	if r.Method != http.MethodGet {
		sent := sentRequest{method: r.Method, path: path}
		_ = json.NewDecoder(r.Body).Decode(&sent.body)
		c.sent = append(c.sent, sent)
		if r.Method == http.MethodPost {
			answer(w, 201, map[string]string{strings.TrimSuffix(path, "s") + "_ref": fmt.Sprintf("%s/keys/v1/%s/made-%d", c.URL, path, len(c.sent))})
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	found := []map[string]any{}
	for _, o := range c.objects[path] {
		if o["owner"] == userOf(r) {
			found = append(found, o)
		}
	}
	if payload, ok := c.answers["keys/"+path].([]byte); ok {
		_, _ = w.Write(payload)
		return
	}
	answer(w, 200, map[string]any{path: found, "total": len(found)})
}

// inventory lists what the network and compute APIs have.
func (c *fakeCloud) inventory(prefix string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, prefix), "v2.1/")
		all := c.objects[name]
		if kind, id, ok := strings.Cut(name, "/"); ok && all == nil {
			for _, o := range c.objects[kind] {
				if o["id"] == id {
					answer(w, 200, map[string]any{strings.TrimSuffix(kind, "s"): o})
					return
				}
			}
		}
		if all == nil {
			all = []map[string]any{}
		}
		answer(w, 200, map[string]any{strings.TrimSuffix(name, "/detail"): all})
	}
}

// add puts an object into the cloud.
func (c *fakeCloud) add(kind string, o map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[kind] = append(c.objects[kind], o)
}

// refuse has the cloud refuse the next change.
func (c *fakeCloud) refuse(r refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = &r
}

// changes are those that were asked for so far.
func (c *fakeCloud) changes() []sentRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]sentRequest{}, c.sent...)
}

// balancer adds a load balancer of a user with everything below it, all of it named in the same way.
func (c *fakeCloud) balancer(user, id, name string) {
	of := []map[string]any{{"id": id}}
	common := func(kind string) map[string]any {
		return map[string]any{
			"id": kind + "-" + id, "name": name, "description": name, "project_id": "p-" + user, "provisioning_status": "ACTIVE", "operating_status": "ERROR",
			"status_reason": name, "created_at": "2026-01-01T00:00:00", "loadbalancers": of, "protocol": "TCP", "type": "TCP",
		}
	}
	with := func(o map[string]any, more map[string]any) map[string]any {
		for name, value := range more {
			o[name] = value
		}
		return o
	}
	c.add("loadbalancers", with(common("x"), map[string]any{"id": id, "vip_address": "10.0.0.9", "vip_port_id": "port-" + id, "provider": name, "flavor_id": name}))
	c.add("listeners", with(common("listener"), map[string]any{"protocol_port": 80, "connection_limit": -1, "default_pool_id": "pool-" + id}))
	c.add("pools", with(common("pool"), map[string]any{"lb_algorithm": "ROUND_ROBIN", "healthmonitor_id": "monitor-" + id, "members": []map[string]any{{"id": "member-" + id}}}))
	c.add("healthmonitors", with(common("monitor"), map[string]any{"pools": []map[string]any{{"id": "pool-" + id}}, "delay": 5, "timeout": 3}))
	c.add("pools/pool-"+id+"/members", with(common("member"), map[string]any{"address": "10.0.0.5", "protocol_port": 8080, "weight": 1, "monitor_port": 9}))
}
