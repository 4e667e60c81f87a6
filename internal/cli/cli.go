// Package cli is poise's command line: the commands that talk to a server that runs, as ordinary clients of its public
// APIs, and what the command line says when something fails.
package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Commands are all commands but serve.
func Commands() []*cobra.Command {
	return []*cobra.Command{labCommand(), versionCommand()}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which poise this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "poise", version())
			return err
		},
	}
}

// version is what the Go toolchain has written into the binary: a tag, or the commit and its time.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version + " " + info.GoVersion
}
