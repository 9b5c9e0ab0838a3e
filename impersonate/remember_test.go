package impersonate

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
)

// TestReviewDifferentialRemembering checks that caches change no decision and no message. edge and
// the API server both cache the answers of the last 10 s, and for each requestor the mode (the kind
// of right to impersonate) that last worked. The test sends 50 requests of the same users to each
// of 100 clusters.
func TestReviewDifferentialRemembering(t *testing.T) {
	defer klog.CaptureState().Restore() // the next line silences klog, because the API server's code logs every invalid selector
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	random := generator{rand.New(rand.NewPCG(8, 9))}
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	remembered, allowed, denied := 0, 0, 0
	for range 100 {
		var who user.Info
		rules := random.rules()
		edge, oracle := &cluster{rules: rules}, &cluster{rules: rules}
		p, through := newPolicy(t, NewReviewer(edge), true), constrainedFilter(tell(&who), oracle)
		for range 50 {
			a := &arrival{requestor: random.requestor(), header: random.header(), request: random.request(), named: true}
			if specialOf(a) >= 0 {
				continue
			}
			a.info = must(infos.NewRequestInfo(a.request))
			before := len(edge.asked)
			id, err := a.atEdge(p)
			status := a.at(through, &who, authenticated(a.requestor))
			if codeOf(err) != status.Code {
				t.Fatalf("the API server says %d %s, edge %v:\n%v\n%+v", status.Code, status.Message, err, a, rules)
			}
			switch {
			case id.Nested:
				checkSameUser(t, a, id, who)
				allowed++
				if len(edge.asked) == before {
					remembered++
				}
			case status.Code == http.StatusForbidden:
				checkSameWords(t, a, err, status.Message)
				denied++
			}
		}
	}
	t.Logf("%d allowed, of these %d without a review; %d denied", allowed, remembered, denied)
	if allowed < 500 || remembered < 50 || denied < 500 {
		t.Error("the generator tests too little")
	}
}
