package barbican

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"poise/internal/rest"
)

// Payload returns the payload of a secret and its content type. ref is the secret's address or id. The caller needs to
// be somebody who may read it; the error is an [ErrNotFound] or [ErrForbidden], fit for the user's eyes, or one of ours.
func (s *Service) Payload(ctx context.Context, caller rest.Caller, ref string) (payload []byte, contentType string, err error) {
	id, isOne := secrets.idOf(ref)
	if !isOne {
		return nil, "", errNotFound(secrets)
	}
	return s.payload(ctx, caller, id)
}

func (s *Service) payload(ctx context.Context, caller rest.Caller, id string) (payload []byte, contentType string, err error) {
	e, _, err := s.readable(ctx, secrets, caller, id)
	if err != nil {
		return nil, "", err
	}
	var row secretRow
	err = s.db.NewSelect().Model(&row).Where("e.id = ?", e.ID).Scan(ctx)
	if err := secrets.found(err, id); err != nil {
		return nil, "", err
	}
	if row.ContentType == "" {
		return nil, "", &fault{http.StatusNotFound, "The secret has no payload."}
	}
	payload, err = s.keys.open(row.ID, row.ProjectID, row.sealed)
	return payload, row.ContentType, err
}

// Certificate is what a listener or a pool needs for TLS, as it was stored: either the parts of a container of type
// certificate (in PEM or DER), of which all but the first may be nil, or one PKCS#12 bundle.
type Certificate struct {
	Certificate   []byte
	PrivateKey    []byte
	Intermediates []byte
	Passphrase    []byte // of the private key

	PKCS12 []byte
}

// Certificate returns what a certificate container, or a secret with a PKCS#12 bundle, holds. ref is the address of
// either, or the id. Errors are as with [Service.Payload]; the caller has to be one who may read every part.
func (s *Service) Certificate(ctx context.Context, caller rest.Caller, ref string) (Certificate, error) {
	if id, isContainer := containers.idOf(ref); isContainer {
		certificate, err := s.certificateOf(ctx, caller, id)
		if strings.Contains(ref, "/") || !isNotFound(err) {
			return certificate, err
		}
	}
	bundle, _, err := s.Payload(ctx, caller, ref)
	return Certificate{PKCS12: bundle}, err
}

// certificateOf puts the secrets of a container in their places.
func (s *Service) certificateOf(ctx context.Context, caller rest.Caller, id string) (Certificate, error) {
	row, err := s.readContainer(ctx, caller, id)
	if err != nil {
		return Certificate{}, err
	}
	if row.Type != typeCertificate {
		return Certificate{}, errBad("The container is of type %s, not certificate.", row.Type)
	}
	parts, err := s.secretsOf(ctx, []string{id})
	if err != nil {
		return Certificate{}, err
	}
	var c Certificate
	places := map[string]*[]byte{
		"certificate": &c.Certificate, "private_key": &c.PrivateKey,
		"intermediates": &c.Intermediates, "private_key_passphrase": &c.Passphrase,
	}
	for _, part := range parts[id] {
		payload, _, err := s.payload(ctx, caller, part.SecretID)
		if err != nil {
			return Certificate{}, fmt.Errorf("%s of the container: %w", part.Name, err)
		}
		*places[part.Name] = payload
	}
	if c.Certificate == nil {
		return Certificate{}, &fault{http.StatusNotFound, "The container has no certificate."}
	}
	return c, nil
}
