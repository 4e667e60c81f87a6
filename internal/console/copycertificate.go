package console

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// storedFiles are the files that the commands for a certificate read, by the part of the container. Commands name files,
// so that no private key is shown or lands in the history of a shell.
var storedFiles = []struct{ part, kind, file string }{
	{"certificate", "certificate", "certificate.pem"},
	{"private_key", "private", "key.pem"},
	{"private_key_passphrase", "passphrase", "passphrase.txt"},
	{"intermediates", "certificate", "intermediates.pem"},
}

// storeCommands are the openstack commands for storing a certificate: the secrets first, then the container of them.
func storeCommands(f *form) string {
	name := f.value("name")
	if f.value("form") == asBundle {
		return lines([]string{
			"openstack secret store", "--name=" + quoted(name), "--payload-content-type=" + binary, "--payload-content-encoding=base64",
			`--payload="$(base64 -w0 < bundle.p12)"`,
		}, nil)
	}
	var commands []string
	container := []string{"openstack secret container create", "--type=certificate", "--name=" + quoted(name)}
	for _, s := range storedFiles {
		if f.value(s.part) == "" && s.part != "certificate" && s.part != "private_key" {
			continue
		}
		commands = append(commands, s.part+"=$("+lines([]string{
			"openstack secret store", "--name=" + quoted(partName(name, s.part)), "--secret-type=" + s.kind,
			"--payload-content-type=" + text, `--payload="$(cat ` + s.file + `)"`, "-c 'Secret href' -f value",
		}, nil)+")")
		container = append(container, `--secret="`+s.part+`=$`+s.part+`"`)
	}
	return strings.Join(append(commands, lines(container, nil)), "\n")
}

// partName is how a secret of a container is called.
func partName(name, part string) string { return name + " " + strings.ReplaceAll(part, "_", " ") }

// storeBlocks are the blocks of Terraform for the same.
func storeBlocks(f *form) string {
	name := f.value("name")
	label := labelOf(name)
	if f.value("form") == asBundle {
		return secretBlock(label, name, "opaque", `  payload = filebase64("bundle.p12")`, binary, `  payload_content_encoding = "base64"`)
	}
	var blocks []string
	var refs strings.Builder
	for _, s := range storedFiles {
		if f.value(s.part) == "" && s.part != "certificate" && s.part != "private_key" {
			continue
		}
		blocks = append(blocks, secretBlock(label+"_"+s.part, partName(name, s.part), s.kind, fmt.Sprintf("  payload = file(%q)", s.file), text))
		fmt.Fprintf(&refs, "  secret_refs {\n    name = %q\n    secret_ref = openstack_keymanager_secret_v1.%s_%s.secret_ref\n  }\n", s.part, label, s.part)
	}
	blocks = append(blocks, fmt.Sprintf("resource \"openstack_keymanager_container_v1\" %q {\n  name = %s\n  type = \"certificate\"\n%s}", label, literal(name), refs.String()))
	return strings.Join(blocks, "\n\n")
}

func secretBlock(label, name, kind, payload, contentType string, more ...string) string {
	words := append([]string{
		fmt.Sprintf("resource \"openstack_keymanager_secret_v1\" %q {", label),
		"  name = " + literal(name), fmt.Sprintf("  secret_type = %q", kind), payload, fmt.Sprintf("  payload_content_type = %q", contentType),
	}, more...)
	return strings.Join(append(words, "}"), "\n")
}

// replaceCommands put files into the secrets of a certificate, the certificate last.
func (c certificate) replaceCommands() string {
	put := func(ref, contentType, file string) string {
		return lines([]string{
			`curl -fsS -X PUT -H "X-Auth-Token: $(openstack token issue -c id -f value)"`, "-H 'Content-Type: " + contentType + "'", "--data-binary @" + file,
		}, []string{ref})
	}
	if c.kind == "secrets" {
		return put(c.ref, binary, "bundle.p12")
	}
	var commands []string
	for _, s := range slices.Backward(storedFiles) {
		if ref := c.parts[s.part]; ref != "" {
			commands = append(commands, put(ref, text, s.file))
		}
	}
	return strings.Join(commands, "\n")
}

// deleteCommands delete a certificate: a container goes with its secrets.
func (c certificate) deleteCommands() string {
	if c.kind == "secrets" {
		return lines([]string{"openstack secret delete"}, []string{c.ref})
	}
	commands := []string{lines([]string{"openstack secret container delete"}, []string{c.ref})}
	for _, part := range slices.Sorted(maps.Keys(c.parts)) {
		commands = append(commands, lines([]string{"openstack secret delete"}, []string{c.parts[part]}))
	}
	return strings.Join(commands, "\n")
}
