// Package health tells a load balancer in front of the APIs, and who looks after the machine, whether this server does its
// work: OK, or 503 with the reasons why it does not.
package health

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// freshFor is how long an answer is given again, so that asking costs nothing.
	freshFor = time.Second
	// checkTimeout bounds one look at everything.
	checkTimeout = 3 * time.Second
	// watchInterval is how often [Service.Run] looks.
	watchInterval = 5 * time.Second
	// fullBelow is with how many free bytes a disk counts as full.
	fullBelow = 1 << 20
)

// Check returns why something does not work, nil when it does. The error is for everybody's eyes.
type Check func(ctx context.Context) error

// Service looks at checks.
type Service struct {
	checks []Check
	log    *slog.Logger

	mu      sync.Mutex // guards what follows; held while it is looked, so that one look serves all
	until   time.Time
	reasons []string
}

// New makes a service.
func New(log *slog.Logger, checks ...Check) *Service { return &Service{log: log, checks: checks} }

// Reasons are why this server does not do its work; none when it does.
func (s *Service) Reasons(ctx context.Context) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return s.reasons
	}
	// Another asker gets the same answer, so the look does not end with this request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	reasons := []string{}
	for _, check := range s.checks {
		if err := check(ctx); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	s.until, s.reasons = time.Now().Add(freshFor), reasons
	return reasons
}

// ServeHTTP answers with OK, or with 503 and a reason on each line.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	if reasons := s.Reasons(r.Context()); len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Join(reasons, "\n")+"\n")
		return
	}
	_, _ = io.WriteString(w, "OK")
}

// Run logs when the reasons change, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for before := ""; ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		now := strings.Join(s.Reasons(ctx), "; ")
		if now != before && ctx.Err() == nil {
			if now == "" {
				s.log.InfoContext(ctx, "healthy again")
			} else {
				s.log.WarnContext(ctx, "not healthy", "because", now)
			}
			before = now
		}
	}
}

// String names the task.
func (s *Service) String() string { return "health" }

// Disk fails while the file system of a directory is full.
func Disk(dir string, superuser bool) Check {
	return func(context.Context) error {
		var disk unix.Statfs_t
		if err := unix.Statfs(dir, &disk); err != nil {
			return fmt.Errorf("the data directory %s cannot be looked at: %w", dir, err)
		}
		free := disk.Bavail
		if superuser { // may also use what is reserved
			free = disk.Bfree
		}
		if free*uint64(disk.Bsize) < fullBelow {
			return fmt.Errorf("the disk of the data directory %s is full", dir)
		}
		return nil
	}
}

// Database fails while ping does, without saying what an address or a user of a database might stand in.
func Database(ping func(ctx context.Context) error) Check {
	return func(ctx context.Context) error {
		if ping(ctx) != nil {
			return fmt.Errorf("the database does not answer")
		}
		return nil
	}
}

// Opening fails while load balancers of before the start are not served yet. waiting is how many of them are not, and false
// before that is known.
func Opening(waiting func() (int, bool)) Check {
	return func(context.Context) error {
		switch n, known := waiting(); {
		case !known:
			return fmt.Errorf("the load balancers are still closed after the start")
		case n > 0:
			return fmt.Errorf("%d load balancers are still closed after the start", n)
		}
		return nil
	}
}
