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
}

// Check refuses, with an [*lb.Error], references that lead to nothing that the caller can read, or that a load balancer of
// the project could not use.
func (c Checker) Check(ctx context.Context, caller rest.Caller, projectID string, refs lb.References) error {
	if err := c.checkFor(ctx, caller, refs); err != nil || caller.ProjectID == projectID {
		return err
	}
	return c.checkUse(ctx, projectID, refs)
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
		_, _, err := as.Certificate(ctx, projectID, ref)
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

func (c Checker) checkFor(ctx context.Context, caller rest.Caller, refs lb.References) error {
	if err := c.checkCertificates(ctx, caller, refs.Certificates); err != nil {
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
func (c Checker) checkCertificates(ctx context.Context, caller rest.Caller, refs []string) error {
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
	for _, parts := range all {
		if _, err := Parse(parts, time.Now()); err != nil {
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
