package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// object is what all objects of the load-balancer API have in common.
type object struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	Provisioning string   `json:"provisioning_status"`
	Operating    string   `json:"operating_status"`
	Reason       string   `json:"status_reason"` // poise's own: why it has its statuses
	AdminStateUp bool     `json:"admin_state_up"`
	ProjectID    string   `json:"project_id"`
	CreatedAt    string   `json:"created_at"`
	UpdatedAt    string   `json:"updated_at"`
	Tags         []string `json:"tags"`
}

// label is the object's name, or its id when it has none.
func (o object) label() string {
	if o.Name != "" {
		return o.Name
	}
	return o.ID
}

// reference is an object that another one names.
type reference struct {
	ID string `json:"id"`
}

// balancer is a load balancer with what is below it.
type balancer struct {
	object
	VIPAddress   string `json:"vip_address"`
	VIPPortID    string `json:"vip_port_id"`
	VIPSubnetID  string `json:"vip_subnet_id"`
	VIPNetworkID string `json:"vip_network_id"`
	FlavorID     string `json:"flavor_id"`
	Provider     string `json:"provider"`

	AdditionalVIPs []additionalVIP `json:"additional_vips"`

	region    string
	listeners []listener
	pools     []pool
}

// additionalVIP is one more address of the VIP port.
type additionalVIP struct {
	Address  string `json:"ip_address"`
	SubnetID string `json:"subnet_id"`
}

type listener struct {
	object
	LoadBalancers        []reference       `json:"loadbalancers"`
	Protocol             string            `json:"protocol"`
	Port                 int               `json:"protocol_port"`
	DefaultPoolID        string            `json:"default_pool_id"`
	ConnectionLimit      int               `json:"connection_limit"`
	TimeoutClientData    int               `json:"timeout_client_data"`
	TimeoutMemberConnect int               `json:"timeout_member_connect"`
	TimeoutMemberData    int               `json:"timeout_member_data"`
	TimeoutTCPInspect    int               `json:"timeout_tcp_inspect"`
	AllowedCIDRs         []string          `json:"allowed_cidrs"`
	TLSContainer         string            `json:"default_tls_container_ref"`
	SNIContainers        []string          `json:"sni_container_refs"`
	ClientAuthentication string            `json:"client_authentication"`
	ClientCA             string            `json:"client_ca_tls_container_ref"`
	ClientCRL            string            `json:"client_crl_container_ref"`
	ALPN                 []string          `json:"alpn_protocols"`
	TLSVersions          []string          `json:"tls_versions"`
	HSTSMaxAge           int               `json:"hsts_max_age"`
	HSTSSubdomains       bool              `json:"hsts_include_subdomains"`
	HSTSPreload          bool              `json:"hsts_preload"`
	InsertHeaders        map[string]string `json:"insert_headers"`
	L7Policies           []reference       `json:"l7policies"`
}

type pool struct {
	object
	LoadBalancers []reference  `json:"loadbalancers"`
	Listeners     []reference  `json:"listeners"`
	Members       []reference  `json:"members"`
	MonitorID     string       `json:"healthmonitor_id"`
	Protocol      string       `json:"protocol"`
	Algorithm     string       `json:"lb_algorithm"`
	Persistence   *persistence `json:"session_persistence"`

	monitor *monitor
}

type persistence struct {
	Type       string `json:"type"`
	CookieName string `json:"cookie_name"`
}

type monitor struct {
	object
	Pools          []reference `json:"pools"`
	Type           string      `json:"type"`
	Delay          int         `json:"delay"`
	Timeout        int         `json:"timeout"`
	MaxRetries     int         `json:"max_retries"`
	MaxRetriesDown int         `json:"max_retries_down"`
	Path           string      `json:"url_path"`
	Method         string      `json:"http_method"`
	Codes          string      `json:"expected_codes"`
}

