package probe

import (
	"time"

	"poise/internal/dataplane"
)

// record is what the checks of one member have found so far.
type record struct {
	state   dataplane.HealthState
	reason  string
	since   time.Time
	fragile bool // up, but no check has said so: the first failure takes it down
	streak  int  // consecutive checks that spoke against state
}

func newRecord(checked bool, now time.Time) record {
	if !checked {
		return record{state: dataplane.HealthUnchecked, since: now}
	}
	return record{state: dataplane.HealthUp, since: now, fragile: true}
}

// note takes the result of a check.
func (r *record) note(m *dataplane.Monitor, ok bool, now time.Time) {
	against, enough := !ok, m.Fall
	if r.state == dataplane.HealthDown {
		against, enough = ok, m.Rise
	}
	switch {
	case !against:
		r.streak = 0
	case r.fragile || r.streak+1 >= enough:
		r.turn(now)
	default:
		r.streak++
	}
	r.fragile = false
}

// turn changes from up to down or back.
func (r *record) turn(now time.Time) {
	r.streak, r.since = 0, now
	if r.state == dataplane.HealthDown {
		r.state = dataplane.HealthUp
	} else {
		r.state = dataplane.HealthDown
	}
}
