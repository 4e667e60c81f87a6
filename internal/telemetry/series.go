package telemetry

import (
	"time"

	"poise/internal/lb"
)

const (
	// Step is the time between two points of a series, and Points how many there are: an hour.
	Step   = 10 * time.Second
	Points = 360
	// maxTracks objects of all load balancers have series, 12 KiB each. Only what had traffic needs one.
	maxTracks = 4096
)

// Sample is what one object has counted since its data plane started.
type Sample struct {
	Active      int64 // connections, or requests, under way
	Connections uint64
	Requests    uint64
	Errors      uint64
	BytesIn     uint64 // from clients, or to a member
	BytesOut    uint64 // to clients, or from a member
}

// Series are an object's numbers during the last hour, the oldest first: what came within each Step, and for Active what
// there was at its end.
type Series struct {
	ObjectType  string   `json:"object_type"`
	ObjectID    string   `json:"object_id"`
	ObjectName  string   `json:"object_name"`
	Active      []uint64 `json:"active"`
	Connections []uint64 `json:"connections"`
	Requests    []uint64 `json:"requests"`
	Errors      []uint64 `json:"errors"`
	BytesIn     []uint64 `json:"bytes_in"`
	BytesOut    []uint64 `json:"bytes_out"`
}

// track is the ring behind a Series.
type track struct {
	last   Sample
	tick   int64 // of the newest point: Unix time in Steps
	points [Points]point
}

type point struct {
	bytesIn, bytesOut                     uint64
	active, connections, requests, errors uint32
}

// Record takes a sample of each object of a load balancer. One that has counted nothing yet needs no memory; one that is
// missing is forgotten.
func (m *Memory) Record(loadBalancerID string, now time.Time, samples map[string]Sample) {
	tick := now.Unix() / int64(Step/time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	tracks := m.tracks[loadBalancerID]
	for id, sample := range samples {
		t := tracks[id]
		if t == nil {
			if sample == (Sample{}) || m.count >= maxTracks {
				continue
			}
			t = &track{tick: tick - 1}
			if tracks == nil {
				tracks = map[string]*track{}
				m.tracks[loadBalancerID] = tracks
			}
			tracks[id] = t
			m.count++
		}
		t.add(tick, sample)
	}
	for id := range tracks {
		if _, there := samples[id]; !there {
			delete(tracks, id)
			m.count--
		}
	}
}

func (t *track) add(tick int64, now Sample) {
	for t.tick = max(t.tick, tick-Points); t.tick < tick; {
		t.tick++
		t.points[t.tick%Points] = point{}
	}
	p := &t.points[tick%Points]
	p.active = uint32(max(now.Active, 0))
	p.connections += uint32(since(t.last.Connections, now.Connections))
	p.requests += uint32(since(t.last.Requests, now.Requests))
	p.errors += uint32(since(t.last.Errors, now.Errors))
	p.bytesIn += since(t.last.BytesIn, now.BytesIn)
	p.bytesOut += since(t.last.BytesOut, now.BytesOut)
	t.last = now
}

// since is what a counter has grown by; one that went back has started anew.
func since(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// Series are those of a load balancer's objects that had traffic, in the order of the tree, and the time of their first
// point. Members' pools and the load balancer itself are sums.
func (m *Memory) Series(tree *lb.LoadBalancer, now time.Time) (from time.Time, all []Series) {
	tick := now.Unix() / int64(Step/time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	tracks := m.tracks[tree.ID]
	all = []Series{}
	tree.Walk(func(kind lb.Kind, _ string, o *lb.Object, whole any) {
		var ids []string
		switch object := whole.(type) {
		case *lb.LoadBalancer:
			ids = idsOf(object.Listeners)
		case *lb.Pool:
			ids = idsOf(object.Members)
		default:
			ids = []string{o.ID}
		}
		s := Series{ObjectType: typeOf(kind), ObjectID: o.ID, ObjectName: o.Name}
		for _, id := range ids {
			if t := tracks[id]; t != nil {
				s.addTrack(t, tick)
			}
		}
		if s.Active != nil {
			all = append(all, s)
		}
	})
	return time.Unix((tick-Points+1)*int64(Step/time.Second), 0).UTC(), all
}

func idsOf[T interface{ Base() *lb.Object }](objects []T) (ids []string) {
	for _, o := range objects {
		ids = append(ids, o.Base().ID)
	}
	return ids
}

// addTrack adds a track's points up to tick.
func (s *Series) addTrack(t *track, tick int64) {
	if s.Active == nil {
		for _, column := range []*[]uint64{&s.Active, &s.Connections, &s.Requests, &s.Errors, &s.BytesIn, &s.BytesOut} {
			*column = make([]uint64, Points)
		}
	}
	for i := range Points {
		at := tick - Points + 1 + int64(i)
		if at > t.tick || at <= t.tick-Points {
			continue
		}
		p := t.points[at%Points]
		s.Active[i] += uint64(p.active)
		s.Connections[i] += uint64(p.connections)
		s.Requests[i] += uint64(p.requests)
		s.Errors[i] += uint64(p.errors)
		s.BytesIn[i] += p.bytesIn
		s.BytesOut[i] += p.bytesOut
	}
}
