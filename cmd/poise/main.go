// Command poise is a load balancer as a service in one binary: `poise serve` runs it, and the other commands are clients
// of a server that runs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"poise/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := &cobra.Command{
		Use:           "poise",
		Short:         "Load balancers as a service, in one binary",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(serveCommand())
	root.AddCommand(cli.Commands()...)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if hint := cli.Hint(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint: ", hint)
		}
		os.Exit(cli.ExitCode(err))
	}
}
