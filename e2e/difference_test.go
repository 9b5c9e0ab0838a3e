package e2e

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// A difference between edge and the API server itself that a scenario claims for some pairs. It fails where it does not happen.
type difference struct {
	name   string
	agreed bool // otherwise it is known and fails
	// apply returns what edge must show in place of the API server's own observation.
	apply func(own, edge rawclient.Observation) (rawclient.Observation, error)
}

// unknowing: when its upstream is gone, the real one ends without a word, and clients take that for success where
// success has no words. edge says that it does not know.
var unknowing = &difference{"success without knowing", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status != nil || own.Text != "" || own.Close != 1006 {
		return own, errors.New("the API server itself has an outcome")
	}
	if edge.OK() {
		return own, errors.New("edge reports success")
	}
	if edge.Close != 0 && edge.Close != 1000 {
		return own, fmt.Errorf("close code %d hides the outcome from client-go", edge.Close)
	}
	own.Status, own.Text, own.Close = edge.Status, edge.Text, edge.Close
	return own, nil
}}

// flattened: the API server's translator has answered 101 when it learns of a refusal, and makes a 500 of it.
var flattened = &difference{"translator's 500", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status == nil || own.Status.Code != 500 {
		return own, errors.New("the API server itself does not say 500")
	}
	if edge.Refusal == "" || strings.HasPrefix(edge.Refusal, "500") {
		return own, errors.New("edge does not keep the code")
	}
	return edge, nil
}}

// unkept: over WebSocket the API server has answered edge with 101, too, when it learns of the refusal.
var unkept = &difference{"translator's 500, upstream", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if !strings.HasPrefix(own.Refusal, "404") || edge.Refusal != "" {
		return own, errors.New("edge keeps the code")
	}
	if edge.OK() || edge.Status != nil && edge.Status.Code != 500 {
		return own, errors.New("not the translator's 500")
	}
	return edge, nil
}}

// refusedByNode claims what becomes of a kubelet's refusal.
func refusedByNode(p pair) *difference {
	own := p.site.cluster.Kind == cluster.New && p.d.Name == v5
	edge := p.site.cluster.Kind == cluster.New && p.upstream == overWebSocket
	switch {
	case own && !edge:
		return flattened
	case edge && !own:
		return unkept
	}
	return nil
}

// reworded: over WebSocket edge hears the API server's translator, which writes the outcome's message anew; the container
// runtime's is lost there. Everything but the words must be the same.
var reworded = &difference{"translator's words", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.String() == edge.String() {
		return own, errors.New("there is no difference")
	}
	if own.Status != nil && edge.Status != nil && reflect.DeepEqual(withoutWords(own.Status), withoutWords(edge.Status)) {
		own.Status = edge.Status
	}
	if own.Text != "" && edge.Text != "" {
		own.Text = edge.Text
	}
	return own, nil
}}

// withoutWords keeps what programs read: the code, the reason and the exit code.
func withoutWords(s *metav1.Status) *metav1.Status {
	kept := &metav1.Status{Status: s.Status, Reason: s.Reason, Code: s.Code}
	if s.Details != nil {
		for _, cause := range s.Details.Causes {
			if cause.Type != "" {
				kept.Message += string(cause.Type) + "=" + cause.Message
			}
		}
	}
	return kept
}

// translated claims reworded where edge hears the translator, and the client at the API server itself does not.
func translated(p pair) *difference {
	if p.site.cluster.Kind == cluster.New && p.upstream == overWebSocket && p.d.Name != v5 {
		return reworded
	}
	return nil
}
