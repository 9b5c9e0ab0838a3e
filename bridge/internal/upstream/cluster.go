package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/version"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"edge/bridge/internal/roundtrip"
	"edge/impersonate"
)

// Cluster is one API server and how edge reaches it. It has two routes (pairs of transports), one
// for each kind of credential; they share no connection. It also has the streaming configuration,
// and what edge has found out about which protocols work.
type Cluster struct {
	base          *url.URL
	Impersonating route // transports that send edge's own credential
	Passthrough   route // transports for requests with the client's own credential

	streaming Streaming
	review    reviewFunc
	protocols *protocolCache
	log       *slog.Logger
}

// reviewFunc checks whether an identity may perform an action; nil means that it may.
type reviewFunc = func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error

// Config configures a Cluster: one API server and how edge reaches it.
type Config struct {
	Upstream   *rest.Config
	Credential *Credential // replaces the credential in the field Upstream; nil: no replacement
	Streaming  Streaming   // "" means auto
	Review     reviewFunc
	Metrics    *roundtrip.Metrics // nil: nothing is measured
	Log        *slog.Logger
}

// route returns the route for the requests of id.
func (up *Cluster) route(id impersonate.Identity) route {
	if id.IsTokenPassthrough() {
		return up.Passthrough
	}
	return up.Impersonating
}

func (up *Cluster) Close() {
	up.Impersonating.close()
	up.Passthrough.close()
}

func New(c Config) (*Cluster, error) {
	cfg, doubt := c.Upstream, new(roundtrip.Doubt)
	if c.Credential != nil {
		cfg, doubt = c.Credential.config, &c.Credential.doubt
	}
	switch c.Streaming {
	case "":
		c.Streaming = StreamingAuto
	case StreamingAuto, StreamingWebSocket, StreamingSPDY, StreamingWebSocketFirst:
	default:
		return nil, fmt.Errorf("bridge: invalid Streaming %q: must be auto, websocket, spdy or websocket-first", c.Streaming)
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("bridge: invalid API server address: %w", err)
	}
	if base.Scheme != "https" {
		return nil, fmt.Errorf("bridge: API server address %q must begin with https://, because edge sends its credential there", base.Redacted())
	}
	if cfg.Impersonate.UserName != "" || len(cfg.Impersonate.Groups) > 0 || cfg.Impersonate.UID != "" || len(cfg.Impersonate.Extra) > 0 {
		return nil, errors.New("bridge: edge's own kubeconfig must not impersonate: remove as, as-groups, as-uid and as-user-extra from it")
	}
	up := &Cluster{base: base, streaming: c.Streaming, review: c.Review, protocols: newProtocolCache(), log: c.Log}
	windows := new(roundtrip.Windows)
	if up.Impersonating, err = newRoute(cfg, base, doubt, windows, c.Metrics); err != nil {
		return nil, err
	}
	if up.Passthrough, err = newRoute(rest.AnonymousClientConfig(cfg), base, doubt, windows, c.Metrics); err != nil {
		return nil, err
	}
	if c.Credential != nil {
		err = c.Credential.judges(&up.Impersonating)
	}
	return up, err
}

// version requests the Kubernetes release of the API server, with edge's own credential.
func (up *Cluster) version(ctx context.Context) (*version.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	u := *up.base
	u.Path = up.prefix().Path + "/version"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := up.Impersonating.Plain.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var info apiversion.Info
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxVersion)).Decode(&info); err != nil {
		return nil, err
	}
	return version.ParseGeneric(info.GitVersion)
}

// SpareConns returns the number of spare connections, which are open and carry no request yet.
func (up *Cluster) SpareConns() (n int) {
	for _, r := range []route{up.Impersonating, up.Passthrough} {
		if r.spares != nil {
			r.spares.mu.Lock()
			n += len(r.spares.ready)
			r.spares.mu.Unlock()
		}
	}
	return n
}

// SetSpareAge changes how long spare connections are kept. Call it before the first stream.
func (up *Cluster) SetSpareAge(age time.Duration) {
	for _, r := range []route{up.Impersonating, up.Passthrough} {
		if r.spares != nil {
			r.spares.age = age
		}
	}
}

// judges wraps the two transports of r with c.Wrap, so that c finds out whether a 401 is about
// edge's own credential. The function that the upgrade transport gets to retire its connections
// does nothing, because an upgrade never reuses a connection.
func (c *Credential) judges(r *route) (err error) {
	if r.Plain, err = c.Wrap(r.Plain, r.direct.CloseIdleConnections); err == nil {
		r.upgrade, err = c.Wrap(r.upgrade, func() {})
	}
	return err
}
