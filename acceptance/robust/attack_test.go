package robust

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/testhost"
)

// TestAttacks has a tenant do its worst, in one way after the other, on one server. Another tenant
// is served all the same.
func TestAttacks(t *testing.T) {
	s := newServer(t, "")
	a := &attack{server: s, attacker: s.newTenant("attacker"), victim: newGarden(t, s)}
	for _, one := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a member that is the load balancer itself", a.circleOfOne},
		{"two load balancers that are each other's members", a.circleOfTwo},
		{"9,500 held clients", func(t *testing.T) { a.heldClients(t, 9_500) }},
		{"20,000 held clients", func(t *testing.T) { a.heldClients(t, 20_000) }},
		{"400 policies with regular expressions", a.expressions},
		{"20 load balancers of silent members", a.silentMembers},
		{"1,000 references to slow bundles", a.slowBundles},
		{"guesses and strangers", a.guesses},
		{"all floating IPs", a.floatingIPs},
	} {
		t.Run(one.name, one.run)
	}
}

// attack is a server with a tenant who attacks, and one who wants to be served.
type attack struct {
	*server
	attacker *tenant
	victim   *garden
}

const (
	// victimRequests are what the victim's clients ask while an attack goes on.
	victimRequests = 100
	// victimPatience is how long each of them waits.
	victimPatience = 10 * time.Second
	// Nineteen of twenty answers of the victim come within victimLimit and controlFactor times what
	// the member itself takes.
	victimLimit   = 100 * time.Millisecond
	controlFactor = 3
)

// wantServed asks the victim, each time on a new connection, and in turn its member without the
// load balancer: what that takes is the machine's doing.
func (a *attack) wantServed(t *testing.T) {
	t.Helper()
	m := a.server.members[0]
	var victim, control []time.Duration
	for range victimRequests {
		for to, times := range map[string]*[]time.Duration{
			net.JoinHostPort(a.victim.vip, "80"): &victim, net.JoinHostPort(m.address, strconv.Itoa(memberPort)): &control,
		} {
			begin := time.Now()
			if status, err := get(a.victim.network, to, "/", ""); err != nil || status != http.StatusOK {
				t.Fatalf("%s, request %d: %d %v", to, len(*times), status, err)
			}
			*times = append(*times, time.Since(begin))
		}
	}
	slices.Sort(victim)
	slices.Sort(control)
	const most = victimRequests * 95 / 100
	t.Logf("victim: median %v, 95 %% within %v; control: %v, %v", victim[victimRequests/2], victim[most], control[victimRequests/2], control[most])
	if limit := victimLimit + controlFactor*control[most]; victim[most] > limit {
		t.Errorf("19 of 20 requests took up to %v, want %v", victim[most], limit)
	}
}

