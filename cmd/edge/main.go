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

// version is set by the Makefile; without it the module's own build info serves.
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
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "edge",
		Short: "Kubernetes API access with OIDC login, and exec through any load balancer",
		Long: `edge stands between people and a Kubernetes API server that cannot log them in
and whose streams their load balancer will not carry.

It authenticates every request with OpenID Connect, tells the API server who it
is by impersonation, and carries exec, attach, cp and port-forward in what each
side can speak: WebSocket or SPDY towards the client, WebSocket or SPDY towards
the API server. For clients that speak only SPDY, behind a load balancer that
carries none, connect is the same at their end.`,
		Example: `  # In a cluster, for the users of one issuer:
  edge serve --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes

  # All of serve's flags, by group:
  edge serve --help

  # On your own machine, for a kubectl that is older than the load balancer likes:
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
		if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" { // -token=..., which err repeats
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

// flagsOnly refuses arguments without repeating them: one may be a token, which a
// space has parted from its flag.
func flagsOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("there are arguments, and it takes flags only: --name=value")
	}
	return nil
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and what it was built with",
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
