package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"poise/internal/clouds"
	"poise/internal/database/databasetest"
	"poise/internal/guide"
	"poise/internal/testhost"
)

// binary is the poise to be tested, in an environment variable, as the tests run on a host of their own.
const binary = "POISE_CONFORMANCE_BINARY"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(binary) != "" {
		return testhost.Run(databasetest.Suite{M: m}.Run)
	}
	dir, err := os.MkdirTemp("", "poise-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "poise"), "poise/cmd/poise")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	if err := os.Setenv(binary, filepath.Join(dir, "poise")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testhost.Run(databasetest.Suite{M: m}.Run)
}

// startServer starts a server with a configuration, and says where it listens and how to sign in.
func startServer(t *testing.T, configuration string) (address string, credentials clouds.File) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "poise.toml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := guide.StartServer(t.Context(), guide.ServerConfig{
		Binary: os.Getenv(binary), Listen: address, DataDir: dir, Fabric: "linux", File: file, Log: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error("the server:", err)
		}
	})
	if credentials, err = clouds.Read(filepath.Join(dir, clouds.FileName)); err != nil {
		t.Fatal(err)
	}
	return address, credentials
}