type member struct {
	object
	Address  string `json:"address"`
	Port     int    `json:"protocol_port"`
	Weight   int    `json:"weight"`
	SubnetID string `json:"subnet_id"`
	Backup   bool   `json:"backup"`
}

// loadBalancers reads the load balancers that a query selects, "" for all of the project, with their listeners, pools and
// health monitors.
func (c *cloud) loadBalancers(ctx context.Context, id string) ([]*balancer, error) {
	roots, err := listReasoned[*balancer](ctx, c, "loadbalancers", "id", id)
	if err != nil || len(roots) == 0 {
		return nil, err
	}
	listeners, err := listReasoned[listener](ctx, c, "listeners", "loadbalancer_id", id)
	if err != nil {
		return nil, err
	}
	pools, err := listReasoned[pool](ctx, c, "pools", "loadbalancer_id", id)
	if err != nil {
		return nil, err
	}
	monitors, err := c.monitors(ctx, id, pools)
	if err != nil {
		return nil, err
	}
	c.assemble(roots, listeners, pools, monitors)
	return roots, nil
}

// monitors are those of one load balancer's pools, or all of the project when id is "".
func (c *cloud) monitors(ctx context.Context, id string, pools []pool) ([]monitor, error) {
	if id == "" {
		return listReasoned[monitor](ctx, c, "healthmonitors", "", "")
	}
	var all []monitor
	for _, p := range pools {
		if p.MonitorID == "" {
			continue
		}
		found, err := listReasoned[monitor](ctx, c, "healthmonitors", "id", p.MonitorID)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// assemble puts everything below the load balancer that it belongs to.
func (c *cloud) assemble(roots []*balancer, listeners []listener, pools []pool, monitors []monitor) {
	byID := map[string]*balancer{}
	for _, b := range roots {
		b.region = c.region
		byID[b.ID] = b
	}
	checks := map[string]*monitor{}
	for i := range monitors {
		checks[monitors[i].ID] = &monitors[i]
	}
	for _, l := range listeners {
		if b := holder(byID, l.LoadBalancers); b != nil {
			b.listeners = append(b.listeners, l)
		}
	}
	for _, p := range pools {
		p.monitor = checks[p.MonitorID]
		if b := holder(byID, p.LoadBalancers); b != nil {
			b.pools = append(b.pools, p)
		}
	}
}

func holder(byID map[string]*balancer, of []reference) *balancer {
	if len(of) == 0 {
		return nil
	}
	return byID[of[0].ID]
}

// members reads the members of a pool, by address.
func (c *cloud) members(ctx context.Context, poolID string) ([]member, error) {
	return listReasoned[member](ctx, c, "pools/"+url.PathEscape(poolID)+"/members", "", "")
}

// listReasoned reads a list of the load-balancer API where key has a value ("": without), of the person's project, with the
// reasons of statuses where the API has them. Octavia itself refuses to be asked for reasons.
func listReasoned[T any](ctx context.Context, c *cloud, path, key, value string) ([]T, error) {
	query := url.Values{}
	if !strings.Contains(path, "/") {
		query.Set("project_id", c.Project.ID)
	}
	if value != "" {
		query.Set(key, value)
	}
	plural := path[strings.LastIndex(path, "/")+1:]
	query.Set("status_reasons", "true")
	all, err := list[T](ctx, c, loadBalancing, path+"?"+query.Encode(), plural)
	if statusOf(err) != http.StatusBadRequest {
		return all, err
	}
	query.Del("status_reasons")
	return list[T](ctx, c, loadBalancing, path+"?"+query.Encode(), plural)
}

func (b *balancer) listener(id string) (listener, bool) {
	i := slices.IndexFunc(b.listeners, func(l listener) bool { return l.ID == id })
	if i < 0 {
		return listener{}, false
	}
	return b.listeners[i], true
}

func (b *balancer) pool(id string) (pool, bool) {
	i := slices.IndexFunc(b.pools, func(p pool) bool { return p.ID == id })
	if i < 0 {
		return pool{}, false
	}
	return b.pools[i], true
}
