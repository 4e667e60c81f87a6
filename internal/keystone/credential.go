package keystone

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

const (
	// maxCredentials is how many application credentials one user may have.
	maxCredentials = 200
	// secretBytes is the length of a secret that is made here.
	secretBytes = 64
	// credentialTime is Keystone's form of an application credential's time, in UTC.
	credentialTime = "2006-01-02T15:04:05.000000"
)

func (s *Service) credentialJSON(c credentialRow, roles []roleRow) map[string]any {
	var expiresAt any
	if c.ExpiresAt != 0 {
		expiresAt = time.UnixMicro(c.ExpiresAt).UTC().Format(credentialTime)
	}
	rolesJSON := []any{}
	for _, role := range roles {
		rolesJSON = append(rolesJSON, map[string]any{"id": role.ID, "name": role.Name, "domain_id": nil})
	}
	return map[string]any{
		"id": c.ID, "name": c.Name, "description": c.Description, "user_id": c.UserID, "project_id": c.ProjectID,
		"roles": rolesJSON, "expires_at": expiresAt, "unrestricted": c.Unrestricted, "system": nil,
		"links": s.selfLink("users/" + c.UserID + "/application_credentials/" + c.ID),
	}
}

func (s *Service) listCredentials(ctx context.Context, r *request) (answer, error) {
	var rows []credentialRow
	query := s.db.NewSelect().Model(&rows).Where("c.user_id = ?", r.PathValue("user")).Order("c.name")
	whereAsked(query, r, "id", "name")
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("application credentials: %w", err)
	}
	credentials := []any{}
	for _, c := range rows {
		roles, err := rolesGivenTo(ctx, s.db, c)
		if err != nil {
			return answer{}, err
		}
		credentials = append(credentials, s.credentialJSON(c, roles))
	}
	return s.list(r, "application_credentials", credentials)
}

func (s *Service) showCredential(ctx context.Context, r *request) (answer, error) {
	c, err := r.findCredential(ctx, s.db)
	if err != nil {
		return answer{}, err
	}
	roles, err := rolesGivenTo(ctx, s.db, c)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"application_credential": s.credentialJSON(c, roles)})
}

// findCredential reads the application credential that the path names.
func (r *request) findCredential(ctx context.Context, db bun.IDB) (credentialRow, error) {
	var c credentialRow
	query := db.NewSelect().Model(&c).Where("c.user_id = ?", r.PathValue("user"))
	err := findRow(ctx, query, "application credential", r.PathValue("id"))
	return c, err
}

func rolesGivenTo(ctx context.Context, db bun.IDB, c credentialRow) ([]roleRow, error) {
	var roles []roleRow
	err := db.NewSelect().Model(&roles).
		Join("JOIN keystone_application_credential_role AS cr ON cr.role_id = r.id").
		Where("cr.credential_id = ?", c.ID).Order("r.name").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("roles of application credential %s: %w", c.ID, err)
	}
	return roles, nil
}

// credentialRequest is the body of a create.
type credentialRequest struct {
	Credential *struct {
		Name         *string      `json:"name"`
		Description  *string      `json:"description"`
		Secret       *string      `json:"secret"`
		ExpiresAt    *string      `json:"expires_at"`
		ProjectID    *string      `json:"project_id"`
		Roles        []namedRole  `json:"roles"`
		Unrestricted *bool        `json:"unrestricted"`
		AccessRules  []accessRule `json:"access_rules"`
	} `json:"application_credential"`
}

// namedRole names a role by id or by name.
type namedRole struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Domain *authRef `json:"domain"`
}

// accessRule is known to be refused: a rule that nobody enforces would be a lie.
type accessRule struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Method  string `json:"method"`
	Path    string `json:"path"`
}

// apply puts what the request gives, but for secret and roles, into the application credential.
func (b credentialRequest) apply(c *credentialRow, now time.Time) error {
	given := b.Credential
	if len(given.AccessRules) > 0 {
		return errBadField("access_rules", "this service enforces no access rules")
	}
	if given.ProjectID != nil && *given.ProjectID != c.ProjectID {
		return errBadField("project_id", "an application credential is for the project of the token")
	}
	if err := setName("name", given.Name, &c.Name, maxCredentialName); err != nil {
		return err
	}
	if err := setText("description", given.Description, &c.Description, maxDescription); err != nil {
		return err
	}
	setIf(given.Unrestricted, &c.Unrestricted)
	if given.ExpiresAt == nil {
		return nil
	}
	at, err := parseTime(*given.ExpiresAt)
	if err != nil || !at.After(now) {
		return errBadField("expires_at", "a time in the future is needed, in the form %s", credentialTime)
	}
	c.ExpiresAt = at.UnixMicro()
	return nil
}

