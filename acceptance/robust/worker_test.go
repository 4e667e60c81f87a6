package robust

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// sharedBalancer is the name of the load balancer that every worker has listeners and pools in.
const sharedBalancer = "shared"

// worker is a client that changes things of its own, one after the other, and remembers what the server said.
type worker struct {
	client
	server *server
	index  int
	random *rand.Rand
	serial int

	acknowledged world
	inFlight     *step             // the request that got no answer
	ids          map[string]string // by name, as far as they are known
	vipPorts     map[string]string // ids by the names of load balancers
	freed        map[string]bool   // listeners' places that were served once: load balancer and port
	done         int
	diskIsFull   bool // a change may be refused with 500 or 503, and then has not happened
	refused      int
}

// step is one request and what it makes of the world.
type step struct {
	method, path string
	body         object
	creates      string // the name of the thing in the answer
	after        world
}

func (s *server) newWorker(index int, r *rand.Rand, sharedID string) *worker {
	return &worker{
		client: s.demo.another(), server: s, index: index, random: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())),
		acknowledged: world{}, ids: map[string]string{sharedBalancer: sharedID}, vipPorts: map[string]string{}, freed: map[string]bool{},
	}
}

func (w *worker) prefix() string { return fmt.Sprintf("w%d-", w.index) }

func (w *worker) newName() string {
	w.serial++
	return fmt.Sprintf("%s%d", w.prefix(), w.serial)
}

// work makes changes until the server is gone. The error is an answer that no change deserves.
func (w *worker) work() error { return w.workUntil(context.Background()) }

// workUntil makes changes until the server is gone or ctx has ended.
func (w *worker) workUntil(ctx context.Context) error {
	for ctx.Err() == nil {
		next, ok := w.plan()
		if !ok {
			continue
		}
		a, err := w.send(context.Background(), next.method, next.path, next.body)
		switch {
		case w.diskIsFull && (a.status == http.StatusInternalServerError || a.status == http.StatusServiceUnavailable):
			w.refused++
			continue
		case a.status != 0 && !a.ok():
			return fmt.Errorf("%s %s %v: %v", next.method, next.path, next.body, a)
		case a.status == 0 && err != nil:
			w.inFlight = &next
			return nil
		}
		w.done++
		w.acknowledged = next.after
		if o := a.inside(kindName(next)); o != nil {
			w.ids[next.creates] = o.text("id")
			if port := o.text("vip_port_id"); port != "" {
				w.vipPorts[next.creates] = port
			}
		}
		if err != nil {
			return nil
		}
	}
	return nil
}

// kindName is the envelope of the answer to a step that creates something.
func kindName(s step) string { return s.after[s.creates].kind }

// settle finds out what became of the request in flight, and wants everything else to be as it was acknowledged.
func (w *worker) settle(s census) error {
	actual := world{}
	for name, t := range s.things {
		if strings.HasPrefix(name, w.prefix()) {
			actual[name] = t
		}
	}
	diff := cmp.Diff(w.acknowledged, actual, cmp.AllowUnexported(thing{}))
	if w.inFlight != nil && diff != "" {
		if both := cmp.Diff(w.inFlight.after, actual, cmp.AllowUnexported(thing{})); both != "" {
			return fmt.Errorf("in flight was %s %s %v\nwithout it (-acknowledged +actual)\n%s\nwith it\n%s",
				w.inFlight.method, w.inFlight.path, w.inFlight.body, diff, both)
		}
	} else if diff != "" {
		return fmt.Errorf("(-acknowledged +actual)\n%s", diff)
	}
	w.acknowledged, w.inFlight = actual, nil
	for name := range actual {
		o := s.objects[name]
		if known := w.ids[name]; known != "" && known != o.text("id") {
			return fmt.Errorf("%s had the id %s, now %s", name, known, o.text("id"))
		}
		w.ids[name] = o.text("id")
		if port := o.text("vip_port_id"); port != "" {
			w.vipPorts[name] = port
		}
	}
	return nil
}

// path is where a thing is.
func (w *worker) path(name string) string {
	t := w.acknowledged[name]
	return w.collection(t.kind, t.parent) + "/" + w.ids[name]
}

func (w *worker) collection(kind, parent string) string {
	path := kindOf(kind).path
	if kind == "member" {
		path = fmt.Sprintf(path, w.ids[parent])
	}
	return path
}

// pick chooses one of the names.
func (w *worker) pick(names []string) (string, bool) {
	if len(names) == 0 {
		return "", false
	}
	return names[w.random.IntN(len(names))], true
}

// create is a step that makes a thing, with further attributes of the request.
func (w *worker) create(name string, t thing, after world, further object) step {
	body := object{"name": name, "description": t.text, "admin_state_up": t.up}
	if number := kindOf(t.kind).number; number != "" {
		body[number] = t.number
	}
	if t.kind == "member" || t.kind == "healthmonitor" {
		delete(body, "description")
	}
	maps.Copy(body, further)
	return step{"POST", w.collection(t.kind, t.parent), object{t.kind: body}, name, after.with(name, t)}
}
