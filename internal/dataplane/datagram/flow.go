package datagram

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/meter"
)

const (
	// maxAttempts is how many members are tried for one datagram.
	maxAttempts = 3
	none        = -1 // instead of a descriptor
)

// flow is what goes between one client and one port of a listener.
type flow struct {
	key    clientKey
	client netip.AddrPort
	to     unix.RawSockaddrInet6 // the client, as the kernel writes it
	port   *port

	poolID  string
	member  *balance.Member // nil: the last one refused, and nothing was sent since
	meter   *meter.Member   // the member's
	hops    int             // load balancers that the client has passed, this one included
	fd      int32           // connected to the member; none without
	refused []*balance.Member

	begun    time.Time
	lastMs   int64 // of the last sign of life
	toldMs   int64 // when the balancer was last told of one
	links    [2]link
	bytesIn  uint64
	bytesOut uint64
}

// errNoRoom says nothing about the member.
var errNoRoom = errors.New("the process has too many open files")

// begin puts a new flow in its places.
func (f *flow) begin() {
	ln := f.port.listener
	f.begun, f.lastMs, f.toldMs = time.Now(), ln.loop.nowMs, ln.loop.nowMs
	f.port.flows[f.key] = f
	ln.addCount(1)
	ln.silent.add(f)
	ln.loop.silent.add(f)
	ln.meter.Active.Add(1)
	ln.meter.Total.Add(1)
}

// end takes the flow out of all its places. The client's next datagram begins another.
func (f *flow) end(why accesslog.End) {
	ln := f.port.listener
	f.writeRecord(why)
	f.leaveMember()
	delete(f.port.flows, f.key)
	ln.addCount(-1)
	ln.silent.remove(f)
	ln.loop.silent.remove(f)
	ln.meter.Active.Add(-1)
}

// silenceEnd is why a flow ends that has been silent for long.
func (f *flow) silenceEnd() accesslog.End {
	if f.member == nil {
		return accesslog.MemberRefused
	}
	return accesslog.Silence
}

func (f *flow) writeRecord(why accesslog.End) {
	ln := f.port.listener
	if !ln.log.Wanted() {
		return
	}
	record := accesslog.Record{
		Time: f.begun, ListenerID: ln.id, Client: f.client.String(), PoolID: f.poolID, End: why,
		BytesIn: f.bytesIn, BytesOut: f.bytesOut, TotalMs: float64(time.Since(f.begun)) / float64(time.Millisecond),
	}
	if f.member != nil {
		record.MemberID = f.member.ID
	}
	ln.log.Write(record)
}

// alive notes a sign of life.
func (f *flow) alive() {
	ln := f.port.listener
	if now := ln.loop.nowMs; now != f.lastMs {
		f.lastMs = now
		ln.silent.refresh(f)
		ln.loop.silent.refresh(f)
		f.tellBalancer()
	}
}

// tellBalancer has the client remembered for other flows, well before it would be forgotten.
func (f *flow) tellBalancer() {
	setup := f.port.listener.setup
	if setup.memory == 0 || f.member == nil || f.lastMs-f.toldMs < setup.memory/4 {
		return
	}
	f.toldMs = f.lastMs
	setup.balancer.Heard(f.client.Addr(), f.member.ID)
}

// connect gives the flow a member. It says false when there is none, or no descriptor.
func (f *flow) connect() bool {
	setup := f.port.listener.setup
	if setup.balancer == nil {
		return false
	}
	for range maxAttempts {
		m := setup.balancer.Pick(f.client, f.refused...)
		if m == nil && len(f.refused) > 0 { // one that has refused may be back
			f.refused = nil
			m = setup.balancer.Pick(f.client)
		}
		if m == nil {
			return false
		}
		f.poolID, f.member, f.meter = setup.poolID, m, setup.members[m.ID].meter
		f.meter.Active.Add(1)
		err := f.dial()
		if err == nil {
			f.meter.Total.Add(1)
			return true
		}
		if errors.Is(err, errNoRoom) {
			f.leaveMember()
			return false
		}
		f.loseMember()
	}
	return false
}

// dial connects a socket to the member.
func (f *flow) dial() error {
	ln := f.port.listener
	l := ln.loop
	if !l.take(ln) && !(l.makeRoom(f) && l.take(ln)) {
		return errNoRoom
	}
	fd, err := f.socket()
	if isExhausted(err) && l.makeRoom(f) {
		fd, err = f.socket()
	}
	if err != nil {
		l.give(ln)
		if isExhausted(err) {
			return errNoRoom
		}
		return err
	}
	f.fd = int32(fd)
	l.flows[f.fd] = f
	if door := ln.server.engine.hops.Leads(f.member.Address); door != nil {
		door.Enter(f.hops, func() netip.AddrPort { return localAddr(fd) })
	}
	return l.watch(fd, kindFlow)
}

