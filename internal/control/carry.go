package control

import (
	"fmt"
	"slices"
	"time"

	"poise/internal/lb"
)

// The API takes more than the data plane can carry. What it cannot is left out of the config, and its operating status says
// why.

// uncarried are a tree's listeners, pools and health monitors that the data plane cannot serve, by id, and why.
func uncarried(t *lb.LoadBalancer, ring *keyring) map[string]string {
	reasons := map[string]string{}
	for id, refs := range referencesOf(t) {
		if reason := ring.unread(refs); reason != "" {
			reasons[id] = reason
		}
	}
	for _, l := range t.Listeners {
		if l.Protocol == lb.TerminatedHTTPS && len(l.References().Certificates) == 0 {
			reasons[l.ID] = "the listener has no certificate any more"
		}
		if reason := notYet(t, l); reason != "" {
			reasons[l.ID] = reason
		}
	}
	return reasons
}

// notYet says why the data plane cannot serve a listener so far, "" when it can: as long as bytes pass unseen, it does not
// matter whose they are.
var notYet = func(t *lb.LoadBalancer, l *lb.Listener) string {
	if l.Protocol != lb.TCP && l.Protocol != lb.HTTPS {
		return fmt.Sprintf("poise does not carry %s listeners yet", l.Protocol)
	}
	p, err := t.Pool(l.DefaultPoolID)
	switch {
	case err != nil:
		return ""
	case !slices.Contains([]lb.Protocol{lb.TCP, lb.HTTP, lb.HTTPS}, p.Protocol):
		return fmt.Sprintf("poise does not carry %s pools yet", p.Protocol)
	case p.TLSEnabled:
		return "poise does not speak TLS to members yet"
	}
	return ""
}

// doubtful are a tree's listeners and pools that are served although something is wrong, by id, and what.
func doubtful(t *lb.LoadBalancer, ring *keyring, now time.Time) map[string]string {
	reasons := map[string]string{}
	for id, refs := range referencesOf(t) {
		if reason := ring.doubtful(refs, now); reason != "" {
			reasons[id] = reason
		}
	}
	return reasons
}
