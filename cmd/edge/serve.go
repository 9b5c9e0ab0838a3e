package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"edge/bridge"
	"edge/ops"
)

func newServeCommand() *cobra.Command {
	o := newOptions()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the Kubernetes API with OIDC login",
		Long: `serve listens for HTTPS. It authenticates each request by a bearer token of an OpenID
Connect issuer or by a client certificate, and forwards it to the API server as that
user. A request without a credential is refused, unless --anonymous-paths or
--authentication-config allows it. The --oidc-* flags configure one issuer,
--authentication-config any number of issuers.

Clients can use exec, attach, cp and port-forward over WebSocket, which passes any load
balancer, or over SPDY. To the API server edge uses SPDY, which every cluster supports,
or WebSocket: see --upstream-streaming.

edge's own credential needs permission to impersonate users and to create
subjectaccessreviews. deploy/edge.yaml has the exact rules, deploy/options.yaml has the
rules that some flags need in addition. User and group names "system:..." from an issuer
or a certificate are refused with 403; see --allow-system-identities.`,
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
			context.AfterFunc(ctx, stop) // no longer catch signals after the first: a second signal ends the process at once
			return serve(ctx, o)
		},
	}
	addFlagSets(cmd, o.flagSets())
	return cmd
}

// serve reads the whole configuration, then listens, then serves until ctx ends.
func serve(ctx context.Context, o *options) error {
	if err := o.validate(); err != nil {
		return usageError{err}
	}
	log := newProcessLogger(o.logFormat, slog.LevelInfo)
	for _, flag := range o.accepted() {
		log.Info("this flag has no effect, see --help", "flag", flag)
	}
	p, err := assemble(ctx, o, log)
	if err != nil {
		return usageError{err}
	}
	defer p.credential.Close()
	defer p.handler.Close()
	defer p.endTracing()

	public := newServer(p.handler, &o.serving, p.certs.tlsConfig(), serverLog{log})
	metrics, err := p.metrics.handler(log)
	if err != nil {
		return err
	}
	operators := ops.Options{
		Ready: p.ready, Notes: p.gate.tokens.Warnings, Metrics: metrics, Profiling: o.profiling,
	}
	probes := newProbeServer(ops.NewServer(operators), serverLog{log})
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
	running.Go(func() { failed <- public.Serve(bridge.Listener(publicListener)) })
	running.Go(func() { failed <- probes.Serve(probeListener) })
	log.Info("edge is serving", "version", buildVersion(), "address", publicListener.Addr().String(),
		"probes", probeListener.Addr().String(), "apiServer", p.upstream.Host)

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("edge is draining", "delay", o.shutdownDelay, "period", drainPeriod)
	}
	p.draining.Store(true)
	if err == nil {
		err = delay(o.shutdownDelay, failed)
	}
	drain(background, p.handler, public)
	probes.Close()
	log.Info("edge has ended")
	return err
}
