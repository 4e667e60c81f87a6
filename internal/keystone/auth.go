package keystone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// The ways to sign in.
const (
	methodPassword   = "password"
	methodToken      = "token"
	methodCredential = "application_credential"
)

// authRequest is who wants to sign in, and for what.
type authRequest struct {
	Identity authIdentity `json:"identity"`
	Scope    *authScope   `json:"scope"`
}

type authIdentity struct {
	Methods  []string `json:"methods"`
	Password *struct {
		User authUser `json:"user"`
	} `json:"password"`
	Token *struct {
		ID string `json:"id"`
	} `json:"token"`
	Credential *struct {
		ID     string    `json:"id"`
		Name   string    `json:"name"`
		Secret string    `json:"secret"`
		User   *authUser `json:"user"`
	} `json:"application_credential"`
}

// authUser names a user by id, or by name and domain.
type authUser struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Domain   *authRef `json:"domain"`
	Password string   `json:"password"`
}

// authRef names a domain by id or by name.
type authRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// authScope is what the token shall be for; the word "unscoped" asks for none.
type authScope struct {
	unscoped bool
	authTarget
}

type authTarget struct {
	Project *struct {
		ID     string   `json:"id"`
		Name   string   `json:"name"`
		Domain *authRef `json:"domain"`
	} `json:"project"`
	Domain *authRef        `json:"domain"`
	System json.RawMessage `json:"system"`
}

// isForSystem says whether the token shall be for the whole cloud, which is not offered.
func (s *authScope) isForSystem() bool { return s.System != nil && string(s.System) != "null" }

// UnmarshalJSON reads an object or the word "unscoped".
func (s *authScope) UnmarshalJSON(text []byte) error {
	if string(text) == `"unscoped"` {
		s.unscoped = true
		return nil
	}
	return rest.DecodeStrict(text, &s.authTarget)
}

// identity is somebody whose claim has been proved.
type identity struct {
	user         userRow
	methods      []string
	fromToken    string   // the hash of the token that this one is made from, "" when there is none
	credentialID string   // "" unless by an application credential
	projectID    string   // the application credential's project
	auditChain   []string // the first audit id of the token that this one is made from
	expiresAt    int64    // microseconds since 1970 at which a new token ends at the latest; 0: no such bound
	unscoped     bool     // a token without project was exchanged: no default project steps in
}

// lockUser makes the transaction that issues a token, and one that changes its user, wait for each other. It changes nothing.
func lockUser(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("enabled = enabled").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}

// holds makes sure, when the token is issued, that the proof is still good: that the password was not changed, the user's
// tokens revoked, or the application credential deleted, since it was looked at.
func (s *Service) holds(ctx context.Context, db bun.IDB, who identity) error {
	query := db.NewSelect().Model((*userRow)(nil)).Where("u.id = ?", who.user.ID)
	if who.user.PasswordHash != "" {
		query.Where("u.password_hash = ?", who.user.PasswordHash)
	}
	if _, unsaved := s.unsaved.get(who.fromToken); who.fromToken != "" && !unsaved {
		query.Where("EXISTS (SELECT 1 FROM keystone_token t WHERE t.hash = ?)", who.fromToken)
	}
	if who.credentialID != "" {
		query.Where("EXISTS (SELECT 1 FROM keystone_application_credential c WHERE c.id = ?)", who.credentialID)
	}
	there, err := query.Exists(ctx)
	if err != nil {
		return fmt.Errorf("proof of the user: %w", err)
	}
	if !there {
		return errUnauthorized
	}
	return nil
}

// identify proves who signs in. Whatever is wrong with a claim that is well-formed, the answer is the same.
func (s *Service) identify(ctx context.Context, claim authIdentity, from origin) (identity, error) {
	if len(claim.Methods) != 1 {
		return identity{}, errBadField("auth.identity.methods", "exactly one method is needed")
	}
	switch method := claim.Methods[0]; {
	case method == methodPassword && claim.Password != nil:
		return s.identifyByPassword(ctx, claim.Password.User, from)
	case method == methodToken && claim.Token != nil:
		return s.identifyByToken(ctx, claim.Token.ID)
	case method == methodCredential && claim.Credential != nil:
		return s.identifyByCredential(ctx, claim, from)
	case slices.Contains([]string{methodPassword, methodToken, methodCredential}, method):
		return identity{}, errBadField("auth.identity."+method, "is required for the method %q", method)
	default:
		return identity{}, &fault{
			status:  http.StatusUnauthorized,
			message: fmt.Sprintf("Attempted to authenticate with an unsupported method: %q.", method),
		}
	}
}

