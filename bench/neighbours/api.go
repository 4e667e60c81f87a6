package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"poise/bench/server"
	"poise/internal/clouds"
)

// object is a JSON object.
type object map[string]any

// api speaks to a server as one user.
type api struct {
	root, token string
}

const (
	lbaas    = "/load-balancer/v2.0/lbaas"
	identity = "/identity/v3"
	network  = "/network/v2.0"
	password = "a long password" // of both tenants
)

var apiClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// send makes a request, and gives what is in the envelope of its answer.
func (a api) send(ctx context.Context, method, path, envelope string, body any) (object, http.Header, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, a.root+path, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		r.Header.Set("X-Auth-Token", a.token)
	}
	answer, err := apiClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return nil, nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	var whole object
	if len(text) > 0 {
		if err := json.Unmarshal(text, &whole); err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	if envelope == "" {
		return whole, answer.Header, nil
	}
	inside, _ := whole[envelope].(map[string]any)
	return inside, answer.Header, nil
}

// create makes an object and returns what the answer says of it.
func (a api) create(ctx context.Context, path, envelope string, attributes object) (object, error) {
	made, _, err := a.send(ctx, http.MethodPost, path, envelope, object{envelope: attributes})
	return made, err
}

func id(o object) string {
	text, _ := o["id"].(string)
	return text
}

// signIn gets a token.
func signIn(ctx context.Context, root, user, password, project string) (api, error) {
	domain := object{"name": "Default"}
	_, header, err := api{root: root}.send(ctx, http.MethodPost, identity+"/auth/tokens", "token", object{"auth": object{
		"identity": object{
			"methods":  []string{"password"},
			"password": object{"user": object{"name": user, "password": password, "domain": domain}},
		},
		"scope": object{"project": object{"name": project, "domain": domain}},
	}})
	if err != nil {
		return api{}, err
	}
	return api{root, header.Get("X-Subject-Token")}, nil
}

func signInAdmin(ctx context.Context, s *server.Server) (api, error) {
	account, err := s.Account(clouds.Admin)
	if err != nil {
		return api{}, err
	}
	auth := account.Auth
	return signIn(ctx, s.Address(), auth.Username, auth.Password, auth.ProjectName)
}

// apiAttacks are the attacks by the API: of one worker, with the token of tenant A.
var apiAttacks = map[string]func(address, token string, worker int, ended <-chan struct{}, done *atomic.Int64){
	"changes": changeMember, "followers": follow,
}

// changeMember writes a member's weight, again and again; all workers together 1,000 times a second.
func changeMember(address, token string, worker int, ended <-chan struct{}, done *atomic.Int64) {
	a := api{token: token}
	tick := time.NewTicker(time.Second * changeWorkers / changeRate)
	defer tick.Stop()
	for i := 1; ; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), attackerPatience)
		_, _, err := a.send(ctx, http.MethodPut, address, "member", object{"member": object{"weight": 1 + (worker+i)%100}})
		cancel()
		if err == nil {
			done.Add(1)
		}
		select {
		case <-tick.C:
		case <-ended:
			return
		}
	}
}

// follow opens the stream of a listener's log and never reads it.
func follow(address, token string, _ int, ended <-chan struct{}, done *atomic.Int64) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("Accept", "text/event-stream")
	answer, err := apiClient.Do(r)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		done.Add(1)
		<-ended
	}
}
