package certificate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"poise/internal/lb"
	"poise/internal/rest"
)

// Keys is what this room needs of the key manager. An error that is the caller's is an [ErrRefused].
type Keys interface {
	// Payload reads a secret, and says of what content type it is.
	Payload(ctx context.Context, caller rest.Caller, ref string) (payload []byte, contentType string, err error)
	// Certificate reads a certificate container, or a secret with a PKCS#12 bundle.
	Certificate(ctx context.Context, caller rest.Caller, ref string) (Parts, error)
}

// ErrRefused says that a reference leads to nothing that the caller may use.
var ErrRefused = errors.New("refused by the key manager")

// Checker checks references to the key manager.
type Checker struct {
	Keys     Keys
	Projects Projects
	Opener   *Opener
}

// Check refuses, with an [*lb.Error], references that lead to nothing that the caller can read, or that a load balancer of
// the project could not use. Each secret is read once for each of the two, and opened once, however it is referred to.
func (c Checker) Check(ctx context.Context, caller rest.Caller, projectID string, refs lb.References) error {
	refs.Certificates = distinct(refs.Certificates)
	if err := c.checkFor(ctx, caller, projectID, refs); err != nil || caller.ProjectID == projectID {
		return err
	}
	return c.checkUse(ctx, projectID, refs)
}

// distinct keeps one of the references that lead to the same secret or container: what is before "secrets/<id>" does not matter.
func distinct(refs []string) []string {
	var kept []string
	seen := map[string]bool{}
	for _, ref := range refs {
		segments := strings.Split(strings.TrimRight(ref, "/"), "/")
		target := strings.Join(segments[max(0, len(segments)-2):], "/")
		if !seen[target] {
			kept = append(kept, ref)
		}
		seen[target] = true
	}
	return kept
}

// checkUse reads everything as the data plane will.
func (c Checker) checkUse(ctx context.Context, projectID string, refs lb.References) error {
	as := Resolver(c)
	var missing []string
	try := func(ref string, err error) error {
		if lb.CodeOf(err) != 0 {
			missing = append(missing, ref)
			return nil
		}
		return err
	}
	for _, ref := range refs.Certificates {
		_, err := as.parts(ctx, projectID, ref)
		if err := try(ref, err); err != nil {
			return err
		}
	}
	for _, ref := range []string{refs.CA, refs.CRL} {
		if ref == "" {
			continue
		}
		_, err := as.payload(ctx, projectID, ref)
		if err := try(ref, err); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return errMissing(missing...)
	}
	return nil
}

func (c Checker) checkFor(ctx context.Context, caller rest.Caller, projectID string, refs lb.References) error {
	if err := c.checkCertificates(ctx, caller, projectID, refs.Certificates); err != nil {
		return err
	}
	if refs.CA == "" {
		return nil
	}
	ca, err := c.payload(ctx, caller, refs.CA)
	if err != nil {
		return err
	}
	authorities, err := ParseAuthorities(ca)
	if err != nil || refs.CRL == "" {
		return err
	}
	crl, err := c.payload(ctx, caller, refs.CRL)
	if err != nil {
		return err
	}
	_, err = ParseRevocations(crl, authorities)
	return err
}

// checkCertificates retrieves all certificates before it looks at any.
func (c Checker) checkCertificates(ctx context.Context, caller rest.Caller, projectID string, refs []string) error {
	var all []Parts
	var missing []string
	for _, ref := range refs {
		parts, err := c.Keys.Certificate(ctx, caller, ref)
		switch {
		case errors.Is(err, ErrRefused):
			missing = append(missing, ref)
		case err != nil:
			return fmt.Errorf("certificate %s: %w", ref, err)
		}
		all = append(all, parts)
	}
	if len(missing) > 0 {
		return errMissing(missing...)
	}
	if err := c.Opener.checkWork(all); err != nil {
		return err
	}
	for _, parts := range all {
		whole, err := c.Opener.open(ctx, projectID, parts, true)
		if _, err := unexpired(whole, err, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func (c Checker) payload(ctx context.Context, caller rest.Caller, ref string) ([]byte, error) {
	payload, _, err := c.Keys.Payload(ctx, caller, ref)
	switch {
	case errors.Is(err, ErrRefused):
		return nil, errMissing(ref)
	case err != nil:
		return nil, fmt.Errorf("secret %s: %w", ref, err)
	}
	return payload, nil
}

// errMissing says it as Octavia does.
func errMissing(refs ...string) error {
	return invalid("Could not retrieve certificate: ['" + strings.Join(refs, "', '") + "']")
}
