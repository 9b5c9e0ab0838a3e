package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"edge/bridge"
	"edge/ops"
)

// drainPeriod bounds the end: streams are told at once, requests may finish, and what
// is left then is cut. Kubernetes kills a pod 30 s after it asked it to end.
const drainPeriod = 20 * time.Second

func newServeCommand() *cobra.Command {
	o := newOptions()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the Kubernetes API with OIDC login",
		Long: `serve listens for HTTPS, authenticates each request by a bearer token of an
OpenID Connect issuer or by a client certificate (but for --anonymous-paths), and
passes it to the API server as that user. --oidc-* describe one issuer, --authentication-config any number.

exec, attach, cp and port-forward are accepted over WebSocket, which passes any
load balancer, and over SPDY; towards the API server they go over SPDY, which
every cluster speaks, or over WebSocket: see --upstream-streaming.

edge's own credential needs the right to impersonate, and to create
subjectaccessreviews: deploy/edge.yaml has it to the letter, deploy/options.yaml
what some flags need beside it. Users and groups that an issuer or a certificate
names "system:..." are refused with 403.`,
		Example: `  # In a cluster, with the ServiceAccount's credential:
  edge serve --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes \
      --oidc-username-claim=email --oidc-groups-claim=groups --oidc-groups-prefix=oidc: \
      --tls-cert-file=/tls/tls.crt --tls-private-key-file=/tls/tls.key

  # For many issuers, and the cluster's own ServiceAccounts:
  edge serve --authentication-config=authn.yaml --token-passthrough

  # Elsewhere, with a kubeconfig for edge itself:
  edge serve --kubeconfig=edge.kubeconfig --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return serve(ctx, o)
		},
	}
	addFlagSets(cmd, o.flagSets())
	return cmd
}

// serve reads all configuration, then listens, then serves until ctx ends.
func serve(ctx context.Context, o *options) error {
	if err := o.validate(); err != nil {
		return usageError{err}
	}
	log := newLogger(os.Stderr, o.logFormat, slog.LevelInfo)
	for _, flag := range o.accepted() {
		log.Info("this flag is accepted and changes nothing, see --help", "flag", flag)
	}
	p, err := assemble(ctx, o, log)
	if err != nil {
		return usageError{err}
	}
	defer p.credential.Close()
	defer p.handler.Close()

	public := newServer(p.handler, &o.serving, p.certs.tlsConfig(), serverLog{log})
	var draining atomic.Bool
	probes := newProbeServer(ops.NewServer(func() error {
		if draining.Load() {
			return errors.New("shutting down")
		}
		return p.ready()
	}, p.gate.tokens.Warnings), serverLog{log})
	publicListener, err := listen(ctx, o.serving.bindAddress, o.serving.securePort, o.serving.portSharing)
	if err != nil {
		return fmt.Errorf("--secure-port: %w", err)
	}
	defer publicListener.Close()
	probeListener, err := listen(ctx, o.serving.bindAddress, o.readinessPort, o.serving.portSharing)
	if err != nil {
		return fmt.Errorf("--readiness-probe-port: %w", err)
	}
	defer probeListener.Close()

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { p.run(background) })

	failed := make(chan error, 2)
	running.Go(func() {
		failed <- public.Serve(bridge.Listener(publicListener))
	})
	running.Go(func() { failed <- probes.Serve(probeListener) })
	log.Info("edge serves", "version", buildVersion(), "address", publicListener.Addr().String(),
		"probes", probeListener.Addr().String(), "apiServer", p.upstream.Host)

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("edge drains", "delay", o.shutdownDelay, "period", drainPeriod)
	}
	draining.Store(true)
	if err == nil && o.shutdownDelay > 0 {
		select {
		case err = <-failed:
		case <-time.After(o.shutdownDelay):
		}
	}
	drain, cancel := context.WithTimeout(background, drainPeriod)
	defer cancel()
	var ending sync.WaitGroup
	ending.Go(func() { p.handler.Drain(drain) })
	ending.Go(func() {
		if public.Shutdown(drain) != nil { // watches do not end by themselves
			public.Close()
		}
	})
	ending.Wait()
	probes.Close()
	log.Info("edge ended")
	return err
}
