package lb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
)

// then is several changes in one generation.
func then(steps ...step) step {
	return func(tree *lb.LoadBalancer) error {
		for _, s := range steps {
			if err := s(tree); err != nil {
				return err
			}
		}
		return nil
	}
}

func policy(listener, id string, attrs lb.L7PolicyAttrs) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateL7Policy(listener, lb.L7PolicyCreate{ID: id, L7PolicyAttrs: attrs})
		return err
	}
}

func updatePolicy(id string, attrs lb.L7PolicyAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdateL7Policy(id, attrs); return err }
}

func deletePolicy(id string) step {
	return func(t *lb.LoadBalancer) error { return t.DeleteL7Policy(id) }
}

func l7Rule(policy, id string, attrs lb.L7RuleAttrs) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateL7Rule(policy, lb.L7RuleCreate{ID: id, L7RuleAttrs: attrs})
		return err
	}
}

func updateRule(policy, id string, attrs lb.L7RuleAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdateL7Rule(policy, id, attrs); return err }
}

func reject() lb.L7PolicyAttrs { return lb.L7PolicyAttrs{Action: lb.Some(lb.Reject)} }

func ruleOf(kind, compare, key, value string) lb.L7RuleAttrs {
	attrs := lb.L7RuleAttrs{Type: lb.Some(kind), CompareType: lb.Some(compare), Value: lb.Some(value)}
	if key != "" {
		attrs.Key = lb.Some(key)
	}
	return attrs
}

func TestPolicyRules(t *testing.T) {
	const arguments = "Invalid L7 Policy arguments: "
	to := func(action string) lb.L7PolicyAttrs { return lb.L7PolicyAttrs{Action: lb.Some(action)} }
	both := to(lb.RedirectToURL)
	both.RedirectURL, both.RedirectPoolID = lb.Some("http://a/"), lb.Some("pool-http")
	start := change(t, villa(t), policy("http", "y1", lb.L7PolicyAttrs{Action: lb.Some(lb.RedirectToURL), RedirectURL: lb.Some("http://a/")}))
	refuse(t, start, map[string]refusal{
		"on TCP":                      {policy("tcp", "x", reject()), lb.Unsupported, "Provider 'poise' does not support a requested option: TCP protocol listeners do not support L7 policies"},
		"on UDP":                      {policy("udp", "x", reject()), lb.Unsupported, "Provider 'poise' does not support a requested option: UDP protocol listeners do not support L7 policies"},
		"on PROMETHEUS":               {policy("prometheus", "x", reject()), lb.Invalid, "Protocol PROMETHEUS listeners cannot have child objects."},
		"on a missing listener":       {policy("nosuch", "x", reject()), lb.NotFound, "Listener nosuch not found."},
		"on a deleted listener":       {then(deleteListener("http"), policy("http", "x", reject())), lb.Immutable, "Listener http is immutable and cannot be updated."},
		"to a URL without URL":        {policy("http", "x", to(lb.RedirectToURL)), lb.Invalid, arguments + "redirect_url must not be None"},
		"to a pool without pool":      {policy("http", "x", to(lb.RedirectToPool)), lb.Invalid, arguments + "redirect_pool_id or redirect_pool must not be None"},
		"to a prefix without prefix":  {policy("http", "x", to(lb.RedirectPrefix)), lb.Invalid, arguments + "redirect_prefix must not be None"},
		"to a pool and a URL":         {policy("http", "x", both), lb.Invalid, arguments + "Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time"},
		"to a missing pool":           {policy("http", "x", lb.L7PolicyAttrs{RedirectPoolID: lb.Some("nosuch")}), lb.NotFound, "Pool nosuch not found."},
		"to a pool that does not fit": {policy("http", "x", lb.L7PolicyAttrs{RedirectPoolID: lb.Some("pool-tcp")}), lb.Invalid, "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."},
		"action null":                 {updatePolicy("y1", lb.L7PolicyAttrs{Action: lb.Null[string]()}), lb.Invalid, "Invalid L7 Policy action specified: None"},
		"update of nothing":           {updatePolicy("y1", lb.L7PolicyAttrs{}), lb.Invalid, arguments + "Invalid update options"},
		"action without its target":   {updatePolicy("y1", to(lb.RedirectToPool)), lb.Invalid, arguments + "redirect_pool_id or redirect_pool must not be None"},
		"URL taken away":              {updatePolicy("y1", lb.L7PolicyAttrs{RedirectURL: lb.Null[string]()}), lb.Invalid, arguments + "redirect_url must not be None"},
		"missing one updated":         {updatePolicy("x", reject()), lb.NotFound, "L7 Policy x not found."},
		"deleted one updated":         {then(deletePolicy("y1"), updatePolicy("y1", reject())), lb.Immutable, "L7Policy y1 is immutable and cannot be updated."},
		"rule of a deleted one":       {then(deletePolicy("y1"), l7Rule("y1", "x", ruleOf("PATH", "EQUAL_TO", "", "/"))), lb.Immutable, "L7Policy y1 is immutable and cannot be updated."},
	})
}

