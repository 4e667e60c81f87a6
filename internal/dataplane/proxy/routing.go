package proxy

import "poise/internal/dataplane/l7"

// routings are the requests of one loop that take more than one turn to be compared with the rules of their listener. In each
// round of the loop one of them has one turn: load balancers take turns, and so do the requests of each. However costly one's
// rules are, everybody else waits for one turn at most.
type routings struct {
	turns  []*Server // those that have a request here, the next one first
	queues map[*Server][]routing
}

// routing is one of them. Its session may have ended meanwhile, or serve another request.
type routing struct {
	session *session
	*l7.Routing
}

func (r routing) isWanted() bool { return r.session.x != nil && r.session.x.routing == r.Routing }

func (q *routings) add(server *Server, r routing) {
	if q.queues == nil {
		q.queues = map[*Server][]routing{}
	}
	if len(q.queues[server]) == 0 {
		q.turns = append(q.turns, server)
	}
	q.queues[server] = append(q.queues[server], r)
}

// take is the one whose turn it is; false: there is none. Those that nobody waits for are dropped on the way.
func (q *routings) take() (server *Server, r routing, ok bool) {
	for len(q.turns) > 0 && !ok {
		server = q.turns[0]
		queue := q.queues[server]
		r, queue[0] = queue[0], routing{}
		q.turns = q.turns[1:]
		if ok = r.isWanted(); len(queue) == 1 {
			delete(q.queues, server)
			continue
		}
		q.queues[server] = queue[1:]
		q.turns = append(q.turns, server)
	}
	return server, r, ok
}

// routeLater has a request wait for its turns, with what was read behind its head: body belongs to it, rest to what follows.
func (s *session) routeLater(body, rest []byte) {
	x := s.x
	x.head.Keep()
	x.request = requestOf(&x.head)
	x.early = append(x.early[:0], body...)
	s.keepInput(rest)
	x.routing = s.setup.site.Start(&x.request, &s.client)
	s.phase = deciding
	s.loop.routings.add(s.listener.server, routing{s, x.routing})
}

// routeOn spends one turn.
func (l *loop) routeOn() {
	server, r, ok := l.routings.take()
	if !ok {
		return
	}
	defer l.charge(server)
	decision, done := r.Continue()
	if !done {
		l.routings.add(server, r)
		return
	}
	s := r.session
	s.x.endRouting()
	s.follow(decision, s.x.early, s.in)
	s.run()
}

// endRouting lets go of a decision that is known, or that nobody waits for any more.
func (x *exchange) endRouting() {
	if x.routing != nil {
		x.routing.End()
		x.routing = nil
	}
}
