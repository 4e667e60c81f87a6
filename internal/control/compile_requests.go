package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

// defaultRedirect is the status of a redirection that has none.
const defaultRedirect = 302

// requests is what an HTTP listener does with requests.
func (c compilation) requests(l *lb.Listener) *dataplane.Requests {
	r := &dataplane.Requests{StrictTransportSecurity: strictTransportSecurity(l)}
	for _, name := range slices.Sorted(maps.Keys(l.InsertHeaders)) {
		if value := l.InsertHeaders[name]; value != nil && strings.EqualFold(*value, "true") {
			r.Insert = append(r.Insert, dataplane.Insertion(name))
		}
	}
	for _, p := range l.Policies {
		if policy, ok := c.policy(p); ok {
			r.Policies = append(r.Policies, policy)
		}
	}
	return r
}

// strictTransportSecurity is HSTS as Octavia writes it, its last semicolon included (octavia-dataplane.md §2.1).
func strictTransportSecurity(l *lb.Listener) string {
	if l.HSTSMaxAgeSec == nil {
		return ""
	}
	value := fmt.Sprintf("max-age=%d;", *l.HSTSMaxAgeSec)
	if l.HSTSIncludeSubdomains {
		value += " includeSubDomains;"
	}
	if l.HSTSPreload {
		value += " preload;"
	}
	return value
}

// policy says false for one that is not asked: it is disabled, has no enabled rule, or redirects to a disabled pool.
func (c compilation) policy(p *lb.L7Policy) (dataplane.Policy, bool) {
	policy := dataplane.Policy{ID: p.ID, Action: dataplane.Action(p.Action), Code: p.RedirectHTTPCode}
	switch policy.Action {
	case dataplane.RedirectToPool:
		policy.PoolID = c.servedPool(p.RedirectPoolID)
	case dataplane.RedirectToURL:
		policy.Location = p.RedirectURL
	case dataplane.RedirectPrefix:
		policy.Location = p.RedirectPrefix
	}
	if policy.Location != "" && policy.Code == 0 {
		policy.Code = defaultRedirect
	}
	for _, r := range p.Rules {
		if serves(&r.Object) {
			policy.Rules = append(policy.Rules, dataplane.Rule{
				Type: r.Type, Compare: r.CompareType, Key: r.Key, Value: r.Value, Invert: r.Invert,
			})
		}
	}
	leadsSomewhere := policy.Action != dataplane.RedirectToPool || policy.PoolID != ""
	return policy, serves(&p.Object) && len(policy.Rules) > 0 && leadsSomewhere
}