// parseTime reads ISO 8601 with or without fraction (which Go takes unasked) and zone.
func parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Parse("2006-01-02T15:04:05", text)
}

// createCredential makes an application credential for the caller and the project of the caller's token. The secret is
// in this answer and nowhere else.
func (s *Service) createCredential(ctx context.Context, r *request) (answer, error) {
	if err := r.mayManageCredentials(); err != nil {
		return answer{}, err
	}
	var body credentialRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.Credential == nil {
		return answer{}, errBadField("application_credential", "is required")
	}
	c := credentialRow{ID: newID(), UserID: r.caller.user.ID, ProjectID: r.caller.project.ID}
	if err := body.apply(&c, time.Now()); err != nil {
		return answer{}, err
	}
	roles, err := r.rolesToGive(body.Credential.Roles)
	if err != nil {
		return answer{}, err
	}
	secret := randomText(secretBytes)
	setIf(body.Credential.Secret, &secret)
	if secret == "" || len(secret) > maxPasswordBytes {
		return answer{}, errBadField("secret", "must have 1 to %d bytes", maxPasswordBytes)
	}
	if c.SecretHash, err = s.passwords.hash(ctx, c.UserID, secret); err != nil {
		return answer{}, err
	}
	if err := s.storeCredential(ctx, c, roles); err != nil {
		return answer{}, err
	}
	reply := s.credentialJSON(c, roles)
	reply["secret"] = secret
	return created(map[string]any{"application_credential": reply})
}

// mayManageCredentials refuses others than the user, and restricted application credentials, so that a leaked one
// cannot make itself a successor.
func (r *request) mayManageCredentials() error {
	if r.caller.credential != nil && r.caller.credential.Restricted {
		return errForbidden(r.action)
	}
	if r.Method == http.MethodPost && (r.caller.user.ID != r.PathValue("user") || r.caller.project == nil) {
		return errForbidden(r.action)
	}
	return nil
}

// rolesToGive are the named ones of the caller's roles, or all of them.
func (r *request) rolesToGive(wanted []namedRole) ([]roleRow, error) {
	var roles []roleRow
	for _, own := range r.caller.roles {
		if len(wanted) == 0 || containsRole(wanted, own) {
			roles = append(roles, roleRow{ID: own.ID, Name: own.Name})
		}
	}
	for _, role := range wanted {
		if !isHeld(roles, role) {
			return nil, errBadField("roles", "the role %q is not one of yours on this project", role.ID+role.Name)
		}
	}
	return roles, nil
}

func (n namedRole) is(id, name string) bool {
	return (n.ID != "" && n.ID == id) || (n.ID == "" && n.Name == name)
}

func containsRole(wanted []namedRole, own named) bool {
	for _, role := range wanted {
		if role.is(own.ID, own.Name) {
			return true
		}
	}
	return false
}

func isHeld(roles []roleRow, wanted namedRole) bool {
	for _, role := range roles {
		if wanted.is(role.ID, role.Name) {
			return true
		}
	}
	return false
}

func (s *Service) storeCredential(ctx context.Context, c credentialRow, roles []roleRow) error {
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		count, err := tx.NewSelect().Model((*credentialRow)(nil)).Where("user_id = ?", c.UserID).Count(ctx)
		if err != nil {
			return err
		}
		if count >= maxCredentials {
			return &fault{status: http.StatusForbidden, message: fmt.Sprintf("Unable to create more than %d application credentials.", maxCredentials)}
		}
		if _, err := tx.NewInsert().Model(&c).Exec(ctx); err != nil {
			return err
		}
		for _, role := range roles {
			if err := insertMissing(ctx, tx, &credentialRoleRow{CredentialID: c.ID, RoleID: role.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	if database.IsDuplicate(err) {
		return errDuplicate("application_credential", c.Name)
	}
	if err != nil {
		return fmt.Errorf("application credential: %w", err)
	}
	return nil
}

// deleteCredential takes the tokens of the application credential with it.
func (s *Service) deleteCredential(ctx context.Context, r *request) (answer, error) {
	if err := r.mayManageCredentials(); err != nil {
		return answer{}, err
	}
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		c, err := r.findCredential(ctx, tx)
		if err != nil {
			return err
		}
		return deleteRow(ctx, tx, &c, "application credential")
	})
}
