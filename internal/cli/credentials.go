package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/spf13/cobra"

	"poise/internal/clouds"
	"poise/internal/config"
)

// errNoCloud says that a clouds.yaml lacks the wanted entry.
var errNoCloud = errors.New("the cloud is not in the file")

// credentials say as whom a command signs in: by the OS_* variables when they hold an address, else by an entry of a
// clouds.yaml: that of --data-dir, of OS_CLIENT_CONFIG_FILE, or of the server's default data directory.
type credentials struct {
	cloud   string // of clouds.yaml
	dataDir string
}

func (c *credentials) flags(cmd *cobra.Command, cloud string) {
	cmd.PersistentFlags().StringVar(&c.cloud, "cloud", cloud, "entry of clouds.yaml to sign in with")
	cmd.PersistentFlags().StringVar(&c.dataDir, "data-dir", "", "the server's data directory, to take its clouds.yaml")
}

// signIn returns a client with a token, and the region to work in.
func (c *credentials) signIn(ctx context.Context) (*gophercloud.ProviderClient, string, error) {
	if c.dataDir == "" && os.Getenv("OS_AUTH_URL") != "" {
		options, err := openstack.AuthOptionsFromEnv()
		if err != nil {
			return nil, "", fmt.Errorf("credentials of the environment: %w", err)
		}
		provider, err := openstack.AuthenticatedClient(ctx, options)
		return provider, os.Getenv("OS_REGION_NAME"), err
	}
	cloud, err := c.read()
	if err != nil {
		return nil, "", err
	}
	provider, err := openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
		IdentityEndpoint: cloud.Auth.AuthURL, Username: cloud.Auth.Username, Password: cloud.Auth.Password,
		DomainName: cloud.Auth.UserDomainName, AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: cloud.Auth.ProjectName, DomainName: cloud.Auth.ProjectDomainName},
	})
	return provider, cloud.RegionName, err
}

func (c *credentials) read() (clouds.Cloud, error) {
	path, err := c.path()
	if err != nil {
		return clouds.Cloud{}, err
	}
	file, err := clouds.Read(path)
	if err != nil {
		return clouds.Cloud{}, err
	}
	cloud, ok := file.Clouds[c.cloud]
	if !ok {
		return clouds.Cloud{}, fmt.Errorf("credentials %s, cloud %s: %w", path, c.cloud, errNoCloud)
	}
	return cloud, nil
}

func (c *credentials) path() (string, error) {
	if file := os.Getenv("OS_CLIENT_CONFIG_FILE"); c.dataDir == "" && file != "" {
		return file, nil
	}
	dir := c.dataDir
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, clouds.FileName), nil
}
