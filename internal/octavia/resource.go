package octavia

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"

	"poise/internal/lb"
	"poise/internal/rest"
)

// resource is a kind of object as the API shows it: its names, its attributes, and how the domain makes, changes and
// removes one. Everything else is the same for all resources, and is done here.
type resource struct {
	kind     lb.Kind
	policy   string // in policy names
	path     string // below the version
	envelope string
	plural   string // in lists, also with "_links"
	argument string // Octavia's name for the body, in its messages
	// argumentOnUpdate is that name in updates, "" when it is the same.
	argumentOnUpdate string

	// above is the wildcard of the path that names the object's parent, and aboveKind what that is; "" when paths name none.
	above     string
	aboveKind lb.Kind

	attributes attributes

	// objects visits the objects of this kind in a load balancer's tree; of one parent when the path names it.
	objects func(s lb.Snapshot, parentID string) iter.Seq[object]

	// lookUp gives the objects of a list what the query is about and their trees do not know; nil when there is no such thing.
	lookUp func(c *call, q query, all []object) error

	// parent finds what a new object will belong to.
	parent func(c *call, in request) (lb.Snapshot, error)
	// look refuses a new object for what only the neighbours know; nil when there is nothing to ask.
	look   func(c *call, in request) error
	create func(t *lb.LoadBalancer, id string, in values) error
	update func(t *lb.LoadBalancer, o object, in values) error
	// references are what an object refers to in the key manager; nil when there is nothing to refer with.
	references func(o object) lb.References
	remove     func(t *lb.LoadBalancer, o object) error
}

// object is one object as answers show it: of a load balancer's tree, with what is above it, or one of those that are no
// part of a tree; base then holds no more than the id that lists page by, and the project.
type object struct {
	lb.Snapshot
	base     *lb.Object // what all objects have
	listener *lb.Listener
	pool     *lb.Pool // of a pool, a member, a health monitor
	member   *lb.Member
	monitor  *lb.HealthMonitor
	policy   *lb.L7Policy // of a policy, a rule
	rule     *lb.L7Rule
	topology string // of a load balancer in a list that is about it

	offer   *lb.Offer
	profile *lb.Profile
	quota   lb.Quota
	inUse   map[lb.Kind]int // of a project in a list of quotas that is about it
}

// routes are the resource's lines of the route table.
func (res *resource) routes() []route {
	return []route{
		{"GET", res.path, res.policy + ":get_all", res.list, res.attributes.listParameters(reasonsParameter)},
		{"POST", res.path, res.policy + ":post", res.post, nil},
		{"PUT", res.path, "", withoutID, nil},
		{"DELETE", res.path, "", withoutID, nil},
		{"GET", res.path + "/{id}", res.policy + ":get_one", res.show, []parameter{fieldsParameter, reasonsParameter}},
		{"PUT", res.path + "/{id}", res.policy + ":put", res.put, nil},
		{"DELETE", res.path + "/{id}", res.policy + ":delete", res.delete, nil},
	}
}

// withoutID answers a change of a collection as a whole.
func withoutID(*call) error { return errMissingArgument("id") }

// show answers with one object.
func (res *resource) show(c *call) error {
	o, err := res.find(c)
	if err != nil {
		return err
	}
	query := c.query
	return res.answer(c, http.StatusOK, o, query["fields"], looseBoolean(query.Get("status_reasons")))
}

// post makes an object below a load balancer.
func (res *resource) post(c *call) error {
	in, err := c.attributes(res.attributes, res.argument, res.envelope, onCreate)
	if err != nil {
		return err
	}
	s, err := res.parent(c, in)
	if err != nil {
		return err
	}
	if err := c.allows(s.Tree.ProjectID); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if res.look != nil {
		if err := res.look(c, in); err != nil {
			return err
		}
	}
	id := uuid.NewString()
	s, err = res.change(c, s, id, in, func(t *lb.LoadBalancer) error { return res.create(t, id, in.values) })
	return res.answerChanged(c, http.StatusCreated, s, id, err)
}

