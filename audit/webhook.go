package audit

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// postTimeout limits one attempt to post a batch.
	postTimeout = 30 * time.Second
	// attempts is how often a batch is posted before it is dropped. Each wait between two attempts
	// is backoffFactor times the previous wait.
	attempts      = 5
	backoffFactor = 1.5
	backoffJitter = 0.2
)

// webhook posts events to a webhook with the timeouts and retries of kube-apiserver, and retries
// after any error. Unlike kube-apiserver's own backend it stops when ctx ends, and it does not link
// gRPC.
type webhook struct {
	ctx     context.Context
	client  *rest.RESTClient
	http    *http.Client
	backoff wait.Backoff
}

func newWebhook(ctx context.Context, kubeconfig string, initialBackoff time.Duration) (*webhook, error) {
	file, err := (&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}).Load()
	if err != nil {
		return nil, err
	}
	// Read only the webhook's kubeconfig: clientcmd would take an empty file to mean the cluster in
	// which edge runs.
	config, err := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kubeconfig, err)
	}
	config.Timeout = postTimeout
	config.QPS = -1 // no limit here: throttle limits the rate of batches
	config.ContentType = runtime.ContentTypeJSON
	codec := audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion)
	config.NegotiatedSerializer = serializer.NegotiatedSerializerWrapper(runtime.SerializerInfo{Serializer: codec})
	w := &webhook{
		ctx:     ctx,
		backoff: wait.Backoff{Duration: initialBackoff, Factor: backoffFactor, Jitter: backoffJitter, Steps: attempts},
	}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	own := *shared
	// Do not follow redirects: events and the credential are meant for one host only.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.http = &own
	w.client, err = rest.UnversionedRESTClientForConfigAndClient(config, w.http)
	return w, err
}

func (w *webhook) ProcessEvents(events ...*auditinternal.Event) bool {
	batch := &auditinternal.EventList{Items: make([]auditinternal.Event, len(events))}
	for i, event := range events {
		batch.Items[i] = *event
	}
	var last error
	err := wait.ExponentialBackoffWithContext(w.ctx, w.backoff, func(ctx context.Context) (bool, error) {
		last = w.client.Post().Body(batch).Do(ctx).Error()
		return last == nil, nil
	})
	if err == nil {
		return true
	}
	if last == nil {
		last = err
	}
	audit.HandlePluginError(w.String(), last, brief(events)...)
	return false
}

func (w *webhook) Run(<-chan struct{}) error { return nil }

func (w *webhook) Shutdown() { utilnet.CloseIdleConnectionsFor(w.http.Transport) }

func (w *webhook) String() string { return "webhook" }

// brief shortens lost events for the log: one line may have hundreds of them.
func brief(events []*auditinternal.Event) []*auditinternal.Event {
	short := make([]*auditinternal.Event, len(events))
	for i, e := range events {
		short[i] = &auditinternal.Event{
			AuditID: e.AuditID, Stage: e.Stage, Verb: e.Verb, RequestReceivedTimestamp: e.RequestReceivedTimestamp,
			SourceIPs: e.SourceIPs, ObjectRef: e.ObjectRef, ResponseStatus: e.ResponseStatus,
		}
		short[i].User.Username = e.User.Username
	}
	return short
}
