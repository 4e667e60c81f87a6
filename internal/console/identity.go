package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// services are how each is found in the catalogue.
var services = map[service]func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error){
	loadBalancing: openstack.NewLoadBalancerV2, networking: openstack.NewNetworkV2, computing: openstack.NewComputeV2,
	keyManaging: openstack.NewKeyManagerV1,
}

// person is somebody who has signed in: the token, what it is good for, and where it is good for it. It is all that a
// session holds.
type person struct {
	Token   string                        `json:"token"`
	Expires time.Time                     `json:"expires"`
	User    string                        `json:"user"`
	UserID  string                        `json:"user_id"`
	Domain  string                        `json:"domain"`
	Project project                       `json:"project"`
	Choice  []project                     `json:"choice"` // the projects that the person may switch to
	Roles   []string                      `json:"roles"`
	Region  string                        `json:"region"`  // chosen for what is shown one region at a time
	Regions []string                      `json:"regions"` // with load balancers, by name
	browser string                        // the token of the browser, for its cookie alone
	Roots   map[string]map[service]string `json:"roots"` // of the services by region, as far as they answered
}

type project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// credentials are what the sign-in form asks for.
type credentials struct {
	user, password, project, domain string
	browser                         string // the token of the browser, "" where the identity service knows none
}

// browserHeader carries it to poise's own identity service and back.
const browserHeader = "Poise-Browser"

// signIn gets a token for credentials. Without a project it takes the first that the person has.
func (c *Console) signIn(ctx context.Context, with credentials) (*person, error) {
	return c.authenticate(ctx, gophercloud.AuthOptions{
		Username: with.user, Password: with.password, DomainName: with.domain, TenantName: with.project,
	}, with.browser)
}

// switchProject gets a token for another project in exchange for the one that the person has.
func (c *Console) switchProject(ctx context.Context, p *person, projectID string) (*person, error) {
	other, err := c.authenticate(ctx, gophercloud.AuthOptions{TokenID: p.Token, TenantID: projectID}, "")
	if err != nil {
		return nil, err
	}
	if slices.Contains(other.Regions, p.Region) {
		other.Region = p.Region
	}
	return other, nil
}

func (c *Console) authenticate(ctx context.Context, options gophercloud.AuthOptions, browser string) (*person, error) {
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
	if browser != "" {
		identity.MoreHeaders = map[string]string{browserHeader: browser}
	}
	result := tokens.Create(ctx, identity, &options)
	if client.TokenID, err = result.ExtractTokenID(); err != nil {
		return nil, faultOf(err)
	}
	known := result.Header.Get(browserHeader)
	choice, err := c.projects(ctx, client)
	if err != nil {
		return nil, err
	}
	if options.TenantID == "" && options.TenantName == "" {
		if len(choice) == 0 {
			return nil, &fault{status: http.StatusForbidden, message: "You have no role in any project."}
		}
		p, err := c.authenticate(ctx, gophercloud.AuthOptions{TokenID: client.TokenID, TenantID: choice[0].ID}, "")
		if err == nil {
			p.browser = known
		}
		return p, err
	}
	catalog, err := result.ExtractServiceCatalog()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	p, err := personOf(client.TokenID, result)
	if err != nil {
		return nil, err
	}
	p.browser = known
	p.Choice, p.Regions = choice, regionsOf(catalog)
	if len(p.Regions) == 0 {
		return nil, &fault{status: http.StatusNotFound, message: "The cloud has no load balancers for this project."}
	}
	p.Region, p.Roots = p.Regions[0], map[string]map[service]string{}
	for _, region := range p.Regions {
		p.Roots[region] = c.roots(ctx, client, catalog, region)
	}
	return p, nil
}

// roots finds the services of a region: the addresses of their versioned APIs, with a slash at the end. Those that do not
// answer are left out, and what needs them says so.
func (c *Console) roots(ctx context.Context, client *gophercloud.ProviderClient, catalog *tokens.ServiceCatalog, region string) map[service]string {
	client.EndpointLocator = func(o gophercloud.EndpointOpts) (string, error) {
		return openstack.V3Endpoint(ctx, client, catalog, o)
	}
	all := map[service]string{}
	for of, open := range services {
		found, err := open(client, gophercloud.EndpointOpts{Region: region})
		if err != nil {
			c.Log.WarnContext(ctx, "service of the cloud is not usable", "service", of, "region", region, "err", err)
			continue
		}
		all[of] = found.ResourceBaseURL()
		if of == loadBalancing {
			all[of] += "lbaas/"
		}
	}
	return all
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
		Expires time.Time `json:"expires_at"`
		Project project   `json:"project"`
		Roles   []project `json:"roles"`
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
		Project: t.Project,
	}
	for _, role := range t.Roles {
		p.Roles = append(p.Roles, role.Name)
	}
	slices.Sort(p.Roles)
	return p, nil
}

// regionsOf are where a catalogue has load balancers, by name.
func regionsOf(catalog *tokens.ServiceCatalog) []string {
	var all []string
	of := gophercloud.EndpointOpts{Type: string(loadBalancing)}
	for _, entry := range catalog.Entries {
		if !slices.Contains(of.Types(), entry.Type) {
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
	return client, nil
}
