package robust

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

const (
	workers = 4
	// longestRun is the longest that the workers work before the server is killed.
	longestRun = 400 * time.Millisecond
)

// TestKilledServerKeepsItsWord kills the server at random moments, while it works for several clients or while it
// recovers. What was acknowledged must be there afterwards, in the APIs and in the network, and nothing else.
func TestKilledServerKeepsItsWord(t *testing.T) {
	r := random(t)
	s := newServer(t, "")
	all := s.newWorkers(r)
	var slowest time.Duration
	kills := rounds(12, 200)
	for kill := range kills {
		work := errgroup.Group{}
		for _, w := range all {
			work.Go(w.work)
		}
		time.Sleep(time.Duration(r.Int64N(int64(longestRun)))) // not to wait for something: the moment is what is random
		s.kill()
		if err := work.Wait(); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		if r.IntN(4) == 0 {
			s.killWhileStarting(time.Duration(r.Int64N(int64(longestRun / 2))))
		}
		if err := s.start(); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		slowest = max(slowest, s.wantSettled(all))
		if t.Failed() {
			t.Fatalf("after kill %d", kill)
		}
	}
	done := 0
	for _, w := range all {
		done += w.done
	}
	t.Logf("%d acknowledged changes, %d kills; the slowest restart had nothing PENDING after %v", done, kills, slowest)
}

func (s *server) newWorkers(r *rand.Rand) []*worker {
	s.t.Helper()
	shared := s.demo.must(s.t, "POST", kindOf("loadbalancer").path, "loadbalancer",
		object{"loadbalancer": object{"name": sharedBalancer, "vip_subnet_id": s.subnet}})
	all := make([]*worker, workers)
	for i := range all {
		all[i] = s.newWorker(i, r, shared.text("id"))
	}
	return all
}

// killWhileStarting starts the server and kills it before it is done with that.
func (s *server) killWhileStarting(after time.Duration) {
	s.t.Helper()
	p := exec.Command(binary, "serve", "--listen", s.listen, "--data-dir", s.dataDir, "--fabric", "linux")
	p.Stdout, p.Stderr = s.log, s.log
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(after)
	_ = p.Process.Kill()
	_ = p.Wait()
}

// wantSettled wants a server that just started to be done with everything and to show what the workers know. It returns how long
// it took.
func (s *server) wantSettled(workers []*worker) time.Duration {
	s.t.Helper()
	begin := time.Now()
	var now census
	if err := retry(patience, func() (err error) {
		if now, err = takeCensus(s.t.Context(), s.demo); err != nil {
			return err
		}
		return now.pending()
	}); err != nil {
		s.t.Error("something is PENDING:", err)
	}
	took := time.Since(begin)
	eventually(s.t, "all ACTIVE", patience, func() (err error) {
		if now, err = takeCensus(s.t.Context(), s.demo); err != nil {
			return err
		}
		return now.active()
	})
	owned := 1 // the shared load balancer
	for _, w := range workers {
		if err := w.settle(now); err != nil {
			s.t.Errorf("worker %d: %v", w.index, err)
		}
		owned += len(w.acknowledged)
	}
	if len(now.things) != owned {
		s.t.Errorf("%d things, the workers know of %d", len(now.things), owned)
	}
	s.wantServed(now, workers)
	eventually(s.t, "nothing without owner", patience, func() error { return s.orphans(now) })
	return took
}

// wantServed wants the network to do what the APIs say.
func (s *server) wantServed(now census, workers []*worker) {
	s.t.Helper()
	closed := map[string]bool{} // load balancer and port
	for _, w := range workers {
		for place := range w.freed {
			balancer, _, _ := strings.Cut(place, " ")
			if _, lives := now.things[balancer]; lives {
				closed[place] = true
			}
		}
	}
	for _, name := range now.things.names("listener", all) {
		l := now.things[name]
		if !l.up || !now.things[l.parent].up {
			continue
		}
		delete(closed, l.parent+" "+l.place)
		address := net.JoinHostPort(now.objects[l.parent].text("vip_address"), l.place)
		s.wantAnswer(s.members[0].namespace, address, name, s.usable(now, l.link))
	}
	for place := range closed {
		balancer, port, _ := strings.Cut(place, " ")
		s.wantRefused(net.JoinHostPort(now.objects[balancer].text("vip_address"), port), place)
	}
	for _, name := range now.things.names("floatingip", all) {
		s.wantFloatingIP(now, name)
	}
}

