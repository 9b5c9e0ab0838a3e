package bridge_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
)

// ExampleNew starts an API server with edge in front of it. edge authenticates each request as the
// user jane.
func ExampleNew() {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s as %s", r.URL.Path, r.Header.Get("Impersonate-User"))
	}))
	defer api.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})

	handler, err := bridge.New(bridge.Config{
		Upstream: &rest.Config{Host: api.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}},
		Identify: func(*http.Request) (impersonate.Identity, error) {
			return impersonate.Identity{Name: "jane"}, nil
		},
		Review: func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()
	edge := httptest.NewTLSServer(handler)
	defer edge.Close()

	resp, err := edge.Client().Get(edge.URL + "/api/v1/pods")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), err)
	handler.Drain(context.Background()) // no stream is open, so Drain returns immediately
	// Output:
	// 200 /api/v1/pods as jane <nil>
}
