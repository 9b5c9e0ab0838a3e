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

// difference is an expected difference between edge and the API server in a scenario. The scenario
// fails if the difference does not occur.
type difference struct {
	name   string
	agreed bool // true: accepted; false: a known bug, which makes the scenario fail
	// apply returns the observation that edge must produce, given the API server's own.
	apply func(own, edge rawclient.Observation) (rawclient.Observation, error)
}

// unknowing is the difference when the upstream disappears. The API server ends the session without
// a result, and in dialects where an empty result is a success, clients report a success. edge
// reports that it does not know the result.
var unknowing = &difference{"success without knowing", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status != nil || own.Text != "" || own.Close != 1006 {
		return own, errors.New("the API server itself sent a result")
	}
	if edge.OK() {
		return own, errors.New("edge reports success")
	}
	if edge.Close != 0 && edge.Close != 1000 {
		return own, fmt.Errorf("client-go ignores the result because of close code %d", edge.Close)
	}
	own.Status, own.Text, own.Close = edge.Status, edge.Text, edge.Close
	return own, nil
}}

// flattened is the difference that the API server's translator turns a refusal into a 500, because
// it has already answered 101 when it receives the refusal.
var flattened = &difference{"translator's 500", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status == nil || own.Status.Code != 500 {
		return own, errors.New("the API server itself did not answer with code 500")
	}
	if edge.Refusal == "" || strings.HasPrefix(edge.Refusal, "500") {
		return own, errors.New("edge did not keep the code of the refusal")
	}
	return edge, nil
}}

// unkept is the difference that a refusal becomes a 500 when edge uses WebSocket upstream: the API
// server's translator has already answered edge with 101 when it receives the refusal.
var unkept = &difference{"translator's 500, upstream", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if !strings.HasPrefix(own.Refusal, "404") || edge.Refusal != "" {
		return own, errors.New("edge kept the code of the refusal")
	}
	if edge.OK() || edge.Status != nil && edge.Status.Code != 500 {
		return own, errors.New("the result is not the translator's 500")
	}
	return edge, nil
}}

// refusedByNode returns the expected difference when the kubelet refuses a request.
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

// reworded is the difference in a result's message when edge uses WebSocket upstream. The API
// server's translator then replaces the container runtime's message. Everything except the message
// must be the same.
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

// withoutWords returns only what programs read of a Status: status, code, reason and exit code.
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

// translated returns reworded if edge's session passes the API server's translator but the direct
// session does not.
func translated(p pair) *difference {
	if p.site.cluster.Kind == cluster.New && p.upstream == overWebSocket && p.d.Name != v5 {
		return reworded
	}
	return nil
}
