package neutron

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// defaultGroup is the name of the group that every project has and that ports are in unless their creator says otherwise.
const defaultGroup = "default"

type securityGroup struct {
	bun.BaseModel `bun:"table:neutron_security_groups,alias:g"`
	common
	Name      string `bun:"name"`
	Stateful  bool   `bun:"stateful"`
	DefaultOf string `bun:"default_of,nullzero"` // the project whose default group it is; "": nobody's

	Rules []*groupRule `bun:"rel:has-many,join:id=group_id"`
}

// portGroup puts a port into a group.
type portGroup struct {
	bun.BaseModel `bun:"table:neutron_port_groups,alias:m"`
	PortID        string  `bun:"port_id,pk"`
	GroupID       string  `bun:"group_id,pk"`
	By            chooser `bun:"by_balancer,pk"`
}

// chooser is who put a port into a group. The choice of a load balancer (vip_sg_ids) counts instead of the owner's.
type chooser bool

const (
	byOwner    chooser = false
	byBalancer chooser = true
)

// groupsThatCount is a condition for neutron_port_groups m: the choice of the port's load balancer, or else the owner's.
const groupsThatCount = "(m.by_balancer OR NOT EXISTS" +
	" (SELECT 1 FROM neutron_port_groups b WHERE b.port_id = m.port_id AND b.by_balancer))"

func (s *Service) securityGroups() kind {
	return kind{
		name: "security_group", plural: "security_groups", path: "security-groups",
		columns: map[string]string{"id": "g.id", "name": "g.name", "project_id": "g.project_id", "tenant_id": "g.project_id"},
		list:    s.listGroups,
		create:  s.createGroup,
		update:  s.updateGroup,
		remove:  s.deleteGroup,
	}
}

func (g *securityGroup) read(b *body) {
	b.text("name", &g.Name)
	b.text("description", &g.Description)
	stateful := true
	if b.flag("stateful", &stateful); !stateful {
		b.fail(unsupported("Stateless security groups"))
	}
}

func (g *securityGroup) view() object {
	v := g.common.view()
	v["name"], v["stateful"], v["shared"] = g.Name, g.Stateful, false
	rules := []object{}
	for _, r := range g.Rules {
		rules = append(rules, r.view())
	}
	v["security_group_rules"] = rules
	return v
}

func selectGroups(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*securityGroup, error) {
	return rowsOf[securityGroup](ctx, db, owned(c), n, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Relation("Rules", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("u.created_at", "u.id") })
	})
}

func findGroup(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*securityGroup, error) {
	rows, err := selectGroups(ctx, db, c, byID(id))
	return one(rows, err, errGroup(id))
}

func errGroup(id string) error {
	return notFound("SecurityGroupNotFound", "Security group %s does not exist", id)
}

// listGroups lets the caller's project find its default group even before its first port.
func (s *Service) listGroups(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	if _, inside := db.(bun.Tx); !inside && caller.ProjectID != "" {
		if err := s.provideDefaultGroup(ctx, caller.ProjectID); err != nil {
			return nil, err
		}
	}
	rows, err := selectGroups(ctx, db, caller, n)
	return viewsOf(rows, (*securityGroup).view), err
}

func (s *Service) provideDefaultGroup(ctx context.Context, project string) error {
	there, err := exists(ctx, s.db.NewSelect().Model((*securityGroup)(nil)).Where("g.default_of = ?", project))
	if err != nil || there {
		return err
	}
	return s.change(ctx, admin, func(ctx context.Context, c *change) error {
		_, err := c.defaultGroup(ctx, project)
		return err
	})
}

