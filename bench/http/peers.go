package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"poise/bench/site"
)

// policies of three rules each are the same for everybody: HOST_NAME, PATH and HEADER.
const policies = 20

func startHAProxy(s *site.Site, ip string) (*site.Process, error) {
	pem, _, err := writeCertificate(s.Dir)
	if err != nil {
		return nil, err
	}
	var c strings.Builder
	c.WriteString("global\n nbthread 2\n maxconn 9600\ndefaults\n mode http\n retries 3\n option redispatch\n option http-keep-alive\n" +
		" option forwardfor\n timeout client 50s\n timeout server 50s\n timeout connect 5s\n")
	fmt.Fprintf(&c, "frontend plain\n bind %s:%d\n default_backend members\n", ip, portPlain)
	fmt.Fprintf(&c, "frontend tls\n bind %s:%d ssl crt %s alpn h2,http/1.1 ssl-min-ver TLSv1.2\n default_backend members\n", ip, portTLS, pem)
	fmt.Fprintf(&c, "frontend policies\n bind %s:%d\n", ip, portPolicies)
	for i := range policies {
		fmt.Fprintf(&c, " acl host%d req.hdr(host) -i -m str %s\n acl path%d path -m beg %s\n acl header%d req.hdr(X-Tenant) -m sub %s\n",
			i, policyHost(i), i, policyPath(i), i, policyHeader(i))
		fmt.Fprintf(&c, " use_backend members if host%d path%d header%d\n", i, i, i)
	}
	c.WriteString(" default_backend members\nbackend members\n http-reuse safe\n balance roundrobin\n")
	fmt.Fprintf(&c, " server a %s:%d\n server b %s:%d\n", site.MemberA, portPlain, site.MemberB, portPlain)
	path := filepath.Join(s.Dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(c.String()), 0o600); err != nil {
		return nil, err
	}
	return s.Start(ip, exec.Command("haproxy", "-db", "-f", path))
}

func startNginx(s *site.Site, ip string) (*site.Process, error) {
	certificate, key, err := writeCertificate(s.Dir)
	if err != nil {
		return nil, err
	}
	var c strings.Builder
	fmt.Fprintf(&c, "daemon off;\nuser root;\nworker_processes 2;\npid %s/nginx.pid;\nerror_log stderr error;\n", s.Dir)
	c.WriteString("worker_rlimit_nofile 20000;\nevents { worker_connections 9900; }\nhttp {\n access_log off;\n keepalive_requests 1000000;\n keepalive_timeout 60s;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&c, " %s_temp_path %s/%s;\n", kind, s.Dir, kind)
	}
	fmt.Fprintf(&c, " upstream members { server %s:%d; server %s:%d; keepalive 128; keepalive_requests 1000000; }\n",
		site.MemberA, portPlain, site.MemberB, portPlain)
	location := " location / { proxy_pass http://members; proxy_http_version 1.1; proxy_set_header Connection \"\"; " +
		"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Host $http_host; }"
	fmt.Fprintf(&c, " server { listen %s:%d; %s }\n", ip, portPlain, location)
	fmt.Fprintf(&c, " server { listen %s:%d ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:a:10m; http2_max_requests 100000000;\n"+
		" ssl_certificate %s; ssl_certificate_key %s; %s }\n}\n", ip, portTLS, certificate, key, location)
	path := filepath.Join(s.Dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(c.String()), 0o600); err != nil {
		return nil, err
	}
	return s.Start(ip, exec.Command("nginx", "-c", path, "-e", "stderr", "-p", s.Dir))
}

func policyHost(i int) string   { return fmt.Sprintf("tenant%d.example", i) }
func policyPath(i int) string   { return fmt.Sprintf("/app%d/", i) }
func policyHeader(i int) string { return fmt.Sprintf("gold%d", i) }