// socket makes a socket that is connected to the member.
func (f *flow) socket() (int, error) {
	fd, err := f.port.listener.server.net.Socket(family(f.member.Address.Addr()), unix.SOCK_DGRAM)
	if err != nil {
		return none, err
	}
	if err := unix.Connect(fd, sockaddr(f.member.Address)); err != nil {
		_ = unix.Close(fd)
		return none, err
	}
	return fd, nil
}

// makeRoom ends the flow that was silent for longest, unless there is no other than f: of f's listener if that has more than
// its share already, so that a flood of forged clients takes nothing from others, else of all in the loop.
func (l *loop) makeRoom(f *flow) bool {
	from := &l.silent
	if ln := f.port.listener; int64(ln.count*l.inUse) >= l.limit {
		from = &ln.silent
	}
	victim := from.first
	if victim == f {
		victim = f.links[from.of].next
	}
	if victim == nil {
		return false
	}
	victim.end(accesslog.Evicted)
	return true
}

// isExhausted says whether there was no descriptor for a socket, or no port (EAGAIN, see connect(2)).
func isExhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.EAGAIN)
}

// leaveMember gives the member and the socket back.
func (f *flow) leaveMember() {
	if f.fd != none {
		ln := f.port.listener
		delete(ln.loop.flows, f.fd)
		_ = unix.Close(int(f.fd))
		f.fd = none
		ln.loop.give(ln)
	}
	if f.member != nil {
		f.member.Release()
		f.meter.Active.Add(-1)
		f.member = nil
	}
}

// loseMember leaves a member that cannot be reached. It rests, so that others do not lose datagrams to it meanwhile.
func (f *flow) loseMember() {
	f.meter.ConnectErrors.Add(1)
	f.member.Rest()
	f.refused = append(f.refused[max(0, len(f.refused)-maxAttempts):], f.member)
	f.leaveMember()
}

// send sends the datagrams from one place of the batch to another to the member. One that has refused what was sent
// before is replaced; what cannot be sent now is dropped.
func (f *flow) send(from, to int) {
	ln := f.port.listener
	f.alive()
	bytes := ln.loop.in.address(from, to, nil)
	f.bytesIn += bytes
	ln.meter.BytesIn.Add(bytes)
	for from < to {
		if f.member == nil && !f.connect() {
			return
		}
		sent, errno := ln.loop.in.send(int(f.fd), from, to)
		from += sent
		switch {
		case errno == 0:
		case isUnreachable(errno):
			f.loseMember()
		case errno == unix.EAGAIN, errno == unix.ENOBUFS:
			return
		default: // too long for the way, or not let through
			from++
		}
	}
	f.meter.BytesIn.Add(bytes)
}

// isUnreachable says whether nobody can be reached at the member's address (ICMP's reasons, see icmp_err_convert in the
// kernel's net/ipv4/icmp.c and net/ipv6/icmp.c).
func isUnreachable(errno syscall.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENOPROTOOPT, unix.EACCES:
		return true
	}
	return false
}

// readMember takes what the member has answered, for the loop to send with the answers of others.
func (f *flow) readMember() {
	ln := f.port.listener
	l := ln.loop
	if l.outPort != f.port || l.outCount == batchSize {
		l.flush()
		l.outPort = f.port
	}
	n, errno := l.out.receive(int(f.fd), l.outCount)
	if isUnreachable(errno) {
		f.loseMember()
	}
	if errno != 0 {
		return
	}
	f.alive()
	f.refused = nil
	bytes := l.out.address(l.outCount, l.outCount+n, &f.to)
	l.outCount += n
	f.bytesOut += bytes
	f.meter.BytesOut.Add(bytes)
	ln.meter.BytesOut.Add(bytes)
}

// flush sends what members have answered. What cannot be sent now is dropped.
func (l *loop) flush() {
	for from := 0; from < l.outCount; {
		sent, errno := l.out.send(l.outPort.fd, from, l.outCount)
		from += sent
		if errno == unix.EAGAIN || errno == unix.ENOBUFS {
			break
		}
		if errno != 0 { // concerns this client alone
			from++
		}
	}
	l.out.reset(0, l.outCount)
	l.outPort, l.outCount = nil, 0
}