func (s *Service) identifyByPassword(ctx context.Context, claim authUser, from origin) (identity, error) {
	user, err := s.claimedUser(ctx, "auth.identity.password.user", claim)
	if err != nil {
		return identity{}, err
	}
	if len(claim.Password) > maxPasswordBytes {
		return identity{}, errBadField("auth.identity.password.user.password", "is longer than %d bytes", maxPasswordBytes)
	}
	a, err := s.attempt(ctx, account(user, claim), user.ID, from)
	if err != nil {
		return identity{}, err
	}
	good, err := s.passwords.check(ctx, a, claim.Password, user.PasswordHash)
	if err != nil {
		return identity{}, err
	}
	if !good {
		return identity{}, errUnauthorized
	}
	s.remember(ctx, user.ID, from)
	return identity{user: user, methods: []string{methodPassword}}, nil
}

// account is the key that failed logins are limited by. Unknown users get one too, so that limits do not reveal who exists.
func account(user userRow, claim authUser) string {
	if user.ID != "" {
		return user.ID
	}
	domain := authRef{}
	if claim.Domain != nil {
		domain = *claim.Domain
	}
	return fmt.Sprintf("%q %q %q %q", claim.ID, claim.Name, domain.ID, domain.Name)
}

// claimedUser finds the user that a claim is about, the zero userRow when there is none.
func (s *Service) claimedUser(ctx context.Context, field string, claim authUser) (userRow, error) {
	var user userRow
	query := s.db.NewSelect().Model(&user)
	switch {
	case claim.ID != "":
		query.Where("u.id = ?", claim.ID)
	case claim.Name == "":
		return userRow{}, errBadField(field, "an id, or a name with a domain is required")
	case len(claim.Name) > maxUserName:
		return userRow{}, errBadField(field+".name", "is longer than %d characters", maxUserName)
	case claim.Domain == nil:
		return userRow{}, errBadField(field+".domain", "is required with a name")
	default:
		query.Join("JOIN keystone_domain AS d ON d.id = u.domain_id").Where("u.name = ?", claim.Name)
		whereDomain(query, *claim.Domain)
	}
	if err := query.Scan(ctx); err != nil && !isNoRows(err) {
		return userRow{}, fmt.Errorf("user: %w", err)
	}
	return user, nil
}

func whereDomain(query *bun.SelectQuery, domain authRef) {
	if domain.ID != "" {
		query.Where("d.id = ?", domain.ID)
		return
	}
	query.Where("d.name = ?", domain.Name)
}

// identifyByToken lets a token be exchanged for one with another scope. It does not live longer than the first.
func (s *Service) identifyByToken(ctx context.Context, token string) (identity, error) {
	from, err := s.session(ctx, token)
	if err != nil {
		return identity{}, err
	}
	if from.credential != nil {
		return identity{}, errForbidden("identity:rescope_application_credential_token")
	}
	return identity{
		user:       userRow{ID: from.user.ID},
		methods:    withMethod(from.methods, methodToken),
		fromToken:  from.hash,
		auditChain: from.auditIDs[len(from.auditIDs)-1:],
		expiresAt:  from.expiresAt.UnixMicro(),
		unscoped:   true,
	}, nil
}

func withMethod(methods []string, method string) []string {
	if slices.Contains(methods, method) {
		return methods
	}
	return append([]string{method}, methods...)
}

func (s *Service) identifyByCredential(ctx context.Context, claim authIdentity, from origin) (identity, error) {
	credential, err := s.claimedCredential(ctx, claim)
	if err != nil {
		return identity{}, err
	}
	// Guesses at an application credential have budgets of their own: they do not lock its user out.
	a := attempt{account: "credential " + credential.ID, source: from.source, credential: credential.ID != ""}
	if credential.ID == "" {
		a.account = fmt.Sprintf("credential %q %q", claim.Credential.ID, claim.Credential.Name)
	}
	if len(claim.Credential.Secret) > maxPasswordBytes {
		return identity{}, errBadField("auth.identity.application_credential.secret", "is longer than %d bytes", maxPasswordBytes)
	}
	good, err := s.passwords.check(ctx, a, claim.Credential.Secret, credential.SecretHash)
	if err != nil {
		return identity{}, err
	}
	if !good || credential.expired(time.Now()) {
		return identity{}, errUnauthorized
	}
	return identity{
		user: userRow{ID: credential.UserID}, methods: []string{methodCredential},
		credentialID: credential.ID, projectID: credential.ProjectID, expiresAt: credential.ExpiresAt,
	}, nil
}

