package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

var quotaPages = []page{
	{method: "GET", pattern: "/quotas", handle: (*view).showQuotas, live: true},
	{method: "GET", pattern: "/quotas/{region}/{project}/modify", handle: (*view).modifyQuota},
	{method: "POST", pattern: "/quotas/{region}/{project}/modify", handle: (*view).modifyQuota},
}

const quotasPath = Base + "/quotas"

// limited are the kinds of objects that have a quota, by the API's names.
var limited = []option{
	{"loadbalancer", "Load balancers"},
	{"listener", "Listeners"},
	{"pool", "Pools"},
	{"member", "Members"},
	{"healthmonitor", "Health monitors"},
	{"l7policy", "L7 policies"},
	{"l7rule", "L7 rules"},
}

// quotaLine is the quota of one kind. A limit below 0 is none.
type quotaLine struct {
	name, title string
	limit, used int
}

// tone is how far a quota is used up.
func (q quotaLine) tone() string {
	switch {
	case q.limit < 0 || q.used*10 < q.limit*8:
		return "ok"
	case q.used < q.limit:
		return "warn"
	}
	return "bad"
}

func (q quotaLine) limitText() string {
	if q.limit < 0 {
		return "Unlimited"
	}
	return strconv.Itoa(q.limit)
}

// quota reads what a project may have.
func (c *cloud) quota(ctx context.Context, projectID string) (map[string]int, error) {
	all, err := show[map[string]json.RawMessage](ctx, c, loadBalancing, "quotas/"+url.PathEscape(projectID), "quota")
	limits := map[string]int{}
	for name, value := range all {
		if n, err := strconv.Atoi(string(value)); err == nil {
			limits[name] = n
		}
	}
	for name, older := range map[string]string{"loadbalancer": "load_balancer", "healthmonitor": "health_monitor"} {
		if _, ok := limits[name]; !ok {
			limits[name] = limits[older]
		}
	}
	return limits, err
}

// used counts what a project has, by the names of quotas.
func (c *cloud) used(ctx context.Context, projectID string) (map[string]int, error) {
	type counted struct {
		Members []reference `json:"members"`
		Rules   []reference `json:"rules"`
	}
	used := map[string]int{}
	for name, what := range map[string]struct{ plural, fields string }{
		"loadbalancer": {"loadbalancers", "id"}, "listener": {"listeners", "id"}, "pool": {"pools", "members"},
		"healthmonitor": {"healthmonitors", "id"}, "l7policy": {"l7policies", "rules"},
	} {
		query := "?fields=" + what.fields + "&project_id=" + url.QueryEscape(projectID)
		all, err := list[counted](ctx, c, loadBalancing, what.plural+query, what.plural)
		if err != nil {
			return nil, err
		}
		used[name] = len(all)
		for _, o := range all {
			used["member"] += len(o.Members)
			used["l7rule"] += len(o.Rules)
		}
	}
	return used, nil
}

// isAdministrator tells whether the person may change what applies to everybody: only those see what flavors mean.
func (c *cloud) isAdministrator(ctx context.Context) bool {
	return c.call(ctx, loadBalancing, http.MethodGet, "flavorprofiles?limit=1", nil, nil) == nil
}

func (v *view) quotaLines(c *cloud, projectID string) ([]quotaLine, error) {
	limits, err := c.quota(v.r.Context(), projectID)
	if err != nil {
		return nil, err
	}
	used, err := c.used(v.r.Context(), projectID)
	if err != nil {
		return nil, err
	}
	lines := make([]quotaLine, len(limited))
	for i, o := range limited {
		lines[i] = quotaLine{o.value, o.label, limits[o.value], used[o.value]}
	}
	return lines, nil
}

// showQuotas shows the project's quota; administrators may choose another of their projects.
func (v *view) showQuotas() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	of := v.person.Project
	mayEdit := c.isAdministrator(v.r.Context())
	choice := []project{of}
	if mayEdit {
		choice = v.allProjects()
		for _, p := range choice {
			if p.ID == v.r.FormValue("project") {
				of = p
			}
		}
	}
	lines, err := v.quotaLines(c, of.ID)
	if err != nil {
		return err
	}
	return v.render(v.quotasPage(quotaSheet{c.region, of, choice, mayEdit, lines}))
}

// quotaSheet is what the page with a quota shows.
type quotaSheet struct {
	region  string
	of      project
	choice  []project
	mayEdit bool
	lines   []quotaLine
}

// here is the address of the page as it is.
func (s quotaSheet) here() string { return quotasPath + "?project=" + url.QueryEscape(s.of.ID) }

// allProjects are those of the cloud for who may list them, and else the person's own.
func (v *view) allProjects() []project {
	client, err := v.signedIn(v.person)
	if err != nil {
		return v.person.Choice
	}
	var out struct {
		Projects []project `json:"projects"`
	}
	c := &cloud{client: client}
	if c.ask(v.r.Context(), http.MethodGet, v.IdentityURL+"/projects", nil, &out) != nil || len(out.Projects) == 0 {
		return v.person.Choice
	}
	return out.Projects
}

func (v *view) modifyQuota() error {
	c, err := v.open(v.r.PathValue("region"))
	if err != nil {
		return err
	}
	id := v.r.PathValue("project")
	lines, err := v.quotaLines(c, id)
	if err != nil {
		return err
	}
	f := v.form()
	now := map[string]string{}
	for _, l := range lines {
		now[l.name] = strconv.Itoa(l.limit)
	}
	f.preset(now)
	if v.isPost() {
		o := order{kind: quotaKind, id: url.PathEscape(id), in: body{}, fixed: body{"project_id": id}}
		for _, l := range lines {
			if f.value(l.name) != now[l.name] {
				o.in[l.name] = nil // the default
				f.number(o.in, l.name)
			}
		}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished("The quota is modified.", quotasPath+"?project="+url.QueryEscape(id))
		}
	}
	return v.renderForm(f, v.quotaPane(lines, f))
}
