package octavia

import (
	"errors"
	"fmt"
	"net/http"

	"poise/internal/limit"
	"poise/internal/rest"
)

// streamLimits bound how many streams of one kind are open: in all, for each project and for each user.
type streamLimits struct {
	what              string // in the plural
	slots             *limit.Slots
	ofProject, ofUser int
}

func newStreamLimits(what string, all, ofProject, ofUser int) streamLimits {
	return streamLimits{what: what, slots: limit.NewSlots(all), ofProject: ofProject, ofUser: ofUser}
}

// acquire takes a slot for a stream of the caller, which also counts towards more shares. The error names the limit: 429
// when it is the caller's own, 503 when the server has no more to give.
func (l streamLimits) acquire(caller rest.Caller, more ...limit.Share) (release func(), err error) {
	shares := []limit.Share{{Holder: "user " + caller.UserID, Max: l.ofUser}}
	if caller.ProjectID != "" {
		shares = append(shares, limit.Share{Holder: "project " + caller.ProjectID, Max: l.ofProject})
	}
	release, err = l.slots.Acquire(append(shares, more...)...)
	var reached *limit.Error
	if !errors.As(err, &reached) {
		return release, err
	}
	status := http.StatusTooManyRequests
	if reached.Holder == "" {
		status = http.StatusServiceUnavailable
	}
	return nil, &refusal{status: status, message: fmt.Sprintf("Too many %s: %v.", l.what, reached)}
}
