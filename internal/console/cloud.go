package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// callTimeout bounds one call to an API.
const callTimeout = 20 * time.Second

// maxPages bounds how many pages of a list are read.
const maxPages = 100

// service is the type of an API in the catalogue.
type service string

const (
	loadBalancing service = "load-balancer"
	networking    service = "network"
	computing     service = "compute"
	keyManaging   service = "key-manager"
)

// cloud is one region of the cloud in the hands of a person.
type cloud struct {
	*person
	region string
	client *gophercloud.ProviderClient
}

// open gives a person the APIs of a region.
func (c *Console) open(p *person, region string) (*cloud, error) {
	if !slices.Contains(p.Regions, region) {
		return nil, &fault{status: http.StatusNotFound, message: "There is no region of this name.", field: "region"}
	}
	client, err := c.signedIn(p)
	return &cloud{person: p, region: region, client: client}, err
}

// endpoint is the root of a service's versioned API, with a slash at its end.
func (c *cloud) endpoint(of service) (string, error) {
	root := c.Roots[c.region][of]
	if root == "" {
		message := fmt.Sprintf("Region %s had no %s service that answered when you signed in.", c.region, of)
		return "", &fault{status: http.StatusServiceUnavailable, message: message}
	}
	return root, nil
}

// call asks a service: method and path below its root, a body unless in is nil, and the answer unless out is nil.
func (c *cloud) call(ctx context.Context, of service, method, path string, in, out any) error {
	root, err := c.endpoint(of)
	if err != nil {
		return err
	}
	return c.ask(ctx, method, root+path, in, out)
}

func (c *cloud) ask(ctx context.Context, method, address string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.client.Request(ctx, method, address, &gophercloud.RequestOpts{
		JSONBody: in, JSONResponse: out, OkCodes: []int{200, 201, 202, 204},
	})
	return faultOf(err)
}

// show reads one object, which the API puts into an envelope.
func show[T any](ctx context.Context, c *cloud, of service, path, envelope string) (T, error) {
	var out map[string]T
	err := c.call(ctx, of, http.MethodGet, path, nil, &out)
	return out[envelope], err
}

// list reads all pages of a list.
func list[T any](ctx context.Context, c *cloud, of service, path, plural string) ([]T, error) {
	root, err := c.endpoint(of)
	if err != nil {
		return nil, err
	}
	all := []T{}
	for next := root + path; next != "" && len(all) < maxPages*maxPage; {
		var page map[string]json.RawMessage
		if err := c.ask(ctx, http.MethodGet, next, nil, &page); err != nil {
			return nil, err
		}
		var objects []T
		if err := json.Unmarshal(page[plural], &objects); err != nil {
			return nil, fmt.Errorf("list of %s: %w", plural, err)
		}
		all = append(all, objects...)
		if next, err = nextPage(next, page[plural+"_links"], len(objects)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// maxPage is the most objects that one page of a list holds in OpenStack's services by default.
const maxPage = 1_000

// nextPage is the address of the page after this one, "" for the last. It is of the same host as this one: behind some
// proxies the services do not know their own address.
func nextPage(this string, raw json.RawMessage, got int) (string, error) {
	var links []struct{ Rel, Href string }
	if len(raw) == 0 || got == 0 || json.Unmarshal(raw, &links) != nil {
		return "", nil
	}
	for _, link := range links {
		if link.Rel != "next" {
			continue
		}
		next, err := url.Parse(link.Href)
		if err != nil {
			return "", fmt.Errorf("link to the next page: %w", err)
		}
		before, err := url.Parse(this)
		if err != nil {
			return "", err
		}
		before.RawQuery = next.RawQuery
		return before.String(), nil
	}
	return "", nil
}
