package robust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"poise/internal/clouds"
	"poise/internal/database/databasetest"
)

// wire leads from an address of its own to a PostgreSQL server, and can be cut.
type wire struct {
	address, socket string

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[net.Conn]bool
	tasks    sync.WaitGroup
}

func newWire(t *testing.T, database string) *wire {
	t.Helper()
	parsed, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: freeAddress(t), socket: filepath.Join(parsed.Query().Get("host"), ".s.PGSQL.5432"), conns: map[net.Conn]bool{}}
	t.Cleanup(w.cut)
	return w
}

func (w *wire) join(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	w.tasks.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", w.socket)
			if err != nil {
				_ = here.Close()
				continue
			}
			w.mu.Lock()
			w.conns[here], w.conns[there] = true, true
			w.mu.Unlock()
			w.tasks.Go(func() { w.carry(here, there) })
			w.tasks.Go(func() { w.carry(there, here) })
		}
	})
}

func (w *wire) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
}

// cut ends every connection, and no new one can be made.
func (w *wire) cut() {
	w.mu.Lock()
	if w.listener != nil {
		_ = w.listener.Close()
	}
	for c := range w.conns {
		_ = c.Close()
	}
	clear(w.conns)
	w.mu.Unlock()
	w.tasks.Wait()
}

// onPostgres is a running server whose database is PostgreSQL at the other end of a wire, and its configuration file.
func onPostgres(t *testing.T) (s *server, w *wire, file, database string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a fresh host needs root")
	}
	database = databasetest.NewPostgres(t)
	w = newWire(t, database)
	name := strings.TrimPrefix(strings.Split(database, "?")[0], "postgres:///")
	file = filepath.Join(t.TempDir(), "poise.toml")
	write(t, file, fmt.Sprintf("database = %q\n", "postgres://poise@"+w.address+"/"+name+"?sslmode=disable"))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	s = &server{t: t, dataDir: filepath.Join(t.TempDir(), "data"), listen: freeAddress(t), log: log, file: file}
	t.Cleanup(s.close)
	return s, w, file, database
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantStatus(t *testing.T, c client, method, path string, body any, status int, says string) {
	t.Helper()
	eventually(t, method+" "+path, patience, func() error {
		a, err := c.send(t.Context(), method, path, body)
		if err == nil && (a.status != status || !strings.Contains(string(a.text), says)) {
			err = fmt.Errorf("%v, want %d %q", a, status, says)
		}
		if err == nil && status == 503 && !strings.HasSuffix(path, "/healthcheck") && a.header.Get("Retry-After") == "" {
			err = errors.New("no Retry-After")
		}
		return err
	})
}

// TestDatabaseComesAndGoes starts the server before its database is there, and cuts the database off while it runs. It
// waits, says so, goes on by itself, and finds none of it worth an ERROR.
func TestDatabaseComesAndGoes(t *testing.T) {
	s, w, file, _ := onPostgres(t)
	started := make(chan error, 1)
	go func() { started <- s.start() }()
	nobody := newClient(s.listen)
	wantStatus(t, nobody, "GET", "/healthcheck", nil, 503, "database")
	wantStatus(t, nobody, "GET", "/load-balancer/v2/lbaas/loadbalancers", nil, 503, "database")
	w.join(t)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.demo = s.signIn(clouds.User)
	wantStatus(t, nobody, "GET", "/load-balancer/healthcheck", nil, 200, "OK")

	w.cut()
	wantStatus(t, nobody, "GET", "/healthcheck", nil, 503, "the database does not answer")
	wantStatus(t, nobody, "GET", "/load-balancer/healthcheck", nil, 503, "the database does not answer")
	for _, path := range []string{
		"/load-balancer/v2/lbaas/loadbalancers", "/identity/v3/auth/projects", "/network/v2.0/networks", "/compute/v2.1/servers",
		"/key-manager/v1/secrets",
	} {
		wantStatus(t, s.demo, "GET", path, nil, 503, "")
	}
	w.join(t)
	wantStatus(t, nobody, "GET", "/healthcheck", nil, 200, "OK")
	wantStatus(t, s.demo, "GET", "/load-balancer/v2/lbaas/loadbalancers", nil, 200, "")

	write(t, file, read(t, file)+"[log]\nrequests = true\n")
	s.process.Signal(syscall.SIGHUP)
	eventually(t, "requests are logged after SIGHUP", patience, func() error {
		wantStatus(t, s.demo, "GET", "/load-balancer/v2/lbaas/pools", nil, 200, "")
		if !strings.Contains(read(t, s.log.Name()), "path=/load-balancer/v2/lbaas/pools") {
			return errors.New("they are not")
		}
		return nil
	})
	if log := read(t, s.log.Name()); strings.Contains(log, "level=ERROR") || strings.Contains(log, "path=/load-balancer/v2/lbaas/loadbalancers") {
		t.Errorf("the log has more than it should:\n%s", log)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDataDirectoryOfItsOwn starts a second server on a database that is in use, and one with another secrets.key. Both
// stop, say why, and have changed no password.
func TestDataDirectoryOfItsOwn(t *testing.T) {
	s, w, file, _ := onPostgres(t)
	w.join(t)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	demo := s.signIn(clouds.User)
	demo.must(t, "POST", "/key-manager/v1/secrets", "", object{"payload": "x", "payload_content_type": "text/plain"})
	refused := func(says string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		dir := filepath.Join(t.TempDir(), "other")
		out, err := exec.CommandContext(ctx, binary, "serve", "--config", file, "--listen", freeAddress(t), "--data-dir", dir,
			"--fabric", "loopback").CombinedOutput()
		if err == nil || ctx.Err() != nil || !strings.Contains(string(out), says) {
			t.Errorf("the other server: %v\n%s\nwant %q", err, out, says)
		}
		if _, err := os.Stat(filepath.Join(dir, clouds.FileName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it has made passwords: %v", err)
		}
	}
	refused(fmt.Sprintf("in use by another poise: process %d on host", s.process.PID()))
	s.signIn(clouds.Admin)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	refused("secrets.key")
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.signIn(clouds.Admin)
}
