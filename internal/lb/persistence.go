package lb

import (
	"net/netip"
	"slices"
	"strings"
)

// PersistenceTypes are Octavia's kinds of session persistence.
var PersistenceTypes = []string{PersistBySource, PersistByHTTPCookie, PersistByAppCookie}

// What tells sessions apart.
const (
	PersistBySource     = "SOURCE_IP"
	PersistByHTTPCookie = "HTTP_COOKIE" // one that the load balancer sets
	PersistByAppCookie  = "APP_COOKIE"  // one that the members set
)

// SessionPersistence keeps a client at one member.
type SessionPersistence struct {
	Type        string     `json:"type"`
	CookieName  string     `json:"cookie_name,omitempty"`            // of APP_COOKIE
	TimeoutSec  *int       `json:"persistence_timeout,omitempty"`    // of pools without connections; nil: the default
	Granularity netip.Addr `json:"persistence_granularity,omitzero"` // likewise: the mask for clients' addresses
	// GranularityText is the mask as it was written, "" where that is the canonical text: answers repeat it.
	GranularityText string `json:"persistence_granularity_text,omitempty"`
}

// mergePersistence returns the session persistence that a pool gets (octavia-rules.md §3): what is asked for, with the
// stored type where the request has none.
func (p *Pool) mergePersistence(in Opt[SessionPersistence]) (*SessionPersistence, error) {
	if in.Null {
		return nil, nil
	}
	wanted := in.Value
	if wanted.Type == "" && p.Persistence != nil {
		wanted.Type = p.Persistence.Type
	}
	switch {
	case wanted.Type == "":
		return nil, &Error{Code: Invalid, Field: "type", Message: "Invalid input for field/attribute type. Value: 'None'. Mandatory field missing."}
	case !slices.Contains(PersistenceTypes, wanted.Type):
		return nil, ErrOption("type", wanted.Type, "session_persistence")
	case p.Protocol.datagrams():
		return &wanted, wanted.checkDatagrams()
	default:
		return &wanted, wanted.checkConnections()
	}
}

func (s *SessionPersistence) checkDatagrams() error {
	switch {
	case s.CookieName != "":
		return ErrValidation("cookie_name", "Cookie names are not supported for UDP/SCTP pools.")
	case s.Type != PersistBySource:
		return ErrValidation("type", "Session persistence of type %s is not supported for UDP/SCTP protocol pools.", s.Type)
	}
	return nil
}

func (s *SessionPersistence) checkConnections() error {
	switch {
	case s.TimeoutSec != nil || s.Granularity.IsValid():
		return ErrValidation("session_persistence", "persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.")
	case s.CookieName != "" && s.Type != PersistByAppCookie:
		return ErrValidation("cookie_name", `Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`)
	case s.CookieName == "" && s.Type == PersistByAppCookie:
		return ErrValidation("cookie_name", `Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`)
	case strings.ContainsFunc(s.CookieName, notInCookieName):
		return ErrValidation("cookie_name", `Supplied "cookie_name" is invalid.`)
	}
	return nil
}

// notInCookieName finds what RFC 6265 does not let a cookie's name have.
func notInCookieName(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}
