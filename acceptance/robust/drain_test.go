package robust

import (
	"slices"
	"testing"
)

// TestStopKeepsNetworks stops the server without --purge, as for a restart: namespaces, interfaces and addresses stay as they are,
// and the next start serves with them.
func TestStopKeepsNetworks(t *testing.T) {
	s := newServer(t, "")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(s.stop())
	s.wantNothingLeft()
	s.keep = true
	check(s.start())
	workers := s.newWorkers(random(t))
	s.wantSettled(workers)
	before := hostState(t)
	check(s.stop())
	after := hostState(t) // may have more: a server whose network was under way
	for space, things := range before {
		for _, thing := range things {
			if !slices.Contains(after[space], thing) {
				t.Errorf("a stop has taken %s from %q", thing, space)
			}
		}
	}
	s.keep = false
	check(s.start())
	s.wantSettled(workers)
}
