package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"poise/internal/dataplane"
	"poise/internal/rest"
)

// Projects is what this room needs of the identity service.
type Projects interface {
	// UsersOf are the ids of the users who have a role in the project.
	UsersOf(ctx context.Context, projectID string) ([]string, error)
}

// Resolver reads for load balancers what they refer to.
//
// Nobody asks for it: the data plane needs its certificates again whenever the server starts or a secret has changed, when
// the user who made the reference may be gone. So the server reads, with the right of the load balancer's project: what is
// the project's own, and what an access list lets at least one of the project's users read. A reference can hence never lead
// into another tenant's secrets, whatever was written into the load balancer; and a project that takes a secret off the
// access list ends its use with the next reading. Whether the user who makes a reference may read the secret is a
// [Checker]'s question, and is asked first.
type Resolver struct {
	Keys     Keys
	Projects Projects
	Opener   *Opener
}

// projectReader is the role with which a project reads what is its own, private secrets included.
const projectReader = "admin"

// sharedReader is the role with which a user of a project reads what an access list gives to that user.
const sharedReader = "observer"

// Certificate reads a certificate with its private key, and says when it expires. One that has expired is no error.
// Errors that are the user's to mend are [*lb.Error]s; one that passes is [ErrBusy].
func (r Resolver) Certificate(ctx context.Context, projectID, ref string) (dataplane.Certificate, time.Time, error) {
	parts, err := r.parts(ctx, projectID, ref)
	if err != nil {
		return dataplane.Certificate{}, time.Time{}, err
	}
	whole, err := r.Opener.open(ctx, projectID, parts, false)
	if err != nil {
		return dataplane.Certificate{}, time.Time{}, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(whole.PrivateKey)
	if err != nil {
		return dataplane.Certificate{}, time.Time{}, invalid("The private key is of a kind that is not supported.")
	}
	return dataplane.Certificate{Chain: whole.Certificate, Key: key}, whole.Leaf.NotAfter, nil
}

func (r Resolver) parts(ctx context.Context, projectID, ref string) (parts Parts, err error) {
	err = r.read(ctx, projectID, ref, func(caller rest.Caller) (err error) {
		parts, err = r.Keys.Certificate(ctx, caller, ref)
		return err
	})
	return parts, err
}

// Authorities reads the certificates, in DER, that peers' certificates must come from.
func (r Resolver) Authorities(ctx context.Context, projectID, ref string) ([][]byte, error) {
	payload, err := r.payload(ctx, projectID, ref)
	if err != nil {
		return nil, err
	}
	all, err := ParseAuthorities(payload)
	if err != nil {
		return nil, err
	}
	der := make([][]byte, len(all))
	for i, c := range all {
		der[i] = c.Raw
	}
	return der, nil
}

// Revocations reads a list of revoked certificates, in DER, which one of the authorities has signed.
func (r Resolver) Revocations(ctx context.Context, projectID, ref string, authorities [][]byte) ([][]byte, error) {
	payload, err := r.payload(ctx, projectID, ref)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, der := range authorities {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, invalid("The certificate of the authority is unreadable. Error: " + err.Error())
		}
		all = append(all, c)
	}
	list, err := ParseRevocations(payload, all)
	if err != nil {
		return nil, err
	}
	return [][]byte{list.Raw}, nil
}

func (r Resolver) payload(ctx context.Context, projectID, ref string) (payload []byte, err error) {
	err = r.read(ctx, projectID, ref, func(caller rest.Caller) (err error) {
		payload, _, err = r.Keys.Payload(ctx, caller, ref)
		return err
	})
	return payload, err
}

// read asks as the project, and then as each of its users.
func (r Resolver) read(ctx context.Context, projectID, ref string, as func(rest.Caller) error) error {
	err := as(rest.Caller{ProjectID: projectID, Roles: []string{projectReader}})
	if !errors.Is(err, ErrRefused) {
		return named(ref, err)
	}
	users, err := r.Projects.UsersOf(ctx, projectID)
	if err != nil {
		return fmt.Errorf("users of project %s: %w", projectID, err)
	}
	for _, id := range users {
		err := as(rest.Caller{UserID: id, ProjectID: projectID, Roles: []string{sharedReader}})
		if !errors.Is(err, ErrRefused) {
			return named(ref, err)
		}
	}
	return invalid("It is not there, or the load balancer's project may not read it.")
}

func named(ref string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", ref, err)
}
