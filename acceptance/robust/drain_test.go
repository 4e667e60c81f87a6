package robust

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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
	if diff := cmp.Diff(before, hostState(t)); diff != "" {
		t.Errorf("a stop has changed the host (-before +after):\n%s", diff)
	}
	s.keep = false
	check(s.start())
	s.wantSettled(workers)
}