// put changes an object.
func (res *resource) put(c *call) error {
	in, err := c.attributes(res.attributes, cmp.Or(res.argumentOnUpdate, res.argument), res.envelope, onUpdate)
	if err != nil {
		return err
	}
	o, err := res.find(c)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	s, err := res.change(c, o.Snapshot, o.base.ID, in, func(t *lb.LoadBalancer) error { return res.update(t, o, in.values) })
	return res.answerChanged(c, http.StatusOK, s, o.base.ID, err)
}

// change commits a change of one object. What it refers to in the key manager is looked at before, on a copy of the tree:
// rules that refuse the change go first.
func (res *resource) change(c *call, s lb.Snapshot, id string, in request, change func(*lb.LoadBalancer) error) (lb.Snapshot, error) {
	if res.references != nil && in.refers() {
		draft := lb.Snapshot{Tree: s.Tree.Next(time.Now())}
		if err := change(draft.Tree); err != nil {
			return lb.Snapshot{}, err
		}
		if err := c.checkReferences(s.Tree.ProjectID, res.referencesIn(s, id), res.referencesIn(draft, id)); err != nil {
			return lb.Snapshot{}, err
		}
	}
	return c.Control.Change(c.r.Context(), s.Tree.ID, change)
}

// referencesIn are the references of an object, none when it is not in the tree.
func (res *resource) referencesIn(s lb.Snapshot, id string) lb.References {
	o, err := res.in(s, "", id)
	if err != nil {
		return lb.References{}
	}
	return res.references(o)
}

// delete removes an object.
func (res *resource) delete(c *call) error {
	return res.removeWith(c, res.remove)
}

// removeWith makes the change that removes the object of the URL, which shows as PENDING_DELETE until a node has
// acknowledged that.
func (res *resource) removeWith(c *call, remove func(t *lb.LoadBalancer, o object) error) error {
	o, err := res.find(c)
	if err != nil {
		return err
	}
	if _, err := c.Control.Change(c.r.Context(), o.Tree.ID, func(t *lb.LoadBalancer) error { return remove(t, o) }); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// find looks up the object of the URL (404 when it is not there) and asks the policy (403).
func (res *resource) find(c *call) (object, error) {
	id := c.r.PathValue("id")
	s, err := res.holder(c, id)
	if err != nil {
		return object{}, err
	}
	o, err := res.in(s, c.r.PathValue(res.above), id)
	if err != nil {
		return object{}, err
	}
	return o, c.allows(s.Tree.ProjectID)
}

// holder reads the load balancer that holds the object of the URL, or its parent when the URL names one.
func (res *resource) holder(c *call, id string) (lb.Snapshot, error) {
	if above := c.r.PathValue(res.above); above != "" {
		s, err := c.Control.Holder(c.r.Context(), res.aboveKind, above)
		return s, inPath(err)
	}
	return snapshot(c.r.Context(), c.Control, res.kind, id)
}

// snapshot reads the load balancer that is, or holds, the object.
func snapshot(ctx context.Context, control Control, kind lb.Kind, id string) (lb.Snapshot, error) {
	if kind == lb.KindLoadBalancer {
		return control.Snapshot(ctx, id)
	}
	return control.Holder(ctx, kind, id)
}

// in finds an object in a tree.
func (res *resource) in(s lb.Snapshot, parentID, id string) (object, error) {
	for o := range res.objects(s, parentID) {
		if o.base.ID == id {
			return o, nil
		}
	}
	return object{}, lb.ErrNotFound(res.kind, id)
}

// answerChanged answers with an object as a change left it.
func (res *resource) answerChanged(c *call, status int, s lb.Snapshot, id string, err error) error {
	if err != nil {
		return err
	}
	o, err := res.in(s, c.r.PathValue(res.above), id)
	if err != nil {
		return err
	}
	return res.answer(c, status, o, nil, false)
}

func (res *resource) answer(c *call, status int, o object, fields []string, reasons bool) error {
	rest.WriteJSON(c.w, status, map[string]any{res.envelope: res.render(o, fields, reasons)})
	return nil
}

// render is an object as answers show it. With reasons it has one attribute more than Octavia's, status_reason: the
// sentence that explains its statuses.
func (res *resource) render(o object, fields []string, reasons bool) map[string]any {
	shown := res.attributes.render(o, fields)
	if reasons {
		shown["status_reason"] = o.Reason(o.base)
	}
	return shown
}