// claimedCredential finds the application credential that a claim is about, the zero credentialRow when there is none.
func (s *Service) claimedCredential(ctx context.Context, claim authIdentity) (credentialRow, error) {
	const field = "auth.identity.application_credential"
	var credential credentialRow
	query := s.db.NewSelect().Model(&credential)
	switch {
	case claim.Credential.ID != "":
		query.Where("c.id = ?", claim.Credential.ID)
	case claim.Credential.Name == "" || claim.Credential.User == nil:
		return credentialRow{}, errBadField(field, "an id, or a name with a user is required")
	default:
		user, err := s.claimedUser(ctx, field+".user", *claim.Credential.User)
		if err != nil {
			return credentialRow{}, err
		}
		query.Where("c.name = ? AND c.user_id = ?", claim.Credential.Name, user.ID)
	}
	if err := query.Scan(ctx); err != nil && !isNoRows(err) {
		return credentialRow{}, fmt.Errorf("application credential: %w", err)
	}
	return credential, nil
}

// scope is what a token is for: a project, a domain, or (both "") nothing.
type scope struct {
	projectID, domainID string
}

// resolveScope finds what is asked for. Whether the user may have it is seen when the token is issued.
func (s *Service) resolveScope(ctx context.Context, who identity, asked *authScope) (scope, error) {
	switch {
	case asked != nil && asked.isForSystem() && asked.Project == nil && asked.Domain == nil:
		return scope{}, &fault{
			status:  http.StatusUnauthorized,
			message: "The user has no role on the system, and none can be given there: ask for a project or a domain.",
		}
	case who.credentialID != "":
		return credentialScope(who, asked)
	case asked == nil:
		return s.defaultScope(ctx, who)
	case asked.unscoped:
		return scope{}, nil
	case asked.Project != nil && asked.Domain == nil && !asked.isForSystem():
		return s.projectScope(ctx, asked)
	case asked.Domain != nil && asked.Project == nil && !asked.isForSystem():
		return s.domainScope(ctx, *asked.Domain)
	default:
		return scope{}, errBadField("auth.scope", "either a project or a domain is needed")
	}
}

// credentialScope is always the application credential's own project.
func credentialScope(who identity, asked *authScope) (scope, error) {
	if asked != nil && (asked.Project == nil || asked.Project.ID != who.projectID || asked.isForSystem()) {
		return scope{}, errUnauthorized
	}
	return scope{projectID: who.projectID}, nil
}

// defaultScope is the user's default project, if there is one on which the user has a role.
func (s *Service) defaultScope(ctx context.Context, who identity) (scope, error) {
	if who.unscoped || who.user.DefaultProjectID == "" {
		return scope{}, nil
	}
	project := projectRow{}
	err := s.db.NewSelect().Model(&project).Join("JOIN keystone_domain AS d ON d.id = p.domain_id").
		Where("p.id = ? AND p.enabled AND d.enabled", who.user.DefaultProjectID).Scan(ctx)
	if isNoRows(err) {
		return scope{}, nil
	}
	if err != nil {
		return scope{}, fmt.Errorf("default project: %w", err)
	}
	roles, err := effectiveRoles(ctx, s.db, who.user.ID, project.ID, "")
	if err != nil || len(roles) == 0 {
		return scope{}, err
	}
	return scope{projectID: project.ID}, nil
}

func (s *Service) projectScope(ctx context.Context, asked *authScope) (scope, error) {
	var project projectRow
	query := s.db.NewSelect().Model(&project)
	switch {
	case asked.Project.ID != "":
		query.Where("p.id = ?", asked.Project.ID)
	case asked.Project.Name == "" || asked.Project.Domain == nil:
		return scope{}, errBadField("auth.scope.project", "an id, or a name with a domain is required")
	default:
		query.Join("JOIN keystone_domain AS d ON d.id = p.domain_id").Where("p.name = ?", asked.Project.Name)
		whereDomain(query, *asked.Project.Domain)
	}
	if err := scanScope(ctx, query); err != nil {
		return scope{}, err
	}
	return scope{projectID: project.ID}, nil
}

func (s *Service) domainScope(ctx context.Context, asked authRef) (scope, error) {
	var domain domainRow
	query := s.db.NewSelect().Model(&domain)
	whereDomain(query, asked)
	if err := scanScope(ctx, query); err != nil {
		return scope{}, err
	}
	return scope{domainID: domain.ID}, nil
}

// scanScope runs the query of a scope; one that is not there is refused like one that the user may not have.
func scanScope(ctx context.Context, query *bun.SelectQuery) error {
	err := query.Scan(ctx)
	if isNoRows(err) {
		return errUnauthorized
	}
	if err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	return nil
}
