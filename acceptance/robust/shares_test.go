package robust

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestStreamsOfOneTenant has a tenant open streams of changes and of a log until it is refused. Another one gets both.
func TestStreamsOfOneTenant(t *testing.T) {
	s := newServer(t, "")
	greedy, other := s.newTenant("greedy"), s.newTenant("other")
	for name, path := range map[string]func(*tenant) string{
		"changes": func(*tenant) string { return lbaas + "/watch" },
		"log":     func(one *tenant) string { return lbaas + "/listeners/" + one.listener + "/log" },
	} {
		t.Run(name, func(t *testing.T) {
			const enough = 200 // more than any tenant may have
			for n := 1; ; n++ {
				status, text := greedy.openStream(t, path(greedy))
				if status == http.StatusTooManyRequests && strings.Contains(text, `"faultcode":"Client"`) && strings.Contains(text, "that it may have") {
					t.Logf("stream %d is refused: %s", n, text)
					break
				}
				if status != http.StatusOK || n == enough {
					t.Fatalf("stream %d: %d %s", n, status, text)
				}
			}
			if status, text := other.openStream(t, path(other)); status != http.StatusOK {
				t.Errorf("another tenant: %d %s", status, text)
			}
		})
	}
}

// TestAccessLogOfANeighbour floods the log of one tenant. Each request of another tenant is in that one's file.
func TestAccessLogOfANeighbour(t *testing.T) {
	const flood, asked, pipelined = 40_000, 200, 50
	s := newServer(t, "")
	greedy, other := s.newTenant("greedy"), s.newTenant("other")
	work := errgroup.Group{}
	for range 4 {
		work.Go(func() error { return greedy.askPipelined(flood/4, pipelined) })
	}
	work.Go(func() error { return other.askPipelined(asked, 1) })
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dataDir, "access-log", other.listener+".jsonl")
	eventually(t, "the other tenant's log", patience, func() error {
		text, err := os.ReadFile(path)
		if lines := bytes.Count(text, []byte("\n")); err == nil && lines != asked {
			err = fmt.Errorf("%d lines, want %d", lines, asked)
		}
		return err
	})
}

// askPipelined sends requests over one connection, so many before it reads their answers.
func (o *tenant) askPipelined(requests, pipelined int) error {
	c, err := dial(o.inside, net.JoinHostPort(o.vip, "80"), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	in, batch := bufio.NewReader(c), strings.Repeat("GET / HTTP/1.1\r\nHost: tenant.example\r\n\r\n", pipelined)
	for done := 0; done < requests; done += pipelined {
		if _, err := c.Write([]byte(batch)); err != nil {
			return err
		}
		for range pipelined {
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				return fmt.Errorf("after %d requests: %w", done, err)
			}
			if err := answer.Body.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
