package proxy

import (
	"fmt"
	"reflect"
	"slices"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/tlsconf"
)

// pool is a pool of the configuration, whichever listeners use it.
type pool struct {
	config   *dataplane.Pool
	balancer *balance.Balancer
	tls      *tlsconf.Members // nil: plaintext
	err      error            // why it cannot be used
}

// setPools makes the pools of a new configuration out of the ones before, and tells their balancers what is known of their
// members' health.
func (s *Server) setPools(pools []dataplane.Pool) {
	next := map[string]*pool{}
	down := map[memberKey]bool{}
	for i := range pools {
		p := newPool(&pools[i], s.pools[pools[i].ID])
		next[p.config.ID] = p
		for _, m := range p.config.Members {
			if key := (memberKey{p.config.ID, m.ID}); s.down[key] {
				down[key] = true
				p.balancer.SetDown(m.ID, true)
			}
		}
	}
	s.pools, s.down = next, down
}

// newPool keeps what the pool had before and still fits. A TLS configuration that did not change stays the same value, by
// which connections to members are told apart.
func newPool(config *dataplane.Pool, before *pool) *pool {
	p := &pool{config: config}
	if before == nil {
		p.balancer = balance.New(*config, nil)
	} else {
		p.balancer = balance.New(*config, before.balancer)
	}
	switch {
	case config.TLS == nil:
	case before != nil && reflect.DeepEqual(config.TLS, before.config.TLS):
		same := *config
		same.TLS = before.config.TLS
		p.config, p.tls, p.err = &same, before.tls, before.err
	default:
		p.tls, p.err = tlsconf.NewMembers(config.TLS)
	}
	return p
}

// forListener are the pools that a listener uses, with its own meters.
func (s *Server) forListener(l *dataplane.Listener) (map[string]*l7.Pool, error) {
	ids := []string{l.PoolID}
	if l.HTTP != nil {
		for i := range l.HTTP.Policies {
			ids = append(ids, l.HTTP.Policies[i].PoolID)
		}
	}
	pools := map[string]*l7.Pool{}
	for _, id := range ids {
		p := s.pools[id]
		if p == nil {
			continue
		}
		if p.err != nil {
			return nil, fmt.Errorf("TLS to the members of pool %s: %w", id, p.err)
		}
		pools[id] = p.forListener(l.ID, &s.members)
	}
	return pools, nil
}

func (p *pool) forListener(listenerID string, meters *meter.Members) *l7.Pool {
	used := &l7.Pool{Config: p.config, Balancer: p.balancer}
	for i := range p.config.Members {
		key := dataplane.MemberKey{ListenerID: listenerID, PoolID: p.config.ID, MemberID: p.config.Members[i].ID}
		used.Meters = append(used.Meters, meters.Get(key))
	}
	if p.tls != nil {
		used.TLS = p.tls.Config
		used.OffersHTTP2 = slices.Contains(p.config.TLS.ALPN, "h2")
	}
	return used
}

// forgetMembers drops the meters of members that are gone, and the connections that wait for their next request to them.
func (s *Server) forgetMembers(cfg *dataplane.Config) {
	wanted := map[dataplane.MemberKey]bool{}
	meters := map[*meter.Member]bool{}
	for i := range cfg.Listeners {
		pools, err := s.forListener(&cfg.Listeners[i])
		if err != nil {
			continue
		}
		for _, p := range pools {
			for j := range p.Config.Members {
				wanted[dataplane.MemberKey{ListenerID: cfg.Listeners[i].ID, PoolID: p.Config.ID, MemberID: p.Config.Members[j].ID}] = true
				meters[p.Meters[j]] = true
			}
		}
	}
	s.members.Keep(func(key dataplane.MemberKey) bool { return wanted[key] })
	s.engine.onEachLoop(func(l *loop) {
		l.idle.keep(func(u *upstream) bool { return u.server != s || meters[u.target.meter] })
	})
}

// MemberCounters are the statistics of every member, for each listener that uses it.
func (s *Server) MemberCounters() map[dataplane.MemberKey]dataplane.MemberCounters {
	return s.members.Read()
}