// defaultGroup is the id of the project's default group, which is made when it is first asked for: its ports reach
// everybody, and each other.
func (c *change) defaultGroup(ctx context.Context, project string) (string, error) {
	g := newGroup(project)
	g.Name, g.Description, g.DefaultOf = defaultGroup, "Default security group", project
	added, err := c.tx.NewInsert().Model(g).On("CONFLICT (default_of) DO NOTHING").Exec(ctx)
	if err != nil {
		return "", fmt.Errorf("default security group: %w", err)
	}
	if n, err := added.RowsAffected(); err != nil {
		return "", fmt.Errorf("default security group: %w", err)
	} else if n > 0 {
		return g.ID, c.insertRules(ctx, append(g.outgoing(), g.amongMembers()...))
	}
	ids := []string{}
	err = c.tx.NewSelect().Model((*securityGroup)(nil)).Column("g.id").Where("g.default_of = ?", project).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return "", cmp.Or(err, errGroup(defaultGroup))
	}
	return ids[0], nil
}

func newGroup(project string) *securityGroup {
	return &securityGroup{common: newCommon(project), Stateful: true}
}

// outgoing are the rules of every new group: its ports reach everybody.
func (g *securityGroup) outgoing() []*groupRule {
	rules := []*groupRule{}
	for _, version := range ethertypes {
		rules = append(rules, &groupRule{common: newCommon(g.ProjectID), GroupID: g.ID, Direction: egress, Ethertype: version})
	}
	return rules
}

// amongMembers are the rules by which the ports of the group reach each other.
func (g *securityGroup) amongMembers() []*groupRule {
	rules := []*groupRule{}
	for _, version := range ethertypes {
		rules = append(rules, &groupRule{
			common: newCommon(g.ProjectID), GroupID: g.ID, Direction: ingress, Ethertype: version, RemoteGroupID: g.ID,
		})
	}
	return rules
}

func (c *change) insertRules(ctx context.Context, rules []*groupRule) error {
	return c.insert(ctx, &rules)
}

func (s *Service) createGroup(ctx context.Context, c *change, b *body) (string, error) {
	g := newGroup(b.project("security_group"))
	g.read(b)
	if g.Name == defaultGroup {
		b.fail(conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists."))
	}
	if err := b.close(g.view()); err != nil {
		return "", err
	}
	if _, err := c.defaultGroup(ctx, g.ProjectID); err != nil {
		return "", err
	}
	c.grows(g.ProjectID, quotaGroup, quotaRule)
	if err := c.insert(ctx, g); err != nil {
		return "", err
	}
	return g.ID, c.insertRules(ctx, g.outgoing())
}

func (s *Service) updateGroup(ctx context.Context, c *change, id string, b *body) error {
	g, err := c.ownGroup(ctx, id, "update_security_group")
	if err != nil {
		return err
	}
	before := g.Name
	g.read(b)
	if g.Name != before && g.DefaultOf != "" {
		b.fail(conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed."))
	}
	if err := b.close(g.view()); err != nil {
		return err
	}
	return c.save(ctx, g)
}

// ownGroup finds a group that the caller may change, and makes the transaction the only one that changes it.
func (c *change) ownGroup(ctx context.Context, id, rule string) (*securityGroup, error) {
	if _, err := c.tx.NewUpdate().Model((*securityGroup)(nil)).Set("revision = revision").Where("id = ?", id).Exec(ctx); err != nil {
		return nil, fmt.Errorf("security group lock: %w", err)
	}
	g, err := findGroup(ctx, c.tx, c.caller, id)
	if err != nil {
		return nil, err
	}
	return g, mayChange(c.caller, g.ProjectID, rule)
}

func (s *Service) deleteGroup(ctx context.Context, c *change, id string) error {
	g, err := c.ownGroup(ctx, id, "delete_security_group")
	if err != nil {
		return err
	}
	if g.DefaultOf != "" && !isAdmin(c.caller) {
		return conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*portGroup)(nil)).Where("m.group_id = ?", id))
	if err != nil {
		return err
	}
	if used {
		return conflict("SecurityGroupInUse", "Security Group %s in use.", id)
	}
	if err := c.movedByRemote(ctx, id); err != nil {
		return err
	}
	return c.remove(ctx, g)
}