// TestPolicyTargets follows action, targets and code through changes (octavia-rules.md §6).
func TestPolicyTargets(t *testing.T) {
	url, pool, prefix, code := lb.Some("http://a/"), lb.Some("pool-http"), lb.Some("http://b/"), lb.Some(308)
	steps := []struct {
		name string
		in   lb.L7PolicyAttrs
		want string // action, pool, URL, prefix, code
	}{
		{"a URL", lb.L7PolicyAttrs{RedirectURL: url}, "REDIRECT_TO_URL||http://a/||302"},
		{"a code", lb.L7PolicyAttrs{RedirectHTTPCode: code}, "REDIRECT_TO_URL||http://a/||308"},
		{"no code", lb.L7PolicyAttrs{RedirectHTTPCode: lb.Null[int]()}, "REDIRECT_TO_URL||http://a/||0"},
		{"a pool", lb.L7PolicyAttrs{RedirectPoolID: pool, RedirectHTTPCode: code}, "REDIRECT_TO_POOL|pool-http|||0"},
		{"a prefix and a URL", lb.L7PolicyAttrs{RedirectPrefix: prefix, RedirectURL: url}, "REDIRECT_PREFIX|||http://b/|302"},
		{"a prefix for a null URL", lb.L7PolicyAttrs{RedirectPrefix: prefix, RedirectURL: lb.Null[string](), RedirectHTTPCode: code}, "REDIRECT_PREFIX|||http://b/|308"},
		{"rejection drops targets", lb.L7PolicyAttrs{Action: lb.Some(lb.Reject), RedirectURL: url, RedirectPoolID: pool}, "REJECT||||0"},
		{"a pool though it says URL", lb.L7PolicyAttrs{RedirectPoolID: pool, RedirectURL: lb.Null[string]()}, "REDIRECT_TO_POOL|pool-http|||0"},
	}
	tree := change(t, villa(t), policy("http", "y1", reject()))
	for _, s := range steps {
		tree = change(t, tree, updatePolicy("y1", s.in))
		_, p, err := tree.Policy("y1")
		must(t, err)
		got := fmt.Sprint(p.Action, "|", p.RedirectPoolID, "|", p.RedirectURL, "|", p.RedirectPrefix, "|", p.RedirectHTTPCode)
		if got != s.want {
			t.Errorf("%s: %s, want %s", s.name, got, s.want)
		}
	}
}

// TestPositions moves policies; positions are always 1, 2, 3 and so on.
func TestPositions(t *testing.T) {
	at := func(position int) lb.L7PolicyAttrs {
		attrs := reject()
		attrs.Position = lb.Some(position)
		return attrs
	}
	move := func(id string, position int) step {
		return updatePolicy(id, lb.L7PolicyAttrs{Position: lb.Some(position)})
	}
	tree := villa(t)
	for _, s := range []struct {
		change step
		want   string
	}{
		{policy("http", "a", reject()), "a"},
		{policy("http", "b", reject()), "a b"},
		{policy("http", "c", at(1)), "c a b"},
		{policy("http", "d", at(99)), "c a b d"},
		{policy("http", "e", at(2)), "c e a b d"},
		{move("c", 3), "e a c b d"},
		{move("d", 1), "d e a c b"},
		{move("d", 1000), "e a c b d"},
		{updatePolicy("e", lb.L7PolicyAttrs{Position: lb.Null[int](), Description: lb.Some("x")}), "e a c b d"},
		{deletePolicy("a"), "e c b d"},
		{move("d", 2), "e d c b"},
		{policy("http", "f", at(3)), "e d f c b"},
		{deletePolicy("e"), "d f c b"},
	} {
		tree = change(t, tree, s.change)
		l, err := tree.Listener("http")
		must(t, err)
		var living []string
		for _, p := range l.Policies {
			if p.Deleted {
				continue
			}
			living = append(living, p.ID)
			if got := l.Position(p); got != len(living) {
				t.Errorf("%s has position %d, want %d", p.ID, got, len(living))
			}
		}
		if got := strings.Join(living, " "); got != s.want {
			t.Errorf("%s, want %s", got, s.want)
		}
	}
}

