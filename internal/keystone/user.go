package keystone

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

func (s *Service) userJSON(u userRow) map[string]any {
	user := map[string]any{
		"id": u.ID, "name": u.Name, "domain_id": u.DomainID, "enabled": u.Enabled,
		"password_expires_at": nil, "options": map[string]any{}, "links": s.selfLink("users/" + u.ID),
	}
	// As in Keystone, these are there only when they were given.
	for name, value := range map[string]string{
		"description": u.Description, "email": u.Email, "default_project_id": u.DefaultProjectID,
	} {
		if value != "" {
			user[name] = value
		}
	}
	return user
}

func (s *Service) listUsers(ctx context.Context, r *request) (answer, error) {
	var rows []userRow
	query := s.db.NewSelect().Model(&rows).Order("u.name", "u.id")
	whereManaged(query, r)
	whereAsked(query, r, "id", "name", "domain_id", "enabled", "default_project_id")
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("users: %w", err)
	}
	users := []any{}
	for _, u := range rows {
		users = append(users, s.userJSON(u))
	}
	return s.list(r, "users", users)
}

// userRequest is the body of a create or an update.
type userRequest struct {
	User *struct {
		Name             *string `json:"name"`
		DomainID         *string `json:"domain_id"`
		Description      *string `json:"description"`
		Email            *string `json:"email"`
		Enabled          *bool   `json:"enabled"`
		DefaultProjectID *string `json:"default_project_id"`
		ProjectID        *string `json:"project_id"` // what some clients, tempest for one, call the default project
		Password         *string `json:"password"`
		unusedAttributes
	} `json:"user"`
}

// decodeUser reads the body and hashes the password in it, "" when there is none.
func (s *Service) decodeUser(ctx context.Context, r *request) (body userRequest, passwordHash string, err error) {
	if err := r.decode(&body); err != nil {
		return body, "", err
	}
	if body.User == nil {
		return body, "", errBadField("user", "is required")
	}
	if body.User.Password == nil {
		return body, "", nil
	}
	passwordHash, err = s.newPassword(ctx, r.caller.user.ID, *body.User.Password)
	return body, passwordHash, err
}

// newPassword checks a password that a user shall have and hashes it, on the account of who asks for it.
func (s *Service) newPassword(ctx context.Context, who, password string) (string, error) {
	if password == "" || len(password) > maxPasswordBytes {
		return "", errBadField("password", "must have 1 to %d bytes", maxPasswordBytes)
	}
	return s.passwords.hash(ctx, who, password)
}

// apply puts what the request gives, but for the password, into the user, whose domain is fixed before.
func (b userRequest) apply(u *userRow) error {
	given := b.User
	if given.DomainID != nil && *given.DomainID != u.DomainID {
		return errBadField("domain_id", "a user cannot be moved to another domain")
	}
	if err := given.check(); err != nil {
		return err
	}
	if err := setName("name", given.Name, &u.Name, maxUserName); err != nil {
		return err
	}
	if err := setText("description", given.Description, &u.Description, maxDescription); err != nil {
		return err
	}
	if err := setText("email", given.Email, &u.Email, maxEmail); err != nil {
		return err
	}
	setIf(given.Enabled, &u.Enabled)
	if err := setText("project_id", given.ProjectID, &u.DefaultProjectID, maxID); err != nil {
		return err
	}
	return setText("default_project_id", given.DefaultProjectID, &u.DefaultProjectID, maxID)
}

func (s *Service) createUser(ctx context.Context, r *request) (answer, error) {
	body, passwordHash, err := s.decodeUser(ctx, r)
	if err != nil {
		return answer{}, err
	}
	u := userRow{ID: newID(), Enabled: true, DomainID: r.homeDomain(body.User.DomainID), PasswordHash: passwordHash}
	if err := r.manages(u.DomainID); err != nil {
		return answer{}, err
	}
	if err := body.apply(&u); err != nil {
		return answer{}, err
	}
	if _, err := findDomain(ctx, s.db, u.DomainID); err != nil {
		return answer{}, err
	}
	_, err = s.db.NewInsert().Model(&u).Exec(ctx)
	if database.IsDuplicate(err) {
		return answer{}, errDuplicate("user", u.Name)
	}
	if err != nil {
		return answer{}, fmt.Errorf("user: %w", err)
	}
	return created(map[string]any{"user": s.userJSON(u)})
}

func (s *Service) showUser(ctx context.Context, r *request) (answer, error) {
	u, err := findUser(ctx, s.db, r.PathValue("user"))
	if err != nil {
		return answer{}, err
	}
	if !self(r) {
		if err := r.manages(u.DomainID); err != nil {
			return answer{}, err
		}
	}
	return ok(map[string]any{"user": s.userJSON(u)})
}

func findUser(ctx context.Context, db bun.IDB, id string) (userRow, error) {
	var u userRow
	err := findRow(ctx, db.NewSelect().Model(&u), "user", id)
	return u, err
}

// updateUser changes a user; a new password or a disabled user ends the user's tokens for good.
func (s *Service) updateUser(ctx context.Context, r *request) (answer, error) {
	body, passwordHash, err := s.decodeUser(ctx, r)
	if err != nil {
		return answer{}, err
	}
	var u userRow
	err = s.change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if u, err = findUser(ctx, tx, r.PathValue("user")); err != nil {
			return err
		}
		if err := r.managesUser(ctx, tx, u); err != nil {
			return err
		}
		if err := body.apply(&u); err != nil {
			return err
		}
		if passwordHash != "" {
			u.PasswordHash = passwordHash
		}
		// First the user, then the tokens: see lockUser.
		if err := updateRow(ctx, tx, &u, "user", u.Name); err != nil {
			return err
		}
		if passwordHash != "" || !u.Enabled {
			return revoke(ctx, tx, "user_id", u.ID)
		}
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"user": s.userJSON(u)})
}

// changePassword lets users change their own password. Who knows the old one needs no token.
func (s *Service) changePassword(ctx context.Context, r *request) (answer, error) {
	var body struct {
		User *struct {
			Password         string `json:"password"`
			OriginalPassword string `json:"original_password"`
		} `json:"user"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.User == nil {
		return answer{}, errBadField("user", "is required")
	}
	if len(body.User.OriginalPassword) > maxPasswordBytes {
		return answer{}, errBadField("original_password", "is longer than %d bytes", maxPasswordBytes)
	}
	who, err := s.identifyByPassword(ctx, authUser{ID: r.PathValue("user"), Password: body.User.OriginalPassword}, r.origin())
	if err != nil {
		return answer{}, err
	}
	hash, err := s.newPassword(ctx, who.user.ID, body.User.Password)
	if err != nil {
		return answer{}, err
	}
	return noContent, s.storePassword(ctx, who.user.ID, hash)
}

// storePassword sets a user's password and ends the user's tokens.
func (s *Service) storePassword(ctx context.Context, userID, hash string) error {
	return s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("password_hash = ?", hash).Where("id = ?", userID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("password: %w", err)
		}
		return revoke(ctx, tx, "user_id", userID)
	})
}

func (s *Service) deleteUser(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		u, err := findUser(ctx, tx, r.PathValue("user"))
		if err != nil {
			return err
		}
		if err := r.managesUser(ctx, tx, u); err != nil {
			return err
		}
		return deleteRow(ctx, tx, &u, "user")
	})
}

// listGroups is empty: there are no groups of users. Clients ask before they list role assignments.
func (s *Service) listGroups(_ context.Context, r *request) (answer, error) {
	return s.list(r, "groups", []any{})
}
