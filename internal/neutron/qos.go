package neutron

import (
	"context"
	"net/http"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// qosPolicy is a name that ports and networks refer to. Policies have no rules here: nothing would enforce them, so rules are refused.
type qosPolicy struct {
	bun.BaseModel `bun:"table:neutron_qos_policies,alias:q"`
	common
	Name    string `bun:"name"`
	Shared  bool   `bun:"shared"`
	Default bool   `bun:"is_default"`
}

func (s *Service) qosPolicies() kind {
	return kind{
		name: "policy", plural: "policies", path: "qos/policies",
		columns: map[string]string{"id": "q.id", "name": "q.name", "project_id": "q.project_id", "tenant_id": "q.project_id"},
		list:    s.listQoSPolicies,
		create:  s.createQoSPolicy,
		update:  s.updateQoSPolicy,
		remove:  s.deleteQoSPolicy,
	}
}

// qosRules are the kinds of rules that Neutron has, as in paths and answers.
var qosRules = []string{"bandwidth_limit_rules", "dscp_marking_rules", "minimum_bandwidth_rules", "minimum_packet_rate_rules"}

// qosRuleRoutes show that no policy has rules, and refuse new ones.
func (s *Service) qosRuleRoutes() []rest.Route {
	routes := []rest.Route{{Method: http.MethodGet, Pattern: "/v2.0/qos/rule-types", Handler: serveEmpty("rule_types")}}
	for _, rules := range qosRules {
		path := "/v2.0/qos/policies/{id}/" + rules
		routes = append(routes,
			rest.Route{Method: http.MethodGet, Pattern: path, Handler: serveEmpty(rules)},
			rest.Route{Method: http.MethodPost, Pattern: path, Handler: refuseQoSRules})
	}
	return routes
}

func refuseQoSRules(http.ResponseWriter, *http.Request) error {
	return unsupported("Rules of QoS policies: traffic is not shaped here, so they")
}

func (q *qosPolicy) read(b *body) {
	b.text("name", &q.Name)
	b.text("description", &q.Description)
	b.adminOnly("policy", "shared")
	b.flag("shared", &q.Shared)
	b.flag("is_default", &q.Default)
}

func (q *qosPolicy) view() object {
	v := q.common.view()
	v["name"], v["shared"], v["is_default"], v["rules"] = q.Name, q.Shared, q.Default, []object{}
	return v
}

func selectQoSPolicies(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*qosPolicy, error) {
	return rowsOf[qosPolicy](ctx, db, n, func(q *bun.SelectQuery) *bun.SelectQuery {
		if isAdmin(c) {
			return q
		}
		return q.Where("(q.project_id = ? AND q.project_id <> '') OR q.shared", c.ProjectID)
	})
}

func findQoSPolicy(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*qosPolicy, error) {
	rows, err := selectQoSPolicies(ctx, db, c, byID(id))
	return one(rows, err, errQoSPolicy(id))
}

func errQoSPolicy(id string) error {
	return notFound("QosPolicyNotFound", "QoS policy %s could not be found.", id)
}

func (s *Service) listQoSPolicies(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectQoSPolicies(ctx, db, caller, n)
	return viewsOf(rows, (*qosPolicy).view), err
}

func (s *Service) createQoSPolicy(ctx context.Context, c *change, b *body) (string, error) {
	q := &qosPolicy{common: newCommon(b.project("policy"))}
	q.read(b)
	if err := b.close(q.view()); err != nil {
		return "", err
	}
	c.grows(q.ProjectID, quotaQoS)
	return q.ID, c.insert(ctx, q)
}

func (s *Service) updateQoSPolicy(ctx context.Context, c *change, id string, b *body) error {
	q, err := findQoSPolicy(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, q.ProjectID, "update_policy"); err != nil {
		return err
	}
	q.read(b)
	if err := b.close(q.view()); err != nil {
		return err
	}
	return c.save(ctx, q)
}

func (s *Service) deleteQoSPolicy(ctx context.Context, c *change, id string) error {
	q, err := findQoSPolicy(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, q.ProjectID, "delete_policy"); err != nil {
		return err
	}
	for user, rows := range map[string]any{"port": (*port)(nil), "network": (*network)(nil)} {
		used, err := exists(ctx, c.tx.NewSelect().Model(rows).Where("qos_policy_id = ?", id))
		if err != nil {
			return err
		}
		if used {
			return conflict("QosPolicyInUse", "QoS Policy %s is used by %s.", id, user)
		}
	}
	return c.remove(ctx, q)
}

// checkQoSPolicy refuses a policy that the caller does not see, unless the port or the network had it before.
func (c *change) checkQoSPolicy(ctx context.Context, id, before string) error {
	if id == "" || id == before {
		return nil
	}
	_, err := findQoSPolicy(ctx, c.tx, c.caller, id)
	return err
}
