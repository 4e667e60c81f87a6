package lb

import "slices"

// L7Actions are what a policy can do with a request, in the order of Octavia's messages.
var L7Actions = []string{RedirectToPool, Reject, RedirectPrefix, RedirectToURL}

// The actions of L7 policies.
const (
	Reject         = "REJECT"
	RedirectToPool = "REDIRECT_TO_POOL"
	RedirectToURL  = "REDIRECT_TO_URL"
	RedirectPrefix = "REDIRECT_PREFIX"
)

// RedirectCodes are the HTTP statuses with which a policy can redirect.
var RedirectCodes = []int{301, 302, 303, 307, 308}

const defaultRedirectCode = 302

// L7Policy says what becomes of requests that match all of its rules.
type L7Policy struct {
	Object
	Description      string `json:"description"`
	Action           string `json:"action"`
	RedirectPoolID   string `json:"redirect_pool_id,omitempty"`
	RedirectURL      string `json:"redirect_url,omitempty"`
	RedirectPrefix   string `json:"redirect_prefix,omitempty"`
	RedirectHTTPCode int    `json:"redirect_http_code,omitempty"` // 0 where there is no answer to redirect with

	Rules []*L7Rule `json:"-"`
}

// L7PolicyAttrs are the attributes of a policy that can be changed.
type L7PolicyAttrs struct {
	Common
	Description      Opt[string]
	Action           Opt[string]
	RedirectPoolID   Opt[string]
	RedirectURL      Opt[string]
	RedirectPrefix   Opt[string]
	RedirectHTTPCode Opt[int]
	Position         Opt[int] // from 1
}

// L7PolicyCreate makes a policy.
type L7PolicyCreate struct {
	L7PolicyAttrs
	ID string

	// RedirectPool and Rules come with a load balancer that is created with all that is below it.
	RedirectPool *PoolCreate
	Rules        []L7RuleCreate
}

// CreateL7Policy adds a policy to a listener (octavia-rules.md §6).
func (t *LoadBalancer) CreateL7Policy(listenerID string, in L7PolicyCreate) (*L7Policy, error) {
	l, err := t.Listener(listenerID)
	if err != nil {
		return nil, err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return nil, err
	}
	if err := l.checkPolicies(); err != nil {
		return nil, err
	}
	p := &L7Policy{Object: t.newObject(in.ID, in.Common)}
	if err := t.setPolicy(l, p, in.L7PolicyAttrs); err != nil {
		return nil, err
	}
	l.place(p, in.Position.Or(MaxAnyInt))
	t.touch(&t.Object, &l.Object)
	return p, nil
}

// checkPolicies refuses a policy on a listener that cannot have one.
func (l *Listener) checkPolicies() error {
	switch {
	case l.Protocol == Prometheus:
		return errNoChildren()
	case !l.kind().http:
		return ErrUnsupported("listener_id", "%s protocol listeners do not support L7 policies", l.Protocol)
	case len(l.Policies) >= MaxL7Policies:
		return ErrValidation("", "A listener cannot have more than %d L7 policies.", MaxL7Policies)
	}
	return nil
}

// UpdateL7Policy changes a policy.
func (t *LoadBalancer) UpdateL7Policy(id string, in L7PolicyAttrs) (*L7Policy, error) {
	l, p, err := t.mutablePolicy(id)
	if err != nil {
		return nil, err
	}
	if in.empty() {
		return nil, errPolicy("Invalid update options")
	}
	if err := t.setPolicy(l, p, in); err != nil {
		return nil, err
	}
	if in.Position.Or(0) != 0 {
		l.Policies = slices.DeleteFunc(slices.Clone(l.Policies), func(other *L7Policy) bool { return other == p })
		l.place(p, in.Position.Value)
	}
	in.apply(&p.Object)
	t.touch(&t.Object, &l.Object, &p.Object)
	return p, nil
}

// empty tells whether the request changes nothing at all.
func (in L7PolicyAttrs) empty() bool {
	return !slices.Contains([]bool{
		in.Name.Set, in.AdminStateUp.Set, in.Tags.Set, in.Description.Set, in.Action.Set, in.RedirectPoolID.Set,
		in.RedirectURL.Set, in.RedirectPrefix.Set, in.RedirectHTTPCode.Set, in.Position.Set,
	}, true)
}

// DeleteL7Policy removes a policy with its rules.
func (t *LoadBalancer) DeleteL7Policy(id string) error {
	l, p, err := t.mutablePolicy(id)
	if err != nil {
		return err
	}
	t.removePolicy(p)
	t.touch(&t.Object, &l.Object)
	return nil
}

func (t *LoadBalancer) removePolicy(p *L7Policy) {
	for _, r := range p.Rules {
		t.remove(&r.Object)
	}
	t.remove(&p.Object)
}

// mutablePolicy finds a policy that may be changed, and its listener.
func (t *LoadBalancer) mutablePolicy(id string) (*Listener, *L7Policy, error) {
	l, p, err := t.Policy(id)
	if err != nil {
		return nil, nil, err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return nil, nil, err
	}
	return l, p, t.mutable("L7Policy", &p.Object) // Octavia's spelling of this message
}

