package main

import (
	"context"
	"errors"
	"time"

	"poise/internal/barbican"
	"poise/internal/certificate"
	"poise/internal/rest"
)

// keys is the key manager in the words of those who read certificates.
type keys struct{ *barbican.Service }

func (k keys) Payload(ctx context.Context, caller rest.Caller, ref string) ([]byte, string, error) {
	payload, contentType, err := k.Service.Payload(ctx, caller, ref)
	return payload, contentType, refusal(err)
}

func (k keys) Certificate(ctx context.Context, caller rest.Caller, ref string) (certificate.Parts, error) {
	c, err := k.Service.Certificate(ctx, caller, ref)
	return certificate.Parts(c), refusal(err)
}

// secrets is the key manager in the words of the control plane.
type secrets struct {
	certificate.Resolver
	manager *barbican.Service
}

func (s secrets) Changed(ctx context.Context, after time.Time) ([]string, time.Time, error) {
	return s.manager.Changed(ctx, after)
}

func refusal(err error) error {
	if errors.Is(err, barbican.ErrRefused) {
		return errors.Join(certificate.ErrRefused, err)
	}
	return err
}
