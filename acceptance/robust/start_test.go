package robust

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// TestRequestsDuringStart creates load balancers from the first moment on at which a restarted server listens. While it
// takes away what has no owner, it must not take away what is being made.
func TestRequestsDuringStart(t *testing.T) {
	const clients, each = 8, 3
	s := newServer(t, "")
	for round := range rounds(3, 20) {
		s.kill()
		requests := errgroup.Group{}
		for i := range clients {
			c := s.demo.another()
			requests.Go(func() error {
				for n := range each {
					body := object{"loadbalancer": object{"name": fmt.Sprintf("%d-%d-%d", round, i, n), "vip_subnet_id": s.subnet}}
					if err := retry(patience, func() error {
						a, err := c.send(t.Context(), "POST", kindOf("loadbalancer").path, body)
						if err == nil && !a.ok() {
							err = fmt.Errorf("%v", a)
						}
						return err
					}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		if err := requests.Wait(); err != nil {
			t.Fatal(err)
		}
		var now census
		eventually(t, "all ACTIVE", patience, func() (err error) {
			if now, err = takeCensus(t.Context(), s.demo); err != nil {
				return err
			}
			return now.active()
		})
		if len(now.things) != clients*each {
			t.Errorf("%d load balancers, want %d", len(now.things), clients*each)
		}
		eventually(t, "each has its port and namespace", patience, func() error { return s.orphans(now) })
		for _, name := range now.things.names("loadbalancer", all) {
			s.demo.must(t, "DELETE", kindOf("loadbalancer").path+"/"+now.objects[name].text("id"), "", nil)
		}
		eventually(t, "gone", patience, func() error {
			now, err := takeCensus(t.Context(), s.demo)
			if err == nil && len(now.things) > 0 {
				err = fmt.Errorf("left: %v", now.things)
			}
			return err
		})
	}
}

// TestSecondServerIsRefused starts servers that cannot run beside the first one; that one does not notice.
func TestSecondServerIsRefused(t *testing.T) {
	s := newServer(t, "")
	before := hostState(t)
	for name, test := range map[string]struct{ listen, dataDir, want string }{
		"same data directory": {freeAddress(t), s.dataDir, "is in use by another poise"},
		"same address":        {s.listen, filepath.Join(t.TempDir(), "other"), "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), binary, "serve", "--listen", test.listen, "--data-dir", test.dataDir, "--fabric", "linux").CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) || bytes.Count(out, []byte("\n")) > 2 {
				t.Errorf("%v\n%s\nwant %q", err, out, test.want)
			}
			if diff := cmp.Diff(before, hostState(t)); diff != "" {
				t.Errorf("the host has changed\n%s", diff)
			}
		})
	}
	s.demo.list(t, kindOf("loadbalancer").path, "loadbalancers")
}
