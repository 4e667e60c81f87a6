package control

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Watchers are told what is theirs, and never hold up who tells them.
func TestWatch(t *testing.T) {
	c := &Control{}
	ctx, leave := context.WithCancel(t.Context())
	ours, all := c.Watch(ctx, "ours"), c.Watch(t.Context(), "")
	c.Changed("ours", "a", 1)
	c.Changed("theirs", "b", 7)
	c.Changed("ours", "a", 3)
	c.Changed("ours", "a", 2)
	if diff := cmp.Diff(map[string]int64{"a": 3}, <-ours); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"a": 3, "b": 7}, <-all); diff != "" {
		t.Error(diff)
	}
	for i := range 3 * maxUntold {
		c.Changed("ours", fmt.Sprint(i), 1)
	}
	if missed := <-ours; missed != nil {
		t.Errorf("who is slow is told of %d", len(missed))
	}
	c.Changed("ours", "c", 1)
	if diff := cmp.Diff(map[string]int64{"c": 1}, <-ours); diff != "" {
		t.Error(diff)
	}
	leave()
	c.EndWatches()
	<-all // what was missed
	if _, more := <-all; more {
		t.Error("the end is not told")
	}
	if c.Watch(t.Context(), "") != nil {
		t.Error("somebody begins to watch after the end")
	}
}
