package octavia

import (
	"iter"

	"github.com/google/uuid"

	"poise/internal/lb"
)

var l7Policies = &resource{
	kind: lb.KindL7Policy, policy: "l7policy", path: "/l7policies",
	envelope: "l7policy", plural: "l7policies", argument: "l7policy_",

	attributes: append(projectAttributes(), attributes{
		idAttribute, nameAttribute,
		description(func(o object) string { return o.policy.Description }),
		provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{name: "action", use: mandatory | onUpdate, kind: oneOf(lb.L7Actions...), read: func(o object) any { return o.policy.Action }},
		{name: "listener_id", use: mandatory, kind: identity, read: func(o object) any { return o.listener.ID }},
		{
			name: "redirect_pool_id", use: changeable, kind: identity,
			read: func(o object) any { return orNull(o.policy.RedirectPoolID) },
		},
		{name: "redirect_url", use: changeable, kind: webURL, read: func(o object) any { return orNull(o.policy.RedirectURL) }},
		{name: "redirect_prefix", use: changeable, kind: webURL, read: func(o object) any { return orNull(o.policy.RedirectPrefix) }},
		{
			name: "redirect_http_code", use: changeable, kind: oneNumber(lb.RedirectCodes...),
			read: func(o object) any { return orNull(o.policy.RedirectHTTPCode) },
		},
		{
			name: "position", use: changeable, kind: integer(1, lb.MaxAnyInt),
			read: func(o object) any { return o.listener.Position(o.policy) },
		},
		{
			name: "rules", aliases: []string{"l7rules"}, use: onCreate | composed, kind: noChildren,
			read: func(o object) any { return references(o.policy.Rules) },
		},
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, _ string) iter.Seq[object] {
		return func(yield func(object) bool) {
			for _, l := range s.Tree.Listeners {
				for _, p := range l.Policies {
					if !yield(object{Snapshot: s, base: &p.Object, listener: l, policy: p}) {
						return
					}
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) {
		return c.referredTo(lb.KindListener, "listener_id", in)
	},
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreateL7Policy(get[string](in, "listener_id"), policyCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateL7Policy(o.base.ID, policyAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteL7Policy(o.base.ID) },
}

func policyAttrs(in values) lb.L7PolicyAttrs {
	return lb.L7PolicyAttrs{
		Common:           common(in),
		Description:      opt[string](in, "description"),
		Action:           opt[string](in, "action"),
		RedirectPoolID:   opt[string](in, "redirect_pool_id"),
		RedirectURL:      opt[string](in, "redirect_url"),
		RedirectPrefix:   opt[string](in, "redirect_prefix"),
		RedirectHTTPCode: opt[int](in, "redirect_http_code"),
		Position:         opt[int](in, "position"),
	}
}

// policyCreate is a new policy, with what is below it where the request may say so.
func policyCreate(id string, in values) lb.L7PolicyCreate {
	p := lb.L7PolicyCreate{L7PolicyAttrs: policyAttrs(in), ID: id}
	if pool := get[values](in, "redirect_pool"); pool != nil {
		create := poolCreate(uuid.NewString(), pool)
		p.RedirectPool = &create
	}
	for _, r := range get[[]values](in, "rules") {
		p.Rules = append(p.Rules, ruleCreate(uuid.NewString(), r))
	}
	return p
}
