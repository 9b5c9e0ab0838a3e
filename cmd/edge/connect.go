package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // auth-provider "oidc", which kubectl supports as well
	"k8s.io/client-go/tools/clientcmd"
)

// connectOptions are the flags of edge connect.
type connectOptions struct {
	kubeconfig      string
	overrides       clientcmd.ConfigOverrides
	listen          string
	writeKubeconfig string
	verbosity       int
}

func newConnectCommand() *cobra.Command {
	o := &connectOptions{}
	cmd := &cobra.Command{
		Use:   "connect [flags] -- COMMAND [ARG...]",
		Short: "Run kubectl, or another client that supports only SPDY, through any load balancer",
		Long: `connect runs a command with a kubeconfig of its own. That kubeconfig has the addresses of
ports on this machine's loopback, and tokens without which nobody can use the ports.
connect forwards requests to the servers of your contexts with your own credentials. It
carries exec, attach, cp and port-forward over WebSocket, even if the command uses SPDY.

It supports all settings of your kubeconfig: exec plugins, tokens, client certificates,
proxies, impersonation. A server may be edge, or any API server that accepts WebSocket
(Kubernetes 1.30 and later; port-forward 1.31).

The command can use every context of your kubeconfig, by its name. connect prepares a
context when the command first uses it: only then its plugin runs, and its errors are
reported. A plugin that asks questions at the terminal works for the current context
only: choose that with --context. "kubectl config use-context" changes the command's
kubeconfig, not yours.

The command keeps the terminal, standard input, its signals and job control, and connect
exits with its exit code. Pass --kubeconfig to connect, not to the command: there it
would bypass connect. At the end connect deletes its kubeconfig.

With --listen and no command, connect runs until it is interrupted, for clients that
are started elsewhere.`,
		Example: `  # An exec with an old kubectl:
  edge connect -- kubectl exec -it web -- sh

  # In another context, and in two contexts at once:
  edge connect --context=prod -- kubectl cp web:/var/log/app.log app.log
  edge connect -- sh -c 'kubectl --context=prod get pods; helm --kube-context=test list'

  # A shell in which kubectl, k9s and helm all use connect:
  edge connect -- bash

  # For an IDE or an operator that is started elsewhere:
  edge connect --listen=127.0.0.1:8001 --write-kubeconfig=$HOME/.kube/edge-connect`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return connect(cmd.Context(), o, args)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false) // flags after the command's name belong to the command
	fs.SortFlags = false
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "Your kubeconfig file. If not set, $KUBECONFIG or ~/.kube/config.")
	fs.StringVar(&o.overrides.CurrentContext, "context", "", "Context in your kubeconfig that is the current one for the command. If not set, your current context.")
	fs.StringVar(&o.overrides.Context.Cluster, "cluster", "", "Cluster in your kubeconfig that the current context uses. If not set, the context's own.")
	fs.StringVar(&o.overrides.Context.AuthInfo, "user", "", "User in your kubeconfig that the current context uses. If not set, the context's own.")
	fs.StringVar(&o.listen, "listen", "", "Run without a command, and listen on this loopback address, such as 127.0.0.1:8001. Port 0 selects any free port.")
	fs.StringVar(&o.writeKubeconfig, "write-kubeconfig", "", "With --listen: file to write the kubeconfig for clients to. It must not exist yet, and is deleted at the end. If not set, a temporary file.")
	fs.IntVarP(&o.verbosity, "v", "v", 0, "Verbosity of the log: 0 logs failures, 1 also logs every stream.")
	return cmd
}

// loginTime limits the login of the current user before the command starts.
const loginTime = 5 * time.Minute

// connect runs the subcommand edge connect until the command argv ends, or with --listen until a
// signal ends edge.
func connect(ctx context.Context, o *connectOptions, argv []string) error {
	if err := o.validate(argv); err != nil {
		return usageError{err}
	}
	caller, err := o.caller()
	if err != nil {
		return usageError{err}
	}
	level := slog.LevelWarn
	if o.verbosity > 0 {
		level = slog.LevelInfo
	}
	log := newProcessLogger(formatText, level)
	proxy, err := newLocalProxy(caller, o.address(), log)
	if err != nil {
		return err
	}
	defer proxy.close()
	signals := catchSignals()
	kubeconfig, remove, err := proxy.writeKubeconfig(o.writeKubeconfig)
	if err != nil {
		return err
	}
	defer func() {
		if changes := proxy.changes(kubeconfig); changes != "" {
			fmt.Fprintf(os.Stderr, "edge connect: %s\n", changes)
		}
		remove()
	}()
	proxy.start()
	if len(argv) == 0 {
		fmt.Printf("edge connect: %s\n  export KUBECONFIG=%s\nCtrl-C ends it.\n", proxy.describe(), kubeconfig)
		select {
		case <-signals:
			return nil
		case err := <-proxy.failed:
			return err
		}
	}
	// The login may need the terminal, which belongs to the command afterwards.
	if caller.logsIn() {
		if err := loginOr(ctx, proxy, signals); err != nil {
			return err
		}
	}
	if err := runCommand(argv, append(os.Environ(), proxy.environment(kubeconfig)...), signals); err != nil {
		return err
	}
	proxy.close()
	// An old kubectl port-forward prints an error when it loses the connection, but exits with 0.
	if proxy.lost.Load() {
		return errors.New("connect: the command ended with success after the connection to the server was lost")
	}
	return nil
}

// loginOr waits until the current user's login has ended, or until a signal arrives.
func loginOr(ctx context.Context, proxy *localProxy, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- proxy.login(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("login: %w", err)
		}
		return nil
	case s := <-signals:
		return endedBy(s)
	}
}

func (o *connectOptions) validate(argv []string) error {
	switch {
	case o.listen == "" && len(argv) == 0:
		return errors.New("connect: no command: add one, such as: edge connect -- kubectl exec -it POD -- sh")
	case o.listen != "" && len(argv) > 0:
		return errors.New("--listen: cannot be combined with a command")
	case o.listen == "" && o.writeKubeconfig != "":
		return errors.New("--write-kubeconfig: needs --listen; connect always writes a temporary kubeconfig for a command")
	case o.listen == "":
		return nil
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen: %q is not a loopback address such as 127.0.0.1: other machines could connect", host)
	}
	return nil
}

func (o *connectOptions) address() string {
	if o.listen == "" {
		return "127.0.0.1:0"
	}
	return o.listen
}
