package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"poise/bench/server"
	"poise/internal/clouds"
)

// client speaks to the load balancer API over one connection, without a library whose own time would be measured.
type client struct {
	http.Client
	base, token string
	subnet      string // for VIPs
}

// signIn signs in as the demo user, and makes a subnet.
func signIn(ctx context.Context, s *server.Server) (*client, error) {
	provider, where, err := s.Cloud(ctx, clouds.User)
	if err != nil {
		return nil, err
	}
	balancers, err := openstack.NewLoadBalancerV2(provider, where)
	if err != nil {
		return nil, err
	}
	network, err := openstack.NewNetworkV2(provider, where)
	if err != nil {
		return nil, err
	}
	made, err := networks.Create(ctx, network, networks.CreateOpts{Name: "bench"}).Extract()
	if err != nil {
		return nil, err
	}
	subnet, err := subnets.Create(ctx, network, subnets.CreateOpts{NetworkID: made.ID, CIDR: "10.16.0.0/16", IPVersion: 4}).Extract()
	if err != nil {
		return nil, err
	}
	return &client{base: balancers.ServiceURL(""), token: provider.Token(), subnet: subnet.ID}, nil
}

// create makes an object and returns its id.
func (c *client) create(ctx context.Context, path, envelope string, attributes map[string]any) (id string, err error) {
	var answer map[string]struct {
		ID string `json:"id"`
	}
	err = c.send(ctx, http.MethodPost, path, map[string]any{envelope: attributes}, &answer)
	return answer[envelope].ID, err
}

// send makes a request and reads the whole answer; into may be nil.
func (c *client) send(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("X-Auth-Token", c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
