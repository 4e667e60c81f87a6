package barbican_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/acls"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/containers"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
	"poise/internal/rest"
)

const password = "demo-password"

// cloud is a server with identity service and key manager, for real clients.
type cloud struct {
	*testing.T
	url string
}

func newCloud(t *testing.T, db *database.DB) *cloud {
	t.Helper()
	mux := http.NewServeMux()
	log := slog.New(slog.DiscardHandler)
	server := httptest.NewServer(rest.Frame{Log: log}.Around(mux))
	t.Cleanup(server.Close)
	identity, err := keystone.New(t.Context(), keystone.Config{
		DB: db, Region: "RegionOne", PublicURL: server.URL, Log: log,
		Endpoints: []keystone.Endpoint{{Type: "key-manager", Name: "barbican", Path: "/key-manager"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Bootstrap(t.Context(), keystone.Accounts(password, password)); err != nil {
		t.Fatal(err)
	}
	service, err := barbican.New(t.Context(), barbican.Config{
		DB: db, PublicURL: server.URL + "/key-manager", KeyFile: filepath.Join(t.TempDir(), "secrets.key"), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, api := range map[string]http.Handler{
		keystone.Path: identity.Handler(), "/key-manager": rest.Authenticate(identity, identity.URL(), service.Handler()),
	} {
		mux.Handle(prefix, http.StripPrefix(prefix, api))
		mux.Handle(prefix+"/", http.StripPrefix(prefix, api))
	}
	return &cloud{T: t, url: server.URL}
}

// openstack runs commands in one session of the command-line client as the user, and returns what it says.
func (c *cloud) openstack(user string, commands ...string) string {
	c.Helper()
	client, err := exec.LookPath("openstack")
	if err != nil {
		c.Skip("python-openstackclient is not installed")
	}
	session := exec.CommandContext(c.Context(), client)
	session.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.TempDir(), "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne",
		"OS_AUTH_URL=" + c.url + keystone.Path + "/v3", "PYTHONWARNINGS=ignore",
		"OS_USERNAME=" + user, "OS_PASSWORD=" + password, "OS_PROJECT_NAME=" + user,
		"OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default",
	}
	session.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var output bytes.Buffer
	session.Stdout, session.Stderr = &output, &output
	if err := session.Run(); err != nil {
		c.Fatalf("%v\n%s", err, &output)
	}
	if strings.Contains(output.String(), "Unknown command") {
		c.Skip("python-barbicanclient is not installed")
	}
	return output.String()
}

var (
	blankLines = regexp.MustCompile(`\n\s*\n`)
	aReference = regexp.MustCompile(`http://\S+/v1/secrets/[0-9a-f-]{36}`)
	aTime      = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\s"]*`)
)

// tidy leaves out what differs from run to run.
func (c *cloud) tidy(text string) string {
	text = strings.ReplaceAll(text, c.url+"/key-manager/v1", "<api>")
	text = aTime.ReplaceAllString(text, "<time>")
	return strings.TrimSpace(blankLines.ReplaceAllString(text, "\n")) + "\n"
}

func TestOpenStackClient(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		bundle := "\x30\x82\x01\x00\xff"
		made := aReference.FindAllString(c.openstack(
			"demo",
			"secret store --name tls --secret-type certificate --payload-content-type text/plain --payload PEM",
			"secret store --name bundle -t application/octet-stream -e base64 --payload "+base64.StdEncoding.EncodeToString([]byte(bundle))+"",
			"secret store --name later",
		), -1)
		if len(made) != 3 {
			t.Fatalf("references: %q", made)
		}
		file := filepath.Join(t.TempDir(), "bundle")
		got := c.openstack(
			"demo",
			"secret list -f value",
			"secret get "+made[0]+" -f value -c Name -c Created",
			"secret get "+made[0]+" --payload -f value",
			"secret get "+made[1]+" --payload_content_type application/octet-stream --file "+file,
			"secret update "+made[2]+" now",
			"secret get "+made[2]+" --payload -f value",
			"secret container create --name box --type certificate --secret certificate="+made[0]+" -f value -c Name -c Type",
			"secret container list -f value -c Name -c Type -c Secrets",
			"acl user add --user 0123 "+made[0]+" --project-access -f value",
			"acl get "+made[0]+" -f value",
			"acl delete "+made[0],
			"secret delete "+made[2],
			"secret get "+made[2],
			"secret list --limit 1 --offset 1 -f value -c Name",
		)
		want, err := os.ReadFile("testdata/client.golden")
		if err != nil {
			t.Fatal(err)
		}
		text := c.tidy(strings.NewReplacer(made[0], "<tls>", made[1], "<bundle>", made[2], "<later>").Replace(got))
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("session (-want +got):\n%s", diff)
		}
		if content, err := os.ReadFile(file); err != nil || string(content) != bundle {
			t.Errorf("the bundle came back as %q: %v", content, err)
		}
		foreign := c.openstack("admin", "secret list -f value", "secret get "+made[0], "secret get "+made[0]+" --payload", "secret delete "+made[0])
		if strings.Count(foreign, "4xx Client error: Forbidden") != 3 || strings.Contains(foreign, "PEM") {
			t.Errorf("another project's session:\n%s", foreign)
		}
	})
}

func TestGophercloud(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	ctx := t.Context()
	provider, err := openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
		IdentityEndpoint: c.url + keystone.Path + "/v3", Username: "demo", Password: password, TenantName: "demo", DomainName: "Default",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.HTTPClient.CloseIdleConnections)
	manager, err := openstack.NewKeyManagerV1(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		t.Fatal(err)
	}
	id := testGophercloudSecret(t, manager)
	testGophercloudContainer(t, manager, id)
	testGophercloudACL(t, manager, id)
	if err := secrets.Delete(ctx, manager, id).ExtractErr(); err != nil {
		t.Error(err)
	}
}

// lastOf is the id at the end of a reference.
func lastOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func testGophercloudSecret(t *testing.T, manager *gophercloud.ServiceClient) string {
	ctx, expiration := t.Context(), time.Date(2199, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := secrets.Create(ctx, manager, secrets.CreateOpts{Name: "tls", SecretType: secrets.OpaqueSecret, Expiration: &expiration}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := lastOf(made.SecretRef)
	err = secrets.Update(ctx, manager, id, secrets.UpdateOpts{
		ContentType: "application/octet-stream", ContentEncoding: "base64", Payload: "AP8=",
	}).ExtractErr()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := secrets.GetPayload(ctx, manager, id, secrets.GetPayloadOpts{PayloadContentType: "application/octet-stream"}).Extract()
	if err != nil || string(payload) != "\x00\xff" {
		t.Errorf("payload %q: %v", payload, err)
	}
	pages, err := secrets.List(manager, secrets.ListOpts{
		Name: "tls", CreatedQuery: &secrets.DateQuery{Date: time.Now().Add(-time.Hour), Filter: secrets.DateFilterGT}, Limit: 1,
	}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := secrets.ExtractSecrets(pages)
	if err != nil || len(listed) != 1 || !listed[0].Expiration.Equal(expiration) || listed[0].Created.IsZero() || listed[0].ContentTypes["default"] != "application/octet-stream" {
		t.Errorf("secrets %+v: %v", listed, err)
	}
	if _, err := secrets.CreateMetadata(ctx, manager, id, secrets.MetadataOpts{"a": "1"}).Extract(); err != nil {
		t.Error(err)
	}
	if err := secrets.CreateMetadatum(ctx, manager, id, secrets.MetadatumOpts{Key: "b", Value: "2"}).ExtractErr(); err != nil {
		t.Error(err)
	}
	if _, err := secrets.UpdateMetadatum(ctx, manager, id, secrets.MetadatumOpts{Key: "b", Value: "3"}).Extract(); err != nil {
		t.Error(err)
	}
	if err := secrets.DeleteMetadatum(ctx, manager, id, "a").ExtractErr(); err != nil {
		t.Error(err)
	}
	metadata, err := secrets.GetMetadata(ctx, manager, id).Extract()
	if diff := cmp.Diff(map[string]string{"b": "3"}, metadata); err != nil || diff != "" {
		t.Errorf("metadata: %v\n%s", err, diff)
	}
	return id
}

func testGophercloudContainer(t *testing.T, manager *gophercloud.ServiceClient, id string) {
	ctx := t.Context()
	secret, err := secrets.Get(ctx, manager, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	made, err := containers.Create(ctx, manager, containers.CreateOpts{Type: containers.GenericContainer, Name: "box"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	box := lastOf(made.ContainerRef)
	ref := containers.SecretRef{Name: "bundle", SecretRef: secret.SecretRef}
	if _, err := containers.CreateSecretRef(ctx, manager, box, ref).Extract(); err != nil {
		t.Fatal(err)
	}
	consumer := containers.CreateConsumerOpts{Name: "octavia", URL: "lbaas://RegionOne/loadbalancer/1"}
	got, err := containers.CreateConsumer(ctx, manager, box, consumer).Extract()
	if err != nil || len(got.SecretRefs) != 1 || got.SecretRefs[0] != ref || len(got.Consumers) != 1 || got.Created.IsZero() {
		t.Errorf("container %+v: %v", got, err)
	}
	pages, err := containers.ListConsumers(manager, box, nil).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if listed, err := containers.ExtractConsumers(pages); err != nil || len(listed) != 1 || listed[0].URL != consumer.URL {
		t.Errorf("consumers %+v: %v", listed, err)
	}
	if _, err := containers.DeleteConsumer(ctx, manager, box, containers.DeleteConsumerOpts(consumer)).Extract(); err != nil {
		t.Error(err)
	}
	if err := containers.DeleteSecretRef(ctx, manager, box, ref).ExtractErr(); err != nil {
		t.Error(err)
	}
	if err := containers.Delete(ctx, manager, box).ExtractErr(); err != nil {
		t.Error(err)
	}
}

func testGophercloudACL(t *testing.T, manager *gophercloud.ServiceClient, id string) {
	ctx := t.Context()
	users, projectAccess := []string{"0123"}, false
	options := acls.SetOpts{{Type: "read", Users: &users, ProjectAccess: &projectAccess}}
	if _, err := acls.SetSecretACL(ctx, manager, id, options).Extract(); err != nil {
		t.Fatal(err)
	}
	got, err := acls.GetSecretACL(ctx, manager, id).Extract()
	if err != nil || (*got)["read"].ProjectAccess || cmp.Diff(users, (*got)["read"].Users) != "" || (*got)["read"].Created.IsZero() {
		t.Errorf("access list %+v: %v", got, err)
	}
	if err := acls.DeleteSecretACL(ctx, manager, id).ExtractErr(); err != nil {
		t.Error(err)
	}
}
