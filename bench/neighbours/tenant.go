package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"poise/bench/server"
)

// The ports of the load balancers.
const (
	webPort     = 80   // HTTP
	securePort  = 443  // TERMINATED_HTTPS
	patternPort = 8081 // HTTP with L7 policies of regular expressions; of A alone
	bulkPort    = 9000 // TCP
)

// tenant is a project with a network of its own, two servers in it, and a load balancer in front of one of them.
type tenant struct {
	api
	name, projectID, subnet string
	client, memberSpace     string // namespaces
	memberIP, vip           string
	balancer, pool          string
	member                  string // path of the pool's member
	webListener             string

	process *process // the member's
}

// newTenant makes a tenant on a server. Its member runs in the group; nil for none.
func newTenant(ctx context.Context, s *server.Server, name string, group *cgroup) (t *tenant, err error) {
	admin, err := signInAdmin(ctx, s)
	if err != nil {
		return nil, err
	}
	t = &tenant{name: name}
	steps := []func() error{
		func() error { return t.makeProject(ctx, admin, s.Address()) },
		func() error { return t.makeNetwork(ctx) },
		func() error { t.client, _, err = t.makeServer(ctx, admin, "client"); return err },
		func() error { t.memberSpace, t.memberIP, err = t.makeServer(ctx, admin, "member"); return err },
		func() error {
			t.process, err = start(t.memberSpace, group, "member", t.memberIP)
			return err
		},
		func() error { return t.makeBalancer(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return t, fmt.Errorf("tenant %s: %w", name, err)
		}
	}
	return t, nil
}

// close ends the member.
func (t *tenant) close() error {
	if t == nil || t.process == nil {
		return nil
	}
	return t.process.stop()
}

func (t *tenant) makeProject(ctx context.Context, admin api, root string) error {
	project, err := admin.create(ctx, identity+"/projects", "project", object{"name": t.name})
	if err != nil {
		return err
	}
	user, err := admin.create(ctx, identity+"/users", "user", object{"name": t.name, "password": password})
	if err != nil {
		return err
	}
	all, _, err := admin.send(ctx, http.MethodGet, identity+"/roles?name=member", "", nil)
	if err != nil {
		return err
	}
	roles, _ := all["roles"].([]any)
	if len(roles) != 1 {
		return fmt.Errorf("%d roles member", len(roles))
	}
	role, _ := roles[0].(map[string]any)
	t.projectID = id(project)
	path := identity + "/projects/" + t.projectID + "/users/" + id(user) + "/roles/" + id(role)
	if _, _, err := admin.send(ctx, http.MethodPut, path, "", nil); err != nil {
		return err
	}
	t.api, err = signIn(ctx, root, t.name, password, t.name)
	return err
}

func (t *tenant) makeNetwork(ctx context.Context) error {
	made, err := t.create(ctx, network+"/networks", "network", object{"name": t.name})
	if err != nil {
		return err
	}
	subnet, err := t.create(ctx, network+"/subnets", "subnet", object{"network_id": id(made), "ip_version": 4, "cidr": "10.20.0.0/16"})
	t.subnet = id(subnet)
	return err
}

// makeServer makes a server whose port is open; it is a namespace.
func (t *tenant) makeServer(ctx context.Context, admin api, name string) (namespace, ip string, err error) {
	subnet, _, err := t.send(ctx, http.MethodGet, network+"/subnets/"+t.subnet, "subnet", nil)
	if err != nil {
		return "", "", err
	}
	port, err := admin.create(ctx, network+"/ports", "port", object{
		"network_id": subnet["network_id"], "project_id": t.projectID, "port_security_enabled": false,
		"fixed_ips": []object{{"subnet_id": t.subnet}},
	})
	if err != nil {
		return "", "", err
	}
	fixed, _ := port["fixed_ips"].([]any)
	first, _ := fixed[0].(map[string]any)
	ip, _ = first["ip_address"].(string)
	made, err := admin.create(ctx, "/compute/v2.1/servers", "server", object{
		"name": t.name + "-" + name, "networks": []object{{"port": id(port)}},
	})
	if err != nil {
		return "", "", err
	}
	err = server.Until(ctx, func() error {
		shown, _, err := admin.send(ctx, http.MethodGet, "/compute/v2.1/servers/"+id(made), "server", nil)
		if namespace, _ = shown["OS-EXT-SRV-ATTR:instance_name"].(string); err == nil && shown["status"] != "ACTIVE" {
			err = fmt.Errorf("server %s is %v", name, shown["status"])
		}
		return err
	})
	return namespace, ip, err
}

// makeBalancer makes the load balancer with a pool of one member and the listeners that all attacks need.
func (t *tenant) makeBalancer(ctx context.Context) error {
	lb, err := t.create(ctx, lbaas+"/loadbalancers", "loadbalancer", object{"vip_subnet_id": t.subnet})
	if err != nil {
		return err
	}
	t.balancer, t.vip = id(lb), fmt.Sprint(lb["vip_address"])
	certificate, err := t.storeCertificate(ctx)
	if err != nil {
		return err
	}
	if t.pool, t.member, err = t.makePool(ctx, "HTTP", portWeb); err != nil {
		return err
	}
	bulk, _, err := t.makePool(ctx, "TCP", portSource)
	if err != nil {
		return err
	}
	if t.webListener, err = t.makeListener(ctx, webPort, object{"protocol": "HTTP", "default_pool_id": t.pool}); err != nil {
		return err
	}
	for port, attributes := range map[int]object{
		securePort: {"protocol": "TERMINATED_HTTPS", "default_pool_id": t.pool, "default_tls_container_ref": certificate, "alpn_protocols": []string{"h2", "http/1.1"}},
		bulkPort:   {"protocol": "TCP", "default_pool_id": bulk},
	} {
		if _, err := t.makeListener(ctx, port, attributes); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) makePool(ctx context.Context, protocol string, port int) (pool, member string, err error) {
	made, err := t.create(ctx, lbaas+"/pools", "pool", object{"loadbalancer_id": t.balancer, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"})
	if err != nil {
		return "", "", err
	}
	path := lbaas + "/pools/" + id(made) + "/members"
	m, err := t.create(ctx, path, "member", object{"address": t.memberIP, "protocol_port": port})
	return id(made), path + "/" + id(m), err
}

// makeListener waits until it answers.
func (t *tenant) makeListener(ctx context.Context, port int, attributes object) (listener string, err error) {
	attributes["loadbalancer_id"], attributes["protocol_port"] = t.balancer, port
	made, err := t.create(ctx, lbaas+"/listeners", "listener", attributes)
	if err != nil {
		return "", err
	}
	return id(made), server.Until(ctx, func() error {
		shown, _, err := t.send(ctx, http.MethodGet, lbaas+"/listeners/"+id(made), "listener", nil)
		if err == nil && (shown["provisioning_status"] != "ACTIVE" || shown["operating_status"] != "ONLINE") {
			err = fmt.Errorf("listener at port %d is %v and %v", port, shown["provisioning_status"], shown["operating_status"])
		}
		return err
	})
}

// at is the address of one of the load balancer's ports.
func (t *tenant) at(port int) string { return net.JoinHostPort(t.vip, strconv.Itoa(port)) }

// storeCertificate stores a certificate that signs itself, and returns its reference.
func (t *tenant) storeCertificate(ctx context.Context) (reference string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example"}, DNSNames: []string{"www.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	private, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err = errors.Join(err, keyErr); err != nil {
		return "", err
	}
	var parts []object
	for name, block := range map[string]*pem.Block{
		"certificate": {Type: "CERTIFICATE", Bytes: certificate}, "private_key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		secret, _, err := t.send(ctx, http.MethodPost, "/key-manager/v1/secrets", "", object{
			"payload": base64.StdEncoding.EncodeToString(pem.EncodeToMemory(block)), "payload_content_type": "application/octet-stream",
			"payload_content_encoding": "base64",
		})
		if err != nil {
			return "", err
		}
		parts = append(parts, object{"name": name, "secret_ref": secret["secret_ref"]})
	}
	container, _, err := t.send(ctx, http.MethodPost, "/key-manager/v1/containers", "", object{"type": "certificate", "secret_refs": parts})
	reference, _ = container["container_ref"].(string)
	return reference, err
}
