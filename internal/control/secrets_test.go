package control_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/rest"
)

// keeper is a node that serves whatever it is told.
type keeper struct {
	recorder
	control atomic.Pointer[cloud]
}

func (k *keeper) Apply(ctx context.Context, a link.Assignment) error {
	if err := k.recorder.Apply(ctx, a); err != nil {
		return err
	}
	states := map[string]dataplane.ListenerState{}
	for _, l := range a.Config.Listeners {
		states[l.ID] = dataplane.ListenerState{Listening: true}
	}
	if c := k.control.Load(); c != nil {
		c.Report(link.Report{LoadBalancerID: a.LoadBalancerID, Generation: a.Generation, Listeners: states})
	}
	return nil
}

// idle is a node that does nothing.
type idle struct{}

func (idle) Apply(context.Context, link.Assignment) error  { return nil }
func (idle) Remove(context.Context, string) error          { return nil }
func (idle) Prune(context.Context, []string) error         { return nil }
func (idle) Counters(string) map[string]dataplane.Counters { return nil }

func (idle) Members(string) map[dataplane.MemberKey]dataplane.MemberCounters { return nil }
func (idle) History(_, _, _ string) []dataplane.Probe                        { return nil }
func (idle) FollowLog(context.Context, string, string) *accesslog.Follower   { return nil }

// leaves are the certificates that the node serves a listener with.
func (k *keeper) leaves(listenerID string) [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.applied) == 0 {
		return nil
	}
	var all [][]byte
	for _, l := range k.applied[len(k.applied)-1].Config.Listeners {
		if l.ID == listenerID && l.TLS != nil {
			for _, c := range l.TLS.Certificates {
				all = append(all, c.Chain[0])
			}
		}
	}
	return all
}

// startKept is a control plane whose node serves whatever it is told.
func startKept(t *testing.T, db *database.DB) (*cloud, *keeper) {
	t.Helper()
	k := &keeper{}
	c := start(t, db, func(link.Node) link.Node { k.Node = idle{}; return k })
	k.control.Store(c)
	return c, k
}

// terminate gives a load balancer a listener that ends TLS.
func terminate(listener string, port int, attrs lb.ListenerAttrs) func(*lb.LoadBalancer) error {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateListener(lb.ListenerCreate{ID: listener, Protocol: "TERMINATED_HTTPS", ProtocolPort: port, ListenerAttrs: attrs})
		return err
	}
}

func wantLeaves(t *testing.T, k *keeper, what, listener string, want ...[]byte) {
	t.Helper()
	eventually(t, what, func() error {
		got := k.leaves(listener)
		if len(got) != len(want) {
			return fmt.Errorf("%d certificates", len(got))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				return errors.New("another certificate")
			}
		}
		return nil
	})
}

func TestSecretsAreServedRotatedAndKept(t *testing.T) {
	db := databasetest.SQLite(t)
	c, k := startKept(t, db)
	c.withSubnet(t, "127.81.20.0/24")
	first, firstLeaf := bundle(t, time.Now().Add(time.Hour))
	second, secondLeaf := bundle(t, time.Now().Add(time.Hour))
	ref, other := c.vault.store(t, first), c.vault.store(t, second)
	id, listener, broken := c.create(t).Tree.ID, uuid.NewString(), uuid.NewString()
	c.change(t, id, terminate(listener, 443, lb.ListenerAttrs{SNIContainerRefs: lb.Some([]string{ref, other})}))
	c.change(t, id, terminate(broken, 444, lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some("http://cloud.test/v1/secrets/" + uuid.NewString())}))
	wantLeaves(t, k, "both certificates", listener, firstLeaf, secondLeaf)
	s := c.until(t, id, "the listener with a secret that is not there in ERROR, the other not", func(s lb.Snapshot) bool {
		return s.Observed.Status[broken].Operating == lb.InError && s.Observed.Status[listener].Operating == lb.Online && isActive(s)
	})
	if reason := s.Observed.Status[broken].Reason; !strings.Contains(reason, "cannot be read") || !strings.HasPrefix(reason, "http://cloud.test/v1/secrets/") {
		t.Errorf("reason: %s", reason)
	}

	third, thirdLeaf := bundle(t, time.Now().Add(time.Hour))
	c.vault.replace(t, ref, third)
	wantLeaves(t, k, "the rotated certificate", listener, thirdLeaf, secondLeaf)
	c.vault.replace(t, ref, []byte("nonsense"))
	c.until(t, id, "DEGRADED with the reason", func(s lb.Snapshot) bool {
		status := s.Observed.Status[listener]
		return status.Operating == lb.Degraded && strings.HasPrefix(status.Reason, ref+" cannot be read any more, and stays as it was:")
	})
	c.vault.replace(t, ref, third)
	c.until(t, id, "ONLINE again", func(s lb.Snapshot) bool { return s.Observed.Status[listener].Operating == lb.Online })
	c.vault.remove(t, other)
	c.until(t, id, "DEGRADED with the reason", func(s lb.Snapshot) bool {
		return strings.HasPrefix(s.Observed.Status[listener].Reason, other+" cannot be read any more")
	})
	wantLeaves(t, k, "the last good certificates", listener, thirdLeaf, secondLeaf)
	if after := c.until(t, id, "there", isActive); after.Tree.Generation != s.Tree.Generation {
		t.Errorf("generation %d after %d", after.Tree.Generation, s.Tree.Generation)
	}

	c.stop()
	c, k = startKept(t, db)
	c.until(t, id, "in ERROR after a restart", func(s lb.Snapshot) bool {
		return s.Observed.Status[listener].Operating == lb.InError && strings.HasPrefix(s.Observed.Status[listener].Reason, other+" cannot be read: ")
	})
	if got := k.leaves(listener); len(got) > 0 {
		t.Error("it is served nevertheless")
	}
}

