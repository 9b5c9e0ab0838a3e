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
	// verdictAge is how long the answer to "does this credential hold?" counts. It spares the API server a question for
	// each 401 of a pod or a kubelet, and bounds how late edge notices that a refused credential was mended.
	verdictAge = 5 * time.Second
	// maxVerdicts bounds the answers that are remembered: edge has one credential at a time, and few ways to the API server.
	maxVerdicts = 16
	// questionTimeout bounds one question, and learnTimeout all that is done about a 401: two questions, and a new token.
	questionTimeout = 4 * time.Second
	learnTimeout    = 15 * time.Second
	// maxQuestionAnswer bounds, in bytes, what is read of an answer, so that its connection can be used again.
	maxQuestionAnswer = 4 << 10
	// refusedRetryAfter is what a client is told to wait, in seconds, while edge's own credential is refused.
	refusedRetryAfter = 5
)

// CredentialConfig says which credential is edge's own.
type CredentialConfig struct {
	// Upstream is the API server with the credential.
	Upstream *rest.Config
	// Renew, if set, gets another credential in place of one that the API server refused: the value of its Authorization
	// header, or "" if none was sent. Files, certificates and credential plugins need none.
	Renew func(ctx context.Context, refused string)
	// Log gets a line when the credential is refused, and when it is accepted again. nil: slog.Default.
	Log *slog.Logger
}

// A Credential is edge's own at the API server. It tells a 401 that is about edge's credential from one that a kubelet or an
// aggregated API server gives, and reads the credential again if it is refused. It is for many goroutines.
type Credential struct {
	config *rest.Config
	files  transport.ResettableTokenSource // nil: there is no token file
	cert   bool                            // a connection has a part in the credential
	plugin bool                            // which client-go runs again when it sees a 401
	renew  func(context.Context, string)
	log    *slog.Logger

	asking   singleflight.Group
	mu       sync.Mutex
	verdicts map[holder]verdict
	own      http.RoundTripper // Transport's; nil: nobody asked yet
	close    func()
	doubt    roundtrip.Doubt // about the way there, of all that have this credential

	refused atomic.Pointer[refusal] // nil: the API server accepts it, as far as edge knows
}

// A refusal is a time in which the API server does not accept the credential.
type refusal struct{ err error }

// A sender sends the credential, and can ask the API server whether it holds.
type sender interface {
	// ask asks about what was sent as the Authorization header; "": about what is sent now.
	ask(ctx context.Context, sent string) (holds, known bool)
	// generation is how often connections were retired.
	generation() uint32
	// retireConnections has requests from then on take other connections than those in use.
	retireConnections()
}

// A holder is a credential: the digest of what is sent, and with a client certificate the connections that have it, which are
// those of a transport since it was last told to retire.
type holder struct {
	sum [sha256.Size]byte
	via sender // nil: any connection is as good
	age uint32
}

// A verdict is what was learned about a credential.
type verdict struct {
	holds bool
	// replaced tells that another credential is accepted in place of one that does not hold.
	replaced bool
	until    time.Time
}

// NewCredential reads what the configuration names.
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
		// client-go's own wrapper for such a file reads it once a minute, and cannot be told to do it now.
		source := transport.NewCachedFileTokenSource(file)
		if _, err := source.Token(); err != nil {
			return nil, fmt.Errorf("bridge: API server credential: %w", err)
		}
		c.files = source
		c.config.BearerToken, c.config.BearerTokenFile = "", ""
		wrappers = append(wrappers, func(next http.RoundTripper) http.RoundTripper { return fileTransport{source, next} })
	}
	c.config.WrapTransport = transport.Wrappers(wrappers...)
	return c, nil
}

// Config is the API server with the credential. Whoever impersonates by it puts Wrap around, which undoes what this leaves: the
// code of a 401 is another one.
func (c *Credential) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Ready returns [ErrRefused] from the moment at which the API server is known to refuse the credential, until it answers a
// request that was sent after.
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

// accepted notes an answer to a request that was sent during a refusal.
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

// verdictOn tells whether a credential that got a 401 is accepted. Equal questions at the same time are one, which goes on when
// somebody who waits for it leaves. age is via's when the credential was sent.
func (c *Credential) verdictOn(ctx context.Context, via sender, sent string, age uint32) (verdict, error) {
	h := c.holderOf(sent, via, age)
	if v, ok := c.recall(h); ok {
		return v, nil
	}
	if c.cert && age != via.generation() { // nobody can ask with that any more; it was retired because it did not hold
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
		if !v.holds && !v.replaced { // what is sent from now on is refused, too
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

// investigate asks about the credential that was sent, and if it is refused, gets another one and asks about that. Whatever the API
// server answers but 401 means that it holds: its release may be too old for the question, or edge may not ask it. Without
// any answer nothing is known, which is not remembered.
func (c *Credential) investigate(via sender, sent string) (v verdict, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), learnTimeout) // nothing of a caller's: others wait, too
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
		replaced, _ = via.ask(ctx, "") // the question before had it run again
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
