package robust

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestStopUnderLoad stops the server again and again while clients change things. It ends without an error, takes away
// all it made on the host, and has everything again at its next start, without anything to complain about.
func TestStopUnderLoad(t *testing.T) {
	r := random(t)
	s := newServer(t, "")
	workers := s.newWorkers(r)
	for range rounds(3, 20) {
		work := errgroup.Group{}
		for _, w := range workers {
			work.Go(w.work)
		}
		time.Sleep(time.Duration(r.Int64N(int64(longestRun)))) // the moment is what is random
		begin := time.Now()
		if err := s.stop(); err != nil {
			t.Errorf("the server's end: %v", err)
		}
		t.Logf("stopping took %v", time.Since(begin))
		if err := work.Wait(); err != nil {
			t.Fatal(err)
		}
		s.wantNothingLeft()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.wantSettled(workers)
	}
	text, err := os.ReadFile(s.log.Name())
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "the kernel keeps at most") { // a limit of this machine that the server may not raise
			continue
		}
		if strings.Contains(line, " level=WARN ") || strings.Contains(line, " level=ERROR ") {
			t.Error("the server complains:", line)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
