// Package clouds writes and reads the clouds.yaml that a server keeps in its data directory: how OpenStack's clients
// reach it, and with which credentials. It is also where the server's first passwords are kept: the file is written
// before the users are made, so a crash in between costs nothing.
package clouds

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// The clouds of the file: who runs the service, and who uses it.
const (
	Admin = "poise-admin"
	User  = "poise"
)

// FileName is the name of the file in the data directory.
const FileName = "clouds.yaml"

// File is a clouds.yaml.
type File struct {
	Clouds map[string]Cloud `yaml:"clouds"`
}

// Cloud is one entry.
type Cloud struct {
	Auth               Auth   `yaml:"auth"`
	RegionName         string `yaml:"region_name"`
	IdentityAPIVersion string `yaml:"identity_api_version"`
}

// Auth is how to sign in.
type Auth struct {
	AuthURL           string `yaml:"auth_url"`
	Username          string `yaml:"username"`
	Password          string `yaml:"password"`
	ProjectName       string `yaml:"project_name"`
	UserDomainName    string `yaml:"user_domain_name"`
	ProjectDomainName string `yaml:"project_domain_name"`
}

// Ensure makes the file in dir say how the server at authURL is reached. The passwords are those that the file has
// already; where it has none, newPassword makes one. isNew tells that there was no file.
func Ensure(dir, authURL, region string, newPassword func() string) (file File, isNew bool, err error) {
	path := filepath.Join(dir, FileName)
	old, err := Read(path)
	isNew = errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return File{}, false, err
	}
	file = File{Clouds: map[string]Cloud{}}
	for name, user := range map[string]string{Admin: "admin", User: "demo"} {
		password := old.Clouds[name].Auth.Password
		if password == "" {
			password = newPassword()
		}
		file.Clouds[name] = cloud(authURL, region, user, password)
	}
	if reflect.DeepEqual(file, old) { // so that a start needs no room on the disk
		return file, false, nil
	}
	return file, isNew, write(path, file)
}

// cloud describes the sign-in of a user to the project of the same name.
func cloud(authURL, region, user, password string) Cloud {
	return Cloud{
		Auth: Auth{
			AuthURL: authURL, Username: user, Password: password, ProjectName: user,
			UserDomainName: "Default", ProjectDomainName: "Default",
		},
		RegionName: region, IdentityAPIVersion: "3",
	}
}

// Read reads a clouds.yaml.
func Read(path string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("credentials: %w", err)
	}
	var file File
	if err := yaml.Unmarshal(text, &file); err != nil {
		return File{}, fmt.Errorf("credentials %s: %w", path, err)
	}
	return file, nil
}

// write replaces the file as a whole: after a crash it is the old one or the new one.
func write(path string, file File) error {
	text, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	next, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	_, err = next.Write(text)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}
