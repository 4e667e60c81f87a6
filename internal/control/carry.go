package control

import (
	"fmt"
	"slices"

	"poise/internal/lb"
)

// The API takes more than the data plane carries so far. What it does not carry is left out of the config, and its
// operating status says so.

// uncarried are a tree's listeners and health monitors that the data plane cannot serve, by id, and why.
func uncarried(t *lb.LoadBalancer) map[string]string {
	reasons := map[string]string{}
	for _, l := range t.Listeners {
		if reason := uncarriedListener(t, l); reason != "" {
			reasons[l.ID] = reason
		}
	}
	for _, p := range t.Pools {
		if p.Monitor != nil && p.Monitor.Type != lb.MonitorTCP {
			reasons[p.Monitor.ID] = fmt.Sprintf("poise does not make %s health checks yet; the members are not checked", p.Monitor.Type)
		}
	}
	return reasons
}

// uncarriedListener says why the data plane cannot serve a listener, "" when it can: as long as bytes pass unseen, it
// does not matter whose they are.
func uncarriedListener(t *lb.LoadBalancer, l *lb.Listener) string {
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
