package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFollowersGetWhatIsWrittenMeanwhile(t *testing.T) {
	var l Log
	if l.Wanted() {
		t.Error("somebody wants the records of a log that nobody follows")
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, slow := l.Follow(ctx), l.Follow(t.Context())
	for i := range maxWaiting + 3 {
		l.Write(Record{Status: i})
		if i < 3 {
			if r := <-f.Records; r.Status != i {
				t.Errorf("got %d, want %d", r.Status, i)
			}
		}
	}
	if got := [2]uint64{f.Dropped.Load(), slow.Dropped.Load()}; got != [2]uint64{0, 3} {
		t.Errorf("dropped %v, want none and 3", got)
	}
	cancel()
	for deadline := time.Now().Add(10 * time.Second); ; {
		l.mu.Lock()
		left := len(l.followers)
		l.mu.Unlock()
		if left == 1 || time.Now().After(deadline) {
			break
		}
	}
	l.Write(Record{})
	if !l.Wanted() || len(f.Records) != maxWaiting {
		t.Errorf("wanted %v, and the one who left has %d records", l.Wanted(), len(f.Records))
	}
}

// running runs a sink, and returns what ends it.
func running(s *Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestSinkWritesLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access-log")
	s := NewSink(dir, slog.New(slog.DiscardHandler))
	stop := running(s)
	var one, two Log
	one.Keep(s)
	two.Keep(s)
	record := Record{Time: time.Unix(1, 0).UTC(), ListenerID: "one", Client: "10.0.0.1:5", Target: "/\n", Status: 200, End: Complete}
	one.Write(record)
	two.Write(Record{ListenerID: "two", End: ClientTimeout})
	two.Write(Record{ListenerID: "../evil"})
	one.Keep(nil)
	one.Write(record)
	stop()
	if one.Wanted() || !two.Wanted() || s.Dropped() != 1 {
		t.Errorf("wanted %v %v, dropped %d", one.Wanted(), two.Wanted(), s.Dropped())
	}
	path := filepath.Join(dir, "one.jsonl")
	data, err := os.ReadFile(path)
	var got Record
	if err := json.Unmarshal(data, &got); err != nil || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("%q: %v", data, err)
	}
	if diff := cmp.Diff(record, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the directory: %v %v", entries, err)
	}
}

func TestFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := NewSink(dir, slog.New(slog.DiscardHandler))
	s.limits = limits{file: 1000, total: 4000}
	for listener := range 5 {
		stop := running(s)
		for i := range 40 {
			s.take(Record{ListenerID: fmt.Sprint(listener), Target: strings.Repeat("x", 50), Status: i})
		}
		stop()
		if _, total, err := s.files(); err != nil || total > s.limits.total+s.limits.file {
			t.Errorf("%d bytes after listener %d: %v", total, listener, err)
		}
	}
	last, err := os.ReadFile(filepath.Join(dir, "4.jsonl"))
	if err != nil || !bytes.Contains(last, []byte(`"status":39`)) || len(last) > 1300 {
		t.Errorf("last file: %d bytes, %v", len(last), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "4.jsonl.1")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "0.jsonl")); err == nil {
		t.Error("the oldest file is still there")
	}
	if s.Dropped() != 0 {
		t.Errorf("dropped %d", s.Dropped())
	}
}

func TestFullQueueAndDiskCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSink(file, slog.New(slog.DiscardHandler)) // no directory can be made there
	for range maxQueued + 5 {
		s.take(Record{ListenerID: "x"})
	}
	if got := s.Dropped(); got != 5 {
		t.Errorf("dropped %d, want 5", got)
	}
	running(s)()
	if got := s.Dropped(); got != maxQueued+5 {
		t.Errorf("dropped %d, want all", got)
	}
}
