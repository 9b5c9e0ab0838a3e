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
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // auth-provider, which kubectl knows as well
	"k8s.io/client-go/tools/clientcmd"
)

// connectOptions are what the flags of edge connect say.
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
		Short: "Run kubectl, or any client that speaks only SPDY, through a load balancer that carries none",
		Long: `connect runs a command with a kubeconfig of its own, which points at ports on
this machine's loopback that nobody without that kubeconfig can use. From there
requests go to the servers of your contexts with your own credentials, and exec,
attach, cp and port-forward go over WebSocket, whatever the command speaks.

It takes everything from your kubeconfig: exec plugins, tokens, client
certificates, proxies, impersonation. A server may be edge or any API server
that accepts WebSocket (Kubernetes 1.30 and later; port-forward 1.31).

Every context of yours is there, by its name, and made when it is first used: its
plugin runs then, and what is wrong with it is said then. A plugin that asks at
the terminal can do so only for the current one: choose that with --context.
kubectl config use-context holds for the command, and changes nothing of yours.

The command keeps the terminal, standard input, its signals and job control, and
its exit code is that of connect. Give --kubeconfig to connect: as the command's
own it leads past it. Nothing is left behind at the end.

With --listen and no command, connect stays until it is interrupted, for tools
that stay as well.`,
		Example: `  # An exec with an old kubectl:
  edge connect -- kubectl exec -it web -- sh

  # In another context, and in two at once:
  edge connect --context=prod -- kubectl cp web:/var/log/app.log app.log
  edge connect -- sh -c 'kubectl --context=prod get pods; helm --kube-context=test list'

  # A shell in which kubectl, k9s and helm all go this way:
  edge connect -- bash

  # For an IDE or an operator that is started elsewhere:
  edge connect --listen=127.0.0.1:8001 --write-kubeconfig=$HOME/.kube/edge-connect`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return connect(cmd.Context(), o, args)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false) // what follows the command's name is the command's
	fs.SortFlags = false
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "Your kubeconfig file; $KUBECONFIG or ~/.kube/config if not set.")
	fs.StringVar(&o.overrides.CurrentContext, "context", "", "The context in it that is the current one for the command; its current one if not set.")
	fs.StringVar(&o.overrides.Context.Cluster, "cluster", "", "The cluster in it that the current context gets.")
	fs.StringVar(&o.overrides.Context.AuthInfo, "user", "", "The user in it that the current context gets.")
	fs.StringVar(&o.listen, "listen", "", "Stay, and listen on this address of the loopback, such as 127.0.0.1:8001; port 0 is any free one.")
	fs.StringVar(&o.writeKubeconfig, "write-kubeconfig", "", "With --listen: where to write the kubeconfig for clients, a file that is not there yet and that goes at the end; a temporary one if not set.")
	fs.IntVarP(&o.verbosity, "v", "v", 0, "0 logs failures, 1 also every stream.")
	return cmd
}

// loginTime bounds a login before the command starts.
const loginTime = 5 * time.Minute

// connect lives as long as the command, or with --listen until it is told to end.
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
	log := newLogger(os.Stderr, formatText, level)
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
	if caller.logsIn() { // it may want the terminal, which is the command's afterwards
		if err := loginOr(ctx, proxy, signals); err != nil {
			return err
		}
	}
	if err := runCommand(argv, append(os.Environ(), proxy.environment(kubeconfig)...), signals); err != nil {
		return err
	}
	proxy.close()
	if proxy.lost.Load() { // an old kubectl port-forward says so, and ends with success
		return errors.New("connect: the command ended with success after the connection to the server was lost")
	}
	return nil
}

// loginOr waits for a login, or for a signal that ends it.
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
		return errors.New("connect: say what to run, such as: edge connect -- kubectl exec -it POD -- sh")
	case o.listen != "" && len(argv) > 0:
		return errors.New("--listen: stays by itself, without a command")
	case o.listen == "" && o.writeKubeconfig != "":
		return errors.New("--write-kubeconfig: goes with --listen; a command gets a file of its own")
	case o.listen == "":
		return nil
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen: %q is no address of the loopback, such as 127.0.0.1: others could reach it", host)
	}
	return nil
}

func (o *connectOptions) address() string {
	if o.listen == "" {
		return "127.0.0.1:0"
	}
	return o.listen
}