func TestL7RuleRules(t *testing.T) {
	start := change(t, villa(t), policy("http", "y1", reject()), l7Rule("y1", "r1", ruleOf("HEADER", "EQUAL_TO", "k", "v")))
	full := func(tree *lb.LoadBalancer) error {
		for i := range lb.MaxL7Rules {
			if err := l7Rule("y1", fmt.Sprint("n", i), ruleOf("PATH", "EQUAL_TO", "", "/"))(tree); err != nil {
				return err
			}
		}
		return nil
	}
	parsing := func(message string) string { return "Error parsing L7Rule: " + message }
	add := func(kind, compare, key, value string) step {
		return l7Rule("y1", "x", ruleOf(kind, compare, key, value))
	}
	refuse(t, start, map[string]refusal{
		"host name":                  {add("HOST_NAME", "CONTAINS", "", "a.b"), 0, ""},
		"host name with a key":       {add("HOST_NAME", "EQUAL_TO", "k", "a.b"), 0, ""},
		"host name with a space":     {add("HOST_NAME", "EQUAL_TO", "", "a b"), lb.Invalid, parsing("Invalid characters in comparison value")},
		"path in quotes":             {add("PATH", "EQUAL_TO", "", "\"a\tb\""), 0, ""},
		"empty value":                {add("PATH", "EQUAL_TO", "", ""), lb.Invalid, parsing("Invalid L7 Rule: L7 rule type requires a value")},
		"file type by ending":        {add("FILE_TYPE", "ENDS_WITH", "", "jpg"), lb.Invalid, parsing("Invalid L7 Rule: invalid comparison type for rule type")},
		"file type by expression":    {add("FILE_TYPE", "REGEX", "", "jpg|png"), 0, ""},
		"expression too large":       {add("PATH", "REGEX", "", "(abcdefghij){120}"), lb.Invalid, parsing("The regular expression is too large: with its repetitions written out it may have 1000 instructions")},
		"expression that is none":    {add("PATH", "REGEX", "", "("), lb.Invalid, parsing("Unable to parse regular expression: missing closing ): `(`")},
		"header without key":         {add("HEADER", "EQUAL_TO", "", "v"), lb.Invalid, parsing("Invalid L7 Rule: L7 rule type requires a key")},
		"header with an odd key":     {add("HEADER", "EQUAL_TO", "a:b", "v"), lb.Invalid, parsing("Invalid characters in key")},
		"header with an odd value":   {add("HEADER", "EQUAL_TO", "k", "ä"), lb.Invalid, parsing("Invalid characters in header value")},
		"cookie with a semicolon":    {add("COOKIE", "EQUAL_TO", "k", "a;b"), lb.Invalid, parsing("Invalid characters in cookie value")},
		"certificate is there":       {add("SSL_CONN_HAS_CERT", "EQUAL_TO", "", "True"), 0, ""},
		"certificate is not there":   {add("SSL_CONN_HAS_CERT", "EQUAL_TO", "", "false"), lb.Invalid, parsing("Invalid characters in comparison value")},
		"certificate with a key":     {add("SSL_CONN_HAS_CERT", "EQUAL_TO", "k", "true"), lb.Invalid, parsing("Invalid L7 Rule: L7 rule type does not use a key")},
		"verify result":              {add("SSL_VERIFY_RESULT", "EQUAL_TO", "", "0"), 0, ""},
		"verify result compared":     {add("SSL_VERIFY_RESULT", "CONTAINS", "", "0"), lb.Invalid, parsing("Invalid L7 Rule: invalid comparison type for rule type")},
		"verify result is a word":    {add("SSL_VERIFY_RESULT", "EQUAL_TO", "", "ok"), lb.Invalid, parsing("Invalid characters in comparison value")},
		"name field":                 {add("SSL_DN_FIELD", "STARTS_WITH", "CN", "a b"), 0, ""},
		"name field with an odd key": {add("SSL_DN_FIELD", "EQUAL_TO", "1", "x"), lb.Invalid, parsing("Invalid characters in key")},
		"51 rules":                   {full, lb.Conflict, "Too many rules on L7 policy y1"},
		"of a missing policy":        {l7Rule("nosuch", "x", ruleOf("PATH", "EQUAL_TO", "", "/")), lb.NotFound, "L7 Policy nosuch not found."},
		"value null":                 {updateRule("y1", "r1", lb.L7RuleAttrs{Value: lb.Null[string]()}), lb.Invalid, parsing("Invalid L7 Rule: L7 rule type requires a value")},
		"key taken away":             {updateRule("y1", "r1", lb.L7RuleAttrs{Key: lb.Null[string]()}), lb.Invalid, parsing("Invalid L7 Rule: L7 rule type requires a key")},
		"value that does not fit":    {updateRule("y1", "r1", lb.L7RuleAttrs{CompareType: lb.Some("REGEX"), Value: lb.Some("[")}), lb.Invalid, parsing("Unable to parse regular expression: missing closing ]: `[`")},
		"missing one updated":        {updateRule("y1", "x", lb.L7RuleAttrs{}), lb.NotFound, "L7 Rule x not found."},
	})
	tree := change(t, start, updateRule("y1", "r1", lb.L7RuleAttrs{Type: lb.Some("PATH"), Invert: lb.Some(true)}))
	_, p, err := tree.Policy("y1")
	must(t, err)
	if r := p.Rules[0]; r.Key != "" || !r.Invert || r.Value != "v" || tree.Generation != p.ChangedIn {
		t.Errorf("rule %+v of policy %+v", r, p)
	}
}