// get asks once, on a new connection from inside a namespace, with further lines of the head.
func get(namespace, address, path, head string) (status int, err error) {
	c, err := dial(namespace, address, victimPatience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(victimPatience))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: garden.example\r\nConnection: close\r\n%s\r\n", path, head); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}

// wantReason waits for a reason at one of the attacker's objects.
func (a *attack) wantReason(t *testing.T, path, kind, want string) {
	t.Helper()
	eventually(t, "the reason "+want, patience, func() error {
		o := a.attacker.must(t, "GET", lbaas+path+"?status_reasons=true", kind, nil)
		if !strings.Contains(o.text("status_reason"), want) {
			return fmt.Errorf("%v: %v", o["operating_status"], o["status_reason"])
		}
		return nil
	})
}

// relay makes a TCP listener at a load balancer of the attacker, whose only member is another
// address.
func (a *attack) relay(t *testing.T, lb string, port int, member string, memberPort int) (listener string) {
	t.Helper()
	pool := a.attacker.must(t, "POST", lbaas+"/pools", "pool", object{"pool": object{
		"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN",
	}}).text("id")
	a.attacker.must(t, "POST", lbaas+"/pools/"+pool+"/members", "member", object{"member": object{
		"address": member, "protocol_port": memberPort,
	}})
	listener = a.attacker.must(t, "POST", lbaas+"/listeners", "listener", object{"listener": object{
		"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": port, "default_pool_id": pool,
	}}).text("id")
	eventually(t, "the relay", patience, func() error {
		l := a.attacker.must(t, "GET", lbaas+"/listeners/"+listener, "listener", nil)
		if l["provisioning_status"] != "ACTIVE" {
			return fmt.Errorf("%v", l)
		}
		return nil
	})
	return listener
}

func (a *attack) circleOfOne(t *testing.T) {
	a.circle(t, 81, a.relay(t, a.attacker.lb, 81, a.attacker.vip, 81))
}

func (a *attack) circleOfTwo(t *testing.T) {
	second := a.another(t, object{})
	a.relay(t, second.text("id"), 82, a.attacker.vip, 82)
	a.circle(t, 82, a.relay(t, a.attacker.lb, 82, second.text("vip_address"), 82))
}

// another makes another load balancer beside the attacker's first one.
func (a *attack) another(t *testing.T, with object) object {
	t.Helper()
	first := a.attacker.must(t, "GET", lbaas+"/loadbalancers/"+a.attacker.lb, "loadbalancer", nil)
	with["vip_subnet_id"] = first["vip_subnet_id"]
	return a.attacker.must(t, "POST", lbaas+"/loadbalancers", "loadbalancer", object{"loadbalancer": with})
}

// circle sends a few clients into a circle. It takes few descriptors, all of which are back when
// they have gone.
func (a *attack) circle(t *testing.T, port int, listener string) {
	const clients, most = 3, 100
	before := a.openDescriptors()
	held, err := dialMany(a.attacker.inside, net.JoinHostPort(a.attacker.vip, strconv.Itoa(port)), clients)
	defer func() { closeAll(held) }()
	if err != nil && !errors.Is(err, unix.ECONNRESET) { // who closes the circle may be turned away before the connect returns
		t.Fatal(err)
	}
	a.wantReason(t, "/listeners/"+listener, "listener", "leads back to the load balancer itself")
	a.wantServed(t)
	if now := a.openDescriptors(); now > before+most {
		t.Errorf("%d clients take %d descriptors", clients, now-before)
	}
	closeAll(held)
	eventually(t, "the end of the circle", patience, func() error {
		if now := a.openDescriptors(); now > before+clients {
			return fmt.Errorf("%d descriptors, before %d", now, before)
		}
		return nil
	})
}

// heldClients holds clients that say nothing at the attacker's listener.
func (a *attack) heldClients(t *testing.T, n int) {
	release := holdClients(t, a.attacker.inside, net.JoinHostPort(a.attacker.vip, "80"), n)
	defer release()
	a.wantServed(t)
	a.demo.list(t, lbaas+"/loadbalancers", "loadbalancers")
	if n > openFiles(t)*3/4 {
		a.wantReason(t, "/listeners/"+a.attacker.listener, "listener", "new clients wait")
	}
	release()
}

func (a *attack) expressions(t *testing.T) {
	const policies, size = 400, 8_000
	list := make([]object, policies)
	for i := range list { // none has letters that a request must hold: each is compared with every byte
		list[i] = object{"action": "REJECT", "rules": []object{{
			"type": "HEADER", "key": "X-Sample", "compare_type": "REGEX", "value": fmt.Sprintf("(x+x+)+[^x][0-%d][0-%d]$", 1+i%9, 1+i/9%9),
		}}}
	}
	list[policies-1]["rules"] = []object{{"type": "HEADER", "key": "X-Sample", "compare_type": "REGEX", "value": "forbidden$"}}
	lb := a.another(t, object{"listeners": []object{{"protocol": "HTTP", "protocol_port": 80, "l7policies": list}}})
	address := net.JoinHostPort(lb.text("vip_address"), "80")
	costly, padded := "X-Sample: "+strings.Repeat("x", size)+"\r\n", "X-Sample: "+strings.Repeat("x", size)+"forbidden\r\n"
	eventually(t, "no way around a REJECT by padding", patience, func() error {
		status, err := get(a.attacker.inside, address, "/", padded)
		if err == nil && status != http.StatusForbidden {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	for range 2 {
		attackers.Go(func() {
			for ctx.Err() == nil {
				if status, err := get(a.attacker.inside, address, "/", costly); err != nil || status != http.StatusServiceUnavailable {
					t.Errorf("a costly request: %d %v", status, err)
					return
				}
			}
		})
	}
	a.wantServed(t)
	stop()
	attackers.Wait()
}

// holdClients holds so many clients, in processes of their own, as each may have 20,000 files open.
func holdClients(t *testing.T, namespace, address string, n int) (release func()) {
	t.Helper()
	const each = 10_000
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var ends []func()
	release = sync.OnceFunc(func() {
		for _, end := range ends {
			end()
		}
	})
	t.Cleanup(release)
	var outputs []*bufio.Reader
	for left := n; left > 0; left -= each {
		program := exec.Command("nsenter", "--net="+filepath.Join(testhost.NamespaceDir, namespace), self)
		program.Stderr = os.Stderr
		program.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", holderVariable, address, min(left, each)))
		in, err := program.StdinPipe()
		out, outErr := program.StdoutPipe()
		if err := errors.Join(err, outErr, program.Start()); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, func() { _ = in.Close(); _ = program.Wait() })
		outputs = append(outputs, bufio.NewReader(out))
	}
	for _, out := range outputs {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("a process that holds clients: %v", err)
		}
		t.Logf("held: %s", strings.TrimSpace(line))
	}
	return release
}

// holderVariable makes this program hold clients: an address, and how many.
const holderVariable = "POISE_TEST_HOLD"

// hold connects clients and holds them until its input ends. Who is not let in within two seconds
// gives up.
func hold(what string) int {
	var address string
	var n int
	if _, err := fmt.Sscan(what, &address, &n); err != nil {
		fmt.Fprintln(os.Stderr, holderVariable, err)
		return 1
	}
	const atOnce = 500
	var mu sync.Mutex
	var held []net.Conn
	var dialers sync.WaitGroup
	for range atOnce {
		dialers.Go(func() {
			for range n / atOnce {
				c, err := net.DialTimeout("tcp4", address, 2*time.Second)
				if err != nil {
					return
				}
				mu.Lock()
				held = append(held, c)
				mu.Unlock()
			}
		})
	}
	dialers.Wait()
	fmt.Println(len(held), "of", n)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
