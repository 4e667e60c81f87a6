package guide

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"
)

func newShell(t *testing.T) *Shell {
	t.Helper()
	s, err := StartShell(Environment("/nowhere", t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTypedCommandsShareVariables(t *testing.T) {
	s := newShell(t)
	if _, err := s.Type(t.Context(), "A=$(echo \\\n  one)"); err != nil {
		t.Fatal(err)
	}
	if output, err := s.Type(t.Context(), "echo $A; echo two >&2; printf three"); output != "one\ntwo\nthree" || err != nil {
		t.Errorf("got %q, %v", output, err)
	}
}

func TestFailedCommandIsAnErrorAndTheShellGoesOn(t *testing.T) {
	s := newShell(t)
	if output, err := s.Type(t.Context(), "echo no; false"); output != "no\n" || err == nil {
		t.Errorf("got %q, %v", output, err)
	}
	if output, err := s.Type(t.Context(), "cat; echo yes"); output != "yes\n" || err != nil {
		t.Errorf("got %q, %v", output, err)
	}
}

func TestTakeRepeatsUntilContent(t *testing.T) {
	step := Step{
		Command: "N=$((N+1)); echo $N", Within: 10 * time.Second,
		Want: Want{Lines: []*regexp.Regexp{regexp.MustCompile("^3$")}},
	}
	if output, err := newShell(t).Take(t.Context(), step); output != "3\n" || err != nil {
		t.Errorf("got %q, %v", output, err)
	}
	step.Within = 0
	if output, err := newShell(t).Take(t.Context(), step); output != "1\n" || err == nil {
		t.Errorf("without patience: got %q, %v", output, err)
	}
}

func TestEndOfContextEndsTheCommand(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newShell(t).Type(ctx, "sleep 60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
