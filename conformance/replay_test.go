package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/clouds"
	"poise/internal/database/databasetest"
)

// What the recorded exchanges were made with.
const (
	recordedSubnet  = "a2cfec3c-fed9-4414-87f9-bfadb076bbd9"
	recordedNetwork = "ac37dfca-3aed-496c-833d-7483905919de"
	recordedProject = "427d61b37c7e4c70b35b20ca216cdb97"
	recordedBase    = "http://127.0.0.1:19879"
)

// patience is how long the tree may take to come to rest between two requests.
const patience = 10 * time.Second

// TestRecordedAnswers sends what a real Octavia was asked, in the same order, and wants the same answers, whatever the
// database.
func TestRecordedAnswers(t *testing.T) {
	exchanges, err := readTraces("testdata/traces")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sqlite", func(t *testing.T) { replay(t, newPlayer(t, ""), exchanges) })
	t.Run("postgres", func(t *testing.T) {
		replay(t, newPlayer(t, fmt.Sprintf("database = %q\n", databasetest.NewPostgres(t))), exchanges)
	})
}

func replay(t *testing.T, p *player, exchanges []exchange) {
	for _, e := range exchanges {
		if notSent[e.name] != "" {
			continue
		}
		differences := p.play(t, e)
		reason := divergences[e.name]
		switch {
		case reason == "" && len(differences) > 0:
			t.Errorf("%s: %s %s\n  %s", e.name, e.method, e.path, strings.Join(differences, "\n  "))
		case reason != "" && len(differences) == 0:
			t.Errorf("%s is said to differ (%s), but does not", e.name, reason)
		}
	}
}

// player sends recorded requests to a server.
type player struct {
	base   string
	tokens map[string]string // by actor
	names  names
}

// newPlayer starts a server with the project, network and subnet that the records are about.
func newPlayer(t *testing.T, configuration string) *player {
	address, credentials := startServer(t, configuration)
	p := &player{base: "http://" + address, tokens: map[string]string{}, names: names{now: map[string]string{}}}
	p.names.now[recordedBase] = p.base + "/load-balancer"
	p.prepare(t, credentials)
	return p
}

// prepare makes a network with a subnet for the demo project, and a member of another project.
func (p *player) prepare(t *testing.T, credentials clouds.File) {
	user, admin := credentials.Clouds[clouds.User].Auth, credentials.Clouds[clouds.Admin].Auth
	p.tokens["member"], p.names.now[recordedProject] = p.signIn(t, user.Username, user.Password, user.ProjectName)
	p.tokens["admin"], _ = p.signIn(t, admin.Username, admin.Password, admin.ProjectName)
	p.names.now[recordedNetwork] = p.make(t, "member", "/network/v2.0/networks", "network", map[string]any{"name": "n"})
	p.names.now[recordedSubnet] = p.make(t, "member", "/network/v2.0/subnets", "subnet",
		map[string]any{"network_id": p.names.now[recordedNetwork], "cidr": "10.0.0.0/22", "ip_version": 4})
	project := p.make(t, "admin", "/identity/v3/projects", "project", map[string]any{"name": "other"})
	stranger := p.make(t, "admin", "/identity/v3/users", "user", map[string]any{"name": "stranger", "password": "s-t-r-a-n-g-e-r"})
	roles := p.send(t, "admin", http.MethodGet, "/identity/v3/roles?name=member", "")
	var found struct{ Roles []struct{ ID string } }
	if err := json.Unmarshal(roles, &found); err != nil || len(found.Roles) != 1 {
		t.Fatalf("role member: %s", roles)
	}
	p.send(t, "admin", http.MethodPut, "/identity/v3/projects/"+project+"/users/"+stranger+"/roles/"+found.Roles[0].ID, "")
	p.tokens["stranger"], _ = p.signIn(t, "stranger", "s-t-r-a-n-g-e-r", "other")
}

func (p *player) signIn(t *testing.T, user, password, project string) (token, projectID string) {
	t.Helper()
	domain := map[string]any{"name": "Default"}
	body, _ := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": user, "password": password, "domain": domain},
		}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	}})
	answer, err := http.Post(p.base+"/identity/v3/auth/tokens", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var session struct {
		Token struct{ Project struct{ ID string } }
	}
	if err := json.NewDecoder(answer.Body).Decode(&session); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("sign-in of %s: %d %v", user, answer.StatusCode, err)
	}
	return answer.Header.Get("X-Subject-Token"), session.Token.Project.ID
}

func (p *player) make(t *testing.T, actor, path, envelope string, attributes map[string]any) (id string) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{envelope: attributes})
	var made map[string]struct{ ID string }
	if err := json.Unmarshal(p.send(t, actor, http.MethodPost, path, string(body)), &made); err != nil {
		t.Fatal(err)
	}
	return made[envelope].ID
}

// send makes a request that must succeed.
func (p *player) send(t *testing.T, actor, method, path, body string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", p.tokens[actor])
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, text, err)
	}
	return text
}

// play sends one recorded request, waits until its effects have come to rest, and returns how the answers differ.
func (p *player) play(t *testing.T, e exchange) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), e.method, p.base+"/load-balancer"+p.names.rewrite(e.path), strings.NewReader(p.names.rewrite(e.body)))
	if err != nil {
		t.Fatal(e.name, err)
	}
	request.Header = e.header.Clone()
	if e.header.Get("X-Auth-Token") != "" && e.name != "list-bad-token" {
		request.Header.Set("X-Auth-Token", p.tokens[actorOf(e)])
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(e.name, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(e.name, err)
	}
	var body any
	if len(text) > 0 && json.Unmarshal(text, &body) != nil {
		body = string(text)
	}
	differences := p.compare(e, answer, body)
	p.rest(t)
	return differences
}

func (p *player) compare(e exchange, answer *http.Response, body any) []string {
	var differences []string
	if answer.StatusCode != e.status {
		differences = append(differences, fmt.Sprintf("status: recorded %d, now %d: %s", e.status, answer.StatusCode, short(body)))
	} else {
		differences = p.names.same("body", e.answer, body)
	}
	for _, header := range []string{"Content-Type", "Allow"} {
		then, now := e.answers.Get(header), answer.Header.Get(header)
		if then != now {
			differences = append(differences, fmt.Sprintf("header %s: recorded %q, now %q", header, then, now))
		}
	}
	return differences
}

// actorOf is who made the request: the records say only whether it was somebody of another project.
func actorOf(e exchange) string {
	switch {
	case e.header.Get("X-Auth-Token") == "<other token>":
		return "stranger"
	case slices.Contains(byAdmin, e.name):
		return "admin"
	default:
		return "member"
	}
}

// rest waits until nothing is PENDING any more.
func (p *player) rest(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var list struct {
			LoadBalancers []struct {
				ID     string
				Status string `json:"provisioning_status"`
			}
		}
		if err := json.Unmarshal(p.send(t, "admin", http.MethodGet, "/load-balancer/v2.0/lbaas/loadbalancers", ""), &list); err != nil {
			t.Fatal(err)
		}
		var err error
		for _, b := range list.LoadBalancers {
			if strings.HasPrefix(b.Status, "PENDING") {
				err = errors.Join(err, fmt.Errorf("%s is %s", b.ID, b.Status))
			}
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
