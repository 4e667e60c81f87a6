package console

import (
	"errors"
	"fmt"
	"net/http"

	"poise/internal/limit"
)

// acquire takes a slot that counts towards the person's share and the project's. What there are too many of, the fault says in
// the plural.
func (p *person) acquire(slots *limit.Slots, what string, ofUser, ofProject int) (release func(), err error) {
	user, project := "user "+p.UserID, "project "+p.Project.ID
	release, err = slots.Acquire(limit.Share{Holder: user, Max: ofUser}, limit.Share{Holder: project, Max: ofProject})
	var reached *limit.Error
	if !errors.As(err, &reached) {
		return release, err
	}
	f := &fault{status: http.StatusTooManyRequests}
	switch reached.Holder {
	case user:
		f.message = fmt.Sprintf("You have as many %s as one user may: %d.", what, reached.Max)
	case project:
		f.message = fmt.Sprintf("Your project has as many %s as one project may: %d.", what, reached.Max)
	default:
		f.status = http.StatusServiceUnavailable
		f.message = fmt.Sprintf("The console has as many %s as it may: %d. Try again in some minutes.", what, reached.Max)
	}
	return nil, f
}
