package certificate

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"time"

	"poise/internal/lb"
	"poise/internal/limit"
	"poise/internal/pkcs12"
)

// Whoever exports a bundle or encrypts a key says how often its passphrase is hashed, and so how long the server computes. A
// million iterations take about half a second of a processor. OpenSSL's bundles ask for 6,144.
const (
	// maxRequestWork bounds the iterations for what one request refers to, together.
	maxRequestWork = 8_000_000
	// maxProjectWork is how many iterations a project may have computed at once, projectWorkPerSecond how many it gets back.
	maxProjectWork       = 2 * maxRequestWork
	projectWorkPerSecond = 200_000
	// freeWork is what an opening may ask for without being counted, so that what nearly everybody has never waits.
	freeWork = 10_000
	// maxOpened bounds the certificates that stay open, so that they need not be opened again.
	maxOpened = 10_000
	// maxBuckets bounds the projects whose work is remembered.
	maxBuckets = 10_000
)

// Opener opens certificates with their private keys: each content once, however often and by whatever reference it is read.
// It bounds what a project may have it compute. It is safe for concurrent use.
type Opener struct {
	now   func() time.Time
	slots *limit.Slots // of derivations at the same time: one for each project

	mu      sync.Mutex                 // guards what follows
	opened  map[[32]byte]*list.Element // of recent, by content
	recent  *list.List                 // of *opening, the most recently used first
	buckets map[string]*bucket         // by project
	changed chan struct{}              // closed when a slot becomes free
}

type opening struct {
	content [32]byte
	whole   tls.Certificate
	err     error
}

// bucket is what a project has left, at a time.
type bucket struct {
	left int
	at   time.Time
}

// NewOpener makes an opener that has opened nothing.
func NewOpener() *Opener {
	return &Opener{
		now: time.Now, slots: limit.NewSlots(max(2, runtime.GOMAXPROCS(0))),
		opened: map[[32]byte]*list.Element{}, recent: list.New(), buckets: map[string]*bucket{}, changed: make(chan struct{}),
	}
}

// ErrBusy says that a project has to wait for its share of key derivation. Whoever reads for the data plane tries again.
var ErrBusy error = &lb.Error{
	Code: lb.Conflict, Message: "The project has used up its share of key derivation, or is just using it. It is tried again in some seconds.",
}

// open returns what the parts hold, for a project. With wait it waits for the project's turn; without, that is ErrBusy.
func (o *Opener) open(ctx context.Context, project string, p Parts, wait bool) (tls.Certificate, error) {
	content := p.content()
	if known := o.find(content); known != nil {
		return known.whole, known.err
	}
	if cost := p.work(); cost > freeWork {
		release, err := o.acquire(ctx, project, content, cost, wait)
		if err != nil {
			return tls.Certificate{}, err
		}
		defer release()
		if known := o.find(content); known != nil { // another one has been faster
			return known.whole, known.err
		}
	}
	whole, err := read(p)
	o.keep(&opening{content, whole, err})
	return whole, err
}

// find returns what has been opened already, or nil.
func (o *Opener) find(content [32]byte) *opening {
	o.mu.Lock()
	defer o.mu.Unlock()
	element, ok := o.opened[content]
	if !ok {
		return nil
	}
	o.recent.MoveToFront(element)
	return element.Value.(*opening)
}

func (o *Opener) keep(fresh *opening) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.opened[fresh.content]; ok {
		return
	}
	o.opened[fresh.content] = o.recent.PushFront(fresh)
	for o.recent.Len() > maxOpened {
		delete(o.opened, o.recent.Remove(o.recent.Back()).(*opening).content)
	}
}

// acquire takes the project's one slot, and the work out of what it has left.
func (o *Opener) acquire(ctx context.Context, project string, content [32]byte, cost int, wait bool) (release func(), err error) {
	for {
		o.mu.Lock()
		changed := o.changed
		o.mu.Unlock()
		free, full := o.slots.Acquire(limit.Share{Holder: "project " + project, Max: 1})
		if full == nil {
			release = func() {
				free()
				o.mu.Lock()
				defer o.mu.Unlock()
				close(o.changed)
				o.changed = make(chan struct{})
			}
			if o.find(content) != nil {
				return release, nil
			}
			if err := o.spend(project, cost); err != nil {
				release()
				if !wait {
					return nil, ErrBusy
				}
				return nil, err
			}
			return release, nil
		}
		if !wait {
			return nil, ErrBusy
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// spend takes work out of the project's bucket, and refuses, with an [*lb.Error], what is not in it.
func (o *Opener) spend(project string, cost int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	b, known := o.buckets[project]
	if !known {
		o.forget(now)
		b = &bucket{maxProjectWork, now}
		o.buckets[project] = b
	}
	b.fill(now)
	if cost > b.left {
		wait := time.Duration(cost-b.left) * time.Second / projectWorkPerSecond
		return &lb.Error{Code: lb.Conflict, Message: fmt.Sprintf(
			"The key derivation of the certificate asks for %d iterations. The project may have %d computed at once, and %d more each second; "+
				"try again in %d s, or export it again with fewer: openssl pkcs12 -export -iter 2048.",
			cost, maxProjectWork, projectWorkPerSecond, int(wait.Seconds())+1)}
	}
	b.left -= cost
	return nil
}

func (b *bucket) fill(now time.Time) {
	seconds := min(now.Sub(b.at).Seconds(), maxProjectWork/projectWorkPerSecond)
	b.left = min(b.left+int(seconds*projectWorkPerSecond), maxProjectWork)
	b.at = now
}

// forget drops the buckets that are full again when there are many, and then any.
func (o *Opener) forget(now time.Time) {
	if len(o.buckets) < maxBuckets {
		return
	}
	for project, b := range o.buckets {
		if b.fill(now); b.left == maxProjectWork {
			delete(o.buckets, project)
		}
	}
	for project := range o.buckets {
		if len(o.buckets) < maxBuckets {
			return
		}
		delete(o.buckets, project)
	}
}

// checkWork refuses what one request refers to when opening it would take too long. What is open already costs nothing.
func (o *Opener) checkWork(all []Parts) error {
	total := 0
	counted := map[[32]byte]bool{}
	for _, p := range all {
		content := p.content()
		if cost := p.work(); !counted[content] && o.find(content) == nil && cost <= maxIterations { // more is refused by itself
			total += cost
		}
		counted[content] = true
	}
	if total > maxRequestWork {
		return invalid(fmt.Sprintf("The key derivations of the certificates ask for %d iterations together; one request may ask for %d. "+
			"Export them again with fewer: openssl pkcs12 -export -iter 2048. Or refer to fewer at a time.", total, maxRequestWork))
	}
	return nil
}

// content names the parts by what they hold.
func (p Parts) content() (sum [32]byte) {
	h := sha256.New()
	for _, part := range [][]byte{p.Certificate, p.PrivateKey, p.Intermediates, p.Passphrase, p.PKCS12} {
		var size [9]byte
		if part != nil {
			size[8] = 1
		}
		binary.BigEndian.PutUint64(size[:8], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// work is how many iterations opening takes, as far as it says.
func (p Parts) work() int {
	if p.PKCS12 != nil {
		return pkcs12.Iterations(p.PKCS12)
	}
	return keyWork(p.PrivateKey)
}
