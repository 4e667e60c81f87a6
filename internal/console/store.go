package console

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"poise/internal/pkcs12"
)

// certificatesPath is the page with the certificates.
const certificatesPath = Base + "/certificates"

var certificatePages = []page{
	{method: "GET", pattern: "/certificates", handle: (*view).showCertificates, live: true},
	{method: "GET", pattern: "/certificates/new", handle: (*view).storeCertificate},
	{method: "POST", pattern: "/certificates/new", handle: (*view).storeCertificate},
	{method: "GET", pattern: "/certificates/{region}/{kind}/{certificate}/replace", handle: (*view).replaceCertificate},
	{method: "POST", pattern: "/certificates/{region}/{kind}/{certificate}/replace", handle: (*view).replaceCertificate},
	{method: "GET", pattern: "/certificates/{region}/{kind}/{certificate}/delete", handle: (*view).deleteCertificate},
	{method: "POST", pattern: "/certificates/{region}/{kind}/{certificate}/delete", handle: (*view).deleteCertificate},
}

// The forms in which a certificate is stored.
const (
	asPEM    = "pem"
	asBundle = "pkcs12"
)

var certificateForms = []option{{asPEM, "PEM"}, {asBundle, "PKCS #12 file"}}

func (v *view) showCertificates() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	all, err := v.knownCertificates(c)
	if err != nil {
		return err
	}
	return v.render(v.certificatesPage(c.region, all))
}

// knownCertificates are those of a region, with who uses them.
func (v *view) knownCertificates(c *cloud) ([]certificate, error) {
	all, err := c.certificates(v.r.Context())
	if err != nil {
		return nil, err
	}
	_, balancers, err := v.balancers(c.region)
	usedBy(all, balancers)
	return all, err
}

// placeCertificate is the certificate that the address of a page names.
func (v *view) placeCertificate() (*cloud, certificate, error) {
	c, err := v.open(v.r.PathValue("region"))
	if err != nil {
		return nil, certificate{}, err
	}
	all, err := v.knownCertificates(c)
	if err != nil {
		return nil, certificate{}, err
	}
	i := slices.IndexFunc(all, func(s certificate) bool {
		return s.kind == v.r.PathValue("kind") && s.id() == v.r.PathValue("certificate")
	})
	if i < 0 {
		return nil, certificate{}, &fault{status: http.StatusNotFound, message: "Certificate not found."}
	}
	return c, all[i], nil
}

func (v *view) storeCertificate() error {
	f := v.form()
	f.preset(map[string]string{"region": v.person.Region, "form": asPEM})
	c, err := v.open(f.value("region"))
	if err != nil {
		return err
	}
	if v.isCopy() {
		return v.render(copied(storeCommands(f), storeBlocks(f)))
	}
	if v.isPost() {
		if f.value("name") == "" {
			f.refuse("name", "A certificate needs a name, so that you find it again.")
		}
		store := v.storePEM
		if f.value("form") == asBundle {
			store = v.storeBundle
		}
		ok, err := f.send(func() error { return store(c, f) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished("Certificate "+f.value("name")+" is stored.", certificatesPath)
		}
	}
	return v.renderForm(f, v.storePane(f))
}

// secret is one that is to be made.
type secret struct{ part, kind, payload string }

// pemSecrets are what was typed of a certificate. What it lacks is refused.
func pemSecrets(f *form, keyIsOptional bool) []secret {
	all := []secret{
		{"certificate", "certificate", f.value("certificate")},
		{"private_key", "private", f.value("private_key")},
		{"private_key_passphrase", "passphrase", f.values.Get("private_key_passphrase")},
		{"intermediates", "certificate", f.value("intermediates")},
	}
	all = slices.DeleteFunc(all, func(s secret) bool { return s.payload == "" })
	if firstCertificate([]byte(f.value("certificate"))) == nil {
		f.refuse("certificate", "This is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----.")
	}
	if text := f.value("intermediates"); text != "" && firstCertificate([]byte(text)) == nil {
		f.refuse("intermediates", "These are no certificates in PEM.")
	}
	key, _ := pem.Decode([]byte(f.value("private_key")))
	switch {
	case f.value("private_key") == "" && keyIsOptional:
	case key == nil || !strings.HasSuffix(key.Type, "PRIVATE KEY"):
		f.refuse("private_key", "This is no private key in PEM, which begins with -----BEGIN PRIVATE KEY----- or alike.")
	case f.value("private_key_passphrase") == "" && len(f.errors) == 0 && !strings.Contains(key.Type, "ENCRYPTED") && key.Headers["DEK-Info"] == "":
		if _, err := tls.X509KeyPair([]byte(f.value("certificate")), []byte(f.value("private_key"))); err != nil {
			f.refuse("private_key", "The private key does not belong to the certificate: "+err.Error()+".")
		}
	}
	return all
}

// storePEM makes a secret of each part and a container of them. What was made before a refusal is taken back.
func (v *view) storePEM(c *cloud, f *form) error {
	ctx := v.r.Context()
	parts := pemSecrets(f, false)
	if f.isBad() {
		return &fault{status: http.StatusUnprocessableEntity, message: f.problem}
	}
	var refs []body
	for _, s := range parts {
		ref, err := c.makeStored(ctx, "secrets", body{
			"name": partName(f.value("name"), s.part), "secret_type": s.kind, "payload": s.payload, "payload_content_type": text,
		})
		if err != nil {
			return errors.Join(err, c.takeBack(ctx, refs))
		}
		refs = append(refs, body{"name": s.part, "secret_ref": ref})
	}
	if _, err := c.makeStored(ctx, "containers", body{"name": f.value("name"), "type": "certificate", "secret_refs": refs}); err != nil {
		return errors.Join(err, c.takeBack(ctx, refs))
	}
	return nil
}

// storeBundle makes a secret of a file.
func (v *view) storeBundle(c *cloud, f *form) error {
	bundle, err := v.bundle(f)
	if err != nil {
		return err
	}
	_, err = c.makeStored(v.r.Context(), "secrets", body{
		"name": f.value("name"), "secret_type": "opaque", "payload": base64.StdEncoding.EncodeToString(bundle),
		"payload_content_type": binary, "payload_content_encoding": "base64",
	})
	return err
}

// bundle is the file that was chosen.
func (v *view) bundle(f *form) ([]byte, error) {
	refused := func(message string) error {
		f.errors["pkcs12"] = message
		return &fault{status: http.StatusUnprocessableEntity}
	}
	file, _, err := v.r.FormFile("pkcs12")
	if err != nil {
		return nil, refused("Choose a file.")
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxPayload))
	if err != nil {
		return nil, refused("The file could not be read.")
	}
	if _, _, err := pkcs12.Decode(content, maxBundleIterations); err != nil {
		return nil, refused("The file is no PKCS #12 bundle without passphrase: " + err.Error())
	}
	return content, nil
}

