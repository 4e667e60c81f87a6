package octavia

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"poise/internal/lb"
	"poise/internal/rest"
)

// Quotas is what this room needs to know and to change of the projects' quotas. A quota always has all kinds.
type Quotas interface {
	DefaultQuota() lb.Quota
	// Quota reads the quota that any project has, set or not.
	Quota(ctx context.Context, projectID string) (lb.Quota, error)
	// ProjectQuotas reads the quotas of the projects for which something was set.
	ProjectQuotas(ctx context.Context) (map[string]lb.Quota, error)
	// SetQuota sets limits; null ones get the default. It answers with the quota that the project then has.
	SetQuota(ctx context.Context, projectID string, limits map[lb.Kind]lb.Opt[int]) (lb.Quota, error)
	// ResetQuota gives a project the default quota; one for which nothing was set is lb.NotFound.
	ResetQuota(ctx context.Context, projectID string) error
}

const quotaArgument, quotaEnvelope = "quotas", "quota"

// quotaNames are the attributes of a quota: Octavia takes and shows both spellings of some.
var quotaNames = []struct {
	name string
	kind lb.Kind
}{
	{"loadbalancer", lb.KindLoadBalancer},
	{"load_balancer", lb.KindLoadBalancer},
	{"listener", lb.KindListener},
	{"member", lb.KindMember},
	{"pool", lb.KindPool},
	{"healthmonitor", lb.KindHealthMonitor},
	{"health_monitor", lb.KindHealthMonitor},
	{"l7policy", lb.KindL7Policy},
	{"l7rule", lb.KindL7Rule},
}

var quotaAttributes = func() attributes {
	read := func(o object) any { return o.base.ProjectID }
	all := attributes{{name: "project_id", read: read}, {name: "tenant_id", use: echoed, read: read}}
	for _, q := range quotaNames {
		all = append(all, attribute{
			name: q.name, use: changeable, kind: integer(lb.NoLimit, lb.MaxQuota),
			read: func(o object) any { return o.quota[q.kind] },
		})
		if q.name == quotaColumn[q.kind] {
			all = append(all, attribute{name: inUse + q.name, use: hidden, read: func(o object) any { return o.inUse[q.kind] }})
		}
	}
	return all
}()

// inUse begins the names of what a project has of each kind. Octavia shows it nowhere, but lists can be filtered and sorted by
// it; only then is it counted.
const inUse = "in_use_"

// quotaColumn are the names of kinds in Octavia's storage.
var quotaColumn = map[lb.Kind]string{
	lb.KindLoadBalancer: "load_balancer", lb.KindListener: "listener", lb.KindMember: "member", lb.KindPool: "pool",
	lb.KindHealthMonitor: "health_monitor", lb.KindL7Policy: "l7policy", lb.KindL7Rule: "l7rule",
}

// countInUse gives quotas what their projects have, when the query is about it.
func (c *call) countInUse(q query, all []object) error {
	if !slices.ContainsFunc(quotaAttributes, func(a attribute) bool { return strings.HasPrefix(a.name, inUse) && q.isAbout(a.name) }) {
		return nil
	}
	for i, o := range all {
		snapshots, err := c.Control.List(c.r.Context(), o.base.ProjectID)
		if err != nil {
			return err
		}
		all[i].inUse = map[lb.Kind]int{}
		for _, s := range snapshots {
			s.Tree.Walk(func(kind lb.Kind, _ string, _ *lb.Object, _ any) { all[i].inUse[kind]++ })
		}
	}
	return nil
}

func quotaRoutes() []route {
	return []route{
		{"GET", "/quotas", "quota:get_all", listQuotas, quotaAttributes.listParameters()},
		{"PUT", "/quotas", "", withoutProject, nil},
		{"DELETE", "/quotas", "", withoutProject, nil},
		{"GET", "/quotas/defaults", "quota:get_defaults", defaultQuota, []parameter{fieldsParameter}},
		{"GET", "/quotas/{id}", "quota:get_one", showQuota, []parameter{fieldsParameter}},
		{"GET", "/quotas/{id}/default", "quota:get_defaults", defaultQuotaOf, []parameter{fieldsParameter}},
		{"PUT", "/quotas/{id}", "quota:put", putQuota, nil},
		{"DELETE", "/quotas/{id}", "quota:delete", deleteQuota, nil},
	}
}

func withoutProject(*call) error { return errMissingArgument("project_id") }

// listQuotas answers with the quotas of the projects for which something was set.
func listQuotas(c *call) error {
	q, err := c.listQuery(quotaAttributes)
	if err != nil {
		return err
	}
	scope, err := c.listScope()
	if err != nil {
		return err
	}
	set, err := c.Quotas.ProjectQuotas(c.r.Context())
	if err != nil {
		return err
	}
	var all []object
	for project, quota := range set {
		if scope == "" || scope == project {
			all = append(all, quotaObject(project, quota))
		}
	}
	if err := c.countInUse(q, all); err != nil {
		return err
	}
	return c.answerPage(q, all, "quotas", "quotas_links", func(o object) map[string]any {
		return quotaAttributes.render(o, q.fields)
	})
}

func showQuota(c *call) error {
	project := c.r.PathValue("id")
	if err := c.allows(project); err != nil {
		return err
	}
	quota, err := c.Quotas.Quota(c.r.Context(), project)
	if err != nil {
		return err
	}
	return answerQuota(c, http.StatusOK, project, quota)
}

// defaultQuota answers with what projects have for which nothing was set; whoever may see a quota of its own may see it.
func defaultQuota(c *call) error {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	return answerQuota(c, http.StatusOK, "defaults", c.Quotas.DefaultQuota())
}

func defaultQuotaOf(c *call) error {
	project := c.r.PathValue("id")
	if err := c.allows(project); err != nil {
		return err
	}
	return answerQuota(c, http.StatusOK, project, c.Quotas.DefaultQuota())
}

func putQuota(c *call) error {
	in, err := c.attributes(quotaAttributes, quotaArgument, quotaEnvelope, onUpdate)
	if err != nil {
		return err
	}
	project := c.r.PathValue("id")
	if err := c.allows(project); err != nil {
		return err
	}
	limits := map[lb.Kind]lb.Opt[int]{}
	for _, q := range quotaNames {
		if limit := opt[int](in.values, q.name); limit.Set {
			limits[q.kind] = limit
		}
	}
	quota, err := c.Quotas.SetQuota(c.r.Context(), project, limits)
	if err != nil {
		return err
	}
	return answerQuota(c, http.StatusAccepted, project, quota)
}

func deleteQuota(c *call) error {
	project := c.r.PathValue("id")
	if err := c.allows(project); err != nil {
		return err
	}
	if err := c.Quotas.ResetQuota(c.r.Context(), project); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

func answerQuota(c *call, status int, project string, quota lb.Quota) error {
	shown := quotaAttributes.render(quotaObject(project, quota), c.query["fields"])
	rest.WriteJSON(c.w, status, map[string]any{quotaEnvelope: shown})
	return nil
}

func quotaObject(project string, quota lb.Quota) object {
	return object{base: &lb.Object{ID: project, ProjectID: project}, quota: quota}
}
