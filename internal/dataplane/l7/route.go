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
// pool, then 503 (octavia-dataplane.md §3). It is for goroutines: a decision that takes longer than a turn shares one processor
// with all others of the process, turn by turn, so that the event loops keep theirs.
func (s *Site) Route(r *Request, c *Client) Decision {
	if decision, ok := s.Try(r, c); ok {
		return decision
	}
	routing := s.Start(r, c)
	defer routing.End()
	for {
		goroutineTurn <- struct{}{}
		decision, done := routing.Continue()
		<-goroutineTurn
		if done {
			return decision
		}
	}
}

var goroutineTurn = make(chan struct{}, 1)

// Try is Route where one turn is enough; false: it is not, and the request needs a [Routing].
func (s *Site) Try(r *Request, c *Client) (d Decision, ok bool) {
	t := &s.router
	if len(t.policies) == 0 {
		return t.fallback, true
	}
	samples := t.begin(r, c)
	d, ok = t.continueWith(samples)
	t.end(samples)
	return d, ok
}

// Routing is a decision that takes more than one turn. It belongs to one goroutine at a time.
type Routing struct {
	router  *router
	samples *samples
}

// Start begins a decision. Request and client stay as they are, and stay where they are, until End.
func (s *Site) Start(r *Request, c *Client) *Routing {
	return &Routing{&s.router, s.router.begin(r, c)}
}

// Continue spends one turn. A request that takes more than all its turns is refused.
func (r *Routing) Continue() (d Decision, done bool) { return r.router.continueWith(r.samples) }

// End is called once, whether the decision is known or nobody waits for it any more.
func (r *Routing) End() { r.router.end(r.samples) }

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

func (t *router) begin(r *Request, c *Client) *samples {
	s := t.scratch.Get().(*samples)
	s.begin(r, c)
	return s
}

func (t *router) end(s *samples) {
	if s.end() {
		t.scratch.Put(s)
	}
}

// continueWith spends one turn on a decision.
func (t *router) continueWith(s *samples) (d Decision, done bool) {
	if s.spent > maxSteps {
		return Decision{Answer: &Answer{Status: 403, End: accesslog.RulesExceeded}}, true
	}
	s.work.steps = turnSteps
	d, done = t.decide(s)
	s.spent += turnSteps - s.work.steps
	return d, done
}

func (t *router) decide(s *samples) (d Decision, done bool) {
	for ; s.policy < len(t.policies); s.policy++ {
		p := &t.policies[s.policy]
		matches, done := p.matches(s)
		switch {
		case !done:
			return d, false
		case matches:
			return p.decision(s.request), true
		}
		s.rule = 0
	}
	return t.fallback, true
}

func (p *policy) matches(s *samples) (matches, done bool) {
	for ; s.rule < len(p.rules); s.rule++ {
		if s.work.steps <= 0 {
			return false, false
		}
		r := &p.rules[s.rule]
		holds, done := r.holds(s)
		if !done {
			return false, false
		}
		s.isBegun = false
		if holds == r.invert {
			return false, true
		}
	}
	return true, true
}

func (p *policy) decision(r *Request) Decision {
	d := Decision{Pool: p.pool, Answer: p.answer, PolicyID: p.id}
	if p.pool == nil && p.answer == nil {
		d.Answer = &Answer{Status: p.code, Location: p.prefix + originForm(r.Path), End: accesslog.Redirected}
	}
	return d
}

// originForm makes sure that what follows a prefix begins as a path: "*" of OPTIONS would become part of the host.
func originForm(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/"
}
