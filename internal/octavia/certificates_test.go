package octavia_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"poise/internal/lb"
	"poise/internal/rest"
)

// vault has every certificate but those whose names say that they are missing.
type vault struct{}

func (vault) Check(_ context.Context, _ rest.Caller, _ string, refs lb.References) error {
	for _, ref := range append(slices.Clone(refs.Certificates), refs.CA, refs.CRL) {
		if strings.Contains(ref, "missing") {
			return &lb.Error{Code: lb.Invalid, Message: fmt.Sprintf("Could not retrieve certificate: ['%s']", ref)}
		}
	}
	return nil
}
