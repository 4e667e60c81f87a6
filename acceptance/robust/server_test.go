package robust

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/clouds"
	"poise/internal/guide"
)

// patience is how long a test waits for what should happen within milliseconds. It passes only where something is broken,
// however busy the machine is.
const patience = time.Minute

// server is a `poise serve` with the lab up.
type server struct {
	t               *testing.T
	dataDir, listen string
	file            string // with further configuration; "" for none
	log             *os.File
	process         *guide.Server
	keep            bool // networks stay when it stops
	unwell          bool // a start may leave it unhealthy

	demo, admin client
	subnet      string // the lab's
	external    string // the network of floating IPs
	members     []labServer
}

// labServer is a server of the playground.
type labServer struct{ name, address, namespace string }

// labPort is where the lab's servers greet.
const labPort = 61234

// newServer starts a server with its data in a new directory, or in dataDir when that is not "", and makes the lab.
func newServer(t *testing.T, dataDir string) *server {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a fresh host needs root")
	}
	if dataDir == "" {
		dataDir = filepath.Join(t.TempDir(), "data")
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dataDir: dataDir, listen: freeAddress(t), log: log}
	t.Cleanup(s.close)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.demo, s.admin = s.signIn(clouds.User), s.signIn(clouds.Admin)
	up := exec.Command(binary, "lab", "up", "--data-dir", dataDir)
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("poise lab up: %v\n%s", err, out)
	}
	s.findLab()
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the process and waits until it answers.
func (s *server) start() (err error) {
	s.process, err = guide.StartServer(context.Background(), guide.ServerConfig{
		Binary: binary, Listen: s.listen, DataDir: s.dataDir, Fabric: "linux", File: s.file, Log: s.log, Keep: s.keep, Unwell: s.unwell,
	})
	if err != nil {
		s.process = nil
	}
	return err
}

// kill ends the process as a crash would.
func (s *server) kill() {
	s.process.Kill()
	_ = s.process.Stop() // waits; it was killed, and says so
	s.process = nil
}

// stop has the server stop by itself.
func (s *server) stop() error {
	p := s.process
	s.process = nil
	return p.Stop()
}

// close stops the server, which must leave nothing on the host.
func (s *server) close() {
	defer s.log.Close()
	if s.process != nil {
		if err := s.stop(); err != nil {
			s.t.Errorf("the server's end: %v", err)
		}
	}
	s.wantNothingLeft()
	if s.t.Failed() {
		text, err := os.ReadFile(s.log.Name())
		s.t.Logf("what the server's log says beyond the ordinary (%v):\n%s", err, extraordinary(string(text), 60))
	}
}

// wantNothingLeft wants a host without a server to be bare.
func (s *server) wantNothingLeft() {
	s.t.Helper()
	if left := hostState(s.t); len(left) != 1 || len(left[""]) != len(bareHost) {
		s.t.Errorf("the server left %v", left)
	}
}

// extraordinary are the last lines of a log that are more than information.
func extraordinary(log string, most int) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, " level=INFO ") })
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// signIn gets a token for an entry of clouds.yaml.
func (s *server) signIn(cloud string) client {
	s.t.Helper()
	file, err := clouds.Read(filepath.Join(s.dataDir, clouds.FileName))
	if err != nil {
		s.t.Fatal(err)
	}
	auth := file.Clouds[cloud].Auth
	return s.signInAs(auth.Username, auth.Password, auth.ProjectName)
}

func (s *server) signInAs(user, password, project string) client {
	s.t.Helper()
	domain := object{"name": "Default"}
	c := newClient(s.listen)
	a, err := c.send(s.t.Context(), "POST", "/identity/v3/auth/tokens", object{"auth": object{
		"identity": object{
			"methods":  []string{"password"},
			"password": object{"user": object{"name": user, "password": password, "domain": domain}},
		},
		"scope": object{"project": object{"name": project, "domain": domain}},
	}})
	if err != nil || a.status != 201 {
		s.t.Fatalf("sign-in of %s: %v %v", user, a, err)
	}
	c.token = a.header.Get("X-Subject-Token")
	return c
}

// findLab finds what `poise lab up` made.
func (s *server) findLab() {
	s.t.Helper()
	for _, subnet := range s.demo.list(s.t, "/network/v2.0/subnets", "subnets") {
		if subnet["name"] == "subnet-regionone" {
			s.subnet = subnet.text("id")
		}
	}
	for _, network := range s.demo.list(s.t, "/network/v2.0/networks", "networks") {
		if network["name"] == "ext-net" {
			s.external = network.text("id")
		}
	}
	for _, found := range s.admin.list(s.t, "/compute/v2.1/servers/detail?all_tenants=1", "servers") {
		for _, addresses := range found["addresses"].(map[string]any) {
			address := addresses.([]any)[0].(map[string]any)["addr"].(string)
			s.members = append(s.members, labServer{found.text("name"), address, found.text("OS-EXT-SRV-ATTR:instance_name")})
		}
	}
	if s.subnet == "" || s.external == "" || len(s.members) != 3 {
		s.t.Fatalf("the lab is %+v", s)
	}
}

// eventually tries again until try is content.
func eventually(t *testing.T, what string, limit time.Duration, try func() error) {
	t.Helper()
	if err := retry(limit, try); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func retry(limit time.Duration, try func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return errors.Join(fmt.Errorf("not within %v", limit), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
