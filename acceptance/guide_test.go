package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"poise/internal/config"
	"poise/internal/guide"
)

// nobody is the user that owns nothing.
const nobody = 65534

func TestGuideInLinuxFabric(t *testing.T) {
	if onFreshHost(t) {
		takeTour(t, newHost(t, "linux", nil))
	}
}

func TestGuideInLoopbackFabricWithoutPrivileges(t *testing.T) {
	if onFreshHost(t) {
		takeTour(t, newHost(t, "auto", &syscall.Credential{Uid: nobody, Gid: nobody}))
	}
}

// host is a server on a fresh host, the shell of its user, and the lab.
type host struct {
	t       *testing.T
	dataDir string
	shell   *guide.Shell
	place   guide.Place
}

func newHost(t *testing.T, fabric string, as *syscall.Credential) *host {
	h := &host{t: t, place: guide.Place{Region: config.Default().Region, Loopback: as != nil}}
	parent, err := os.MkdirTemp("", "poise-acceptance-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	h.dataDir = filepath.Join(parent, "data")
	if err := os.Mkdir(h.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if as != nil {
		for _, dir := range []string{parent, h.dataDir} {
			if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := &strings.Builder{}
	server, err := guide.StartServer(t.Context(), guide.ServerConfig{
		Binary: filepath.Join(binaries, "poise"), Listen: config.Default().Listen, DataDir: h.dataDir, Fabric: fabric, Log: log, As: as,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("the server's end: %v", err)
		}
		h.wantNothingLeft()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	if h.shell, err = guide.StartShell(guide.Environment(binaries, h.dataDir), as); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.shell.Close)
	return h
}

// takeTour takes every step of the guide, with a closer look at what the guide can only say, and then removes what the
// guide has made.
func takeTour(t *testing.T, h *host) {
	h.run("poise lab up")
	before := h.snapshot()
	parts, err := guide.Tour(h.place)
	if err != nil {
		t.Fatal(err)
	}
	closerLooks := map[string]func(){
		"Testing the load balancer":         h.lookAtFailover,
		"Observing and testing the monitor": h.lookAtStoppedServer,
	}
	for _, part := range parts {
		for _, step := range part.Steps {
			if output, err := h.shell.Take(t.Context(), step); err != nil {
				t.Fatalf("%s\n$ %s\n%s\n%v", part.Title, step.Command, output, err)
			}
		}
		if look := closerLooks[part.Title]; look != nil {
			look()
			delete(closerLooks, part.Title)
		}
	}
	if len(closerLooks) > 0 {
		t.Errorf("the guide has no part for %v", closerLooks)
	}
	h.lookAtDeletion(before)
	h.run("poise lab down")
}

// run types a command that must succeed and returns what it printed, without the last line's end.
func (h *host) run(command string) string {
	h.t.Helper()
	output, err := h.shell.Type(h.t.Context(), command)
	if err != nil {
		h.t.Fatalf("$ %s\n%s\n%v", command, output, err)
	}
	return strings.TrimSpace(output)
}

// fetch does what the guide does with wget and returns which server answered.
func (h *host) fetch() (string, error) {
	output, err := exec.CommandContext(h.t.Context(), "wget", "-q", "--tries=1", h.place.FloatingIP()+":61234", "-O", "-").Output()
	if err != nil {
		return "", fmt.Errorf("wget: %w", err)
	}
	server, ok := strings.CutPrefix(strings.TrimSpace(string(output)), "Yello from ")
	if !ok {
		return "", fmt.Errorf("wget: printed %q", output)
	}
	return strings.TrimSuffix(server, "!"), nil
}

// many is how many requests in a row are enough to see a rule.
const many = 40

// lookAtFailover sees servers take turns, one take over without a failed request, and both take turns again.
func (h *host) lookAtFailover() {
	h.t.Helper()
	h.wantTurns()
	h.run("poise lab server stop srv-lbaas-1")
	h.wantOnly("srv-lbaas-2")
	h.run("poise lab server start srv-lbaas-1")
	h.waitForServer("srv-lbaas-1")
	h.wantTurns()
}

// wantTurns wants the two servers to answer alternately.
func (h *host) wantTurns() {
	h.t.Helper()
	last := ""
	for i := range many {
		server, err := h.fetch()
		if err != nil || server == last {
			h.t.Fatalf("request %d of %d: %s after %s, %v", i+1, many, server, last, err)
		}
		last = server
	}
}

// wantOnly wants every request to be answered by one server.
func (h *host) wantOnly(wanted string) {
	h.t.Helper()
	for i := range many {
		if server, err := h.fetch(); server != wanted || err != nil {
			h.t.Fatalf("request %d of %d: %s, %v, want %s", i+1, many, server, err, wanted)
		}
	}
}

// waitForServer waits until a server answers again. No request may fail meanwhile.
func (h *host) waitForServer(wanted string) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		server, err := h.fetch()
		if err != nil {
			h.t.Fatal(err)
		}
		if server == wanted {
			return
		}
		time.Sleep(glance)
	}
	h.t.Fatalf("%s does not answer again", wanted)
}
