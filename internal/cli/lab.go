package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"poise/internal/clouds"
	"poise/internal/lab"
)

func labCommand() *cobra.Command {
	as := &credentials{}
	command := &cobra.Command{
		Use:   "lab",
		Short: "Networks and servers to play with",
		Long: "A playground in the project " + lab.Project + ": a network with three servers that greet, an external network, and a\n" +
			"router between them. It is made through the server's APIs and needs an administrator's credentials.",
	}
	as.flags(command, clouds.Admin)
	command.AddCommand(labUpCommand(as), labDownCommand(as), labStatusCommand(as), labServerCommand(as), labExecCommand(as))
	return command
}

// open signs in and returns the lab.
func (c *credentials) open(cmd *cobra.Command) (*lab.Lab, error) {
	provider, region, err := c.signIn(cmd.Context())
	if err != nil {
		return nil, err
	}
	return lab.New(provider, region, cmd.OutOrStdout())
}

// withLab makes a command's function of what it does with the lab.
func (c *credentials) withLab(do func(cmd *cobra.Command, l *lab.Lab, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := c.open(cmd)
		if err != nil {
			return readable(err)
		}
		return readable(do(cmd, l, args))
	}
}

func labUpCommand(as *credentials) *cobra.Command {
	ncat := false
	command := &cobra.Command{
		Use:   "up",
		Short: "Make the lab, or what is missing of it",
		Args:  cobra.NoArgs,
		RunE: as.withLab(func(cmd *cobra.Command, l *lab.Lab, _ []string) error {
			program := lab.Builtin
			if ncat {
				program = lab.Ncat
			}
			if err := l.Up(cmd.Context(), program); err != nil {
				return err
			}
			l.Welcome()
			return nil
		}),
	}
	command.Flags().BoolVar(&ncat, "ncat", false, "let the servers greet with Nmap's ncat, which must be installed")
	return command
}

func labDownCommand(as *credentials) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the lab, with the load balancers and floating IPs in it",
		Args:  cobra.NoArgs,
		RunE:  as.withLab(func(cmd *cobra.Command, l *lab.Lab, _ []string) error { return l.Down(cmd.Context()) }),
	}
}

func labStatusCommand(as *credentials) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show networks, servers and load balancers of the lab",
		Args:  cobra.NoArgs,
		RunE:  as.withLab(func(cmd *cobra.Command, l *lab.Lab, _ []string) error { return l.Status(cmd.Context()) }),
	}
}

func labServerCommand(as *credentials) *cobra.Command {
	command := &cobra.Command{Use: "server", Short: "Start and stop what the servers of the lab serve"}
	command.AddCommand(
		&cobra.Command{
			Use:   "start NAME",
			Short: "Let the server greet again",
			Args:  cobra.ExactArgs(1),
			RunE: as.withLab(func(cmd *cobra.Command, l *lab.Lab, args []string) error {
				return l.StartService(cmd.Context(), args[0])
			}),
		},
		&cobra.Command{
			Use:   "stop NAME",
			Short: "Close the server's port; the server itself stays up",
			Args:  cobra.ExactArgs(1),
			RunE: as.withLab(func(cmd *cobra.Command, l *lab.Lab, args []string) error {
				return l.StopService(cmd.Context(), args[0])
			}),
		},
	)
	return command
}

func labExecCommand(as *credentials) *cobra.Command {
	return &cobra.Command{
		Use:   "exec NAME -- COMMAND [ARGUMENT…]",
		Short: "Run a command in the network of a server",
		Long: "Run a command in the network namespace of a server, which needs root; in the loopback fabric the servers have the\n" +
			"host's network, and the command runs there.",
		Example: "  poise lab exec srv-lbaas-1 -- ip address",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return fmt.Errorf("want a server's name, --, and a command")
			}
			return nil
		},
		RunE: as.withLab(func(cmd *cobra.Command, l *lab.Lab, args []string) error {
			namespace, err := l.Namespace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return lab.Exec(namespace, args[1:])
		}),
	}
}
