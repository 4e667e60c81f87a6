package nova

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
)

const (
	// settleWait is the longest that a request waits until its change is real; it becomes so all the same.
	settleWait = 10 * time.Second
	// lookEvery is how often servers in trouble, and changes that nobody has told of, are looked at.
	lookEvery = time.Second
)

// machines makes the servers real. One goroutine (run) owns them.
type machines struct {
	service *Service
	asked   chan request

	running map[string]*machine // by server id; owned by run

	mu     sync.Mutex // guards what follows
	states map[string]state
	looked bool // all servers have been looked at since the start
}

// request asks for one server to be settled; done is closed afterwards.
type request struct {
	id   string
	done chan struct{}
}

// machine is a server that is plugged in.
type machine struct {
	revision int64
	plug     fabric.Server
	greeter  *greeter // nil: no service
}

// state is what the API says of a server beyond its row.
type state struct {
	plugged   bool
	namespace string
	problem   string // why it is not as it should be, "" when it is
}

func newMachines(s *Service) *machines {
	return &machines{service: s, asked: make(chan request), running: map[string]*machine{}, states: map[string]state{}}
}

// settle makes one server be as the database says and waits for it, at most settleWait. What does not succeed is tried
// again later.
func (m *machines) settle(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	r := request{id: id, done: make(chan struct{})}
	select {
	case m.asked <- r:
	case <-ctx.Done():
		return
	}
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

func (m *machines) run(ctx context.Context) error {
	defer m.stopAll()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	m.lookAtAll(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-m.asked:
			m.lookAt(ctx, r.id)
			close(r.done)
		case <-again.C:
			m.lookAtAll(ctx)
		}
	}
}

// stopAll ends the services. Namespaces stay for the next start to adopt.
func (m *machines) stopAll() {
	for _, one := range m.running {
		one.greeter.stop()
	}
}

// lookAtAll settles every server that is not as it should be, and takes away those that nobody knows.
func (m *machines) lookAtAll(ctx context.Context) {
	rows, err := m.service.list(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q })
	if err != nil {
		m.service.log.WarnContext(ctx, "servers cannot be read", "err", err)
		return
	}
	known := []string{}
	for _, row := range rows {
		known = append(known, row.ID)
	}
	if !m.settled() {
		if err := m.service.fabric.PruneServers(ctx, known); err != nil {
			m.service.log.ErrorContext(ctx, "stray servers cannot be taken away", "err", err)
		}
	}
	for _, row := range rows {
		if !m.isDone(row) {
			m.lookAt(ctx, row.ID)
		}
	}
	m.mu.Lock()
	m.looked = true
	m.mu.Unlock()
}

// isDone tells whether the server is as its row says.
func (m *machines) isDone(row *server) bool {
	is, ok := m.running[row.ID]
	if row.Stopped {
		return !ok && m.state(row.ID).problem == ""
	}
	return ok && is.revision == row.Revision && m.state(row.ID).problem == "" && is.greeter.alive()
}

// lookAt settles one server and writes down how it went.
func (m *machines) lookAt(ctx context.Context, id string) {
	now := state{}
	if err := m.apply(ctx, id); err != nil {
		now.problem = err.Error()
		if now.problem != m.state(id).problem && ctx.Err() == nil { // once, however often it is tried
			m.service.log.ErrorContext(ctx, "server cannot be made", "server", id, "err", err)
		}
	}
	is, ok := m.running[id]
	if ok {
		now.plugged, now.namespace = true, is.plug.Namespace
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !ok && now.problem == "" {
		delete(m.states, id)
		return
	}
	m.states[id] = now
}

func (m *machines) apply(ctx context.Context, id string) error {
	rows, err := m.service.list(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("s.id = ?", id) })
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Stopped {
		return m.unplug(ctx, id, len(rows) > 0)
	}
	return m.plug(ctx, rows[0])
}

// unplug takes a server away. Of an id that belongs to no server (a load balancer's, say) there is nothing to take.
func (m *machines) unplug(ctx context.Context, id string, exists bool) error {
	is, ok := m.running[id]
	if ok {
		is.greeter.stop()
		is.greeter = nil
	}
	if !ok && !exists {
		return nil
	}
	if err := m.service.fabric.UnplugServer(ctx, id); err != nil {
		return fmt.Errorf("unplugging: %w", err)
	}
	delete(m.running, id)
	return nil
}

func (m *machines) plug(ctx context.Context, row *server) error {
	ports, err := m.service.attachments(ctx, row)
	if err != nil {
		return err
	}
	plugged, err := m.service.fabric.PlugServer(ctx, row.ID, ports)
	if err != nil {
		return fmt.Errorf("plugging: %w", err)
	}
	is, ok := m.running[row.ID]
	if !ok {
		is = &machine{}
		m.running[row.ID] = is
	}
	is.plug, is.revision = plugged, row.Revision
	wanted, err := serviceOf(row.Metadata)
	if err != nil {
		return err
	}
	return is.serve(greeting{server: row.Name, service: wanted, addresses: plugged.Bind})
}

// serve starts, changes or stops the server's service; one that is as it should be goes on undisturbed.
func (is *machine) serve(wanted greeting) error {
	if is.greeter.alive() && is.greeter.serves(wanted) {
		return nil
	}
	is.greeter.stop()
	is.greeter = nil
	if wanted.service.port == 0 {
		return nil
	}
	started, err := startGreeter(is.plug, wanted)
	if err != nil {
		return fmt.Errorf("service: %w", err)
	}
	is.greeter = started
	return nil
}

// attachments are the server's ports; one that its owner has deleted is left out.
func (s *Service) attachments(ctx context.Context, row *server) ([]fabric.Port, error) {
	ports := []fabric.Port{}
	for _, id := range row.Ports {
		port, err := s.network.Attachment(ctx, id)
		var refused interface{ Status() int }
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", id, err)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

func (m *machines) state(id string) state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[id]
}

func (m *machines) settled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looked
}
