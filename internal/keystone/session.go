package keystone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

const (
	// maxSessions bounds how many sessions are remembered.
	maxSessions = 4096
	// sessionMemory is how long a session is believed without asking the database: how late another process of a
	// cluster sees a revocation.
	sessionMemory = 5 * time.Second
)

// named is an object as tokens show it.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// owned is an object of a domain as tokens show it.
type owned struct {
	Domain named  `json:"domain"`
	ID     string `json:"id"`
	Name   string `json:"name"`
}

// session is what a valid token stands for. It is immutable.
type session struct {
	hash       string
	user       owned
	project    *owned // nil: not scoped to a project
	domain     *named // nil: not scoped to a domain
	roles      []named
	admin      bool               // of the cloud
	credential *sessionCredential // nil: not by an application credential
	methods    []string
	auditIDs   []string
	issuedAt   time.Time
	expiresAt  time.Time
}

type sessionCredential struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Restricted bool   `json:"restricted"`
}

func (s *session) hasRole(name string) bool {
	for _, role := range s.roles {
		if role.Name == name {
			return true
		}
	}
	return false
}

func (s *session) caller() rest.Caller {
	c := rest.Caller{UserID: s.user.ID, UserName: s.user.Name, DomainID: s.user.Domain.ID}
	if s.project != nil {
		c.ProjectID, c.ProjectName = s.project.ID, s.project.Name
	}
	for _, role := range s.roles {
		if role.Name == roleAdmin && !s.admin {
			continue // it counts in another project only; see rest.Caller
		}
		c.Roles = append(c.Roles, role.Name)
	}
	return c
}

// session finds the session of a token; [rest.ErrUnauthenticated] when there is none.
func (s *Service) session(ctx context.Context, token string) (*session, error) {
	if token == "" {
		return nil, rest.ErrUnauthenticated
	}
	hash := tokenHash(token)
	now := time.Now()
	found, era := s.sessions.get(hash, now)
	if found != nil {
		return found, nil
	}
	var table any = bun.Ident("keystone_token")
	if row, ok := s.unsaved.get(hash); ok {
		table = unsavedToken(row)
	}
	found, err := s.readSession(ctx, s.db, table, hash, now)
	if err != nil {
		return nil, err
	}
	s.sessions.put(era, found, now)
	return found, nil
}

// tokenHash is what is kept of a token. It has 256 random bits, so a plain hash cannot be turned back, and looking it
// up takes no time that tells anything about the token.
func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// sessionRow is a token with the names of what it refers to.
type sessionRow struct {
	tokenRow `bun:",extend"`

	UserName, UserDomainID, UserDomainName          string
	ProjectName, ProjectDomainID, ProjectDomainName string
	DomainName                                      string
	CredentialName                                  string
	CredentialUnrestricted, IsAdminProject          bool
}

