package neutron

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// writerRoles may change what belongs to their project; everybody else only reads.
var writerRoles = []string{"admin", "manager", "member", "load-balancer_admin", "load-balancer_member"}

func isAdmin(c rest.Caller) bool { return c.IsAdmin() }

// admin is the caller for what the service does of its own accord.
var admin = rest.Caller{Roles: []string{"admin"}}

// owned narrows to the caller's project. Ports that the service keeps for itself have no project, so that a caller
// without one does not see them either.
func owned(c rest.Caller) narrow {
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		switch {
		case isAdmin(c):
			return q
		case c.ProjectID == "":
			return q.Where("1 = 0")
		default:
			return q.Where("?TableAlias.project_id = ?", c.ProjectID)
		}
	}
}

// openNetworks are the networks that everybody sees.
const openNetworks = "(SELECT id FROM neutron_networks WHERE shared OR external)"

func visibleNetworks(c rest.Caller) narrow {
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		if isAdmin(c) {
			return q
		}
		return q.Where("(n.project_id = ? AND n.project_id <> '') OR n.shared OR n.external", c.ProjectID)
	}
}

// visibleSubnets are the caller's, those of the caller's networks, and those of open networks.
func visibleSubnets(c rest.Caller) narrow {
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		if isAdmin(c) {
			return q
		}
		const own = "(SELECT id FROM neutron_networks WHERE project_id = ? AND project_id <> '')"
		return q.Where("(s.project_id = ? AND s.project_id <> '') OR s.network_id IN "+own+" OR s.network_id IN "+openNetworks,
			c.ProjectID, c.ProjectID)
	}
}

// mayChange refuses callers who see an object but do not own it, and those who may only read.
func mayChange(c rest.Caller, project, rule string) error {
	if isAdmin(c) || (c.HasRole(writerRoles...) && project == c.ProjectID && project != "") {
		return nil
	}
	return forbidden(rule)
}

func selectNetworks(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*network, error) {
	rows := []*network{}
	if err := db.NewSelect().Model(&rows).Apply(visibleNetworks(c), n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("networks: %w", err)
	}
	return rows, nil
}

func selectSubnets(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*subnet, error) {
	rows := []*subnet{}
	if err := db.NewSelect().Model(&rows).Apply(visibleSubnets(c), n).Order("s.created_at", "s.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("subnets: %w", err)
	}
	return rows, nil
}

func selectPorts(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*port, error) {
	rows := []*port{}
	err := db.NewSelect().Model(&rows).Apply(owned(c), n).Relation("Addresses", inOrder).Relation("Groups").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ports: %w", err)
	}
	return rows, nil
}

func selectRouters(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*router, error) {
	rows := []*router{}
	err := db.NewSelect().Model(&rows).Apply(owned(c), n).Relation("Legs").Relation("Legs.Addresses", inOrder).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("routers: %w", err)
	}
	return rows, nil
}

func selectFloatingIPs(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*floatingIP, error) {
	rows := []*floatingIP{}
	if err := db.NewSelect().Model(&rows).Apply(owned(c), n).Relation("Port").Relation("Router").Scan(ctx); err != nil {
		return nil, fmt.Errorf("floating IPs: %w", err)
	}
	return rows, nil
}

// rowsOf reads the rows of a table that all of ns leave.
func rowsOf[T any](ctx context.Context, db bun.IDB, ns ...narrow) ([]*T, error) {
	rows := []*T{}
	q := db.NewSelect().Model(&rows)
	for _, n := range ns {
		q = q.Apply(n)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("%T: %w", rows, err)
	}
	return rows, nil
}

func viewsOf[T any](rows []T, view func(T) object) []object {
	views := make([]object, len(rows))
	for i, row := range rows {
		views[i] = view(row)
	}
	return views
}

func inOrder(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("a.position") }

func errNetwork(id string) error {
	return notFound("NetworkNotFound", "Network %s could not be found.", id)
}

func errSubnet(id string) error {
	return notFound("SubnetNotFound", "Subnet %s could not be found.", id)
}

func errPort(id string) error { return notFound("PortNotFound", "Port %s could not be found.", id) }

func errRouter(id string) error {
	return notFound("RouterNotFound", "Router %s could not be found", id)
}

func errFloatingIP(id string) error {
	return notFound("FloatingIPNotFound", "Floating IP %s could not be found", id)
}

func findNetwork(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*network, error) {
	rows, err := selectNetworks(ctx, db, c, byID(id))
	return one(rows, err, errNetwork(id))
}

func findSubnet(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*subnet, error) {
	rows, err := selectSubnets(ctx, db, c, byID(id))
	return one(rows, err, errSubnet(id))
}

func findPort(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*port, error) {
	rows, err := selectPorts(ctx, db, c, byID(id))
	return one(rows, err, errPort(id))
}

func findRouter(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*router, error) {
	rows, err := selectRouters(ctx, db, c, byID(id))
	return one(rows, err, errRouter(id))
}

func findFloatingIP(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*floatingIP, error) {
	rows, err := selectFloatingIPs(ctx, db, c, byID(id))
	return one(rows, err, errFloatingIP(id))
}
