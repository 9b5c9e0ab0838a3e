package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the Makefile. If it is empty, edge uses the version in the module's build info.
var version = ""

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	err := newRootCommand().ExecuteContext(context.Background())
	if err == nil {
		return
	}
	var command *commandError
	if errors.As(err, &command) && command.err == nil {
		command.exit()
	}
	fmt.Fprintf(os.Stderr, "edge: %v\n", err)
	if command != nil {
		os.Exit(command.code)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "edge",
		Short: "Kubernetes API access with OIDC login, and exec through any load balancer",
		Long: `edge is a proxy in front of a Kubernetes API server. Users log in with OpenID
Connect, and their streams pass load balancers that do not support SPDY.

edge authenticates every request, and forwards it to the API server by impersonating
the user. It carries exec, attach, cp and port-forward over WebSocket or SPDY on the
client's side, and over WebSocket or SPDY on the API server's side.

"edge serve" is the proxy. "edge connect" runs on a user's machine: it carries the
streams of a client that supports only SPDY through a load balancer that does not.`,
		Example: `  # In a cluster, for the users of one issuer:
  edge serve --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes

  # Show all flags of edge serve, by group:
  edge serve --help

  # On your own machine, for kubectl before 1.31 behind a load balancer that drops SPDY:
  edge connect -- kubectl exec -it web -- sh`,
		Version:       buildVersion(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("edge {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		// The text of err repeats the argument, for example -token=SECRET.
		if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" {
			err = fmt.Errorf("unknown flag -%s; flags of more than one letter begin with two dashes", unknown.GetSpecifiedName())
		}
		return usageError{fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServeCommand(), newConnectCommand(), newExplainCommand(), newVersionCommand())
	for _, cmd := range append(root.Commands(), root) {
		check := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
			}
			return nil
		}
	}
	return root
}

// flagsOnly refuses arguments, and does not repeat them in the error: an argument may be a token,
// if a space separates it from its flag.
func flagsOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("unexpected arguments: this command takes only flags, as --name=value")
	}
	return nil
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of edge and of Go, and the platform",
		Args:  flagsOnly,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "edge %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