// checkGroups refuses groups that the caller does not see, and drops repetitions.
func (c *change) checkGroups(ctx context.Context, wanted []string) ([]string, error) {
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	for _, id := range wanted {
		if _, err := findGroup(ctx, c.tx, c.caller, id); err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

// groups reads security_groups; nil when the request does not mention them.
func (b *body) groups() []string {
	if !b.has("security_groups") {
		return nil
	}
	wanted := []string{}
	list(b, "security_groups", &wanted)
	return wanted
}

// secure puts the port into the groups wanted, or when wanted is nil and it is in none, into its project's default
// group. A port without port security is in no group.
func (c *change) secure(ctx context.Context, p *port, wanted []string) error {
	switch {
	case !p.PortSecurity && len(wanted) > 0:
		return badRequest("PortSecurityAndIPRequiredForSecurityGroups",
			"Port security must be enabled and port must have an IP address in order to use security groups.")
	case !p.PortSecurity:
		return c.setGroups(ctx, p, byOwner, []string{})
	case wanted == nil && len(p.Groups) > 0:
		return nil
	case wanted == nil && p.ProjectID == "":
		return nil
	case wanted == nil:
		id, err := c.defaultGroup(ctx, p.ProjectID)
		if err != nil {
			return err
		}
		return c.setGroups(ctx, p, byOwner, []string{id})
	}
	wanted, err := c.checkGroups(ctx, wanted)
	if err != nil {
		return err
	}
	return c.setGroups(ctx, p, byOwner, wanted)
}

// setGroups makes the choice of the owner or of the load balancer be these groups and no others.
func (c *change) setGroups(ctx context.Context, p *port, by chooser, wanted []string) error {
	if slices.Equal(p.groupsBy(by), wanted) {
		return nil
	}
	had := p.groupIDs()
	_, err := c.tx.NewDelete().Model((*portGroup)(nil)).Where("port_id = ? AND by_balancer = ?", p.ID, by).Exec(ctx)
	if err != nil {
		return fmt.Errorf("security groups of port %s: %w", p.ID, err)
	}
	chosen := []portGroup{}
	for _, id := range wanted {
		chosen = append(chosen, portGroup{PortID: p.ID, GroupID: id, By: by})
	}
	if len(chosen) > 0 {
		if err := c.insert(ctx, &chosen); err != nil {
			return err
		}
	}
	p.Groups = append(slices.DeleteFunc(p.Groups, func(g portGroup) bool { return g.By == by }), chosen...)
	c.moved(p)
	return c.movedByRemote(ctx, append(had, p.groupIDs()...)...)
}

// groupIDs are the port's groups in the order of their ids.
func (p *port) groupIDs() []string {
	if ids := p.groupsBy(byBalancer); len(ids) > 0 {
		return ids
	}
	return p.groupsBy(byOwner)
}

func (p *port) groupsBy(by chooser) []string {
	ids := []string{}
	for _, g := range p.Groups {
		if g.By == by {
			ids = append(ids, g.GroupID)
		}
	}
	slices.Sort(ids)
	return ids
}

// movedMembers notes that what the ports in the group let through has changed.
func (c *change) movedMembers(ctx context.Context, groupID string) error {
	return c.movedPorts(ctx, where("p.id IN (SELECT port_id FROM neutron_port_groups WHERE group_id = ?)", groupID))
}

// movedByRemote notes that the ports whose rules refer to one of the groups have others to let through.
func (c *change) movedByRemote(ctx context.Context, groupIDs ...string) error {
	if len(groupIDs) == 0 {
		return nil
	}
	const referring = "p.id IN (SELECT m.port_id FROM neutron_port_groups m" +
		" JOIN neutron_security_group_rules u ON u.group_id = m.group_id WHERE u.remote_group_id IN ?)"
	return c.movedPorts(ctx, where(referring, bun.Tuple(groupIDs)))
}

// movedPorts notes those ports that somebody has plugged.
func (c *change) movedPorts(ctx context.Context, n narrow) error {
	plugged := []*port{}
	err := c.tx.NewSelect().Model(&plugged).Column("p.id", "p.holder", "p.device_id").
		Where("p.holder IS NOT NULL").Apply(n).Scan(ctx)
	if err != nil {
		return fmt.Errorf("ports with changed security groups: %w", err)
	}
	for _, p := range plugged {
		c.moved(p)
	}
	return nil
}
