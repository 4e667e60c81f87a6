package octavia

import (
	"iter"

	"poise/internal/lb"
)

var l7Rules = &resource{
	kind: lb.KindL7Rule, policy: "l7rule", path: "/l7policies/{policy}/rules",
	envelope: "rule", plural: "rules", argument: "rule_", argumentOnUpdate: "l7rule_",
	above: "policy", aboveKind: lb.KindL7Policy,

	attributes: append(projectAttributes(), attributes{
		idAttribute, provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{name: "type", use: mandatory | onUpdate, kind: oneOf(lb.L7RuleTypes...), read: func(o object) any { return o.rule.Type }},
		{
			name: "compare_type", use: mandatory | onUpdate, kind: oneOf(lb.L7CompareTypes...),
			read: func(o object) any { return o.rule.CompareType },
		},
		{name: "key", use: changeable, kind: line, read: func(o object) any { return orNull(o.rule.Key) }},
		{name: "value", aliases: []string{"rule_value"}, use: mandatory | onUpdate, kind: line, read: func(o object) any { return o.rule.Value }},
		{name: "invert", use: changeable, kind: boolean, read: func(o object) any { return o.rule.Invert }},
		{name: "l7policy_id", use: hidden, read: func(o object) any { return o.policy.ID }},
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, policyID string) iter.Seq[object] {
		return func(yield func(object) bool) {
			l, p, err := s.Tree.Policy(policyID)
			if err != nil { // the policy went away since its load balancer was looked up
				return
			}
			for _, r := range p.Rules {
				if !yield(object{Snapshot: s, base: &r.Object, listener: l, policy: p, rule: r}) {
					return
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) {
		s, err := c.Control.Holder(c.r.Context(), lb.KindL7Policy, c.r.PathValue("policy"))
		in.values["policy"] = c.r.PathValue("policy") // for create
		return s, inPath(err)
	},
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreateL7Rule(get[string](in, "policy"), ruleCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateL7Rule(o.policy.ID, o.base.ID, ruleAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteL7Rule(o.policy.ID, o.base.ID) },
}

func ruleAttrs(in values) lb.L7RuleAttrs {
	return lb.L7RuleAttrs{
		Common:      common(in),
		Type:        opt[string](in, "type"),
		CompareType: opt[string](in, "compare_type"),
		Key:         opt[string](in, "key"),
		Value:       opt[string](in, "value"),
		Invert:      opt[bool](in, "invert"),
	}
}

func ruleCreate(id string, in values) lb.L7RuleCreate {
	return lb.L7RuleCreate{L7RuleAttrs: ruleAttrs(in), ID: id}
}
