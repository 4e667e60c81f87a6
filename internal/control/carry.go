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

// notYet says why the data plane cannot serve a listener so far, "" when it can.
var notYet = func(t *lb.LoadBalancer, l *lb.Listener) string {
	if slices.Contains([]lb.Protocol{lb.TerminatedHTTPS, lb.Prometheus}, l.Protocol) {
		return fmt.Sprintf("poise does not carry %s listeners yet", l.Protocol)
	}
	for _, id := range l.PoolIDs() {
		p, err := t.Pool(id)
		switch {
		case err != nil:
		case p.Protocol == lb.Proxy || p.Protocol == lb.ProxyV2:
			return fmt.Sprintf("poise does not carry %s pools yet", p.Protocol)
		case p.TLSEnabled:
			return "poise does not speak TLS to members yet"
		}
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
