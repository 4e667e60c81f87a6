package proxy

import (
	"testing"

	"pgregory.net/rapid"
)

// TestWheelModel compares the wheel with a map of deadlines.
func TestWheelModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		w := &wheel{tick: now / tickMs}
		conns := make([]conn, 8)
		due := map[*conn]int64{}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				c := &conns[rapid.IntRange(0, len(conns)-1).Draw(t, "conn")]
				due[c] = now + rapid.Int64Range(0, 3*wheelSlots*tickMs).Draw(t, "in")
				w.set(c, due[c])
			},
			"remove": func(t *rapid.T) {
				c := &conns[rapid.IntRange(0, len(conns)-1).Draw(t, "conn")]
				delete(due, c)
				w.remove(c)
			},
			"advance": func(t *rapid.T) {
				now += rapid.Int64Range(0, 2*wheelSlots*tickMs).Draw(t, "by")
				w.advance(now, func(c *conn) {
					at, ok := due[c]
					if !ok || at > now {
						t.Fatalf("fired at %d, due %d (%t)", now, at, ok)
					}
					delete(due, c)
				})
				for _, at := range due {
					if at+tickMs < now {
						t.Fatalf("not fired at %d, due %d", now, at)
					}
				}
			},
			"": func(t *rapid.T) {
				wait := w.waitMs(now)
				if (wait < 0) != (len(due) == 0) {
					t.Fatalf("waits %d ms for %d", wait, len(due))
				}
				for _, at := range due {
					if now+wait > at+tickMs*2 {
						t.Fatalf("waits until %d, due %d", now+wait, at)
					}
				}
			},
		})
	})
}
