package console

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"poise/internal/pkcs12"
)

const (
	// maxStored containers, and as many secrets, of the key manager are looked into.
	maxStored = 500
	// maxPayload is the largest payload in bytes that is read.
	maxPayload = 256 << 10
	// maxBundleIterations bounds what opening a bundle costs, which happens whenever the page is shown: some milliseconds.
	maxBundleIterations = 50_000
	// soonDays and urgentDays are the days before a certificate ends at which it is marked.
	soonDays, urgentDays = 30, 7
)

// storedContainer and storedSecret are objects of the key manager as its API shows them.
type storedContainer struct {
	Ref     string      `json:"container_ref"`
	Name    string      `json:"name"`
	Type    string      `json:"type"`
	Secrets []secretRef `json:"secret_refs"`
}

type storedSecret struct {
	Ref          string            `json:"secret_ref"`
	Name         string            `json:"name"`
	Type         string            `json:"secret_type"`
	ContentTypes map[string]string `json:"content_types"`
}

type secretRef struct {
	Name string `json:"name"`
	Ref  string `json:"secret_ref"`
}

// certificate is something of the key manager that a listener can refer to.
type certificate struct {
	ref, name string
	kind      string            // container or secret, as the key manager's paths have it in the plural
	parts     map[string]string // of a container: its secrets' addresses by name
	leaf      *x509.Certificate // nil when it could not be read
	problem   string            // why not
	users     []certificateUser
}

// certificateUser is a listener that refers to a certificate.
type certificateUser struct {
	balancer *balancer
	listener listener
}

func (c certificate) id() string { return path.Base(c.ref) }

func (c certificate) label() string { return named(c.name, c.id()) }

// path is the address of one of its pages.
func (c certificate) path(region, rest string) string {
	return certificatesPath + "/" + url.PathEscape(region) + "/" + c.kind + "/" + url.PathEscape(c.id()) + rest
}

// days are those that are left; negative when it has ended.
func (c certificate) days(now time.Time) int {
	left := c.leaf.NotAfter.Sub(now)
	if left < 0 {
		return -1 - int(-left/(24*time.Hour))
	}
	return int(left / (24 * time.Hour))
}

// tone is how good it is that a certificate has so many days left.
func (c certificate) tone(now time.Time) string {
	switch days := c.days(now); {
	case days < urgentDays:
		return "bad"
	case days < soonDays:
		return "warn"
	}
	return "ok"
}

// ends says when a certificate ends.
func (c certificate) ends(now time.Time) string {
	switch days := c.days(now); {
	case days < 0:
		return "expired"
	case days == 0:
		return "less than a day"
	default:
		return countedWord(days, "day")
	}
}

// subject and issuer are the names that people look for.
func (c certificate) subject() string {
	return cmp.Or(c.leaf.Subject.CommonName, c.leaf.Subject.String())
}

func (c certificate) issuer() string {
	if c.leaf.Issuer.String() == c.leaf.Subject.String() {
		return "itself"
	}
	return cmp.Or(c.leaf.Issuer.CommonName, c.leaf.Issuer.String())
}

