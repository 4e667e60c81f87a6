// Package robust holds poise to what it promises when things go badly: the server is killed in the midst of changes, many
// clients change one load balancer at once, requests are wrong or not allowed, the disk is full. It starts the real
// binary in the linux fabric on a host of its own, speaks HTTP to it, and looks at what the network does.
//
// What is random comes from a seed, which is printed; -seed repeats it.
package robust

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"poise/internal/database/databasetest"
	"poise/internal/testhost"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of what is random (0: a new one)")
	chaos = flag.Bool("chaos", false, "go on for longer: more kills, stops, requests and clients")
)

// binary is the poise to be tested.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if what := os.Getenv(holderVariable); what != "" {
		os.Exit(hold(what))
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run()) // which skips
	}
	os.Exit(testhost.Run(func() int { return run(m) }))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "poise-robust-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "poise")
	build := exec.Command("go", "build", "-o", binary, "poise/cmd/poise")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	return databasetest.Suite{M: m}.Run()
}

// rounds are so many, and with -chaos the other number.
func rounds(usual, withChaos int) int {
	if *chaos {
		return withChaos
	}
	return usual
}

// random is a source of random numbers that -seed repeats.
func random(t *testing.T) *rand.Rand {
	chosen := *seed
	if chosen == 0 {
		chosen = rand.Uint64()
	}
	t.Logf("-seed %d", chosen)
	return rand.New(rand.NewPCG(chosen, 0))
}