// TestPolicyUse says which listeners use a pool: by an enabled policy with a rule.
func TestPolicyUse(t *testing.T) {
	tree := villa(t)
	for _, s := range []struct {
		change step
		want   int
	}{
		{policy("http", "y1", lb.L7PolicyAttrs{RedirectPoolID: lb.Some("pool-http")}), 0},
		{l7Rule("y1", "r1", ruleOf("PATH", "EQUAL_TO", "", "/")), 1},
		{updatePolicy("y1", lb.L7PolicyAttrs{Common: lb.Common{AdminStateUp: lb.Some(false)}}), 0},
		{updatePolicy("y1", lb.L7PolicyAttrs{Common: lb.Common{AdminStateUp: lb.Some(true)}}), 1},
		{updateListener("http", lb.ListenerAttrs{DefaultPoolID: lb.Some("pool-http")}), 1},
		{func(t *lb.LoadBalancer) error { return t.DeleteL7Rule("y1", "r1") }, 1},
		{updateListener("http", lb.ListenerAttrs{DefaultPoolID: lb.Null[string]()}), 0},
		{then(deletePolicy("y1"), deletePool("pool-http")), 0},
	} {
		tree = change(t, tree, s.change)
		if got := len(tree.ListenersOf("pool-http")); got != s.want {
			t.Errorf("generation %d: %d listeners, want %d", tree.Generation, got, s.want)
		}
	}
}

