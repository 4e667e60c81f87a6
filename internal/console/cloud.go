package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
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
)

// person is somebody who has signed in: the token, what it is good for, and where it is good for it. It is all that a
// session holds.
type person struct {
	Token   string                `json:"token"`
	Expires time.Time             `json:"expires"`
	User    string                `json:"user"`
	UserID  string                `json:"user_id"`
	Domain  string                `json:"domain"`
	Project project               `json:"project"`
	Choice  []project             `json:"choice"` // the projects that the person may switch to
	Roles   []string              `json:"roles"`
	Region  string                `json:"region"` // chosen for what is shown one region at a time
	Catalog []tokens.CatalogEntry `json:"catalog"`
}

type project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// credentials are what the sign-in form asks for.
type credentials struct{ user, password, project, domain string }

// signIn gets a token for credentials. Without a project it takes the first that the person has.
func (c *Console) signIn(ctx context.Context, with credentials) (*person, error) {
	return c.authenticate(ctx, gophercloud.AuthOptions{
		Username: with.user, Password: with.password, DomainName: with.domain, TenantName: with.project,
	})
}

// switchProject gets a token for another project in exchange for the one that the person has.
func (c *Console) switchProject(ctx context.Context, p *person, projectID string) (*person, error) {
	other, err := c.authenticate(ctx, gophercloud.AuthOptions{TokenID: p.Token, TenantID: projectID})
	if err != nil {
		return nil, err
	}
	other.Region = p.Region
	return other, nil
}

func (c *Console) authenticate(ctx context.Context, options gophercloud.AuthOptions) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client, err := c.provider()
	if err != nil {
		return nil, err
	}
	identity, err := openstack.NewIdentityV3(client, gophercloud.EndpointOpts{})
	if err != nil {
		return nil, fmt.Errorf("identity API: %w", err)
	}
	result := tokens.Create(ctx, identity, &options)
	if client.TokenID, err = result.ExtractTokenID(); err != nil {
		return nil, faultOf(err)
	}
	choice, err := c.projects(ctx, client)
	if err != nil {
		return nil, err
	}
	if options.TenantID == "" && options.TenantName == "" {
		if len(choice) == 0 {
			return nil, &fault{status: http.StatusForbidden, message: "You have no role in any project."}
		}
		return c.authenticate(ctx, gophercloud.AuthOptions{TokenID: client.TokenID, TenantID: choice[0].ID})
	}
	p, err := personOf(client.TokenID, result)
	if err != nil {
		return nil, err
	}
	p.Choice = choice
	return p, nil
}

// provider is a client of the cloud that has not signed in.
func (c *Console) provider() (*gophercloud.ProviderClient, error) {
	client, err := openstack.NewClient(c.IdentityURL)
	if err != nil {
		return nil, fmt.Errorf("identity address: %w", err)
	}
	client.HTTPClient = http.Client{Transport: c.cloud}
	client.UserAgent.Prepend("poise-console")
	return client, nil
}

// projects are those that a token may be exchanged for, by name.
func (c *Console) projects(ctx context.Context, client *gophercloud.ProviderClient) ([]project, error) {
	var out struct {
		Projects []project `json:"projects"`
	}
	_, err := client.Request(ctx, http.MethodGet, c.IdentityURL+"/auth/projects", &gophercloud.RequestOpts{JSONResponse: &out})
	if err != nil {
		return nil, fmt.Errorf("projects: %w", faultOf(err))
	}
	slices.SortFunc(out.Projects, func(a, b project) int { return strings.Compare(a.Name, b.Name) })
	return out.Projects, nil
}

