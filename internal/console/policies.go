package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

var policyPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies", handle: (*view).showPolicies},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/new", handle: (*view).createPolicy},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/new", handle: (*view).createPolicy},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/modify", handle: (*view).modifyPolicy},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/modify", handle: (*view).modifyPolicy},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/delete", handle: (*view).deletePolicy},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/delete", handle: (*view).deletePolicy},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/rules", handle: (*view).modifyRules},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/policies/{policy}/rules", handle: (*view).modifyRules},
}

// The actions of L7 policies.
const (
	toPool         = "REDIRECT_TO_POOL"
	toURL          = "REDIRECT_TO_URL"
	redirectPrefix = "REDIRECT_PREFIX"
)

var (
	policyActions = same("REJECT", toPool, toURL, redirectPrefix)
	redirectCodes = same("301", "302", "303", "307", "308")
	ruleTypes     = same("HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE", "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD")
	comparisons   = same("EQUAL_TO", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "REGEX")
	// keyedRules look at one of several things, which the rule's key names.
	keyedRules = []string{"HEADER", "COOKIE", "SSL_DN_FIELD"}
)

// policy is an L7 policy with its rules.
type policy struct {
	object
	ListenerID     string      `json:"listener_id"`
	Action         string      `json:"action"`
	Position       int         `json:"position"`
	RedirectPoolID string      `json:"redirect_pool_id"`
	RedirectURL    string      `json:"redirect_url"`
	RedirectPrefix string      `json:"redirect_prefix"`
	RedirectCode   int         `json:"redirect_http_code"`
	Rules          []reference `json:"rules"`
}