// TestGraph makes a load balancer with all that is below it (octavia-resources.md §13).
func TestGraph(t *testing.T) {
	named := func(name, protocol string) lb.PoolCreate {
		p := lb.PoolCreate{ID: "id-" + name, Protocol: protocol}
		p.Name = lb.Some(name)
		p.Algorithm = lb.Some(lb.Algorithm("ROUND_ROBIN"))
		return p
	}
	ref := func(name string) *lb.PoolCreate {
		p := lb.PoolCreate{ID: "unused", NameOnly: true}
		p.Name = lb.Some(name)
		return &p
	}
	full := named("full", "HTTP")
	full.Members = []lb.MemberCreate{{ID: "m1", Address: one, ProtocolPort: 80}}
	full.Monitor = &lb.HealthMonitorCreate{ID: "h1", Type: "HTTP", HealthMonitorAttrs: lb.HealthMonitorAttrs{DelaySec: lb.Some(5)}}
	create := func(pools []lb.PoolCreate, defaultPool, redirect *lb.PoolCreate) lb.LoadBalancerCreate {
		l := lb.ListenerCreate{ID: "l1", Protocol: "HTTP", ProtocolPort: 80, DefaultPool: defaultPool}
		if redirect != nil {
			l.Policies = []lb.L7PolicyCreate{{ID: "y1", RedirectPool: redirect, Rules: []lb.L7RuleCreate{{ID: "r1", L7RuleAttrs: ruleOf("PATH", "EQUAL_TO", "", "/")}}}}
		}
		return lb.LoadBalancerCreate{ID: "lb", Listeners: []lb.ListenerCreate{l}, Pools: pools}
	}
	tree, err := lb.NewLoadBalancer(create([]lb.PoolCreate{named("other", "HTTP")}, &full, ref("other")), noon)
	must(t, err)
	var ids []string
	s := lb.Snapshot{Tree: tree}
	tree.Walk(func(kind lb.Kind, parent string, o *lb.Object, _ any) {
		ids = append(ids, fmt.Sprint(o.ID, " in ", parent))
		if got := s.Provisioning(o); got != lb.PendingCreate {
			t.Errorf("%s %s is %s", kind, o.ID, got)
		}
	})
	want := []string{"lb in ", "l1 in lb", "y1 in l1", "r1 in y1", "id-other in lb", "id-full in lb", "h1 in id-full", "m1 in id-full"}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if l := tree.Listeners[0]; l.DefaultPoolID != "id-full" || l.Policies[0].RedirectPoolID != "id-other" {
		t.Errorf("listener %+v with policy %+v", l, l.Policies[0])
	}
	nameless, incomplete := named("", "HTTP"), named("incomplete", "")
	tcp := named("tcp", "TCP")
	for name, test := range map[string]struct {
		in   lb.LoadBalancerCreate
		want string
	}{
		"nameless":   {create(nil, &nameless, nil), "Validation failure: Pools must be named when creating a fully populated loadbalancer."},
		"twice":      {create([]lb.PoolCreate{full}, &full, nil), "Validation failure: Pool names must be unique when creating a fully populated loadbalancer."},
		"unresolved": {create([]lb.PoolCreate{full}, ref("nosuch"), nil), "Validation failure: Pool 'nosuch' was referenced but no full definition was found."},
		"incomplete": {create([]lb.PoolCreate{incomplete}, nil, nil), "Validation failure: Pool definition for 'incomplete' missing required attribute: protocol"},
		"unfit":      {create([]lb.PoolCreate{tcp}, nil, ref("tcp")), "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."},
	} {
		if _, err := lb.NewLoadBalancer(test.in, noon); lb.CodeOf(err) != lb.Invalid || err.Error() != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExpressionsOfAListener fills a listener with expressions to the limit, and has the sum told to whoever goes beyond.
func TestExpressionsOfAListener(t *testing.T) {
	large := ruleOf("PATH", "REGEX", "", "[ab]{0,249}[cd]{0,249}x") // 999 instructions
	start := change(t, villa(t), policy("http", "y1", reject()), policy("http", "y2", reject()))
	for i := range 8 {
		start = change(t, start, l7Rule([]string{"y1", "y2"}[i%2], fmt.Sprint("r", i), large))
	}
	start = change(t, start, l7Rule("y1", "small", ruleOf("PATH", "REGEX", "", "^/[a-z]+/")))
	err := l7Rule("y2", "x", large)(start.Next(at(start.Generation + 1)))
	var refused *lb.Error
	if !errors.As(err, &refused) || refused.Code != lb.Invalid || refused.Field != "value" ||
		!strings.Contains(refused.Message, "may have 8192 instructions together") || !strings.Contains(refused.Message, "have 7999, and this one has 999") {
		t.Fatalf("got %v", err)
	}
	refuse(t, start, map[string]refusal{
		"a small one made large": {updateRule("y1", "small", large), lb.Invalid, strings.Replace(err.Error(), "have 7999", "have 7992", 1)},
		"a large one renamed":    {updateRule("y1", "r0", lb.L7RuleAttrs{Common: lb.Common{Name: lb.Some("n")}}), 0, ""},
		"a plain one":            {l7Rule("y1", "x", ruleOf("PATH", "EQUAL_TO", "", "/")), 0, ""},
	})
	tree := change(t, start, func(tree *lb.LoadBalancer) error { return tree.DeleteL7Rule("y2", "r1") }, l7Rule("y1", "x", large))
	if _, err := tree.Listener("http"); err != nil {
		t.Error(err)
	}
}
