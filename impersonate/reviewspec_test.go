package impersonate

import (
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
	"k8s.io/client-go/kubernetes/scheme"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// TestSpecOf checks that a review about a request's attributes is exactly the one that the API
// server's own webhook authorizer makes of them.
func TestSpecOf(t *testing.T) {
	defer klog.CaptureState().Restore() // the next line silences klog, because the API server's code logs every invalid selector
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	var asked authorizationv1.SubjectAccessReviewSpec
	client := must(authorizationv1client.NewForConfig(&rest.Config{QPS: -1, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		var review authorizationv1.SubjectAccessReview
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(must(io.ReadAll(r.Body)), nil, &review); err != nil {
			t.Error(err)
		}
		asked = review.Spec
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		review.APIVersion, review.Kind, review.Status.Allowed = "authorization.k8s.io/v1", "SubjectAccessReview", true
		_ = json.NewEncoder(w).Encode(review)
		return w.Result(), nil
	})}))
	oracle := must(webhook.NewFromInterface(client, 0, 0, wait.Backoff{Steps: 1, Duration: time.Millisecond}, authorizer.DecisionDeny,
		metrics.NoopAuthorizerMetrics{}, cel.NewDefaultCompiler()))

	random := generator{rand.New(rand.NewPCG(6, 7))}
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	selected := 0
	for range 3000 {
		r := random.request()
		ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: "u"})
		ctx = request.WithRequestInfo(ctx, must(infos.NewRequestInfo(r)))
		attributes := must(filters.GetAuthorizerAttributes(ctx))
		if decision, _, err := oracle.Authorize(ctx, attributes); decision != authorizer.DecisionAllow {
			t.Fatal(decision, err)
		}
		got := authorizationv1.SubjectAccessReviewSpec{User: "u"}
		specOf(&got, attributes)
		if !reflect.DeepEqual(got, asked) {
			t.Fatalf("%s %s:\n got %+v\nwant %+v", r.Method, r.URL, got, asked)
		}
		if got.ResourceAttributes != nil && (got.ResourceAttributes.FieldSelector != nil || got.ResourceAttributes.LabelSelector != nil) {
			selected++
		}
	}
	if selected < 100 {
		t.Errorf("only %d with selectors", selected)
	}
}
