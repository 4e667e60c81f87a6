package robust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"poise/internal/clouds"
	"poise/internal/testpki"
)

// silentMembers has many load balancers check members that never answer. A dead member of the
// victim is noticed about as soon as without them.
func (a *attack) silentMembers(t *testing.T) {
	// slack is the interval of the victim's checks: at which moment of it the member dies is by
	// chance.
	const balancers, members, factor, slack = 20, 100, 3, time.Second
	quiet := a.noticed(t)
	silent := make([]object, members)
	for i := range silent {
		silent[i] = object{"address": fmt.Sprintf("10.77.0.%d", 100+i), "protocol_port": 80}
	}
	var made []string
	for range balancers {
		made = append(made, a.another(t, object{"listeners": []object{{"protocol": "TCP", "protocol_port": 80, "default_pool": object{
			"name": "silent", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": silent,
			"healthmonitor": object{"type": "TCP", "delay": 5, "timeout": 5, "max_retries": 1, "max_retries_down": 1},
		}}}}).text("id"))
	}
	for _, id := range made {
		eventually(t, "the silent members are checked", patience, func() error {
			lb := a.attacker.must(t, "GET", lbaas+"/loadbalancers/"+id, "loadbalancer", nil)
			if lb["operating_status"] != "ERROR" {
				return fmt.Errorf("%v %v", lb["provisioning_status"], lb["operating_status"])
			}
			return nil
		})
	}
	for range 2 {
		attacked := a.noticed(t)
		t.Logf("a dead member is noticed after %v, quiet %v", attacked, quiet)
		if attacked > factor*(quiet+slack) {
			t.Errorf("a dead member is noticed after %v, quiet %v", attacked, quiet)
		}
	}
	for _, id := range made {
		a.attacker.must(t, "DELETE", lbaas+"/loadbalancers/"+id+"?cascade=true", "", nil)
	}
}

// noticed is how long it takes until a member of the victim that dies is in ERROR.
func (a *attack) noticed(t *testing.T) time.Duration {
	t.Helper()
	m := a.server.members[0]
	l, err := listenIn(m.namespace, net.JoinHostPort(m.address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var checks atomic.Int64
	member := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { checks.Add(1) })}
	done := make(chan struct{})
	go func() { defer close(done); _ = member.Serve(l) }()
	die := sync.OnceFunc(func() { _ = member.Close(); <-done })
	defer die()
	pool := a.demo.must(t, "POST", lbaas+"/pools", "pool", object{"pool": object{
		"loadbalancer_id": a.victim.lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
	}}).text("id")
	defer func() { a.demo.must(t, "DELETE", lbaas+"/pools/"+pool, "", nil) }()
	a.demo.must(t, "POST", lbaas+"/pools/"+pool+"/members", "member", object{"member": object{
		"address": m.address, "protocol_port": l.Addr().(*net.TCPAddr).Port,
	}})
	a.demo.must(t, "POST", lbaas+"/healthmonitors", "healthmonitor", object{"healthmonitor": object{
		"pool_id": pool, "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2,
	}})
	listener := a.demo.must(t, "POST", lbaas+"/listeners", "listener", object{"listener": object{
		"loadbalancer_id": a.victim.lb, "protocol": "HTTP", "protocol_port": 8000, "default_pool_id": pool,
	}}).text("id")
	defer func() { a.demo.must(t, "DELETE", lbaas+"/listeners/"+listener, "", nil) }()
	until := func(want string) {
		t.Helper()
		eventually(t, "the member is "+want, patience, func() error {
			for _, m := range a.demo.list(t, lbaas+"/pools/"+pool+"/members", "members") {
				if m["operating_status"] != want {
					return fmt.Errorf("it is %v", m["operating_status"])
				}
			}
			return nil
		})
	}
	eventually(t, "the member is checked", patience, func() error {
		if checks.Load() < 2 {
			return errors.New("it is not")
		}
		return nil
	})
	until("ONLINE")
	died := time.Now()
	die()
	until("ERROR")
	return time.Since(died)
}

