package lb

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// L7RuleTypes are what a rule can look at, in the order of Octavia's messages.
var L7RuleTypes = []string{
	RuleConnHasCert, RulePath, RuleVerifyResult, RuleDNField, RuleHostName, RuleFileType, RuleHeader, RuleCookie,
}

// The types of L7 rules.
const (
	RuleHostName     = "HOST_NAME"
	RulePath         = "PATH"
	RuleFileType     = "FILE_TYPE"
	RuleHeader       = "HEADER"
	RuleCookie       = "COOKIE"
	RuleConnHasCert  = "SSL_CONN_HAS_CERT"
	RuleVerifyResult = "SSL_VERIFY_RESULT"
	RuleDNField      = "SSL_DN_FIELD"
)

// L7CompareTypes are how a rule compares.
var L7CompareTypes = []string{CompareRegex, CompareStartsWith, CompareEndsWith, CompareContains, CompareEqualTo}

// The comparisons of L7 rules.
const (
	CompareRegex      = "REGEX"
	CompareStartsWith = "STARTS_WITH"
	CompareEndsWith   = "ENDS_WITH"
	CompareContains   = "CONTAINS"
	CompareEqualTo    = "EQUAL_TO"
)

// L7Rule is one condition of a policy.
type L7Rule struct {
	Object
	Type        string `json:"type"`
	CompareType string `json:"compare_type"`
	Key         string `json:"key,omitempty"` // of a header, a cookie or a field of the client's name
	Value       string `json:"value"`
	Invert      bool   `json:"invert"`
}

// L7RuleAttrs are the attributes of a rule that can be changed.
type L7RuleAttrs struct {
	Common
	Type        Opt[string]
	CompareType Opt[string]
	Key         Opt[string]
	Value       Opt[string]
	Invert      Opt[bool]
}

// L7RuleCreate makes a rule.
type L7RuleCreate struct {
	L7RuleAttrs
	ID string
}

// CreateL7Rule adds a rule to a policy (octavia-rules.md §7).
func (t *LoadBalancer) CreateL7Rule(policyID string, in L7RuleCreate) (*L7Rule, error) {
	l, p, err := t.mutablePolicy(policyID)
	if err != nil {
		return nil, err
	}
	r := &L7Rule{Object: t.newObject(in.ID, in.Common)}
	r.set(in.L7RuleAttrs)
	if err := r.check(); err != nil {
		return nil, err
	}
	living := 0
	for _, other := range p.Rules {
		if !other.Deleted {
			living++
		}
	}
	if living >= MaxL7Rules {
		return nil, errConflict("", "Too many rules on L7 policy %s", p.ID)
	}
	if err := l.checkExpressions(r, 0); err != nil {
		return nil, err
	}
	p.Rules = append(p.Rules, r)
	t.touch(&t.Object, &l.Object, &p.Object)
	return r, nil
}

