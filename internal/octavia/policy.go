package octavia

import (
	"poise/internal/lb"
	"poise/internal/rest"
)

// rule tells whether a caller may do something to what belongs to a project; project is "" when it is not about one.
type rule func(c rest.Caller, project string) bool

// policies are Octavia's default rules (octavia-rbac.md §2, §3), by the name of the policy without its prefix
// "os_load-balancer_api:". Callers come here with what their roles stand for, see [RBAC].
var policies = map[string]rule{
	"loadbalancer:get_all":         read,
	"loadbalancer:get_all-global":  readGlobal,
	"loadbalancer:get_one":         read,
	"loadbalancer:get_stats":       read,
	"loadbalancer:get_status":      read,
	"loadbalancer:post":            write,
	"loadbalancer:put":             write,
	"loadbalancer:delete":          write,
	"loadbalancer:put_failover":    admin,
	"loadbalancer:post:vip_sg_ids": write,
	"loadbalancer:put:vip_sg_ids":  write,

	"listener:get_all":        read,
	"listener:get_all-global": readGlobal,
	"listener:get_one":        read,
	"listener:get_stats":      read,
	"listener:post":           write,
	"listener:put":            write,
	"listener:delete":         write,

	"pool:get_all":        read,
	"pool:get_all-global": readGlobal,
	"pool:get_one":        read,
	"pool:post":           write,
	"pool:put":            write,
	"pool:delete":         write,

	"member:get_all": readOrService,
	"member:get_one": read,
	"member:post":    write,
	"member:put":     write,
	"member:delete":  write,

	"healthmonitor:get_all":        read,
	"healthmonitor:get_all-global": readGlobal,
	"healthmonitor:get_one":        read,
	"healthmonitor:post":           write,
	"healthmonitor:put":            write,
	"healthmonitor:delete":         write,

	"l7policy:get_all":        read,
	"l7policy:get_all-global": readGlobal,
	"l7policy:get_one":        read,
	"l7policy:post":           write,
	"l7policy:put":            write,
	"l7policy:delete":         write,

	"l7rule:get_all": read,
	"l7rule:get_one": read,
	"l7rule:post":    write,
	"l7rule:put":     write,
	"l7rule:delete":  write,

	"provider:get_all": read,

	"quota:get_all":        readQuota,
	"quota:get_all-global": readQuotaGlobal,
	"quota:get_one":        readQuota,
	"quota:get_defaults":   readQuota,
	"quota:put":            writeQuota,
	"quota:delete":         writeQuota,

	"flavor:get_all": read,
	"flavor:get_one": read,
	"flavor:post":    admin,
	"flavor:put":     admin,
	"flavor:delete":  admin,

	"availability-zone:get_all": read,
	"availability-zone:get_one": read,
	"availability-zone:post":    admin,
	"availability-zone:put":     admin,
	"availability-zone:delete":  admin,

	"flavor-profile:get_all": admin,
	"flavor-profile:get_one": admin,
	"flavor-profile:post":    admin,
	"flavor-profile:put":     admin,
	"flavor-profile:delete":  admin,

	"availability-zone-profile:get_all": admin,
	"availability-zone-profile:get_one": admin,
	"availability-zone-profile:post":    admin,
	"availability-zone-profile:put":     admin,
	"availability-zone-profile:delete":  admin,

	"provider-flavor:get_all":            admin,
	"provider-availability-zone:get_all": admin,

	"amphora:get_all":      admin,
	"amphora:get_one":      admin,
	"amphora:get_stats":    admin,
	"amphora:delete":       admin,
	"amphora:put_failover": admin,
	"amphora:put_config":   admin,
}

// RBAC names a set of policies: whose roles count for what (octavia-rbac.md §2, §8). The policies themselves are always the
// same, and ask for what a role stands for.
type RBAC string

// The sets of policies.
const (
	RBACDefault  RBAC = "default"  // Keystone's roles, and Octavia's older ones
	RBACKeystone RBAC = "keystone" // Keystone's roles alone
	RBACAdvanced RBAC = "advanced" // Octavia's older roles, and admin
	RBACOwner    RBAC = "owner"    // whoever is in the project, and admin
)

