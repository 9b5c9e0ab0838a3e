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

// difference is a difference between what a client observes through edge and what it observes at
// the API server. The test of a scenario fails if an expected difference does not occur.
type difference struct {
	name string
	// true: the difference is accepted; false: it is a known bug, and the scenario fails
	agreed bool
	// apply changes own, the observation at the API server, into the observation that is expected
	// through edge. It returns an error if the difference does not occur.
	apply func(own, edge rawclient.Observation) (rawclient.Observation, error)
}

// unknowing is the accepted difference if the connection to the upstream is lost. The API server
// then ends the session without a result, and in dialects where an empty result means success,
// clients report a success. edge reports that it does not know the result.
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

// flattened is an accepted difference if the kubelet refuses a request. Without edge, the client
// gets a 500: the API server's translator from WebSocket to SPDY has already answered 101 when the
// kubelet refuses. Through edge, the client gets the kubelet's status code.
var flattened = &difference{"translator's 500", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status == nil || own.Status.Code != 500 {
		return own, errors.New("the API server itself did not answer with code 500")
	}
	if edge.Refusal == "" || strings.HasPrefix(edge.Refusal, "500") {
		return own, errors.New("edge did not keep the code of the refusal")
	}
	return edge, nil
}}

// unkept is an accepted difference if the kubelet refuses a request and edge uses WebSocket
// upstream. Through edge, the client gets a 500 instead of the kubelet's status code, because the
// API server's translator from WebSocket to SPDY has already answered 101 to edge.
var unkept = &difference{"translator's 500, upstream", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if !strings.HasPrefix(own.Refusal, "404") || edge.Refusal != "" {
		return own, errors.New("edge kept the code of the refusal")
	}
	if edge.OK() || edge.Status != nil && edge.Status.Code != 500 {
		return own, errors.New("the result is not the translator's 500")
	}
	return edge, nil
}}

// refusedByNode returns the expected difference for a request that the kubelet refuses; nil: none.
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

// reworded is an accepted difference in the message of a result if edge uses WebSocket upstream.
// The API server's translator from WebSocket to SPDY then replaces the container runtime's message.
// All other parts of the observation must be equal.
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

// withoutWords returns a Status without its message for people: only status, code, reason and exit
// code, which programs read.
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

// translated returns the expected difference of a command that fails. The difference is reworded
// (another message) if the API server translates edge's session from WebSocket to SPDY but does not
// translate the direct session; otherwise it is nil.
func translated(p pair) *difference {
	if p.site.cluster.Kind == cluster.New && p.upstream == overWebSocket && p.d.Name != v5 {
		return reworded
	}
	return nil
}
