package proxy

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// crowd is many clients at once, each of whom has asked and waits for its answer.
type crowd struct {
	t *testing.T

	mu     sync.Mutex // guards what follows
	served []*net.TCPConn
	total  int // served so far, those who have left included
	lost   int // were closed instead
}

func newCrowd(t *testing.T, addr string, n int) *crowd {
	t.Helper()
	c := &crowd{t: t}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // after the connections were closed
	for range n {
		conn := dial(t, addr)
		_ = conn.SetDeadline(time.Now().Add(3 * patience))
		wg.Go(func() {
			if _, err := conn.Write([]byte("ping")); err != nil {
				return
			}
			_, err := io.ReadFull(conn, make([]byte, 4))
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.lost++
				return
			}
			c.served = append(c.served, conn)
			c.total++
		})
	}
	return c
}

// answered is how many have got an answer so far.
func (c *crowd) answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// leave closes n of those who have got an answer.
func (c *crowd) leave(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.served[:n] {
		_ = conn.Close()
	}
	c.served = c.served[n:]
}

// goOn has everybody who was served and is left ask again. Nobody else may have been turned away than those who were
// just being accepted when the descriptors ran out.
func (c *crowd) goOn() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost > acceptsPerEvent {
		c.t.Errorf("%d were turned away, %d served", c.lost, c.total)
	}
	for _, conn := range c.served {
		roundTrip(c.t, conn)
	}
}
