package keystone

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
)

// managedRoles are what a domain's manager may give and take: roles that mean something in one project or domain alone.
var managedRoles = []string{roleManager, roleMember, roleReader, "load-balancer_member", "load-balancer_observer"}

// manager is an administrator, or who has the role manager on the domain of the token. What belongs to the domain is for
// the handlers to see: see [request.manages].
func manager(r *request) bool {
	return admin(r) || r.caller.domain != nil && r.caller.hasRole(roleManager)
}

// manages refuses a manager what belongs to another domain.
func (r *request) manages(domainID string) error {
	if admin(r) || manager(r) && r.caller.domain.ID == domainID {
		return nil
	}
	return errForbidden(r.action)
}

// managesUser also refuses a manager those who administrate the cloud: who could set their password would be one of them.
func (r *request) managesUser(ctx context.Context, db bun.IDB, u userRow) error {
	if admin(r) {
		return nil
	}
	if err := r.manages(u.DomainID); err != nil {
		return err
	}
	above, err := db.NewSelect().Model((*assignmentRow)(nil)).Join("JOIN keystone_role AS r ON r.id = a.role_id").
		Where("a.user_id = ? AND r.name NOT IN (?)", u.ID, bun.In(managedRoles)).Exists(ctx)
	if err != nil {
		return fmt.Errorf("roles of user %s: %w", u.ID, err)
	}
	if above {
		return errForbidden(r.action)
	}
	return nil
}

// managesProject also refuses a manager the administrators' project.
func (r *request) managesProject(p projectRow) error {
	if p.IsAdmin && !admin(r) {
		return errForbidden(r.action)
	}
	return r.manages(p.DomainID)
}

// managesRole refuses a manager to give or take roles that count beyond the domain.
func (r *request) managesRole(role roleRow) error {
	if admin(r) || slices.Contains(managedRoles, role.Name) {
		return nil
	}
	return errForbidden(r.action)
}

// whereManaged narrows a list to the manager's domain.
func whereManaged(query *bun.SelectQuery, r *request) {
	if !admin(r) {
		query.Where("?TableAlias.domain_id = ?", r.caller.domain.ID)
	}
}
