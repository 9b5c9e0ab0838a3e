package upstream

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"edge/bridge/internal/roundtrip"
)

const (
	// verdictAge is how long edge stores a verdict: whether the API server accepts a credential.
	// This limits the reviews that edge sends when pods or kubelets answer 401. It also limits how
	// late edge notices that a refused credential was fixed.
	verdictAge = 5 * time.Second
	// maxVerdicts limits how many verdicts (whether the API server accepts a credential) edge
	// stores. A few are enough, because edge has one credential at a time and few transports.
	maxVerdicts = 16
	// questionTimeout is the timeout of one SelfSubjectReview. learnTimeout is the timeout of all
	// steps after a 401: reviews and a new token.
	questionTimeout = 4 * time.Second
	learnTimeout    = 15 * time.Second
	// maxQuestionAnswer limits, in bytes, how much of the answer to a SelfSubjectReview edge reads
	// and discards, so that the connection can be used again.
	maxQuestionAnswer = 4 << 10
	// refusedRetryAfter is the Retry-After, in seconds, in edge's answers while the API server
	// refuses edge's own credential.
	refusedRetryAfter = 5
)

// CredentialConfig configures a Credential, edge's own credential for the API server.
type CredentialConfig struct {
	// Upstream is the API server's address, with edge's credential.
	Upstream *rest.Config
	// Renew, if not nil, replaces a credential that the API server refused. The argument refused is
	// the value of that credential's Authorization header, or "" if none was sent. Renew is not
	// needed for files, certificates and credential plugins.
	Renew func(ctx context.Context, refused string)
	// Log receives a line when the credential is refused and when it is accepted again. nil:
	// slog.Default.
	Log *slog.Logger
}

// A Credential is edge's own credential for the API server. It finds out whether a 401 is about
// this credential, or comes from a kubelet or an aggregated API server. When the API server refuses
// the credential, edge reads its file or runs its plugin again. A Credential is safe for concurrent
// use.
type Credential struct {
	config *rest.Config
	files  transport.ResettableTokenSource // nil: the credential is not a token file
	cert   bool                            // true: the credential includes a client certificate
	plugin bool                            // true: from a credential plugin, which client-go reruns after a 401
	renew  func(context.Context, string)
	log    *slog.Logger

	asking   singleflight.Group
	mu       sync.Mutex
	verdicts map[holder]verdict
	own      http.RoundTripper // what the method Transport returns; nil before its first call
	close    func()
	doubt    roundtrip.Doubt // shared by all transports with this credential

	refused atomic.Pointer[refusal] // set while the API server refuses the credential; else nil
}

// A refusal is a period in which the API server refuses the credential.
type refusal struct{ err error }

// A sender is a transport that sends the credential, and can check with the API server whether it
// is valid.
type sender interface {
	// ask checks with the API server whether a credential is valid: the one in the Authorization
	// header that the parameter sent contains, or, if sent is "", edge's current credential. The
	// result known is false if the API server did not answer, or answered with a 5xx.
	ask(ctx context.Context, sent string) (holds, known bool)
	// generation returns how often retireConnections was called.
	generation() uint32
	// retireConnections makes later requests use new connections.
	retireConnections()
}

// A holder is a key under which edge stores whether the API server accepts a credential. It
// contains the digest of the Authorization header. A client certificate belongs to the connections
// on which it was sent. For such a credential, a holder also has the transport and its generation,
// which changes when the transport's connections are retired.
type holder struct {
	sum [sha256.Size]byte
	via sender // the transport that sent the credential; nil: no client certificate
	age uint32
}

// A verdict states whether the API server accepts a credential.
type verdict struct {
	holds bool
	// replaced means that the API server refuses the credential, and accepts a newer one that has
	// replaced it.
	replaced bool
	until    time.Time
}