// UpdateL7Rule changes a rule. One whose type has no key loses it.
func (t *LoadBalancer) UpdateL7Rule(policyID, id string, in L7RuleAttrs) (*L7Rule, error) {
	l, p, r, err := t.mutableRule(policyID, id)
	if err != nil {
		return nil, err
	}
	if in.Value.Null {
		return nil, errRule("Invalid L7 Rule: L7 rule type requires a value")
	}
	before := r.instructions()
	r.set(in)
	if r.Type == RuleHostName || r.Type == RulePath || r.Type == RuleFileType {
		r.Key = ""
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if err := l.checkExpressions(r, before); err != nil {
		return nil, err
	}
	in.apply(&r.Object)
	t.touch(&t.Object, &l.Object, &p.Object, &r.Object)
	return r, nil
}

// DeleteL7Rule removes a rule.
func (t *LoadBalancer) DeleteL7Rule(policyID, id string) error {
	l, p, r, err := t.mutableRule(policyID, id)
	if err != nil {
		return err
	}
	t.remove(&r.Object)
	t.touch(&t.Object, &l.Object, &p.Object)
	return nil
}

// mutableRule finds a rule that may be changed, its policy and its listener.
func (t *LoadBalancer) mutableRule(policyID, id string) (*Listener, *L7Policy, *L7Rule, error) {
	_, p, err := t.Policy(policyID)
	if err != nil {
		return nil, nil, nil, err
	}
	r, err := find(p.Rules, KindL7Rule, id)
	if err != nil {
		return nil, nil, nil, err
	}
	l, p, err := t.mutablePolicy(policyID)
	if err != nil {
		return nil, nil, nil, err
	}
	return l, p, r, t.mutable(KindL7Rule, &r.Object)
}

// set writes the attributes beyond the common ones. Type and comparison have no null.
func (r *L7Rule) set(in L7RuleAttrs) {
	in.Type.Into(&r.Type, r.Type)
	in.CompareType.Into(&r.CompareType, r.CompareType)
	in.Key.Into(&r.Key, "")
	in.Value.Into(&r.Value, "")
	in.Invert.Into(&r.Invert, false)
}

// The forms of the parts of rules.
var (
	ruleHeaderName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+,.^_`|~-]+$")
	ruleHeaderValue = regexp.MustCompile(`^([\x21-\x7e]+|"[\t\x20-\x7e]*")$`)
	ruleCookieValue = regexp.MustCompile(`^[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]+$`)
	ruleDNField     = regexp.MustCompile(`^[a-zA-Z][A-Za-z0-9-]*$`)
	ruleDigits      = regexp.MustCompile(`^[0-9]+$`)
)

// ruleForm is what a rule of one type must look like.
type ruleForm struct {
	key      *regexp.Regexp // nil: there is none
	keyless  bool           // a key is an error, not just of no use
	compares []string
	value    *regexp.Regexp // nil: anything
	called   string         // what a wrong value is called
}

var ruleForms = map[string]ruleForm{
	RuleHostName:     {compares: L7CompareTypes, value: ruleHeaderValue, called: "comparison value"},
	RulePath:         {compares: L7CompareTypes, value: ruleHeaderValue, called: "comparison value"},
	RuleFileType:     {compares: []string{CompareEqualTo, CompareRegex}, value: ruleHeaderValue, called: "comparison value"},
	RuleHeader:       {key: ruleHeaderName, compares: L7CompareTypes, value: ruleHeaderValue, called: "header value"},
	RuleCookie:       {key: ruleHeaderName, compares: L7CompareTypes, value: ruleCookieValue, called: "cookie value"},
	RuleConnHasCert:  {keyless: true, compares: []string{CompareEqualTo}, value: regexp.MustCompile(`^(?i:true)$`), called: "comparison value"},
	RuleVerifyResult: {keyless: true, compares: []string{CompareEqualTo}, value: ruleDigits, called: "comparison value"},
	RuleDNField:      {key: ruleDNField, compares: L7CompareTypes},
}

// check refuses what no rule of this type can be.
func (r *L7Rule) check() error {
	form := ruleForms[r.Type]
	switch {
	case r.Value == "":
		return errRule("Invalid L7 Rule: L7 rule type requires a value")
	case form.key != nil && r.Key == "":
		return errRule("Invalid L7 Rule: L7 rule type requires a key")
	case form.key != nil && !form.key.MatchString(r.Key):
		return errRule("Invalid characters in key")
	case form.keyless && r.Key != "":
		return errRule("Invalid L7 Rule: L7 rule type does not use a key")
	case !slices.Contains(form.compares, r.CompareType):
		return errRule("Invalid L7 Rule: invalid comparison type for rule type")
	case r.CompareType == CompareRegex:
		return r.checkRegex()
	case form.value != nil && !form.value.MatchString(r.Value):
		return errRule("Invalid characters in " + form.called)
	}
	return nil
}

// An expression is compiled to instructions, its repetitions written out. Each byte of a request costs as many steps as there are
// instructions at worst, so both are limited: those of one expression, and those of all expressions of a listener, with
// which the longest request takes some seconds of one processor (l7 shares it out between load balancers).
const (
	maxRegexProgram         = 1_000
	maxListenerInstructions = 8_192
)

// checkExpressions refuses a rule of the listener, new or changed, that makes all expressions together too large; it had
// so many instructions before.
func (l *Listener) checkExpressions(changed *L7Rule, before int) error {
	own := changed.instructions()
	if own <= before {
		return nil
	}
	others := 0
	for _, p := range l.Policies {
		for _, r := range p.Rules {
			if r != changed && !r.Deleted && !p.Deleted {
				others += r.instructions()
			}
		}
	}
	if others+own <= maxListenerInstructions {
		return nil
	}
	err := errRule(fmt.Sprintf("The regular expressions of a listener's rules may have %d instructions together, as each of them may be "+
		"compared with every byte of a request: those of listener %s have %d, and this one has %d",
		maxListenerInstructions, l.ID, others, own))
	err.Field = "value"
	return err
}

// instructions of the rule's expression; 0 when it has none.
func (r *L7Rule) instructions() int {
	if r.CompareType != CompareRegex {
		return 0
	}
	program, err := r.compile()
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// compile compiles the expression. Host names are compared without regard to case.
func (r *L7Rule) compile() (*syntax.Prog, error) {
	flags := syntax.Perl
	if r.Type == RuleHostName {
		flags |= syntax.FoldCase
	}
	parsed, err := syntax.Parse(r.Value, flags)
	if err != nil {
		return nil, err
	}
	return syntax.Compile(parsed.Simplify())
}

// checkRegex refuses expressions that cannot be evaluated in time linear in the length of the request, or only with many
// steps for each byte.
func (r *L7Rule) checkRegex() error {
	program, err := r.compile()
	switch {
	case err != nil:
		return errRule("Unable to parse regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	case len(program.Inst) <= maxRegexProgram:
		return nil
	}
	return errRule(fmt.Sprintf("The regular expression is too large: with its repetitions written out it may have %d instructions", maxRegexProgram))
}

func errRule(what string) *Error {
	return &Error{Code: Invalid, Message: "Error parsing L7Rule: " + what}
}
