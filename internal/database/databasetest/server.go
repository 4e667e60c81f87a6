package databasetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	superuser = "poise" // PostgreSQL's, not the machine's
	// startLimit is how long a server may take until it answers, stopLimit until it has ended.
	startLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
)

// binaries are where the distributions put PostgreSQL's server programs.
var binaries = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/bin"}

var errNotInstalled = errors.New("PostgreSQL's server programs (initdb, postgres) are not installed")

var theServer server

// server is the one PostgreSQL server of the test binary, started by the first test that needs it.
type server struct {
	once sync.Once
	err  error // of the start
	dir  string
	quit chan struct{} // closed to end it
	done chan error    // how it ended
}

// address returns how to reach a database of the server by its name.
func (s *server) address(t *testing.T) func(name string) string {
	s.once.Do(func() { s.err = s.start() })
	if errors.Is(s.err, errNotInstalled) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return func(name string) string { return socketAddress(s.dir, name) }
}

func (s *server) start() error {
	programs, err := findPrograms()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "poise-pg"); err != nil {
		return err
	}
	owner, err := serverOwner(s.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	initdb := command(owner, filepath.Join(programs, "initdb"),
		"--pgdata", data, "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	// Nothing here has to survive a power cut.
	postgres := command(owner, filepath.Join(programs, "postgres"), "-D", data, "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	// The kernel ends the server with the thread that started it, so it is gone also when the tests panic.
	postgres.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	s.quit, s.done = make(chan struct{}), make(chan error, 1)
	go s.run(postgres)
	return s.waitUntilReady()
}

// run starts the server and keeps its thread until it is told to quit.
func (s *server) run(postgres *exec.Cmd) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.done <- err
		return
	}
	defer func() { _ = log.Close() }()
	postgres.Stdout, postgres.Stderr = log, log
	if err := postgres.Start(); err != nil {
		s.done <- err
		return
	}
	<-s.quit
	err = postgres.Process.Signal(syscall.SIGINT) // "fast": it does not wait for clients
	late := time.AfterFunc(stopLimit, func() { _ = postgres.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	s.done <- errors.Join(err, postgres.Wait())
}

func (s *server) waitUntilReady() error {
	admin, err := sql.Open("pgx", socketAddress(s.dir, "postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		pingErr := admin.PingContext(ctx)
		if pingErr == nil {
			return nil
		}
		select {
		case <-again.C:
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("PostgreSQL did not start: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", pingErr)
		}
	}
}

// stop ends the server if there is one and removes its directory.
func (s *server) stop() error {
	var err error
	if s.quit != nil {
		close(s.quit)
		err = <-s.done
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func findPrograms() (string, error) {
	for _, pattern := range binaries {
		found, err := filepath.Glob(filepath.Join(pattern, "initdb"))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return filepath.Dir(slices.Max(found)), nil
		}
	}
	return "", errNotInstalled
}

// serverOwner returns as whom to run the server, nil for "as ourselves": it refuses to run as root.
func serverOwner(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

func command(owner *syscall.Credential, program string, arguments ...string) *exec.Cmd {
	c := exec.Command(program, arguments...)
	c.Dir = "/" // the server's owner may not see the directory of the tests
	c.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	return c
}
