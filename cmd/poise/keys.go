package main

import (
	"context"
	"errors"

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

func refusal(err error) error {
	if errors.Is(err, barbican.ErrRefused) {
		return errors.Join(certificate.ErrRefused, err)
	}
	return err
}
