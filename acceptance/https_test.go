package acceptance

import (
	"testing"

	"poise/internal/guide"
)

// TestHTTPSGuide takes every step of the guide to HTTPS load balancers.
func TestHTTPSGuide(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	parts, err := guide.HTTPS(h.place)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		for _, step := range part.Steps {
			if output, err := h.shell.Take(t.Context(), step); err != nil {
				t.Fatalf("%s\n$ %s\n%s\n%v", part.Title, step.Command, output, err)
			}
		}
	}
	h.run("poise lab down")
}