// NewCredential reads edge's own credential for the API server from the sources in cfg.
func NewCredential(cfg CredentialConfig) (*Credential, error) {
	c := &Credential{
		config: rest.CopyConfig(cfg.Upstream), renew: cfg.Renew, log: cfg.Log, verdicts: make(map[holder]verdict),
		cert:   len(cfg.Upstream.CertFile)+len(cfg.Upstream.CertData) > 0 || cfg.Upstream.ExecProvider != nil,
		plugin: cfg.Upstream.ExecProvider != nil,
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	wrappers := []transport.WrapperFunc{newSentRecorder, c.config.WrapTransport}
	if file := c.config.BearerTokenFile; file != "" {
		// Do not use client-go's wrapper for a token file: it reads the file once a minute, and
		// cannot be made to read the file now.
		source := transport.NewCachedFileTokenSource(file)
		if _, err := source.Token(); err != nil {
			return nil, fmt.Errorf("bridge: cannot use the credential for the API server: %w", err)
		}
		c.files = source
		c.config.BearerToken, c.config.BearerTokenFile = "", ""
		wrappers = append(wrappers, func(next http.RoundTripper) http.RoundTripper { return fileTransport{source, next} })
	}
	c.config.WrapTransport = transport.Wrappers(wrappers...)
	return c, nil
}

// Config returns the API server's address with the credential. If a transport that is made from it
// sends requests that impersonate, wrap the transport with Wrap. Without Wrap, the code of a 401 is
// unauthorizedByCredential, which only Wrap changes back to 401.
func (c *Credential) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Ready returns [ErrRefused] while the API server refuses the credential. The refusal ends when the
// API server answers a request that was sent after the refusal began, with neither a 401 nor a 5xx.
func (c *Credential) Ready() error {
	if r := c.refused.Load(); r != nil {
		return r.err
	}
	return nil
}

func (c *Credential) refuse() {
	if c.refused.CompareAndSwap(nil, &refusal{ErrRefused}) {
		c.log.Warn("the API server does not accept edge's own credential")
	}
}

// accepted ends the refusal (see the type refusal) in the parameter since, because the API server
// has accepted the credential of a request that was sent after that refusal began.
func (c *Credential) accepted(since *refusal) {
	if since != nil && c.refused.CompareAndSwap(since, nil) {
		c.log.Info("the API server accepts edge's own credential again")
	}
}

func (c *Credential) holderOf(sent string, via sender, age uint32) holder {
	h := holder{sum: sha256.Sum256([]byte(sent))}
	if c.cert {
		h.via, h.age = via, age
	}
	return h
}

// verdictOn finds out whether the API server accepts a credential that got a 401. via is the
// transport that sent the credential, and age is the generation of via at that time. Concurrent
// calls for the same credential share one review, which continues when a caller's ctx ends.
func (c *Credential) verdictOn(ctx context.Context, via sender, sent string, age uint32) (verdict, error) {
	h := c.holderOf(sent, via, age)
	if v, ok := c.recall(h); ok {
		return v, nil
	}
	if c.cert && age != via.generation() { // another call has found meanwhile that the certificate is refused
		return verdict{replaced: true}, nil
	}
	got := c.asking.DoChan(fmt.Sprintf("%x %p %d", h.sum, h.via, h.age), func() (any, error) {
		if v, ok := c.recall(h); ok {
			return v, nil
		}
		v, known := c.investigate(via, sent)
		if known {
			c.remember(h, v)
		}
		if !v.holds && !v.replaced { // edge has no credential that the API server accepts
			c.remember(c.holderOf(sent, via, via.generation()), v)
		}
		return v, nil
	})
	select {
	case r := <-got:
		return r.Val.(verdict), nil
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
}

// investigate checks a credential that was sent. If the API server refuses it, investigate gets a
// new credential and checks that one. Every answer except 401 means that the credential is
// accepted: an old API server may not support the review, or edge may lack permission for it. If
// there is no answer, or a 5xx, the credential counts as accepted too, but known is false and the
// verdict is not stored.
func (c *Credential) investigate(via sender, sent string) (v verdict, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), learnTimeout) // not the ctx of a caller, because several callers wait for the verdict
	defer cancel()
	holds, known := via.ask(ctx, sent)
	if holds {
		return verdict{holds: true}, known
	}
	if c.files != nil {
		c.files.ResetTokenOlderThan(time.Now())
	}
	if c.renew != nil {
		c.renew(ctx, sent)
	}
	if c.cert {
		via.retireConnections()
	}
	replaced, _ := via.ask(ctx, "")
	if !replaced && c.plugin {
		replaced, _ = via.ask(ctx, "") // the last review got a 401, so client-go ran the plugin: check the new credential
	}
	if !replaced {
		c.refuse()
	}
	return verdict{replaced: replaced}, true
}

func (c *Credential) recall(h holder) (verdict, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.verdicts[h]
	return v, ok && time.Now().Before(v.until)
}

func (c *Credential) remember(h holder, v verdict) {
	v.until = time.Now().Add(verdictAge)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.verdicts) >= maxVerdicts {
		clear(c.verdicts)
	}
	c.verdicts[h] = v
}