// personOf reads who signed in out of what the identity API said.
func personOf(token string, result tokens.CreateResult) (*person, error) {
	var t struct {
		Expires time.Time             `json:"expires_at"`
		Catalog []tokens.CatalogEntry `json:"catalog"`
		Project project               `json:"project"`
		Roles   []project             `json:"roles"`
		User    struct {
			ID, Name string
			Domain   project
		} `json:"user"`
	}
	if err := result.ExtractInto(&t); err != nil {
		return nil, fmt.Errorf("the identity API's answer: %w", err)
	}
	p := &person{
		Token: token, Expires: t.Expires, User: t.User.Name, UserID: t.User.ID, Domain: t.User.Domain.Name,
		Project: t.Project, Catalog: t.Catalog,
	}
	for _, role := range t.Roles {
		p.Roles = append(p.Roles, role.Name)
	}
	slices.Sort(p.Roles)
	if regions := p.regions(loadBalancing); len(regions) > 0 {
		p.Region = regions[0]
	}
	return p, nil
}

// regions are where the catalogue has a service, by name.
func (p *person) regions(of service) []string {
	var all []string
	for _, entry := range p.Catalog {
		if entry.Type != string(of) {
			continue
		}
		for _, endpoint := range entry.Endpoints {
			if endpoint.Interface == "public" && endpoint.Region != "" && !slices.Contains(all, endpoint.Region) {
				all = append(all, endpoint.Region)
			}
		}
	}
	slices.Sort(all)
	return all
}

// revoke ends a token; one that has ended already is fine.
func (c *Console) revoke(ctx context.Context, p *person) error {
	client, err := c.signedIn(p)
	if err != nil {
		return err
	}
	_, err = client.Request(ctx, http.MethodDelete, c.IdentityURL+"/auth/tokens", &gophercloud.RequestOpts{
		MoreHeaders: map[string]string{"X-Subject-Token": p.Token}, OkCodes: []int{204, 401, 404},
	})
	return faultOf(err)
}

// isGood asks the identity API whether a token still is.
func (c *Console) isGood(ctx context.Context, p *person) (bool, error) {
	client, err := c.signedIn(p)
	if err != nil {
		return false, err
	}
	_, err = client.Request(ctx, http.MethodGet, c.IdentityURL+"/auth/tokens?nocatalog", &gophercloud.RequestOpts{
		MoreHeaders: map[string]string{"X-Subject-Token": p.Token}, OkCodes: []int{200},
	})
	switch err = faultOf(err); statusOf(err) {
	case 0:
		return err == nil, err
	case http.StatusUnauthorized, http.StatusNotFound:
		return false, nil
	}
	return false, err
}

func (c *Console) signedIn(p *person) (*gophercloud.ProviderClient, error) {
	client, err := c.provider()
	if err != nil {
		return nil, err
	}
	client.TokenID = p.Token
	client.EndpointLocator = func(o gophercloud.EndpointOpts) (string, error) {
		return openstack.V3EndpointURL(&tokens.ServiceCatalog{Entries: p.Catalog}, o)
	}
	return client, nil
}

// cloud is one region of the cloud in the hands of a person.
type cloud struct {
	*person
	region string
	client *gophercloud.ProviderClient
}

// open gives a person the APIs of a region.
func (c *Console) open(p *person, region string) (*cloud, error) {
	if !slices.Contains(p.regions(loadBalancing), region) {
		return nil, &fault{status: http.StatusNotFound, message: "There is no region of this name.", field: "region"}
	}
	client, err := c.signedIn(p)
	return &cloud{person: p, region: region, client: client}, err
}

// endpoint is the root of a service's versioned API, with a slash at its end.
func (c *cloud) endpoint(of service) (string, error) {
	options := gophercloud.EndpointOpts{Region: c.region}
	open := map[service]func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error){
		loadBalancing: openstack.NewLoadBalancerV2, networking: openstack.NewNetworkV2, computing: openstack.NewComputeV2,
	}[of]
	client, err := open(c.client, options)
	if err != nil {
		return "", fmt.Errorf("%s service of region %s: %w", of, c.region, err)
	}
	root := client.ResourceBaseURL()
	if of == loadBalancing {
		root += "lbaas/"
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