// readSession reads what a token of a table stands for now. Nothing that is disabled or expired comes back.
func (s *Service) readSession(ctx context.Context, db bun.IDB, table any, hash string, now time.Time) (*session, error) {
	var row sessionRow
	err := db.NewRaw(`
		SELECT t.*, u.name AS user_name, ud.id AS user_domain_id, ud.name AS user_domain_name,
			COALESCE(p.name, '') AS project_name, COALESCE(pd.id, '') AS project_domain_id,
			COALESCE(pd.name, '') AS project_domain_name, COALESCE(d.name, '') AS domain_name,
			COALESCE(p.is_admin, FALSE) AS is_admin_project, COALESCE(c.name, '') AS credential_name, COALESCE(c.unrestricted, FALSE) AS credential_unrestricted
		FROM ? t
		JOIN keystone_user u ON u.id = t.user_id
		JOIN keystone_domain ud ON ud.id = u.domain_id
		LEFT JOIN keystone_project p ON p.id = t.project_id
		LEFT JOIN keystone_domain pd ON pd.id = p.domain_id
		LEFT JOIN keystone_domain d ON d.id = t.domain_id
		LEFT JOIN keystone_application_credential c ON c.id = t.credential_id
		WHERE t.hash = ? AND t.expires_at > ? AND u.enabled AND ud.enabled
			AND (p.id IS NULL OR (p.enabled AND pd.enabled)) AND (d.id IS NULL OR d.enabled)
			AND (c.id IS NULL OR c.expires_at = 0 OR c.expires_at > ?)`,
		table, hash, now.UnixMicro(), now.UnixMicro()).Scan(ctx, &row)
	if isNoRows(err) {
		return nil, rest.ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	found := row.session()
	if found.roles, err = rolesOf(ctx, db, row.tokenRow); err != nil {
		return nil, err
	}
	if len(found.roles) == 0 && (found.project != nil || found.domain != nil) {
		return nil, rest.ErrUnauthenticated // the user has lost the project
	}
	found.admin = found.hasRole(roleAdmin) && (s.adminAnywhere || row.IsAdminProject)
	return found, nil
}

func (row *sessionRow) session() *session {
	s := &session{
		hash:      row.Hash,
		user:      owned{Domain: named{row.UserDomainID, row.UserDomainName}, ID: row.UserID, Name: row.UserName},
		methods:   strings.Split(row.Methods, ","),
		auditIDs:  strings.Split(row.AuditIDs, ","),
		issuedAt:  time.UnixMicro(row.IssuedAt),
		expiresAt: time.UnixMicro(row.ExpiresAt),
	}
	if row.ProjectID != "" {
		s.project = &owned{Domain: named{row.ProjectDomainID, row.ProjectDomainName}, ID: row.ProjectID, Name: row.ProjectName}
	}
	if row.DomainID != "" {
		s.domain = &named{row.DomainID, row.DomainName}
	}
	if row.CredentialID != "" {
		s.credential = &sessionCredential{row.CredentialID, row.CredentialName, !row.CredentialUnrestricted}
	}
	return s
}

// rolesOf returns the roles that a token carries. An application credential gives its own roles, as long as its user
// still has them all.
func rolesOf(ctx context.Context, db bun.IDB, t tokenRow) ([]named, error) {
	if t.ProjectID == "" && t.DomainID == "" {
		return nil, nil
	}
	held, err := effectiveRoles(ctx, db, t.UserID, t.ProjectID, t.DomainID)
	if err != nil || t.CredentialID == "" {
		return held, err
	}
	given, err := credentialRoles(ctx, db, t.CredentialID)
	if err != nil || !containsAll(held, given) {
		return nil, err
	}
	return given, nil
}

func containsAll(set, subset []named) bool {
	ids := map[string]bool{}
	for _, role := range set {
		ids[role.ID] = true
	}
	for _, role := range subset {
		if !ids[role.ID] {
			return false
		}
	}
	return true
}

// withImplied completes a query of role ids, named held, by what those roles imply.
const withImplied = ` UNION SELECT i.implied_id FROM keystone_implied_role i JOIN held h ON i.prior_id = h.id)
	SELECT r.id, r.name FROM keystone_role r JOIN held ON held.id = r.id ORDER BY r.name`

// effectiveRoles returns the roles of a user on a project or a domain (the other one is ""), implied ones included.
func effectiveRoles(ctx context.Context, db bun.IDB, userID, projectID, domainID string) ([]named, error) {
	column, target := "project_id", projectID
	if projectID == "" {
		column, target = "domain_id", domainID
	}
	var roles []named
	err := db.NewRaw(`WITH RECURSIVE held(id) AS (
		SELECT a.role_id FROM keystone_assignment a WHERE a.user_id = ? AND a.? = ?`+withImplied,
		userID, bun.Ident(column), target).Scan(ctx, &roles)
	if err != nil {
		return nil, fmt.Errorf("roles of user %s: %w", userID, err)
	}
	return roles, nil
}

// credentialRoles returns the roles of an application credential, implied ones included.
func credentialRoles(ctx context.Context, db bun.IDB, credentialID string) ([]named, error) {
	var roles []named
	err := db.NewRaw(`WITH RECURSIVE held(id) AS (
		SELECT cr.role_id FROM keystone_application_credential_role cr WHERE cr.credential_id = ?`+withImplied,
		credentialID).Scan(ctx, &roles)
	if err != nil {
		return nil, fmt.Errorf("roles of application credential %s: %w", credentialID, err)
	}
	return roles, nil
}

// sessionCache remembers sessions for a moment. An era ends with each change of what sessions are made from; what was
// read in an earlier era is not put in.
type sessionCache struct {
	mu       sync.Mutex // guards all
	era      uint64
	sessions map[string]rememberedSession // by token hash
}

type rememberedSession struct {
	*session
	until time.Time
}

func newSessionCache() *sessionCache {
	return &sessionCache{sessions: map[string]rememberedSession{}}
}

// get returns the session, nil when it is not remembered, and the era that a session read now belongs to.
func (c *sessionCache) get(hash string, now time.Time) (*session, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.sessions[hash]
	if !ok || !now.Before(found.until) {
		return nil, c.era
	}
	return found.session, c.era
}

func (c *sessionCache) put(era uint64, s *session, now time.Time) {
	until := now.Add(sessionMemory)
	if s.expiresAt.Before(until) {
		until = s.expiresAt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era {
		return
	}
	if len(c.sessions) >= maxSessions {
		clear(c.sessions) // they come back within milliseconds each
	}
	c.sessions[s.hash] = rememberedSession{s, until}
}

// forget begins a new era.
func (c *sessionCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	clear(c.sessions)
}