func TestExpiredCertificateIsServedAndSaysIt(t *testing.T) {
	c, k := startKept(t, databasetest.SQLite(t))
	c.withSubnet(t, "127.81.21.0/24")
	expired := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	old, leaf := bundle(t, expired)
	ref, id, listener := c.vault.store(t, old), c.create(t).Tree.ID, uuid.NewString()
	c.change(t, id, terminate(listener, 443, lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some(ref)}))
	wantLeaves(t, k, "the expired certificate", listener, leaf)
	c.until(t, id, "DEGRADED", func(s lb.Snapshot) bool {
		want := lb.Status{Operating: lb.Degraded, Reason: "the certificate " + ref + " expired on " + expired.Format(time.RFC3339)}
		got := s.Observed.Status[listener]
		return got.Operating == want.Operating && got.Reason == want.Reason
	})
}

// TestSecretOfAnotherProject is one that the load balancer's project may read only as long as the access list says so.
func TestSecretOfAnotherProject(t *testing.T) {
	c, k := startKept(t, databasetest.SQLite(t))
	c.withSubnet(t, "127.81.22.0/24")
	pkcs, leaf := bundle(t, time.Now().Add(time.Hour))
	foreign := *c.vault
	foreign.caller = rest.Caller{UserID: "w", ProjectID: "q", Roles: []string{"member"}}
	ref, id, listener := foreign.store(t, pkcs), c.create(t).Tree.ID, uuid.NewString()
	c.change(t, id, terminate(listener, 443, lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some(ref)}))
	c.until(t, id, "ERROR", func(s lb.Snapshot) bool { return s.Observed.Status[listener].Operating == lb.InError })
	foreign.call(t, "PUT", pathOf(ref)+"/acl", "application/json", []byte(`{"read": {"users": ["stranger"]}}`))
	foreign.call(t, "PUT", pathOf(ref)+"/acl", "application/json", []byte(`{"read": {"users": ["v"]}}`))
	wantLeaves(t, k, "the shared certificate", listener, leaf)
}

// TestRevocationsFollowTheirAuthority keeps a pair that fits.
func TestMissingAuthorityKeepsMembersFromBeingUsed(t *testing.T) {
	c, k := startKept(t, databasetest.SQLite(t))
	c.withSubnet(t, "127.81.23.0/24")
	_, leaf := bundle(t, time.Now().Add(time.Hour))
	ca := c.vault.store(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}))
	if _, err := x509.ParseCertificate(leaf); err != nil {
		t.Fatal(err)
	}
	id, member := c.create(t).Tree.ID, lb.MemberCreate{Address: greeter(t, "one").Addr(), ProtocolPort: 80}
	add := func(port int, ca string) {
		c.change(t, id, addListener("TCP", port, "TCP", lb.PoolAttrs{TLSEnabled: lb.Some(true), CATLSContainerRef: lb.Some(ca)}, member))
	}
	add(1000, ca)
	add(1001, ca+"0")
	s := c.until(t, id, "one pool in ERROR", func(s lb.Snapshot) bool {
		return isActive(s) && s.Observed.Status[s.Tree.Pools[1].ID].Operating == lb.InError
	})
	for _, p := range k.last().Config.Pools {
		if isGood := p.ID == s.Tree.Pools[0].ID; isGood != (len(p.Members) == 1) || isGood != (p.TLS != nil) {
			t.Errorf("pool %+v", p)
		}
	}
}

// TestHandshakeShowsTheNewestCertificate goes through the real data plane: a rotated secret shows in the next handshake, and a
// connection that is open stays so.
func TestHandshakeShowsTheNewestCertificate(t *testing.T) {
	c := start(t, databasetest.SQLite(t), nil).withSubnet(t, "127.81.24.0/24")
	first, firstLeaf := bundle(t, time.Now().Add(time.Hour))
	ref, s, listener := c.vault.store(t, first), c.create(t), uuid.NewString()
	address := netip.AddrPortFrom(s.Tree.VIP.Address, freePort(t, s.Tree.VIP.Address))
	c.change(t, s.Tree.ID, terminate(listener, int(address.Port()), lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some(ref)}))
	shows := func(want []byte) func() error {
		return func() error {
			connection, err := dialTLS(address)
			if err != nil {
				return err
			}
			defer connection.Close()
			if got := connection.ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(got, want) {
				return errors.New("another certificate")
			}
			return nil
		}
	}
	eventually(t, "the first certificate", shows(firstLeaf))
	open, err := dialTLS(address)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	second, secondLeaf := bundle(t, time.Now().Add(time.Hour))
	c.vault.replace(t, ref, second)
	eventually(t, "the second certificate", shows(secondLeaf))
	if _, err := io.WriteString(open, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(open), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Body.Close() != nil { // there is no pool
		t.Errorf("status %d", answer.StatusCode)
	}
}

func dialTLS(address netip.AddrPort) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
}
