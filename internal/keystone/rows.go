package keystone

import (
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

var errNoRows = sql.ErrNoRows

type domainRow struct {
	bun.BaseModel `bun:"table:keystone_domain,alias:d"`

	ID          string `bun:",pk"`
	Name        string
	Description string
	Enabled     bool
}

type projectRow struct {
	bun.BaseModel `bun:"table:keystone_project,alias:p"`

	ID          string `bun:",pk"`
	DomainID    string
	Name        string
	Description string
	Enabled     bool
	IsAdmin     bool // the role admin in it makes an administrator of the cloud
}

type userRow struct {
	bun.BaseModel `bun:"table:keystone_user,alias:u"`

	ID               string `bun:",pk"`
	DomainID         string
	Name             string
	Description      string
	Email            string
	Enabled          bool
	DefaultProjectID string
	PasswordHash     string
}

type roleRow struct {
	bun.BaseModel `bun:"table:keystone_role,alias:r"`

	ID          string `bun:",pk"`
	Name        string
	Description string
}

type impliedRoleRow struct {
	bun.BaseModel `bun:"table:keystone_implied_role,alias:i"`

	PriorID   string
	ImpliedID string
}

// assignmentRow is a role of a user on a project or on a domain; the other one is "" (NULL).
type assignmentRow struct {
	bun.BaseModel `bun:"table:keystone_assignment,alias:a"`

	UserID    string
	RoleID    string
	ProjectID string `bun:",nullzero"`
	DomainID  string `bun:",nullzero"`
}

type credentialRow struct {
	bun.BaseModel `bun:"table:keystone_application_credential,alias:c"`

	ID           string `bun:",pk"`
	UserID       string
	ProjectID    string
	Name         string
	Description  string
	SecretHash   string
	ExpiresAt    int64 // microseconds since 1970, 0: never
	Unrestricted bool
}

// expired tells whether the credential's time is over.
func (c credentialRow) expired(now time.Time) bool {
	return c.ExpiresAt != 0 && c.ExpiresAt <= now.UnixMicro()
}

type credentialRoleRow struct {
	bun.BaseModel `bun:"table:keystone_application_credential_role,alias:cr"`

	CredentialID string
	RoleID       string
}

type tokenRow struct {
	bun.BaseModel `bun:"table:keystone_token,alias:t"`

	Hash         string `bun:",pk"`
	UserID       string
	ProjectID    string `bun:",nullzero"`
	DomainID     string `bun:",nullzero"`
	CredentialID string `bun:",nullzero"`
	Methods      string // separated by commas, as AuditIDs
	AuditIDs     string `bun:"audit_ids"`
	IssuedAt     int64  // microseconds since 1970, as ExpiresAt
	ExpiresAt    int64
}

// newID makes an id in Keystone's form: a random UUID as 32 hexadecimal digits.
func newID() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// namedID makes an id that is the same at every start: for what is configured and not stored.
func namedID(parts ...string) string {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(id[:])
}
