package robust

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // the server's database

	"poise/internal/guide"
)

// TestStartCleansUpAfterKill kills a server, and takes a load balancer out of its database, as an older backup would. The next
// start removes what that load balancer has left in the network. A server of another data directory, started in between, names
// the first one's leftovers in its log and leaves them alone.
func TestStartCleansUpAfterKill(t *testing.T) {
	s := newServer(t, "")
	var ids []string
	for _, name := range []string{"stays", "goes"} {
		made := s.demo.must(t, "POST", kindOf("loadbalancer").path, "loadbalancer",
			object{"loadbalancer": object{"name": name, "vip_subnet_id": s.subnet}})
		ids = append(ids, made.text("id"))
	}
	eventually(t, "both load balancers", patience, func() error { return s.wantBalancerSpaces(ids...) })
	s.kill()
	s.forgetBalancer(ids[1])
	before := namespaceNames(t)
	s.visit(before)
	if diff := cmp.Diff(before, namespaceNames(t)); diff != "" {
		t.Errorf("a server of another data directory has changed (-before +after)\n%s", diff)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no leftovers", patience, func() error { return s.wantBalancerSpaces(ids[0]) })
	for _, p := range s.admin.list(t, "/network/v2.0/ports", "ports") {
		if p["device_id"] == "lb-"+ids[1] {
			t.Errorf("the port of the load balancer that is gone: %v", p)
		}
	}
}

// wantBalancerSpaces wants exactly these load balancers to have namespaces.
func (s *server) wantBalancerSpaces(ids ...string) error {
	var have []string
	for _, name := range namespaceNames(s.t) {
		if _, id, isBalancer := strings.Cut(name, "-lb-"); isBalancer {
			have = append(have, id)
		}
	}
	slices.Sort(have)
	if diff := cmp.Diff(slices.Sorted(slices.Values(ids)), have); diff != "" {
		return fmt.Errorf("namespaces of load balancers (-want +have)\n%s", diff)
	}
	return nil
}

// forgetBalancer deletes a load balancer from the database of a server that does not run.
func (s *server) forgetBalancer(id string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dataDir, "poise.db")+"?_pragma=foreign_keys(1)")
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = db.Exec("DELETE FROM load_balancers WHERE id = ?", id)
	if err := errors.Join(err, db.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// visit starts and stops a server with another data directory, whose log names the tag of these namespaces.
func (s *server) visit(spaces []string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.t.TempDir(), "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	other, err := guide.StartServer(context.Background(), guide.ServerConfig{
		Binary: binary, Listen: freeAddress(s.t), DataDir: filepath.Join(s.t.TempDir(), "other"), Fabric: "linux", Log: log,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := other.Stop(); err != nil {
		s.t.Error("the other server's end:", err)
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	tag := strings.Split(spaces[0], "-")[1]
	if !strings.Contains(string(text), "networks of other data directories are on this host") || !strings.Contains(string(text), tag) {
		s.t.Errorf("the log of the other server does not name %s:\n%s", tag, text)
	}
}
