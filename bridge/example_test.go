package bridge_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
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

// ExampleConfig_review refuses an exec for which the API server's authorizer allows only the verb
// get. edge reviews create itself: it requests the exec over WebSocket, by GET, and an API server
// may then check only get. The review for get finds out which verb the answer must name.
func ExampleConfig_review() {
	api := serveQuietly(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/authorization.k8s.io/v1/subjectaccessreviews" {
			execAPI(w, r)
			return
		}
		var review authorizationv1.SubjectAccessReview
		json.NewDecoder(r.Body).Decode(&review)
		what := review.Spec.ResourceAttributes
		review.Status.Allowed = what.Verb == "get" || what.Namespace == "dev"
		fmt.Printf("may %s %s %s/%s in %s? %v\n", review.Spec.User, what.Verb, what.Resource, what.Subresource, what.Namespace, review.Status.Allowed)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(review)
	})
	defer api.Close()
	upstream := configFor(api)
	upstream.ContentType = "application/json" // the API server of this example reads no protobuf
	reviews, err := authorizationv1client.NewForConfig(upstream)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler, err := bridge.New(bridge.Config{
		Upstream:  upstream,
		Streaming: bridge.StreamingWebSocket,
		Identify:  func(*http.Request) (impersonate.Identity, error) { return jane, nil },
		Review:    impersonate.NewReviewer(reviews.SubjectAccessReviews()).Review,
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()
	edge := httptest.NewTLSServer(handler)
	defer edge.Close()

	for _, namespace := range []string{"dev", "kube-system"} {
		conn, refused := dialExec(edge, namespace)
		if refused != nil {
			fmt.Println(refused)
			continue
		}
		readToEnd(conn)
	}
	// Output:
	// may jane create pods/exec in dev? true
	// stdout: hello
	// status: Success
	// may jane create pods/exec in kube-system? false
	// may jane get pods/exec in kube-system? true
	// 403: pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "kube-system"
}

// ExampleHandler_Drain shuts edge down while an exec runs. The client of the exec receives a Status
// with the reason, because client-go would take the end of the connection alone for success.
func ExampleHandler_Drain() {
	api := serveQuietly(endlessExecAPI)
	defer api.Close()
	handler, err := bridge.New(bridge.Config{
		Upstream:  configFor(api),
		Streaming: bridge.StreamingWebSocket,
		Identify:  func(*http.Request) (impersonate.Identity, error) { return jane, nil },
		Review:    allowAll,
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()
	edge := httptest.NewTLSServer(handler)
	defer edge.Close()

	conn, err := dialExec(edge, "dev")
	if err != nil {
		fmt.Println(err)
		return
	}
	conn.ReadMessage() // the start signal, with which the session begins
	fmt.Println("open streams:", handler.Sessions())

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		handler.Drain(ctx)        // ends the streams, which the http.Server no longer knows
		edge.Config.Shutdown(ctx) // waits for the plain requests
	}()
	readToEnd(conn)
	<-drained
	fmt.Println("open streams:", handler.Sessions())
	// Output:
	// open streams: 1
	// status: Failure: edge: the session ended before the command's outcome was known: edge is shutting down
	// open streams: 0
}

// allowAll is a Review that allows everything.
func allowAll(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
	return nil
}

// serveQuietly starts an API server that logs nothing. net/http would log the end of the spare
// connection that edge keeps open.
func serveQuietly(api http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(api)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	return server
}

// execAPI is an API server. Each exec that it serves writes hello on stdout and succeeds.
func execAPI(w http.ResponseWriter, r *http.Request) {
	conn, err := execUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.WriteMessage(websocket.BinaryMessage, []byte("\x01hello"))
	conn.WriteMessage(websocket.BinaryMessage, []byte("\x03"+`{"status":"Success"}`))
	conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	conn.ReadMessage() // returns when edge has answered the Close
}

// endlessExecAPI is an API server whose execs run until their connection ends.
func endlessExecAPI(w http.ResponseWriter, r *http.Request) {
	conn, err := execUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

var execUpgrader = websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}

// dialExec starts a command in the pod web through edge, as kubectl does. The error contains edge's
// answer if edge refuses the exec.
func dialExec(edge *httptest.Server, namespace string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		TLSClientConfig: edge.Client().Transport.(*http.Transport).TLSClientConfig,
		Subprotocols:    execUpgrader.Subprotocols,
	}
	url := "wss" + strings.TrimPrefix(edge.URL, "https") + "/api/v1/namespaces/" + namespace + "/pods/web/exec?command=greet&stdout=true"
	conn, resp, err := dialer.Dial(url, nil)
	if err == nil || resp == nil {
		return conn, err
	}
	var refusal metav1.Status
	if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%d: %s", resp.StatusCode, refusal.Message)
}

// readToEnd prints what an exec writes on stdout, and then its Status.
func readToEnd(conn *websocket.Conn) {
	defer conn.Close()
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		switch {
		case message[0] == 1 && len(message) > 1: // without a payload it is the start signal
			fmt.Printf("stdout: %s\n", message[1:])
		case message[0] == 3:
			var end metav1.Status
			json.Unmarshal(message[1:], &end)
			fmt.Println(strings.TrimSuffix("status: "+end.Status+": "+end.Message, ": "))
		}
	}
}