// What a role stands for.
const (
	grantAdmin    = rest.RoleAdmin // everything
	grantWatcher  = "watcher"      // reads of all projects
	grantQuotas   = "quotas"       // all quotas
	grantMember   = "member"       // changes of the own project
	grantReader   = "reader"       // reads of the own project
	grantService  = "service"      // reads of pools' members
	anybodyInHere = ""             // in place of a role: every caller with a token
)

var keystoneGrants = map[string]string{
	"admin": grantAdmin, "member": grantMember, "reader": grantReader, "service": grantService,
}

var advancedGrants = map[string]string{
	"admin": grantAdmin, "load-balancer_admin": grantAdmin, "load-balancer_global_observer": grantWatcher,
	"load-balancer_quota_admin": grantQuotas, "load-balancer_member": grantMember, "load-balancer_observer": grantReader,
	"service": grantService,
}

var grantsOf = map[RBAC][]map[string]string{
	"":           {keystoneGrants, advancedGrants},
	RBACDefault:  {keystoneGrants, advancedGrants},
	RBACKeystone: {keystoneGrants},
	RBACAdvanced: {advancedGrants},
	RBACOwner:    {{"admin": grantAdmin, "service": grantService, anybodyInHere: grantMember}},
}

// granted is the caller with what its roles stand for in place of the roles.
func (set RBAC) granted(c rest.Caller) rest.Caller {
	var grants []string
	for _, of := range grantsOf[set] {
		for _, role := range append([]string{anybodyInHere}, c.Roles...) {
			if grant, ok := of[role]; ok {
				grants = append(grants, grant)
			}
		}
	}
	c.Roles = grants
	return c
}

func admin(c rest.Caller, _ string) bool { return c.HasRole(grantAdmin) }

func readGlobal(c rest.Caller, _ string) bool { return c.HasRole(grantAdmin, grantWatcher) }

func write(c rest.Caller, project string) bool {
	return admin(c, project) || owns(c, project) && c.HasRole(grantMember)
}

func read(c rest.Caller, project string) bool {
	return readGlobal(c, project) || write(c, project) || owns(c, project) && c.HasRole(grantReader)
}

// readOrService also admits the other services of the cloud.
func readOrService(c rest.Caller, project string) bool {
	return read(c, project) || c.HasRole(grantService)
}

func writeQuota(c rest.Caller, _ string) bool { return c.HasRole(grantAdmin, grantQuotas) }

func readQuota(c rest.Caller, project string) bool { return read(c, project) || writeQuota(c, project) }

func readQuotaGlobal(c rest.Caller, project string) bool {
	return readGlobal(c, project) || writeQuota(c, project)
}

func owns(c rest.Caller, project string) bool { return project != "" && c.ProjectID == project }

// allows asks the policy of the route about a project.
func (c *call) allows(project string) error { return c.allowsPolicy(c.policy, project) }

// allowsPolicy asks a policy by name. A name that is not in the table allows nothing.
func (c *call) allowsPolicy(name, project string) error {
	allowed, ok := policies[name]
	if !ok || c.EnforceScope && c.caller.ProjectID == "" || !allowed(c.RBAC.granted(c.caller), project) {
		return errForbidden()
	}
	return nil
}

// listScope is the project whose objects a list shows, "" for all projects (octavia-rbac.md §5).
func (c *call) listScope() (string, error) {
	wanted := c.query.Get("project_id")
	if c.allowsPolicy(c.policy+"-global", wanted) == nil {
		return wanted, nil
	}
	if wanted == "" {
		wanted = c.caller.ProjectID
	}
	if wanted == "" {
		return "", errForbidden()
	}
	return wanted, c.allows(wanted)
}

// newProject is the project that a new load balancer will belong to.
func (c *call) newProject(asked string) (string, error) {
	project := asked
	if project == "" {
		project = c.caller.ProjectID
	}
	if project == "" {
		return "", lb.ErrValidation("project_id", "Missing project ID in request where one is required. "+
			"An administrator should check the keystone settings in the Octavia configuration.")
	}
	return project, c.allows(project)
}
