package control

import (
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
	}
	return reasons
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
