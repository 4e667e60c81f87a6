package keystone_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"

	"poise/internal/database/databasetest"
	"poise/internal/keystone"
)

// openstack runs commands in one session of the command-line client and returns what it says. credentials are OS_
// variables.
func (c *cloud) openstack(credentials []string, commands ...string) string {
	c.Helper()
	client, err := exec.LookPath("openstack")
	if err != nil {
		c.Skip("python-openstackclient is not installed")
	}
	session := exec.CommandContext(c.Context(), client)
	session.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.TempDir(), "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne",
		"OS_AUTH_URL=" + c.url + keystone.Path + "/v3", "PYTHONWARNINGS=ignore",
	}, credentials...)
	session.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var output bytes.Buffer
	session.Stdout, session.Stderr = &output, &output
	if err := session.Run(); err != nil {
		c.Fatalf("%v\n%s", err, &output)
	}
	return output.String()
}

func byPassword(user, password, project string) []string {
	return []string{
		"OS_USERNAME=" + user, "OS_PASSWORD=" + password, "OS_PROJECT_NAME=" + project,
		"OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default",
	}
}

var (
	anID        = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	anAddress   = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)
	aRequest    = regexp.MustCompile(` \(Request-ID: [^)]*\)`)
	blankLines  = regexp.MustCompile(`\n\s*\n`)
	aTokensTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\s"]*`)
)

// anonymous replaces what differs from run to run.
func anonymous(text string) string {
	text = anID.ReplaceAllString(text, "<id>")
	text = anAddress.ReplaceAllString(text, "<address>")
	text = aRequest.ReplaceAllString(text, "")
	text = aTokensTime.ReplaceAllString(text, "<time>")
	return strings.TrimSpace(blankLines.ReplaceAllString(text, "\n")) + "\n"
}

func TestOpenStackClientAsAdministrator(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	got := c.openstack(
		byPassword("admin", adminPassword, "admin"),
		"token issue -f value -c expires",
		"project create web --description websites -f value -c name -c description -c domain_id -c enabled",
		"project create web",
		"user create alice --project web --password secret --email alice@example.org -f value -c name -c email",
		"user set alice --description gardener",
		"role add --user alice --project web member",
		"role assignment list --names --user alice -f value",
		"role assignment list --names --user alice --effective -f value",
		"role list -f value -c Name",
		"role create auditor -f value -c name",
		"role set --name inspector auditor",
		"role delete inspector",
		"implied role list -f value",
		"user list --long -f value -c Name -c Description",
		"user list --project web -f value -c Name",
		"project list --user alice -f value -c Name",
		"project list --my-projects -f value -c Name",
		"catalog list -f value -c Name -c Type",
		"endpoint list --service octavia --interface public -f value -c Region -c URL",
		"versions show --service identity -f value",
		"region list -f value",
		"domain create research -f value -c name",
		"domain delete research",
		"domain set --disable research",
		"domain delete research",
		"domain list -f value -c Name",
		"group list",
		"role remove --user alice --project web member",
		"role assignment list --user alice -f value",
		"project set --disable web",
		"project show web -f value -c enabled",
		"user delete alice",
		"project delete web",
		"project list -f value -c Name",
	)
	want, err := os.ReadFile("testdata/administrator.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), anonymous(got)); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
}

func TestOpenStackClientAsUser(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	got := c.openstack(
		byPassword("demo", demoPassword, "demo"),
		"project list --my-projects -f value -c Name",
		"project show demo -f value -c name",
		"user list",
		"application credential create ci --secret hush --unrestricted -f value -c name -c roles -c secret",
		"application credential list -f value -c Name",
		"user password set --original-password "+demoPassword+" --password fresh",
	)
	want := `demo
demo
You are not authorized to perform the requested action: identity:list_users. (HTTP 403)
ci
member reader
hush
ci
`
	if diff := cmp.Diff(want, anonymous(got)); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	byCredential := []string{
		"OS_AUTH_TYPE=v3applicationcredential", "OS_USERNAME=demo", "OS_USER_DOMAIN_ID=default",
		"OS_APPLICATION_CREDENTIAL_NAME=ci", "OS_APPLICATION_CREDENTIAL_SECRET=hush",
	}
	got = c.openstack(byCredential, "application credential show ci -f value -c name -c unrestricted", "application credential delete ci")
	if diff := cmp.Diff("ci\nTrue\n", anonymous(got)); diff != "" {
		t.Errorf("session by application credential (-want +got):\n%s", diff)
	}
}

func TestGophercloud(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	ctx := t.Context()
	provider, err := openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
		IdentityEndpoint: c.url + keystone.Path, Username: "admin", Password: adminPassword, DomainName: "Default",
		Scope: &gophercloud.AuthScope{ProjectName: "admin", DomainName: "Default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.HTTPClient.CloseIdleConnections)
	identity, err := openstack.NewIdentityV3(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		t.Fatal(err)
	}
	if valid, err := tokens.Validate(ctx, identity, provider.Token()); err != nil || !valid {
		t.Errorf("valid = %v: %v", valid, err)
	}
	project, err := projects.Create(ctx, identity, projects.CreateOpts{Name: "web", DomainID: "default"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	user, err := users.Create(ctx, identity, users.CreateOpts{Name: "alice", Password: "secret", DefaultProjectID: project.ID}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	all, err := roles.List(identity, roles.ListOpts{Name: "member"}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	member, err := roles.ExtractRoles(all)
	if err != nil || len(member) != 1 {
		t.Fatalf("roles %v: %v", member, err)
	}
	err = roles.Assign(ctx, identity, member[0].ID, roles.AssignOpts{UserID: user.ID, ProjectID: project.ID}).ExtractErr()
	if err != nil {
		t.Fatal(err)
	}
	testGophercloudCredential(t, c, project.ID)
}

// testGophercloudCredential lets alice make an application credential on her default project and sign in with it.
func testGophercloudCredential(t *testing.T, c *cloud, projectID string) {
	signIn := func(options gophercloud.AuthOptions) *gophercloud.ServiceClient {
		t.Helper()
		options.IdentityEndpoint = c.url + keystone.Path + "/v3"
		provider, err := openstack.AuthenticatedClient(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(provider.HTTPClient.CloseIdleConnections)
		identity, err := openstack.NewIdentityV3(provider, gophercloud.EndpointOpts{})
		if err != nil {
			t.Fatal(err)
		}
		return identity
	}
	alice := signIn(gophercloud.AuthOptions{Username: "alice", Password: "secret", DomainID: "default"})
	me, err := tokens.Get(t.Context(), alice, alice.Token()).ExtractUser()
	if err != nil {
		t.Fatal(err)
	}
	credential, err := applicationcredentials.Create(t.Context(), alice, me.ID, applicationcredentials.CreateOpts{Name: "ci"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	robot := signIn(gophercloud.AuthOptions{ApplicationCredentialID: credential.ID, ApplicationCredentialSecret: credential.Secret})
	project, err := tokens.Get(t.Context(), robot, robot.Token()).ExtractProject()
	if err != nil || project.ID != projectID {
		t.Errorf("project of the application credential's token is %v, want %s: %v", project, projectID, err)
	}
}
