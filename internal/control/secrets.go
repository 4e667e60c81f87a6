package control

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

// Secrets is what the control plane needs of the key manager. It reads with the right of a load balancer's project, whoever
// made the reference. Errors that are the user's to mend are [*lb.Error]s.
type Secrets interface {
	// Certificate reads a certificate with its private key, and says when it expires. One that has expired is no error.
	Certificate(ctx context.Context, projectID, ref string) (c dataplane.Certificate, expires time.Time, err error)
	// Authorities reads the certificates, in DER, that peers' must come from.
	Authorities(ctx context.Context, projectID, ref string) ([][]byte, error)
	// Revocations reads a list of revoked certificates, in DER, which one of the authorities has signed.
	Revocations(ctx context.Context, projectID, ref string, authorities [][]byte) ([][]byte, error)
	// Changed are the ids of secrets and containers that have changed after a time, and the time of the last change.
	Changed(ctx context.Context, after time.Time) (ids []string, last time.Time, err error)
}

// changesOverlap is how far back changes of secrets are looked for again: the clocks of several processes differ, and
// transactions do not end in the order in which they began.
const changesOverlap = 10 * time.Second

// keyring is what the references of one load balancer lead to. It is immutable. What cannot be read any more stays as it was
// last read, for as long as this process lives.
type keyring struct {
	certificates map[string]heldCertificate // by reference
	lists        map[listKey][][]byte
	missing      map[string]string // by reference: why there is nothing
	outdated     map[string]string // by reference: why it stays as it was last read
}

type heldCertificate struct {
	dataplane.Certificate
	expires time.Time
}

// listKey names a list of authorities, or a list of revocations with the reference to the authorities that sign it.
type listKey struct{ ref, authorities string }

// readSecrets makes a keyring for a tree. What before has is not read again, unless anew says so.
func (c *Control) readSecrets(ctx context.Context, t *lb.LoadBalancer, before *keyring, anew bool) *keyring {
	r := reading{
		Control: c, project: t.ProjectID, before: before, anew: anew,
		ring: &keyring{
			certificates: map[string]heldCertificate{}, lists: map[listKey][][]byte{},
			missing: map[string]string{}, outdated: map[string]string{},
		},
	}
	for _, refs := range referencesOf(t) {
		for _, ref := range refs.Certificates {
			r.certificate(ctx, ref)
		}
		if refs.CA != "" {
			r.list(ctx, listKey{refs.CA, ""}, func() ([][]byte, error) { return c.secrets.Authorities(ctx, t.ProjectID, refs.CA) })
		}
		if refs.CRL != "" {
			r.list(ctx, listKey{refs.CRL, refs.CA}, func() ([][]byte, error) {
				return c.secrets.Revocations(ctx, t.ProjectID, refs.CRL, r.ring.lists[listKey{refs.CA, ""}])
			})
		}
	}
	return r.ring
}

// referencesOf are the references of everything in a tree that is served, by the id of the object.
func referencesOf(t *lb.LoadBalancer) map[string]lb.References {
	all := map[string]lb.References{}
	for _, l := range t.Listeners {
		if serves(&l.Object) && speaksTLS(l) {
			all[l.ID] = l.References()
		}
	}
	for _, p := range t.Pools {
		if serves(&p.Object) && p.TLSEnabled {
			all[p.ID] = p.References()
		}
	}
	return all
}

// reading fills a keyring.
type reading struct {
	*Control
	project string
	before  *keyring // nil: none
	anew    bool
	ring    *keyring
}

func (r *reading) certificate(ctx context.Context, ref string) {
	if _, done := r.ring.certificates[ref]; done || r.ring.missing[ref] != "" {
		return
	}
	var held heldCertificate
	var has bool
	if r.before != nil {
		held, has = r.before.certificates[ref]
	}
	if has && !r.anew {
		r.ring.certificates[ref] = held
		r.ring.note(r.ring.outdated, ref, r.before.outdated[ref])
		return
	}
	read, expires, err := r.secrets.Certificate(ctx, r.project, ref)
	if err == nil {
		r.ring.certificates[ref] = heldCertificate{read, expires}
		return
	}
	if has {
		r.ring.certificates[ref] = held
	}
	r.failed(ctx, ref, err, has)
}

func (r *reading) list(ctx context.Context, key listKey, read func() ([][]byte, error)) {
	if _, done := r.ring.lists[key]; done || r.ring.missing[key.ref] != "" {
		return
	}
	var held [][]byte
	var has bool
	if r.before != nil {
		held, has = r.before.lists[key]
	}
	if has && !r.anew {
		r.ring.lists[key] = held
		r.ring.note(r.ring.outdated, key.ref, r.before.outdated[key.ref])
		return
	}
	list, err := read()
	if err == nil {
		r.ring.lists[key] = list
		return
	}
	if has {
		r.ring.lists[key] = held
	}
	r.failed(ctx, key.ref, err, has)
}