// makeStored makes a secret or a container, and gives its address.
func (c *cloud) makeStored(ctx context.Context, plural string, in body) (ref string, err error) {
	var out map[string]string
	if err := c.call(ctx, keyManaging, http.MethodPost, plural, in, &out); err != nil {
		return "", err
	}
	return out[strings.TrimSuffix(plural, "s")+"_ref"], nil
}

// takeBack deletes secrets.
func (c *cloud) takeBack(ctx context.Context, refs []body) error {
	var all error
	for _, r := range refs {
		ref, _ := r["secret_ref"].(string)
		all = errors.Join(all, c.call(ctx, keyManaging, http.MethodDelete, "secrets/"+url.PathEscape(path.Base(ref)), nil, nil))
	}
	return all
}

// replaceCertificate puts other payloads into the secrets of a certificate; who uses it gets them by and by.
func (v *view) replaceCertificate() error {
	c, stored, err := v.placeCertificate()
	if err != nil {
		return err
	}
	f := v.form()
	if v.isCopy() {
		return v.render(copied(stored.replaceCommands(), ""))
	}
	if v.isPost() {
		ok, err := f.send(func() error { return v.replace(c, stored, f) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished("Certificate "+stored.label()+" is replaced.", certificatesPath)
		}
	}
	return v.renderForm(f, v.replacePane(c.region, stored, f))
}

// replace carries the form out. The certificate comes last, so that it finds its key.
func (v *view) replace(c *cloud, stored certificate, f *form) error {
	if stored.kind == "secrets" {
		content, err := v.bundle(f)
		if err != nil {
			return err
		}
		return c.putPayload(v.r.Context(), stored.ref, binary, content)
	}
	parts := pemSecrets(f, true)
	if f.isBad() {
		return &fault{status: http.StatusUnprocessableEntity, message: f.problem}
	}
	slices.Reverse(parts)
	for _, s := range parts {
		ref := stored.parts[s.part]
		if ref == "" {
			return &fault{status: http.StatusConflict, field: s.part, message: "This certificate was stored without it. Store a new certificate, and choose that one in the listener."}
		}
		if err := c.putPayload(v.r.Context(), ref, text, []byte(s.payload)); err != nil {
			return err
		}
	}
	return nil
}

// deleteCertificate asks whether a certificate is to be deleted, and does it: a container goes with its secrets.
func (v *view) deleteCertificate() error {
	c, stored, err := v.placeCertificate()
	if err != nil {
		return err
	}
	f := v.form()
	if v.isCopy() {
		return v.render(copied(stored.deleteCommands(), ""))
	}
	f.problem = stored.inUse()
	if v.isPost() {
		ok, err := f.send(func() error { return c.deleteStored(v.r.Context(), stored) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished("Certificate "+stored.label()+" is deleted.", certificatesPath)
		}
	}
	return v.renderForm(f, v.deleteObjectPane("Certificate", stored.label(), v.r.URL.Path, f))
}

func (c *cloud) deleteStored(ctx context.Context, stored certificate) error {
	err := c.call(ctx, keyManaging, http.MethodDelete, stored.kind+"/"+url.PathEscape(stored.id()), nil, nil)
	if err != nil {
		return err
	}
	var refs []body
	for _, ref := range stored.parts {
		refs = append(refs, body{"secret_ref": ref})
	}
	return c.takeBack(ctx, refs)
}
