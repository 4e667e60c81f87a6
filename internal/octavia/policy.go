package octavia

import (
	"poise/internal/lb"
	"poise/internal/rest"
)

// rule tells whether a caller may do something to what belongs to a project; project is "" when it is not about one.
type rule func(c rest.Caller, project string) bool

// policies are Octavia's default rules (octavia-rbac.md §2, §3), by the name of the policy without its prefix
// "os_load-balancer_api:". Each accepts Keystone's roles and Octavia's older load-balancer_* roles.
var policies = map[string]rule{
	"loadbalancer:get_all":        read,
	"loadbalancer:get_all-global": readGlobal,
	"loadbalancer:get_one":        read,
	"loadbalancer:get_stats":      read,
	"loadbalancer:get_status":     read,
	"loadbalancer:post":           write,
	"loadbalancer:put":            write,
	"loadbalancer:delete":         write,
	"loadbalancer:put_failover":   admin,

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

	"provider:get_all": read,

	"flavor-profile":             admin,
	"availability-zone-profile":  admin,
	"provider-flavor":            admin,
	"provider-availability-zone": admin,
	"amphora":                    admin,
}

func admin(c rest.Caller, _ string) bool { return c.HasRole("admin", "load-balancer_admin") }

func readGlobal(c rest.Caller, _ string) bool {
	return c.HasRole("admin", "load-balancer_admin", "load-balancer_global_observer")
}

func write(c rest.Caller, project string) bool {
	return admin(c, project) || owns(c, project) && c.HasRole("member", "load-balancer_member")
}

func read(c rest.Caller, project string) bool {
	return readGlobal(c, project) || write(c, project) || owns(c, project) && c.HasRole("reader", "load-balancer_observer")
}

// readOrService also admits the other services of the cloud.
func readOrService(c rest.Caller, project string) bool {
	return read(c, project) || c.HasRole("service")
}

func owns(c rest.Caller, project string) bool { return project != "" && c.ProjectID == project }

// allows asks the policy of the route about a project.
func (c *call) allows(project string) error { return c.allowsPolicy(c.policy, project) }

// allowsPolicy asks a policy by name. A name that is not in the table allows nothing.
func (c *call) allowsPolicy(name, project string) error {
	if allowed, ok := policies[name]; !ok || !allowed(c.caller, project) {
		return errForbidden()
	}
	return nil
}

// listScope is the project whose objects a list shows, "" for all projects (octavia-rbac.md §5).
func (c *call) listScope() (string, error) {
	wanted := c.r.URL.Query().Get("project_id")
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
