package clouds

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestPasswordsStayAndAddressesFollow(t *testing.T) {
	dir, made := t.TempDir(), 0
	newPassword := func() string { made++; return "password-" + strconv.Itoa(made) }
	first, _, err := Ensure(dir, "http://127.0.0.1:1/identity/v3", "RegionOne", newPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Ensure(dir, "http://127.0.0.1:2/identity/v3", "Elsewhere", newPassword); err != nil {
		t.Fatal(err)
	}
	second, err := Read(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Admin, User} {
		before, after := first.Clouds[name], second.Clouds[name]
		if before.Auth.Password == "" || before.Auth.Password != after.Auth.Password {
			t.Errorf("%s: password %q became %q", name, before.Auth.Password, after.Auth.Password)
		}
		if after.Auth.AuthURL != "http://127.0.0.1:2/identity/v3" || after.RegionName != "Elsewhere" {
			t.Errorf("%s: still says %s, %s", name, after.Auth.AuthURL, after.RegionName)
		}
	}
	if made != 2 {
		t.Errorf("%d passwords were made, want 2", made)
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file is %v (%v), want 0600", info.Mode(), err)
	}
}

func TestDamagedFileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte("clouds: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Ensure(dir, "x", "y", func() string { return "z" }); err == nil {
		t.Error("a file that cannot be read was overwritten")
	}
}

// TestUnchangedFileIsNotWritten starts twice with the same settings. The file stays as it is, so that a start needs no
// room on the disk.
func TestUnchangedFileIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	ensure := func() os.FileInfo {
		t.Helper()
		if _, _, err := Ensure(dir, "http://127.0.0.1:1/identity/v3", "RegionOne", func() string { return "secret" }); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, FileName))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if first, second := ensure(), ensure(); !os.SameFile(first, second) { // a written one is another inode
		t.Error("the file was written again")
	}
}