// usable are the greetings that a pool may answer with.
func (s *server) usable(now census, pool string) (greetings []string) {
	if !now.things[pool].up {
		return nil
	}
	for _, name := range now.things.names("member", below(pool)) {
		m := now.things[name]
		for _, server := range s.members {
			if m.up && m.number > 0 && m.place == net.JoinHostPort(server.address, fmt.Sprint(labPort)) {
				greetings = append(greetings, "Yello from "+server.name+"!")
			}
		}
	}
	return greetings
}

// wantAnswer wants a connection to be answered by one of the greetings, or just to be accepted when there are none.
func (s *server) wantAnswer(from, address, name string, greetings []string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("listener %s at %s", name, address), patience, func() error {
		text, err := ask(from, address, time.Second)
		if len(greetings) == 0 && (err == nil || errors.Is(err, syscall.ECONNRESET)) {
			return nil
		}
		if err == nil && !slices.Contains(greetings, strings.TrimSpace(text)) {
			err = fmt.Errorf("the answer is %q, want one of %q", text, greetings)
		}
		return err
	})
}

func (s *server) wantRefused(address, place string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s, at %s, is refused", place, address), patience, func() error {
		text, err := ask(s.members[0].namespace, address, time.Second)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("the answer is %q, %v", text, err)
		}
		return nil
	})
}

// wantFloatingIP wants a floating IP to lead to the listeners of its load balancer, and otherwise nowhere.
func (s *server) wantFloatingIP(now census, name string) {
	s.t.Helper()
	address, balancer := now.objects[name].text("floating_ip_address"), now.things[name].link
	if balancer == "" {
		if c, err := dial("", net.JoinHostPort(address, "80"), 50*time.Millisecond); err == nil {
			s.t.Errorf("floating IP %s leads nowhere, and yet %s accepts", name, c.RemoteAddr())
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			s.t.Errorf("floating IP %s leads nowhere, and yet somebody answers: %v", name, err)
		}
		return
	}
	for _, listener := range now.things.names("listener", below(balancer)) {
		l := now.things[listener]
		if l.up && now.things[balancer].up {
			s.wantAnswer("", net.JoinHostPort(address, l.place), listener, s.usable(now, l.link))
		}
	}
}

// orphans says which ports and namespaces belong to no load balancer, and which load balancers have none.
func (s *server) orphans(now census) error {
	var want, ports, spaces []string
	for _, name := range now.things.names("loadbalancer", all) {
		want = append(want, now.objects[name].text("id"))
	}
	all, err := s.admin.tryList(s.t.Context(), "/network/v2.0/ports", "ports")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, p := range all {
		known[p.text("id")[:8]] = true
		if p["device_owner"] == "Octavia" {
			ports = append(ports, strings.TrimPrefix(p.text("device_id"), "lb-"))
		}
	}
	for _, name := range namespaceNames(s.t) {
		if _, id, isBalancer := strings.Cut(name, "-lb-"); isBalancer {
			spaces = append(spaces, id)
		}
	}
	for _, list := range [][]string{want, ports, spaces} {
		slices.Sort(list)
	}
	if diff := cmp.Diff(want, ports); diff != "" {
		return fmt.Errorf("ports (-load balancers +ports)\n%s", diff)
	}
	if diff := cmp.Diff(want, spaces); diff != "" {
		return fmt.Errorf("namespaces (-load balancers +namespaces)\n%s", diff)
	}
	return nil
}