type rule struct {
	object
	Type    string `json:"type"`
	Compare string `json:"compare_type"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Invert  bool   `json:"invert"`
}

// does is what becomes of a request that the policy is about.
func (p policy) does() string {
	switch p.Action {
	case toURL:
		return strconv.Itoa(p.RedirectCode) + " " + p.RedirectURL
	case redirectPrefix:
		return strconv.Itoa(p.RedirectCode) + " " + p.RedirectPrefix
	}
	return p.Action
}

// sentence is a rule as people would say it.
func (r rule) sentence() string {
	text := r.Type
	if r.Key != "" {
		text += " " + r.Key
	}
	if r.Invert {
		text += " not"
	}
	return text + " " + r.Compare + " “" + r.Value + "”"
}

// countedWord is a number of things in words.
func countedWord(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// policies are those of a listener in the order of their positions.
func (c *cloud) policies(ctx context.Context, listenerID string) ([]policy, error) {
	all, err := listReasoned[policy](ctx, c, "l7policies", "listener_id", listenerID)
	slices.SortFunc(all, func(a, b policy) int { return a.Position - b.Position })
	return all, err
}

// policyPlace is the listener that the address of a page names, with its policies and the one of them that it names.
type policyPlace struct {
	place
	listener listener
	all      []policy
	policy   policy
}

func (p policyPlace) path(rest string) string {
	return p.place.path("/listeners/" + p.listener.ID + "/policies" + rest)
}

func (v *view) placePolicy() (policyPlace, error) {
	p, err := v.place()
	if err != nil {
		return policyPlace{}, err
	}
	l, ok := p.listener(v.r.PathValue("listener"))
	if !ok {
		return policyPlace{}, &fault{status: http.StatusNotFound, message: "Listener " + v.r.PathValue("listener") + " not found."}
	}
	found := policyPlace{place: p, listener: l}
	if found.all, err = p.policies(v.r.Context(), l.ID); err != nil {
		return policyPlace{}, err
	}
	id := v.r.PathValue("policy")
	i := slices.IndexFunc(found.all, func(y policy) bool { return y.ID == id })
	switch {
	case i >= 0:
		found.policy = found.all[i]
	case id != "":
		err = &fault{status: http.StatusNotFound, message: "L7 policy " + id + " not found."}
	}
	return found, err
}

func (v *view) showPolicies() error {
	p, err := v.placePolicy()
	if err != nil {
		return err
	}
	return v.render(v.policiesPane(p))
}

func (v *view) createPolicy() error {
	p, err := v.placePolicy()
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"action": "REJECT", "redirect_http_code": "302"})
	if v.isPost() {
		in := body{}
		f.policy(in)
		o := order{kind: policyKind, parent: p.listener.ID, in: in}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("L7 policy "+f.value("name")+" is created.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.policyPane("Create an L7 Policy", p, f))
}

func (v *view) modifyPolicy() error {
	p, err := v.placePolicy()
	if err != nil {
		return err
	}
	f, y := v.form(), p.policy
	f.preset(map[string]string{
		"name": y.Name, "description": y.Description, "action": y.Action, "position": strconv.Itoa(y.Position),
		"redirect_pool_id": y.RedirectPoolID, "redirect_url": y.RedirectURL, "redirect_prefix": y.RedirectPrefix,
		"redirect_http_code": strconv.Itoa(y.RedirectCode),
	})
	if v.isPost() {
		in := body{}
		f.policy(in)
		o := order{kind: policyKind, id: y.ID, parent: p.listener.ID, in: in}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("L7 policy "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.policyPane("Modify L7 Policy", p, f))
}

// policy reads the attributes of a policy; of the targets only the one that the action has.
func (f *form) policy(in body) {
	f.text(in, "name")
	f.text(in, "description")
	f.choice(in, "action")
	f.number(in, "position")
	switch f.value("action") {
	case toPool:
		f.choice(in, "redirect_pool_id")
	case toURL:
		f.choice(in, "redirect_url")
		f.number(in, "redirect_http_code")
	case redirectPrefix:
		f.choice(in, "redirect_prefix")
		f.number(in, "redirect_http_code")
	}
}

func (v *view) deletePolicy() error {
	p, err := v.placePolicy()
	if err != nil {
		return err
	}
	f := v.form()
	if v.isPost() {
		o := order{kind: policyKind, id: p.policy.ID, gone: true}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("L7 policy "+p.policy.label()+" is being deleted.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.deleteObjectPane("L7 policy", p.policy.label(), v.r.URL.Path, f))
}

// modifyRules shows the rules of a policy; one is added or taken away with each button.
func (v *view) modifyRules() error {
	p, err := v.placePolicy()
	if err != nil {
		return err
	}
	path := "l7policies/" + p.policy.ID + "/rules"
	f := v.form()
	f.preset(map[string]string{"type": "PATH", "compare_type": "STARTS_WITH"})
	if v.isCopy() {
		return v.renderCopy(p.newRule(f))
	}
	if v.isPost() {
		ok, err := f.send(func() error { return p.changeRules(v.r.Context(), f) })
		if err != nil {
			return err
		}
		if ok {
			v.settle(p.balancer.region, p.ID)
			f.values.Del("value")
			f.values.Del("key")
		}
	}
	rules, err := listReasoned[rule](v.r.Context(), p.cloud, path, "", "")
	if err != nil {
		return err
	}
	return v.renderForm(f, v.rulesPane(p, rules, f))
}

// changeRules carries out what the button asks for that was pressed.
func (p policyPlace) changeRules(ctx context.Context, f *form) error {
	if id := f.value("remove"); id != "" {
		return p.carryOut(ctx, order{kind: ruleKind, id: url.PathEscape(id), parent: p.policy.ID, gone: true}, nil)
	}
	return p.carryOut(ctx, p.newRule(f), nil)
}

func (p policyPlace) newRule(f *form) order {
	in := body{"invert": f.value("invert") != ""}
	for _, name := range []string{"type", "compare_type", "value"} {
		f.choice(in, name)
	}
	if slices.Contains(keyedRules, f.value("type")) {
		f.choice(in, "key")
	}
	return order{kind: ruleKind, parent: p.policy.ID, in: in}
}
