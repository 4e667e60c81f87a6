package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"poise/internal/testhost"
)

// binary is the poise to be tested, in an environment variable, as the tests run on a host of their own.
const binary = "POISE_CONFORMANCE_BINARY"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(binary) != "" {
		return testhost.Run(m.Run)
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
	return testhost.Run(m.Run)
}
