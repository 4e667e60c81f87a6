package neutron

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/rest"
)

// change is one transaction, who makes it, and what is to follow once it is committed.
//
// Changes to what belongs to one network (subnets, ports, addresses) take turns: each first locks the network's row
// ([change.lock]), so that what it checks is still true when it writes.
type change struct {
	tx     bun.Tx
	caller rest.Caller
	// routed says that floating IPs need a router to reach a port.
	routed bool

	topology bool     // the fabric must hear of it
	devices  []string // whose ports got other addresses or floating IPs

	grown map[string]map[string]bool // by project: the resources of which objects are added
}

// change runs f in a transaction, then waits until the fabric knows and tells those whose attachments changed.
func (s *Service) change(ctx context.Context, caller rest.Caller, f func(ctx context.Context, c *change) error) error {
	var c *change
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		c = &change{tx: tx, caller: caller, routed: s.fabric.Name() != "loopback"}
		if err := f(ctx, c); err != nil {
			return err
		}
		return s.checkQuotas(ctx, c)
	})
	if database.IsReference(err) {
		return conflict("Conflict", "What the request refers to is being deleted, or what it deletes is being taken into use, by another one.")
	}
	if err != nil {
		return err
	}
	// What is committed is carried through even when the client has gone.
	ctx = context.WithoutCancel(ctx)
	if c.topology {
		s.apply.sync(ctx)
	}
	s.announce(c.devices)
	return nil
}

// moved notes that the owner of a port has to plug it again.
func (c *change) moved(p *port) {
	device := cmp.Or(p.Holder, p.DeviceID)
	if device != "" && !slices.Contains(c.devices, device) {
		c.devices = append(c.devices, device)
	}
}

// lock makes the transaction the only one that changes what belongs to the network; it ends with the transaction.
func (c *change) lock(ctx context.Context, networkID string) (*network, error) {
	n := &network{}
	_, err := c.tx.NewUpdate().Model(n).Set("revision = revision").Where("id = ?", networkID).Returning("*").Exec(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("network lock: %w", err)
	}
	if err != nil || n.ID == "" {
		return nil, errNetwork(networkID)
	}
	return n, nil
}

func (c *change) insert(ctx context.Context, row any) error {
	if _, err := c.tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("insert %T: %w", row, err)
	}
	return nil
}

// save writes a row that has been read and changed.
func (c *change) save(ctx context.Context, row interface{ touch() }) error {
	row.touch()
	if _, err := c.tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("update %T: %w", row, err)
	}
	return nil
}

// touchNetwork counts a change of what the network shows of its subnets, as Neutron does.
func (c *change) touchNetwork(ctx context.Context, id string) error {
	_, err := c.tx.NewUpdate().Model((*network)(nil)).Set("revision = revision + 1, updated_at = ?", timestamp()).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("revision of network %s: %w", id, err)
	}
	return nil
}

func (c *change) remove(ctx context.Context, row any) error {
	if _, err := c.tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("delete %T: %w", row, err)
	}
	return nil
}

// narrow restricts a query to some rows.
type narrow func(*bun.SelectQuery) *bun.SelectQuery

func byID(id string) narrow {
	return func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("?TableAlias.id = ?", id) }
}

func where(condition string, args ...any) narrow {
	return func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where(condition, args...) }
}

// one is the only row of a result; missing is returned when it is empty.
func one[T any](rows []*T, err, missing error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, missing
	}
	return rows[0], nil
}

func exists(ctx context.Context, q *bun.SelectQuery) (bool, error) {
	found, err := q.Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("existence query: %w", err)
	}
	return found, nil
}
