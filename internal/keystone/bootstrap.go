package keystone

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// The roles that decide something here; the others of [bootstrapRoles] are decided about by the other services.
const (
	roleAdmin   = "admin"
	roleManager = "manager"
	roleMember  = "member"
	roleReader  = "reader"
	roleService = "service"
)

// bootstrapRoles are the roles that Octavia's policies know.
var bootstrapRoles = []string{
	roleAdmin, roleManager, roleMember, roleReader, roleService,
	"load-balancer_observer", "load-balancer_global_observer", "load-balancer_member",
	"load-balancer_quota_admin", "load-balancer_admin",
}

// bootstrapImplications say that who has the first role has the second.
var bootstrapImplications = [][2]string{{roleAdmin, roleManager}, {roleManager, roleMember}, {roleMember, roleReader}}

// Account is a user of the first start, with a project of the same name, in the domain Default.
type Account struct {
	Name     string // of the user and of the project
	Role     string // of the user on the project
	Password string
}

// Accounts are what [Service.Bootstrap] creates.
func Accounts(adminPassword, demoPassword string) []Account {
	return []Account{
		{Name: "admin", Role: roleAdmin, Password: adminPassword},
		{Name: "demo", Role: roleMember, Password: demoPassword},
	}
}

// NewPassword makes a password for an account: 256 random bits, safe in files and addresses.
func NewPassword() string { return randomText(tokenBytes) }

// Bootstrap creates the domain Default, the roles, and the accounts that are not there yet. What is there it leaves as
// it is, passwords too. It returns the names of the accounts that it created.
//
// To start safely, write the passwords where they are found again, durably, and call Bootstrap then: when the process
// dies in between, the next start reads them and calls Bootstrap again.
func (s *Service) Bootstrap(ctx context.Context, accounts []Account) (created []string, err error) {
	err = s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		created = nil
		if err := bootstrapFrame(ctx, tx); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
		for _, account := range accounts {
			isNew, err := s.bootstrapAccount(ctx, tx, account)
			if err != nil {
				return fmt.Errorf("bootstrap of %s: %w", account.Name, err)
			}
			if isNew {
				created = append(created, account.Name)
			}
		}
		return nil
	})
	return created, err
}

// bootstrapFrame makes what is there before any account.
func bootstrapFrame(ctx context.Context, tx bun.Tx) error {
	domain := domainRow{ID: defaultDomain, Name: "Default", Description: "The default domain", Enabled: true}
	if err := insertMissing(ctx, tx, &domain); err != nil {
		return err
	}
	for _, name := range bootstrapRoles {
		if err := insertMissing(ctx, tx, &roleRow{ID: newID(), Name: name}); err != nil {
			return err
		}
	}
	for _, pair := range bootstrapImplications {
		prior, err := roleByName(ctx, tx, pair[0])
		if err != nil {
			return err
		}
		implied, err := roleByName(ctx, tx, pair[1])
		if err != nil {
			return err
		}
		if err := insertMissing(ctx, tx, &impliedRoleRow{PriorID: prior.ID, ImpliedID: implied.ID}); err != nil {
			return err
		}
	}
	return nil
}

// bootstrapAccount makes the account unless its user is there.
func (s *Service) bootstrapAccount(ctx context.Context, tx bun.Tx, account Account) (isNew bool, err error) {
	taken, err := tx.NewSelect().Model((*userRow)(nil)).
		Where("u.domain_id = ? AND u.name = ?", defaultDomain, account.Name).Exists(ctx)
	if err != nil || taken {
		return false, err
	}
	hash, err := s.newPassword(ctx, account.Name, account.Password)
	if err != nil {
		return false, err
	}
	project, err := bootstrapProject(ctx, tx, account)
	if err != nil {
		return false, err
	}
	user := userRow{
		ID: newID(), DomainID: defaultDomain, Name: account.Name, Enabled: true,
		DefaultProjectID: project.ID, PasswordHash: hash,
	}
	if _, err := tx.NewInsert().Model(&user).Exec(ctx); err != nil {
		return false, err
	}
	role, err := roleByName(ctx, tx, account.Role)
	if err != nil {
		return false, err
	}
	return true, insertMissing(ctx, tx, &assignmentRow{UserID: user.ID, RoleID: role.ID, ProjectID: project.ID})
}

// bootstrapProject finds or makes the account's project. That of the administrators keeps its place under another name.
func bootstrapProject(ctx context.Context, tx bun.Tx, account Account) (project projectRow, err error) {
	find := func() *bun.SelectQuery { return tx.NewSelect().Model(&project) }
	if account.Role == roleAdmin {
		if err := find().Where("p.is_admin").Limit(1).Scan(ctx); err == nil || !isNoRows(err) {
			return project, err
		}
	}
	err = insertMissing(ctx, tx, &projectRow{
		ID: newID(), DomainID: defaultDomain, Name: account.Name, Enabled: true, IsAdmin: account.Role == roleAdmin,
	})
	if err != nil {
		return project, err
	}
	return project, find().Where("p.domain_id = ? AND p.name = ?", defaultDomain, account.Name).Scan(ctx)
}

// SetPassword gives a user of the default domain a new password and ends the user's tokens: the way back in for the
// owner of the machine who has lost it.
func (s *Service) SetPassword(ctx context.Context, userName, password string) error {
	var user userRow
	err := s.db.NewSelect().Model(&user).Where("u.domain_id = ? AND u.name = ?", defaultDomain, userName).Scan(ctx)
	if isNoRows(err) {
		return errNotFound("user", userName)
	}
	if err != nil {
		return fmt.Errorf("user %s: %w", userName, err)
	}
	hash, err := s.newPassword(ctx, userName, password)
	if err != nil {
		return err
	}
	return s.storePassword(ctx, user.ID, hash)
}

// insertMissing inserts a row unless there is one with its name.
func insertMissing(ctx context.Context, tx bun.Tx, row any) error {
	_, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Exec(ctx)
	return err
}

func roleByName(ctx context.Context, db bun.IDB, name string) (roleRow, error) {
	var role roleRow
	err := db.NewSelect().Model(&role).Where("r.name = ?", name).Scan(ctx)
	if err != nil {
		return roleRow{}, fmt.Errorf("role %s: %w", name, err)
	}
	return role, nil
}
