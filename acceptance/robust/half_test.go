package robust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// halfSources addresses send halfEach requests each whose end never comes: more than the APIs take connections.
	halfSources, halfEach = 40, 200
	// halfLimit is how long such a request may stay: the limit of a whole request, 30 s, and room for a busy machine.
	halfLimit = 40*time.Second + patience
	// The APIs take 1/apiShare of the open files, apiConnections at most. halfSlack is for what else opens files meanwhile.
	apiShare, apiConnections, halfSlack = 16, 8192, 100
)

// TestHalfRequests sends the APIs thousands of requests, from many addresses, that never end. The server takes no more of
// them than its bound, serves others meanwhile, through the APIs and through a load balancer, and has closed them all
// within the limit of a request.
func TestHalfRequests(t *testing.T) {
	g := newGarden(t, newServer(t, ""))
	bound := min(openFiles(t)/apiShare, apiConnections)
	before := g.openDescriptors()
	var open atomic.Int64
	g.sendHalves(&open)
	most := 0
	rounds := 0
	others := func() {
		g.serveOthers()
		most = max(most, g.openDescriptors())
		rounds++
	}
	others()
	eventually(t, "the server keeps to its bound", patience, func() error {
		if n := int(open.Load()); n > bound {
			return fmt.Errorf("%d half requests are open, the bound is %d", n, bound)
		}
		return nil
	})
	for deadline := time.Now().Add(halfLimit); open.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d half requests are open after %v", open.Load(), halfLimit)
		}
		others()
		select {
		case <-t.Context().Done():
		case <-time.After(200 * time.Millisecond): // until the next round, so that others do not take the machine
		}
	}
	t.Logf("%d descriptors, %d at most meanwhile; %d rounds of others", before, most, rounds)
	if most > before+bound+halfSlack {
		t.Errorf("the server had %d descriptors, before %d; the bound is %d", most, before, bound)
	}
	if log := read(t, g.log.Name()); strings.Contains(log, "level=ERROR") {
		t.Errorf("clients' faults are errors in the log:\n%s", extraordinary(log, 20))
	}
}

// sendHalves sends half requests. open counts those that the server has not closed.
func (g *garden) sendHalves(open *atomic.Int64) {
	g.t.Helper()
	var clients errgroup.Group
	clients.SetLimit(8)
	for i := range halfSources {
		clients.Go(func() error {
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(i+1))}, Timeout: patience}
			for range halfEach {
				c, err := from.DialContext(g.t.Context(), "tcp4", g.listen)
				if errors.Is(err, unix.ECONNRESET) {
					continue // refused at once: the source has its share
				}
				if err != nil {
					return err
				}
				open.Add(1)
				context.AfterFunc(g.t.Context(), func() { _ = c.Close() }) // where the server fails to
				g.wg.Go(func() {
					defer open.Add(-1)
					defer c.Close()
					_, _ = io.Copy(io.Discard, c) // ends when the server ends it
				})
				_, _ = io.WriteString(c, "POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: poise\r\n"+
					"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{") // fails where it is closed already
			}
			return nil
		})
	}
	g.t.Cleanup(g.wg.Wait)
	if err := clients.Wait(); err != nil {
		g.t.Fatal(err)
	}
}

// serveOthers wants answers on new connections to the API and to the load balancer.
func (g *garden) serveOthers() {
	g.t.Helper()
	c := g.demo.another()
	defer c.http.CloseIdleConnections()
	c.list(g.t, lbaas+"/loadbalancers", "loadbalancers")
	visitors := g.hoard(g.t, false, 5)
	defer closeAll(visitors)
	g.askAll(g.t, visitors)
}

// openDescriptors is how many descriptors the server's process has.
func (s *server) openDescriptors() int {
	s.t.Helper()
	found, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(found)
}
