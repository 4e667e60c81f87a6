package barbican

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// The roles of Barbican's default policy. creator and observer are from before OpenStack's default roles.
const (
	roleAdmin    = "admin"
	roleMember   = "member"
	roleCreator  = "creator"
	roleObserver = "observer"
)

// acl is who else than its creator may read a secret or a container.
type acl struct {
	projectAccess bool
	users         []string
	createdAt     int64 // 0: nobody has given one, so it is the default
	updatedAt     int64
}

// mayCreate tells whether the caller may make secrets and containers in the project of the token.
func mayCreate(caller rest.Caller) bool {
	return caller.ProjectID != "" && caller.HasRole(roleAdmin, roleMember, roleCreator)
}

// mayList tells whether the caller may see what the project of the token has.
func mayList(caller rest.Caller) bool {
	return mayCreate(caller) || (caller.ProjectID != "" && caller.HasRole(roleObserver))
}

// mayChange tells whether the caller may change, share or delete the entity.
func (e entity) mayChange(caller rest.Caller, list acl) bool {
	if caller.ProjectID != e.ProjectID || !mayCreate(caller) {
		return false
	}
	return caller.HasRole(roleAdmin) || list.projectAccess || (caller.UserID != "" && caller.UserID == e.CreatorID)
}

// mayRead tells whether the caller may read the entity, a secret's payload included.
func (e entity) mayRead(caller rest.Caller, list acl) bool {
	if e.mayChange(caller, list) {
		return true
	}
	isShared := caller.UserID != "" && slices.Contains(list.users, caller.UserID)
	return isShared || (list.projectAccess && caller.ProjectID == e.ProjectID && mayList(caller))
}

// readable finds the entity with the id for a caller who may read it.
func (s *Service) readable(ctx context.Context, k kind, caller rest.Caller, id string) (entity, acl, error) {
	return s.admit(ctx, k, id, "read it", func(e entity, list acl) bool { return e.mayRead(caller, list) })
}

// changeable finds the entity with the id for a caller who may change it.
func (s *Service) changeable(ctx context.Context, k kind, caller rest.Caller, id string) (entity, acl, error) {
	return s.admit(ctx, k, id, "change or delete it", func(e entity, list acl) bool { return e.mayChange(caller, list) })
}

// admit answers like Barbican: 404 for what is not there, 403 for what is not the caller's. Ids cannot be guessed.
func (s *Service) admit(ctx context.Context, k kind, id, action string, may func(e entity, list acl) bool) (entity, acl, error) {
	if !isUUID(id) {
		return entity{}, acl{}, errNotFound(k)
	}
	e, err := k.find(ctx, s.db, id)
	if err != nil {
		return entity{}, acl{}, err
	}
	list, err := findACL(ctx, s.db, id)
	if err != nil {
		return entity{}, acl{}, err
	}
	if !may(e, list) {
		return entity{}, acl{}, errForbidden(action)
	}
	return e, list, nil
}

// findACL reads the access list of an entity, or what holds without one.
func findACL(ctx context.Context, db bun.IDB, id string) (acl, error) {
	var row aclRow
	err := db.NewSelect().Model(&row).Where("a.entity_id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return acl{projectAccess: true}, nil
	}
	if err != nil {
		return acl{}, fmt.Errorf("access list of %s: %w", id, err)
	}
	list := acl{projectAccess: row.ProjectAccess, createdAt: row.CreatedAt, updatedAt: row.UpdatedAt}
	err = db.NewSelect().Model((*aclUserRow)(nil)).Column("user_id").Where("au.entity_id = ?", id).Order("user_id").Scan(ctx, &list.users)
	if err != nil {
		return acl{}, fmt.Errorf("readers of %s: %w", id, err)
	}
	return list, nil
}

// hideUnreadable narrows a list of the caller's project to what the caller may read.
func hideUnreadable(query *bun.SelectQuery, caller rest.Caller) {
	if caller.HasRole(roleAdmin) {
		return
	}
	const (
		isPrivate = "EXISTS (SELECT 1 FROM barbican_acl AS a WHERE a.entity_id = e.id AND NOT a.project_access)"
		isReader  = "EXISTS (SELECT 1 FROM barbican_acl_user AS au WHERE au.entity_id = e.id AND au.user_id = ?)"
	)
	creator := caller.UserID
	if !mayCreate(caller) {
		creator = "" // who only looks, owns nothing
	}
	query.Where("(NOT "+isPrivate+" OR e.creator_id = ? OR "+isReader+")", creator, caller.UserID)
}