// setPolicy checks and writes the attributes beyond the common ones and the position.
func (t *LoadBalancer) setPolicy(l *Listener, p *L7Policy, in L7PolicyAttrs) error {
	if in.Action.Null {
		return errNoAction()
	}
	if err := in.checkTargets(); err != nil {
		return err
	}
	in.Description.Into(&p.Description, "")
	p.aim(in)
	if err := p.checkTarget(); err != nil {
		return err
	}
	return t.checkTarget(l, p.RedirectPoolID)
}

// checkTargets refuses a request whose action lacks its target, or that has two.
func (in L7PolicyAttrs) checkTargets() error {
	pool, url, prefix := in.RedirectPoolID.Or("") != "", in.RedirectURL.Or("") != "", in.RedirectPrefix.Or("") != ""
	switch {
	case in.Action.Value == Reject: // whatever target there is, is dropped
		return nil
	case in.Action.Value == RedirectToURL && !url:
		return errPolicy("redirect_url must not be None")
	case in.Action.Value == RedirectToPool && !pool:
		return errPolicy("redirect_pool_id or redirect_pool must not be None")
	case in.Action.Value == RedirectPrefix && !prefix:
		return errPolicy("redirect_prefix must not be None")
	case pool && (url || prefix):
		return errPolicy("Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time")
	}
	return nil
}

// aim writes action and target; the target that is given decides about the action. A prefix wins over a URL.
func (p *L7Policy) aim(in L7PolicyAttrs) {
	pool, url, prefix := in.RedirectPoolID.Or(""), in.RedirectURL.Or(""), in.RedirectPrefix.Or("")
	p.RedirectHTTPCode = in.RedirectHTTPCode.Or(p.codeWithout(in))
	switch {
	case in.Action.Value == Reject:
		p.Action, p.RedirectPoolID, p.RedirectURL, p.RedirectPrefix = Reject, "", "", ""
	case pool != "":
		p.Action, p.RedirectPoolID, p.RedirectURL, p.RedirectPrefix = RedirectToPool, pool, "", ""
	case prefix != "":
		p.Action, p.RedirectPoolID, p.RedirectURL, p.RedirectPrefix = RedirectPrefix, "", "", prefix
	case url != "":
		p.Action, p.RedirectPoolID, p.RedirectURL, p.RedirectPrefix = RedirectToURL, "", url, ""
	default: // a null takes a target away, which only checkTarget can judge
		in.RedirectPoolID.Into(&p.RedirectPoolID, "")
		in.RedirectURL.Into(&p.RedirectURL, "")
		in.RedirectPrefix.Into(&p.RedirectPrefix, "")
	}
	if p.Action == Reject || p.Action == RedirectToPool {
		p.RedirectHTTPCode = 0
	}
}

// codeWithout is the redirect code for a request that has none: a new URL or prefix gets the default, a null means none.
func (p *L7Policy) codeWithout(in L7PolicyAttrs) int {
	switch {
	case in.RedirectURL.Or("") != "" || in.RedirectPrefix.Or("") != "":
		return defaultRedirectCode
	case in.RedirectHTTPCode.Null:
		return 0
	default:
		return p.RedirectHTTPCode
	}
}

// checkTarget refuses a policy that has no action, or has lost its target.
func (p *L7Policy) checkTarget() error {
	switch {
	case p.Action == "":
		return errNoAction()
	case p.Action == RedirectToURL && p.RedirectURL == "":
		return errPolicy("redirect_url must not be None")
	case p.Action == RedirectToPool && p.RedirectPoolID == "":
		return errPolicy("redirect_pool_id or redirect_pool must not be None")
	case p.Action == RedirectPrefix && p.RedirectPrefix == "":
		return errPolicy("redirect_prefix must not be None")
	}
	return nil
}

func errNoAction() error {
	return &Error{Code: Invalid, Field: "action", Message: "Invalid L7 Policy action specified: None"}
}

func errPolicy(what string) error {
	return &Error{Code: Invalid, Message: "Invalid L7 Policy arguments: " + what}
}

// redirects tells whether the policy sends traffic to its pool: an enabled one with at least one rule.
func (p *L7Policy) redirects() bool {
	return p.Action == RedirectToPool && p.AdminStateUp && !p.Deleted &&
		slices.ContainsFunc(p.Rules, func(r *L7Rule) bool { return !r.Deleted })
}

// place puts a policy before the one that has the position now, or at the end.
func (l *Listener) place(p *L7Policy, position int) {
	at := len(l.Policies)
	for i, other := range l.Policies {
		if !other.Deleted && l.Position(other) >= position {
			at = i
			break
		}
	}
	l.Policies = slices.Insert(l.Policies, at, p)
	l.PolicyIDs = make([]string, len(l.Policies))
	for i, other := range l.Policies {
		l.PolicyIDs[i] = other.ID
	}
}

// Position is the place of a policy of the listener, from 1 and without gaps. One that is being deleted takes none.
func (l *Listener) Position(p *L7Policy) int {
	position := 1
	for _, other := range l.Policies {
		if other == p {
			break
		}
		if !other.Deleted {
			position++
		}
	}
	return position
}

// SortPolicies puts policies that were read in any order into that of their positions.
func (l *Listener) SortPolicies() {
	slices.SortFunc(l.Policies, func(a, b *L7Policy) int {
		return slices.Index(l.PolicyIDs, a.ID) - slices.Index(l.PolicyIDs, b.ID)
	})
}
