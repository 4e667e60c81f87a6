package proxy

import (
	"testing"

	"pgregory.net/rapid"
)

// alarm notes that its timer has fired.
type alarm struct {
	timer timer
	fired func(*alarm)
}

func (a *alarm) onTimer() { a.fired(a) }

// TestWheelModel compares the wheel with a map of deadlines.
func TestWheelModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		w := &wheel{tick: now / tickMs}
		due := map[*alarm]int64{}
		alarms := make([]alarm, 8)
		for i := range alarms {
			alarms[i].timer.owner = &alarms[i]
			alarms[i].fired = func(a *alarm) {
				at, ok := due[a]
				if !ok || at > now {
					t.Fatalf("fired at %d, due %d (%t)", now, at, ok)
				}
				delete(due, a)
			}
		}
		one := func(t *rapid.T) *alarm { return &alarms[rapid.IntRange(0, len(alarms)-1).Draw(t, "alarm")] }
		in := func(t *rapid.T) int64 { return rapid.Int64Range(0, 3*wheelSlots*tickMs).Draw(t, "in") }
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				a := one(t)
				due[a] = now + in(t)
				w.set(&a.timer, due[a])
			},
			"set by": func(t *rapid.T) {
				a, at := one(t), now+in(t)
				if old, ok := due[a]; !ok || at < old {
					due[a] = at
				}
				w.setBy(&a.timer, at)
			},
			"remove": func(t *rapid.T) {
				a := one(t)
				delete(due, a)
				w.remove(&a.timer)
			},
			"advance": func(t *rapid.T) {
				now += rapid.Int64Range(0, 2*wheelSlots*tickMs).Draw(t, "by")
				w.advance(now)
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

// Deadlines that come together are met in rounds.
func TestWheelTellsInRounds(t *testing.T) {
	w := &wheel{}
	fired := 0
	alarms := make([]alarm, 2*timersPerRound+1)
	for i := range alarms {
		alarms[i].timer.owner, alarms[i].fired = &alarms[i], func(*alarm) { fired++ }
		w.set(&alarms[i].timer, 100)
	}
	for _, want := range []int{timersPerRound, 2 * timersPerRound, len(alarms)} {
		if wait := w.waitMs(1000); wait != 0 {
			t.Errorf("%d ms until the next, with %d fired", wait, fired)
		}
		if w.advance(1000); fired != want {
			t.Errorf("%d fired, want %d", fired, want)
		}
	}
	if wait := w.waitMs(1000); wait != -1 {
		t.Errorf("%d ms until the next, and there is none", wait)
	}
}
