package audit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/pflag"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"edge/audit"
	"edge/bridge"
	"edge/impersonate"
)

// ExampleNewAccessLog logs two requests: one of jane, and one without a credential.
func ExampleNewAccessLog() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" || a.Key == "audit-ID" {
				return slog.Attr{} // differs from run to run
			}
			return a
		},
	}))
	edge, stop, err := serve(audit.NewAccessLog(log))
	if err != nil {
		fmt.Println(err)
		return
	}
	get(edge, "/api/v1/pods?limit=500", "Bearer jane")
	get(edge, "/api/v1/pods?limit=500", "")
	stop() // after this, both lines are in the log
	// Output:
	// level=INFO msg=AuSuccess source=127.0.0.1 method=GET uri="/api/v1/pods?limit=500" proto=HTTP/1.1 userAgent=example user=jane status=200 bytesIn=0 bytesOut=6
	// level=INFO msg=AuFail source=127.0.0.1 method=GET uri="/api/v1/pods?limit=500" proto=HTTP/1.1 userAgent=example reason=Unauthorized status=401 refusal=credential bytesIn=0 bytesOut=128
}

// ExampleNew writes audit events to a file, as kube-apiserver does with the same policy. The policy
// records who reads Secrets, and nothing else.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	options := audit.NewOptions()
	options.PolicyFile = filepath.Join(dir, "policy.yaml")
	options.Log.Path = filepath.Join(dir, "audit.log")
	os.WriteFile(options.PolicyFile, []byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: None
`), 0o600)
	events, err := audit.New(options, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { events.Run(ctx) })

	edge, stop, err := serve(events)
	if err != nil {
		fmt.Println(err)
		return
	}
	get(edge, "/api/v1/namespaces/dev/secrets/database", "Bearer jane")
	get(edge, "/api/v1/namespaces/dev/pods/web", "Bearer jane")
	stop()
	cancel() // after the last request, because its events must still be written
	running.Wait()

	file, err := os.Open(options.Log.Path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(err)
			return
		}
		of := e.ObjectRef
		fmt.Println(e.Stage, e.User.Username, e.Verb, of.Resource, of.Namespace+"/"+of.Name, e.ResponseStatus.Code)
	}
	// Output:
	// ResponseComplete jane get secrets dev/database 200
}

// ExampleOptions parses the flags, whose names and rules are kube-apiserver's.
func ExampleOptions() {
	options := audit.NewOptions()
	flags := pflag.NewFlagSet("edge", pflag.ContinueOnError)
	options.AddFlags(flags)
	err := flags.Parse([]string{"--audit-policy-file=policy.yaml", "--audit-log-path=audit.log", "--audit-log-mode=sometimes"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(options.Validate())
	// Output:
	// --audit-log-mode: "sometimes" is not one of batch, blocking, blocking-strict
}

// serve starts edge with an Observer, in front of an API server that greets. edge accepts the bearer
// token jane. The function stop waits until the requests have ended, and then stops both servers.
func serve(observe bridge.Observer) (edge *httptest.Server, stop func(), err error) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	handler, err := bridge.New(bridge.Config{
		Upstream: &rest.Config{Host: api.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}},
		Identify: func(r *http.Request) (impersonate.Identity, error) {
			credential := r.Header.Get("Authorization")
			r.Header.Del("Authorization")
			if credential != "Bearer jane" {
				return impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized")
			}
			return impersonate.Identity{Name: "jane", Requestor: &user.DefaultInfo{Name: "jane"}}, nil
		},
		Review:  func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
		Observe: observe,
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		api.Close()
		return nil, nil, err
	}
	edge = httptest.NewTLSServer(handler)
	return edge, func() {
		edge.Config.Shutdown(context.Background())
		edge.Close()
		handler.Close()
		api.Close()
	}, nil
}

// get sends a request and reads the whole answer. So the next request uses the same connection, and
// edge handles it after this one.
func get(edge *httptest.Server, path, credential string) {
	req, err := http.NewRequest(http.MethodGet, edge.URL+path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("User-Agent", "example")
	if credential != "" {
		req.Header.Set("Authorization", credential)
	}
	resp, err := edge.Client().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
}