// failed says why a reference could not be read.
func (r *reading) failed(ctx context.Context, ref string, err error, has bool) {
	why := err.Error()
	if lb.CodeOf(err) == 0 { // not the user's to mend, and not for the user's eyes
		r.log.WarnContext(ctx, "what a load balancer refers to is not read this time", "reference", ref, "err", err)
		why = "The key manager does not answer."
	}
	if has {
		r.ring.note(r.ring.outdated, ref, fmt.Sprintf("%s cannot be read any more, and stays as it was: %s", ref, why))
		return
	}
	r.ring.note(r.ring.missing, ref, fmt.Sprintf("%s cannot be read: %s", ref, why))
}

func (k *keyring) note(where map[string]string, ref, what string) {
	if what != "" {
		where[ref] = what
	}
}

// equal tells whether two keyrings would be compiled to the same.
func (k *keyring) equal(other *keyring) bool {
	return k == other || k != nil && other != nil &&
		reflect.DeepEqual(k.certificates, other.certificates) && reflect.DeepEqual(k.lists, other.lists)
}

// unread says why what an object refers to is missing, "" when nothing is.
func (k *keyring) unread(refs lb.References) string {
	return first(refs, func(ref string) string { return k.missing[ref] })
}

// doubtful says what is wrong with what an object refers to although it is served with that.
func (k *keyring) doubtful(refs lb.References, now time.Time) string {
	return first(refs, func(ref string) string {
		if held, ok := k.certificates[ref]; ok && now.After(held.expires) {
			return fmt.Sprintf("the certificate %s expired on %s", ref, held.expires.UTC().Format(time.RFC3339))
		}
		return k.outdated[ref]
	})
}

// first is what is first found of a reference.
func first(refs lb.References, find func(ref string) string) string {
	for _, ref := range append(append([]string{}, refs.Certificates...), refs.CA, refs.CRL) {
		if found := find(ref); found != "" {
			return found
		}
	}
	return ""
}

// SecretsChanged has what refers to these secrets and containers, named by their ids, read them again.
func (c *Control) SecretsChanged(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.changedSecrets[id] = true
	}
	select {
	case c.wakeSecrets <- struct{}{}:
	default: // is awake already
	}
}

// watchSecrets has load balancers read again what has changed in the key manager, told by this process or found out about
// others, and what could not be read.
func (c *Control) watchSecrets(ctx context.Context) {
	ticker := time.NewTicker(resyncInterval)
	defer ticker.Stop()
	last := time.Now()
	for {
		all := map[string]bool{}
		select {
		case <-c.wakeSecrets:
		case <-ticker.C:
			ids, newest, err := c.secrets.Changed(ctx, last.Add(-changesOverlap))
			if err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "changed secrets are not looked for this time", "err", err)
			}
			for _, id := range ids {
				all[id] = true
			}
			if newest.After(last) {
				last = newest
			}
			c.readMissing(time.Now())
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		for id := range c.changedSecrets {
			all[id] = true
		}
		clear(c.changedSecrets)
		c.mu.Unlock()
		if len(all) > 0 {
			c.readAgain(ctx, all)
		}
	}
}

// readAgain queues the load balancers that refer to one of the secrets or containers.
func (c *Control) readAgain(ctx context.Context, ids map[string]bool) {
	balancers, err := c.store.List(ctx, "")
	if err != nil {
		c.log.WarnContext(ctx, "changed secrets take effect later", "err", err)
		c.mu.Lock()
		defer c.mu.Unlock()
		maps.Copy(c.changedSecrets, ids)
		return
	}
	for _, s := range balancers {
		if refersTo(s.Tree, ids) {
			c.markStale(s.Tree.ID)
		}
	}
}

func refersTo(t *lb.LoadBalancer, ids map[string]bool) bool {
	for _, refs := range referencesOf(t) {
		found := first(refs, func(ref string) string {
			if id := ref[strings.LastIndexByte(strings.TrimRight(ref, "/"), '/')+1:]; ids[strings.TrimRight(id, "/")] {
				return id
			}
			return ""
		})
		if found != "" {
			return true
		}
	}
	return false
}

func (c *Control) markStale(id string) {
	c.mu.Lock()
	c.stale[id] = true
	c.mu.Unlock()
	c.queue.add(id)
}

// readMissing queues the load balancers that lack something, and those that have a certificate which has expired since the
// last look.
func (c *Control) readMissing(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, ring := range c.rings {
		if len(ring.missing) > 0 || len(ring.outdated) > 0 {
			c.stale[id] = true
			c.queue.add(id)
		}
		for _, held := range ring.certificates {
			if now.After(held.expires) && !c.lookedAt.After(held.expires) {
				c.queue.add(id)
			}
		}
	}
	c.lookedAt = now
}
