package neutron

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"
)

// Quota is how many objects of each resource a project may have, by the names of the quota API; Unlimited is any number.
type Quota map[string]int

// Unlimited is the limit of a resource of which a project may have any number.
const Unlimited = -1

// maxQuota is the largest limit: Neutron keeps limits in 32 bits.
const maxQuota = 1<<31 - 1

// The resources of a quota.
const (
	quotaNetwork    = "network"
	quotaSubnet     = "subnet"
	quotaPool       = "subnetpool"
	quotaPort       = "port"
	quotaRouter     = "router"
	quotaRoute      = "router_route" // of one router
	quotaFloatingIP = "floatingip"
	quotaGroup      = "security_group"
	quotaRule       = "security_group_rule"
	quotaRBAC       = "rbac_policy"
	quotaQoS        = "policy"
)

// DefaultQuota is the quota of projects for which nothing was set. The limits are Neutron's (neutron/conf/quota.py), but those
// of subnet pools and QoS policies, of which Neutron allows any number.
func DefaultQuota() Quota {
	return Quota{
		quotaNetwork: 100, quotaSubnet: 100, quotaPool: 100, quotaPort: 500, quotaRouter: 10, quotaRoute: 30,
		quotaFloatingIP: 50, quotaGroup: 10, quotaRule: 100, quotaRBAC: 10, quotaQoS: 100,
	}
}

// Limits are kept as they were set; what a project uses is counted in the transaction that adds to it. That transaction
// locks the project's row here first, so that two at the same time cannot both take what only one may have.
type quotaRow struct {
	bun.BaseModel `bun:"table:neutron_quotas,alias:q"`
	ProjectID     string `bun:"project_id,pk"`
	Limits        Quota  `bun:"limits"`
}

// quotaCounts say how many objects of each resource a project has. Each has the project as its one argument.
//
// A VIP's port that the load-balancer service made is not counted as a port: the quota of load balancers bounds those.
// A floating IP is an address of an external network, so other ports there count as well, unless the network is the
// project's own: else a project could take all addresses without one floating IP.
var quotaCounts = map[string]string{
	quotaNetwork: "SELECT count(*) FROM neutron_networks WHERE project_id = ?0",
	quotaSubnet:  "SELECT count(*) FROM neutron_subnets WHERE project_id = ?0",
	quotaPool:    "SELECT count(*) FROM neutron_subnet_pools WHERE project_id = ?0",
	quotaPort: "SELECT count(*) FROM neutron_ports WHERE project_id = ?0" +
		" AND (NOT holder_made OR holder IS NULL OR holder NOT LIKE '" + devicePrefix + "%')",
	quotaRouter: "SELECT count(*) FROM neutron_routers WHERE project_id = ?0",
	quotaFloatingIP: "SELECT (SELECT count(*) FROM neutron_floating_ips WHERE project_id = ?0) +" +
		" (SELECT count(*) FROM neutron_ports AS p JOIN neutron_networks AS n ON n.id = p.network_id" +
		" WHERE p.project_id = ?0 AND n.external AND n.project_id <> p.project_id)",
	quotaGroup: "SELECT count(*) FROM neutron_security_groups WHERE project_id = ?0",
	quotaRule:  "SELECT count(*) FROM neutron_security_group_rules WHERE project_id = ?0",
	quotaQoS:   "SELECT count(*) FROM neutron_qos_policies WHERE project_id = ?0",
}

// countUsed is how many objects of a resource a project has; 0 for what nobody can have.
func countUsed(ctx context.Context, db bun.IDB, resource, project string) (used int, err error) {
	query, counted := quotaCounts[resource]
	if !counted {
		return 0, nil
	}
	if err := db.NewRaw(query, project).Scan(ctx, &used); err != nil {
		return 0, fmt.Errorf("quota usage of %s: %w", resource, err)
	}
	return used, nil
}

// over completes the limits that were set for a project with the defaults.
func (q Quota) over(defaults Quota) Quota {
	whole := maps.Clone(defaults)
	maps.Copy(whole, q)
	return whole
}

// grows notes that the change adds an object to a project; the quota is looked at when the change is done.
func (c *change) grows(project string, resources ...string) {
	if project == "" { // the service's own
		return
	}
	if c.grown == nil {
		c.grown = map[string]map[string]bool{}
	}
	if c.grown[project] == nil {
		c.grown[project] = map[string]bool{}
	}
	for _, resource := range resources {
		c.grown[project][resource] = true
	}
}

