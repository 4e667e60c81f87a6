package l7

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// Decision is what becomes of a request: exactly one of Pool and Answer is not nil.
type Decision struct {
	Pool     *Pool
	Answer   *Answer
	PolicyID string // the policy that decided; "": the default pool
}

// Route decides about a request: policies that reject, then those that redirect, then those that choose a pool, then the default
// pool, then 503 (octavia-dataplane.md §3).
func (s *Site) Route(r *Request, c *Client) Decision { return s.router.route(r, c) }

// router holds the policies in the order in which they are asked.
type router struct {
	policies []policy
	samples  *sampler
	scratch  *sync.Pool // of *samples
	fallback Decision
}

// policy is a policy with its rules, cheap ones first. Exactly one of pool, answer and prefix is set.
type policy struct {
	id     string
	rules  []rule
	pool   *Pool
	answer *Answer
	prefix string // of a redirection to the same path elsewhere, with code
	code   int
}

func newRouter(policies []dataplane.Policy, standard *Pool, pools map[string]*Pool) (router, error) {
	t := router{samples: newSampler(), fallback: Decision{Pool: standard}}
	if standard == nil {
		t.fallback.Answer = &Answer{Status: 503, End: accesslog.NoPool}
	}
	for _, class := range [][]dataplane.Action{
		{dataplane.Reject}, {dataplane.RedirectToURL, dataplane.RedirectPrefix}, {dataplane.RedirectToPool},
	} {
		for i := range policies {
			p := &policies[i]
			if !slices.Contains(class, p.Action) || len(p.Rules) == 0 || p.Action == dataplane.RedirectToPool && pools[p.PoolID] == nil {
				continue
			}
			compiled, err := newPolicy(p, pools, t.samples)
			if err != nil {
				return router{}, fmt.Errorf("L7 policy %s: %w", p.ID, err)
			}
			t.policies = append(t.policies, compiled)
		}
	}
	t.scratch = &sync.Pool{New: func() any { return t.samples.fresh() }}
	return t, nil
}

func newPolicy(p *dataplane.Policy, pools map[string]*Pool, samples *sampler) (policy, error) {
	compiled := policy{id: p.ID}
	if !fieldValue(p.Location) || strings.Contains(p.Location, " ") {
		return policy{}, fmt.Errorf("its target has characters that no URL can have")
	}
	switch p.Action {
	case dataplane.Reject:
		compiled.answer = &Answer{Status: 403, End: accesslog.Denied}
	case dataplane.RedirectToURL:
		compiled.answer = &Answer{Status: p.Code, Location: p.Location, End: accesslog.Redirected}
	case dataplane.RedirectPrefix:
		compiled.prefix, compiled.code = p.Location, p.Code
	default:
		compiled.pool = pools[p.PoolID]
	}
	for i := range p.Rules {
		r, err := newRule(&p.Rules[i], samples)
		if err != nil {
			return policy{}, fmt.Errorf("rule %d: %w", i+1, err)
		}
		compiled.rules = append(compiled.rules, r)
	}
	slices.SortStableFunc(compiled.rules, func(a, b rule) int { return a.cost() - b.cost() })
	return compiled, nil
}

func (t *router) route(r *Request, c *Client) Decision {
	if len(t.policies) == 0 {
		return t.fallback
	}
	s := t.scratch.Get().(*samples)
	s.begin(r, c)
	decision := t.decide(s)
	if s.end() {
		t.scratch.Put(s)
	}
	return decision
}

func (t *router) decide(s *samples) Decision {
	for i := range t.policies {
		p := &t.policies[i]
		if !p.matches(s) {
			continue
		}
		d := Decision{Pool: p.pool, Answer: p.answer, PolicyID: p.id}
		if p.pool == nil && p.answer == nil {
			d.Answer = &Answer{Status: p.code, Location: p.prefix + originForm(s.request.Path), End: accesslog.Redirected}
		}
		return d
	}
	return t.fallback
}

func (p *policy) matches(s *samples) bool {
	for i := range p.rules {
		if !p.rules[i].matches(s) {
			return false
		}
	}
	return true
}

// originForm makes sure that what follows a prefix begins as a path: "*" of OPTIONS would become part of the host.
func originForm(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/"
}
