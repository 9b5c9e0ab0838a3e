package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"

	"edge/audit"
	"edge/bridge"
	"edge/ops"
)

// parts are the components of edge serve between its listeners and the API server.
type parts struct {
	gate       *gate
	upstream   *rest.Config // how to reach the API server, with edge's own credential
	token      *upstreamToken
	credential *bridge.Credential
	needed     bool // true: no request can go upstream without edge's credential
	apiServer  *ops.APIServer
	events     *audit.Events // nil: no audit events
	handler    *bridge.Handler
	certs      *certificates
	metrics    *measures   // nil: nothing is measured
	draining   atomic.Bool // true: edge is shutting down
	endTracing func()      // sends the last spans
}

// assemble creates the components of edge serve from the flags. It fails only if the flags, or the
// files that they name, cannot be used.
func assemble(ctx context.Context, o *options, log *slog.Logger) (*parts, error) {
	p := new(parts)
	var err error
	if o.metrics {
		p.metrics = newMeasures()
	}
	if p.gate, err = newGate(&o.identity, p.metrics, log); err != nil {
		return nil, err
	}
	if p.upstream, err = o.client.restConfig(); err != nil {
		return nil, err
	}
	if err := p.edgeCredential(ctx, o, log); err != nil {
		return nil, err
	}
	limited := o.client.limited(p.upstream)
	if err := p.gate.connect(&o.identity, p.credential, limited, p.metrics, log); err != nil {
		return nil, err
	}
	if p.apiServer, err = ops.NewAPIServer(p.credential, p.needed, log); err != nil {
		return nil, err
	}
	trusted, err := o.serving.trusted()
	if err != nil {
		return nil, err
	}
	observe, err := p.records(o, log)
	if err != nil {
		return nil, err
	}
	var spans *bridge.Tracing
	if spans, p.endTracing, err = o.tracing.tracing(ctx, log); err != nil {
		return nil, err
	}
	p.handler, err = bridge.New(bridge.Config{
		Credential:         p.credential,
		Identify:           p.gate.identify,
		Review:             p.gate.review,
		Streaming:          bridge.Streaming(o.client.streaming),
		AllowedOrigins:     o.serving.origins,
		CORSAllowedOrigins: o.serving.corsOrigins,
		TrustedProxies:     trusted,
		Observe:            observe,
		Metrics:            p.metrics.bridge(),
		Tracing:            spans,
		DisableCompression: o.client.disableCompression,
		MaxSessions:        maxSessions(),
		Log:                log,
	})
	if err != nil {
		return nil, err
	}
	if p.certs, err = newCertificates(&o.serving, p.gate.authorities()); err != nil {
		return nil, err
	}
	p.metrics.watch(p)
	return p, nil
}

// records sets p.events, and returns the Observer that records requests as the flags say.
func (p *parts) records(o *options, log *slog.Logger) (observe bridge.Observer, err error) {
	o.audit.Metrics = p.metrics.audit()
	if p.events, err = audit.New(o.audit, log); err != nil {
		return nil, err
	}
	var all []bridge.Observer
	if o.accessLog {
		all = append(all, audit.NewAccessLog(log))
	}
	if p.events != nil {
		all = append(all, p.events)
	}
	return bridge.Observers(all...), nil
}

// edgeCredential sets p.credential, and makes p.upstream use edge's own credential.
func (p *parts) edgeCredential(ctx context.Context, o *options, log *slog.Logger) error {
	var err error
	of := bridge.CredentialConfig{Upstream: p.upstream, Log: log}
	if o.client.tokens.account != "" {
		if p.token, err = newUpstreamToken(ctx, p.upstream, o.client.tokens, log); err != nil {
			return err
		}
		of.Upstream, of.Renew = p.token.config(), p.token.replace
	}
	if p.credential, err = bridge.NewCredential(of); err != nil {
		return err
	}
	p.upstream, p.needed = p.credential.Config(), !o.identity.disableImpersonation
	return nil
}

// run runs the background work of all components of edge serve until ctx ends.
func (p *parts) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { p.gate.run(ctx) })
	running.Go(func() { p.apiServer.Run(ctx) })
	if p.token != nil {
		running.Go(func() { p.token.run(ctx) })
	}
	running.Go(func() { p.events.Run(ctx) })
	running.Go(func() { tidyUp(ctx, p.handler.Sessions) })
	p.certs.run(ctx)
}