// checkQuotas refuses what the change has added when a project may not have it.
func (s *Service) checkQuotas(ctx context.Context, c *change) error {
	for _, project := range slices.Sorted(maps.Keys(c.grown)) {
		quota, err := s.lockQuota(ctx, c, project)
		if err != nil {
			return err
		}
		exceeded := []string{}
		for _, resource := range slices.Sorted(maps.Keys(c.grown[project])) {
			if quota[resource] < 0 {
				continue
			}
			used, err := countUsed(ctx, c.tx, resource, project)
			if err != nil {
				return err
			}
			if used > quota[resource] {
				exceeded = append(exceeded, resource)
			}
		}
		if len(exceeded) > 0 {
			return errOverQuota(exceeded...)
		}
	}
	return nil
}

// errOverQuota says it in Neutron's words.
func errOverQuota(resources ...string) error {
	return conflict(kindOverQuota, "Quota exceeded for resources: ['%s'].", strings.Join(resources, "', '"))
}

// lockQuota makes the transaction the only one that adds to the project, and reads the project's quota.
func (s *Service) lockQuota(ctx context.Context, c *change, project string) (Quota, error) {
	row, err := c.lockLimits(ctx, project)
	if err != nil {
		return nil, err
	}
	return row.Limits.over(s.quota), nil
}

func (c *change) lockLimits(ctx context.Context, project string) (*quotaRow, error) {
	row := &quotaRow{ProjectID: project, Limits: Quota{}}
	_, err := c.tx.NewInsert().Model(row).On("CONFLICT (project_id) DO UPDATE").
		Set("project_id = EXCLUDED.project_id").Returning("limits").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock of the quota of project %s: %w", project, err)
	}
	return row, nil
}

// projectQuotas reads the quotas of the projects for which something was set, or of one project, set or not.
func (s *Service) projectQuotas(ctx context.Context, n narrow) (map[string]Quota, error) {
	rows, err := rowsOf[quotaRow](ctx, s.db, n)
	if err != nil {
		return nil, err
	}
	quotas := map[string]Quota{}
	for _, row := range rows {
		if len(row.Limits) > 0 {
			quotas[row.ProjectID] = row.Limits.over(s.quota)
		}
	}
	return quotas, nil
}

func (s *Service) quotaOf(ctx context.Context, project string) (Quota, error) {
	set, err := s.projectQuotas(ctx, where("q.project_id = ?", project))
	return set[project].over(s.quota), err
}

// setQuota sets limits of a project. Unless forced, a limit below what the project has already is refused.
func (s *Service) setQuota(ctx context.Context, c *change, project string, limits Quota, force bool) error {
	row, err := c.lockLimits(ctx, project)
	if err != nil {
		return err
	}
	for _, resource := range slices.Sorted(maps.Keys(limits)) {
		used, err := countUsed(ctx, c.tx, resource, project)
		if err != nil {
			return err
		}
		if limit := limits[resource]; !force && limit >= 0 && used > limit {
			return badRequest("HTTPBadRequest", "Quota limit %d for %s must be greater than or equal to already used %d", limit, resource, used)
		}
	}
	row.Limits = limits.over(row.Limits)
	return saveLimits(ctx, c, row)
}

// resetQuota gives a project the default quota again.
func resetQuota(ctx context.Context, c *change, project string) error {
	row, err := c.lockLimits(ctx, project)
	if err != nil {
		return err
	}
	if len(row.Limits) == 0 {
		return notFound("TenantQuotaNotFound", "Quota for tenant %s could not be found.", project)
	}
	row.Limits = Quota{}
	return saveLimits(ctx, c, row)
}

func saveLimits(ctx context.Context, c *change, row *quotaRow) error {
	if _, err := c.tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("quota of project %s: %w", row.ProjectID, err)
	}
	return nil
}

// checkDefaults refuses a configured quota that names what there is not.
func checkDefaults(configured Quota) error {
	for name, limit := range configured {
		if _, known := DefaultQuota()[name]; !known || limit < Unlimited || limit > maxQuota {
			return fmt.Errorf("network quota %s = %d: it is not a number of objects, or no such object", name, limit)
		}
	}
	return nil
}

// readQuota takes the limits of a PUT.
func readQuota(b *body) (limits Quota, force bool, err error) {
	limits = Quota{}
	for name := range DefaultQuota() {
		if b.has(name) {
			limit := 0
			b.number(name, Unlimited, maxQuota, &limit)
			limits[name] = limit
		}
	}
	b.flag("force", &force)
	check := false // every change is checked, as in Neutron since 2025.1
	b.flag("check_limit", &check)
	return limits, force, b.close(object{"project_id": "", "tenant_id": ""})
}
