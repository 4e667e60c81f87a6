package keystone

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

const (
	tokenBytes = 32
	auditBytes = 16
	// tokenTime is Keystone's form of a token's times, in UTC.
	tokenTime = "2006-01-02T15:04:05.000000Z"
)

func randomText(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random)
}

// createToken signs in: POST /v3/auth/tokens.
func (s *Service) createToken(ctx context.Context, r *request) (answer, error) {
	var body struct {
		Auth *authRequest `json:"auth"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	if body.Auth == nil {
		return answer{}, errBadField("auth", "is required")
	}
	from := r.origin()
	who, err := s.identify(ctx, body.Auth.Identity, from)
	if err != nil {
		return answer{}, err
	}
	target, err := s.resolveScope(ctx, who, body.Auth.Scope)
	if err != nil {
		return answer{}, err
	}
	token, signedIn, err := s.issue(ctx, who, target)
	if err != nil {
		return answer{}, err
	}
	reply := s.tokenAnswer(http.StatusCreated, signedIn, r)
	reply.header.Set("X-Subject-Token", token)
	if from.browser != "" {
		reply.header.Set(BrowserHeader, from.browser)
	}
	return reply, nil
}

// issue makes a token. When the user has no role on the target it is [errUnauthorized], as for a wrong password.
func (s *Service) issue(ctx context.Context, who identity, target scope) (string, *session, error) {
	token := randomText(tokenBytes)
	now := time.Now().Truncate(time.Second) // as Keystone's
	row := tokenRow{
		Hash: tokenHash(token), UserID: who.user.ID, ProjectID: target.projectID, DomainID: target.domainID,
		CredentialID: who.credentialID, Methods: strings.Join(who.methods, ","),
		AuditIDs: strings.Join(append([]string{randomText(auditBytes)}, who.auditChain...), ","),
		IssuedAt: now.UnixMicro(), ExpiresAt: now.Add(s.lifetime).UnixMicro(),
	}
	if who.expiresAt != 0 {
		row.ExpiresAt = min(row.ExpiresAt, who.expiresAt)
	}
	var signedIn *session
	era := s.unsaved.now()
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := lockUser(ctx, tx, who.user.ID); err != nil {
			return err
		}
		if err := s.holds(ctx, tx, who); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return fmt.Errorf("token: %w", err)
		}
		var err error
		signedIn, err = s.readSession(ctx, tx, bun.Ident("keystone_token"), row.Hash, now)
		return err
	})
	if cannotSave(err) {
		signedIn, err = s.issueUnsaved(ctx, who, row, era, now)
	}
	return token, signedIn, err
}

// showToken validates a token for its holder or for a service: GET and HEAD /v3/auth/tokens.
func (s *Service) showToken(ctx context.Context, r *request) (answer, error) {
	subject, err := s.subject(ctx, r)
	if err != nil {
		return answer{}, err
	}
	reply := s.tokenAnswer(http.StatusOK, subject, r)
	reply.header.Set("X-Subject-Token", r.Header.Get("X-Subject-Token"))
	return reply, nil
}

// deleteToken revokes a token: DELETE /v3/auth/tokens.
func (s *Service) deleteToken(ctx context.Context, r *request) (answer, error) {
	subject, err := s.subject(ctx, r)
	if err != nil {
		return answer{}, err
	}
	defer s.sessions.forget()
	if s.unsaved.remove(subject.hash) {
		return noContent, nil
	}
	return noContent, s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		return revoke(ctx, tx, "hash", subject.hash)
	})
}

// subject is the session of X-Subject-Token. Others' tokens are for the administrator and services only.
func (s *Service) subject(ctx context.Context, r *request) (*session, error) {
	subject, err := s.session(ctx, r.Header.Get("X-Subject-Token"))
	if errors.Is(err, rest.ErrUnauthenticated) {
		return nil, errNoToken
	}
	if err != nil {
		return nil, err
	}
	if subject.user.ID != r.caller.user.ID && !r.caller.admin && !r.caller.hasRole(roleService) {
		return nil, errForbidden(r.action)
	}
	return subject, nil
}

// revoke deletes the tokens whose column has the value.
func revoke(ctx context.Context, tx bun.Tx, column, value string) error {
	_, err := tx.NewDelete().Model((*tokenRow)(nil)).Where("? = ?", bun.Ident(column), value).Exec(ctx)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	return nil
}

// tokenJSON is the description of a token.
type tokenJSON struct {
	Methods    []string           `json:"methods"`
	User       userInToken        `json:"user"`
	AuditIDs   []string           `json:"audit_ids"`
	ExpiresAt  string             `json:"expires_at"`
	IssuedAt   string             `json:"issued_at"`
	Project    *owned             `json:"project,omitempty"`
	IsDomain   *bool              `json:"is_domain,omitempty"`
	Domain     *named             `json:"domain,omitempty"`
	Roles      []named            `json:"roles,omitempty"`
	Catalog    []catalogService   `json:"catalog,omitempty"`
	Credential *sessionCredential `json:"application_credential,omitempty"`
}

type userInToken struct {
	owned
	PasswordExpiresAt *string `json:"password_expires_at"`
}

// tokenAnswer describes a session; the catalogue is part of it unless the query has "nocatalog" or there is no scope.
func (s *Service) tokenAnswer(status int, subject *session, r *request) answer {
	token := tokenJSON{
		Methods: subject.methods, User: userInToken{owned: subject.user}, AuditIDs: subject.auditIDs,
		ExpiresAt: subject.expiresAt.UTC().Format(tokenTime), IssuedAt: subject.issuedAt.UTC().Format(tokenTime),
		Project: subject.project, Domain: subject.domain, Roles: subject.roles, Credential: subject.credential,
	}
	if subject.project != nil {
		token.IsDomain = new(bool)
	}
	if !r.URL.Query().Has("nocatalog") && len(subject.roles) > 0 {
		token.Catalog = s.catalog
	}
	return answer{
		status: status, body: map[string]any{"token": token},
		header: http.Header{"Vary": {"X-Auth-Token"}, "Cache-Control": {"no-store"}},
	}
}