// slowBundles refers to bundles whose keys take nearly two million iterations to derive, a thousand
// times.
func (a *attack) slowBundles(t *testing.T) {
	const bundles, references, iterations = 5, 1_000, 1_990_000 / 3 // which are for two keys and a MAC
	pair := testpki.NewAuthority(t, "attacker").Issue(t, "slow.example")
	payloads := make([][]byte, bundles)
	var encoding sync.WaitGroup
	for i := range payloads {
		encoding.Go(func() {
			var err error
			if payloads[i], err = pkcs12.Modern.WithIterations(iterations).Encode(pair.Key, pair.Certificate, nil, ""); err != nil {
				t.Error(err)
			}
		})
	}
	encoding.Wait()
	refs := make([]string, 0, references)
	for i, payload := range payloads {
		ref := a.attacker.must(t, "POST", "/key-manager/v1/secrets", "", object{
			"payload": base64.StdEncoding.EncodeToString(payload), "payload_content_type": "application/octet-stream",
			"payload_content_encoding": "base64",
		}).text("secret_ref")
		_, id, _ := strings.Cut(ref, "/key-manager/")
		for n := range references / bundles {
			refs = append(refs, fmt.Sprintf("http://host-%d-%d.example/key-manager/%s", i, n, id))
		}
	}
	listener := func(refs []string) answer {
		begin := time.Now()
		answered, err := a.attacker.send(t.Context(), "POST", lbaas+"/listeners", object{"listener": object{
			"loadbalancer_id": a.attacker.lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443,
			"default_tls_container_ref": refs[0], "sni_container_refs": refs,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d references: %v after %v", len(refs), answered, time.Since(begin))
		return answered
	}
	if answered := listener(refs); answered.status != http.StatusBadRequest || !strings.Contains(string(answered.text), "iterations together") {
		t.Errorf("1,000 references to %d bundles: %v", bundles, answered)
	}
	done := make(chan answer)
	go func() { done <- listener(refs[:references/bundles]) }() // one bundle, by 200 names
	a.wantServed(t)
	if answered := <-done; !answered.ok() {
		t.Errorf("200 references to one bundle: %v", answered)
	}
}

// guesses has somebody guess a password, and a crowd of strangers sign in, each at an account that
// there is not. The owner signs in from where it signed in before, and is served before them.
func (a *attack) guesses(t *testing.T) {
	const wrong, strangers, sources = 10, 400, 40
	owner := func() {
		t.Helper()
		a.signIn(clouds.User)
	}
	owner()
	guesser := newClient(a.listen)
	guesser.http = &http.Client{Transport: from("127.1.1.1")}
	for range wrong {
		if status := guesser.login(t, "demo", "wrong"); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			t.Fatalf("a wrong guess: %d", status)
		}
	}
	if status := guesser.login(t, "demo", "wrong"); status != http.StatusTooManyRequests {
		t.Errorf("guess %d: %d", wrong+1, status)
	}
	var waiting, hashed atomic.Int64
	var crowd sync.WaitGroup
	defer crowd.Wait()
	for i := range strangers {
		crowd.Go(func() {
			stranger := newClient(a.listen)
			stranger.http = &http.Client{Transport: from("127.1.0." + strconv.Itoa(1+i%sources))}
			defer stranger.http.CloseIdleConnections()
			waiting.Add(1)
			if stranger.login(t, fmt.Sprint("stranger ", i), "wrong") == http.StatusUnauthorized {
				hashed.Add(1)
			}
		})
	}
	eventually(t, "the crowd", patience, func() error {
		if waiting.Load() < strangers || hashed.Load() == 0 {
			return errors.New("it is not there yet")
		}
		return nil
	})
	before := hashed.Load()
	begin := time.Now()
	owner()
	took, meanwhile := time.Since(begin), hashed.Load()-before
	crowd.Wait()
	t.Logf("the owner's login took %v, in which %d strangers were served of %d", took, meanwhile, hashed.Load()-before)
	if after := hashed.Load() - before; meanwhile > after/4 {
		t.Errorf("the owner was served after %d of %d strangers", meanwhile, after)
	}
}

// from makes connections from a local address.
func from(address string) *http.Transport {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	return &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1}
}

// login tries a password of a user of the default domain.
func (c client) login(t *testing.T, user, password string) (status int) {
	a, err := c.send(t.Context(), "POST", "/identity/v3/auth/tokens", object{"auth": object{"identity": object{
		"methods":  []string{"password"},
		"password": object{"user": object{"name": user, "password": password, "domain": object{"id": "default"}}},
	}}})
	if err != nil {
		t.Error(err)
	}
	return a.status
}

// floatingIPs has the attacker take floating IPs until it is refused. There are some left for the
// victim.
func (a *attack) floatingIPs(t *testing.T) {
	const enough = 130 // more than the network has
	var taken []string
	for {
		answered, err := a.attacker.send(t.Context(), "POST", "/network/v2.0/floatingips", object{"floatingip": object{"floating_network_id": a.external}})
		if err != nil {
			t.Fatal(err)
		}
		if answered.status == http.StatusConflict && strings.Contains(string(answered.text), "Quota exceeded") {
			t.Logf("floating IP %d is refused: %v", len(taken)+1, answered)
			break
		}
		if !answered.ok() || len(taken) == enough {
			t.Fatalf("floating IP %d: %v", len(taken)+1, answered)
		}
		taken = append(taken, answered.inside("floatingip").text("id"))
	}
	a.demo.must(t, "POST", "/network/v2.0/floatingips", "floatingip", object{"floatingip": object{"floating_network_id": a.external}})
	for id := range slices.Values(taken) {
		a.attacker.must(t, "DELETE", "/network/v2.0/floatingips/"+id, "", nil)
	}
}