// names are the subject's alternative names.
func (c certificate) names() []string {
	all := slices.Clone(c.leaf.DNSNames)
	for _, ip := range c.leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// listStored reads a list of the key manager, whose pages are told apart by offsets.
func listStored[T any](ctx context.Context, c *cloud, plural string) ([]T, error) {
	const step = 100
	var all []T
	for len(all) < maxStored {
		var objects struct {
			Secrets    []T `json:"secrets"`
			Containers []T `json:"containers"`
		}
		query := fmt.Sprintf("%s?limit=%d&offset=%d", plural, step, len(all))
		if err := c.call(ctx, keyManaging, http.MethodGet, query, nil, &objects); err != nil {
			return nil, err
		}
		got := append(objects.Secrets, objects.Containers...)
		all = append(all, got...)
		if len(got) < step {
			break
		}
	}
	return all, nil
}

// payload reads what a secret holds. Secrets are named by address; the key manager is asked at its own.
func (c *cloud) payload(ctx context.Context, ref string) ([]byte, error) {
	root, err := c.endpoint(keyManaging)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := c.client.Request(ctx, http.MethodGet, root+"secrets/"+url.PathEscape(path.Base(ref))+"/payload", &gophercloud.RequestOpts{
		KeepResponseBody: true, OkCodes: []int{200}, MoreHeaders: map[string]string{"Accept": "*/*"},
	})
	if err != nil {
		return nil, faultOf(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxPayload))
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return content, nil
}

// putPayload gives a secret another payload.
func (c *cloud) putPayload(ctx context.Context, ref, contentType string, content []byte) error {
	root, err := c.endpoint(keyManaging)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = c.client.Request(ctx, http.MethodPut, root+"secrets/"+url.PathEscape(path.Base(ref)), &gophercloud.RequestOpts{
		RawBody: strings.NewReader(string(content)), OkCodes: []int{204}, MoreHeaders: map[string]string{"Content-Type": contentType},
	})
	return faultOf(err)
}

// certificates are those of the project: containers with a certificate, and secrets that are bundles. Those that end first
// come first.
func (c *cloud) certificates(ctx context.Context) ([]certificate, error) {
	containers, err := listStored[storedContainer](ctx, c, "containers")
	if err != nil {
		return nil, err
	}
	secrets, err := listStored[storedSecret](ctx, c, "secrets")
	if err != nil {
		return nil, err
	}
	var all []certificate
	for _, stored := range containers {
		found := certificate{ref: stored.Ref, name: stored.Name, kind: "containers", parts: map[string]string{}}
		for _, s := range stored.Secrets {
			found.parts[s.Name] = s.Ref
		}
		if found.parts["certificate"] != "" && found.parts["private_key"] != "" {
			all = append(all, c.read(ctx, found, found.parts["certificate"]))
		}
	}
	for _, s := range secrets {
		if s.ContentTypes["default"] == binary {
			if found := c.read(ctx, certificate{ref: s.Ref, name: s.Name, kind: "secrets"}, s.Ref); found.leaf != nil || found.problem != "" {
				all = append(all, found)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b certificate) int {
		if a.leaf == nil || b.leaf == nil {
			return cmp.Compare(len(b.problem), len(a.problem))
		}
		return a.leaf.NotAfter.Compare(b.leaf.NotAfter)
	})
	return all, nil
}

// binary is the content type of bundles; certificates and keys in PEM are text.
const binary, text = "application/octet-stream", "text/plain"

// read looks into a certificate. A secret that is no bundle at all is no certificate, and has no problem either.
func (c *cloud) read(ctx context.Context, found certificate, ref string) certificate {
	content, err := c.payload(ctx, ref)
	if err != nil {
		found.problem = "It may not be read: " + err.Error()
		return found
	}
	if found.kind == "containers" {
		if found.leaf = firstCertificate(content); found.leaf == nil {
			found.problem = "It holds no certificate that can be read."
		}
		return found
	}
	_, chain, err := pkcs12.Decode(content, maxBundleIterations)
	if slow := (pkcs12.TooSlow{}); errors.As(err, &slow) {
		found.problem = slow.Error()
	}
	if err == nil {
		found.leaf = chain[0]
	}
	return found
}

// firstCertificate is the first of some certificates in PEM, or one in DER; nil when there is none.
func firstCertificate(content []byte) *x509.Certificate {
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			content = block.Bytes
			break
		}
	}
	leaf, err := x509.ParseCertificate(content)
	if err != nil {
		return nil
	}
	return leaf
}

// usedBy notes which listeners refer to each certificate.
func usedBy(all []certificate, balancers []*balancer) {
	for i := range all {
		id := all[i].id()
		for _, b := range balancers {
			for _, l := range b.listeners {
				if l.refersTo(id) {
					all[i].users = append(all[i].users, certificateUser{b, l})
				}
			}
		}
	}
}

// refersTo tells whether the listener refers to a secret or container.
func (l listener) refersTo(id string) bool {
	refs := append([]string{l.TLSContainer, l.ClientCA, l.ClientCRL}, l.SNIContainers...)
	return slices.ContainsFunc(refs, func(ref string) bool { return ref != "" && path.Base(ref) == id })
}

// certificateOptions are the lines of a dropdown, with what the listener has now even if that is nowhere to be found.
func certificateOptions(all []certificate, current ...string) []option {
	var options []option
	for _, c := range all {
		label := c.label()
		if c.leaf != nil {
			label += " (" + c.subject() + ", " + c.ends(time.Now()) + ")"
		}
		options = append(options, option{c.ref, label})
	}
	for _, ref := range current {
		if ref != "" && ref != typeAddress && !slices.ContainsFunc(options, func(o option) bool { return o.value == ref }) {
			options = append(options, option{ref, ref})
		}
	}
	return options
}

// inUse says that something may not go because listeners need it; "" when none does.
func (c certificate) inUse() string {
	if len(c.users) == 0 {
		return ""
	}
	first := c.users[0]
	said := "Listener " + first.listener.label() + " of load balancer " + first.balancer.label() + " uses it"
	if more := len(c.users) - 1; more > 0 {
		said += ", and so do " + strconv.Itoa(more) + " more"
	}
	return said + "."
}
