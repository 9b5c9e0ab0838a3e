package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	upgradeproxy "k8s.io/apimachinery/pkg/util/proxy"
	translate "k8s.io/apiserver/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// podPattern is the URL path of a pod's subresources at the API server. Clients use POST for SPDY
// and GET for WebSocket.
const podPattern = "/api/v1/namespaces/{namespace}/pods/{pod}/"

// spokenPath is the URL path at which bench reads in which protocol the last stream was requested:
// spokenSPDY, spokenV5, spokenTunnel or spokenOther.
const spokenPath = "/bench/spoken"

// Protocols in which a proxy or client can request a stream from the upstream server.
const (
	spokenSPDY   = "spdy"
	spokenV5     = "v5"
	spokenTunnel = "tunnel"
	spokenOther  = "another websocket"
)

// Responses of the simulated API server: its version is 1.36, and it allows edge everything.
const (
	version  = `{"major":"1","minor":"36","gitVersion":"v1.36.0"}`
	accessOK = `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{},"status":{"allowed":true}}`
)

// upstream is the server behind all proxies. It serves the paths of an API server, and has the
// streaming server of container runtimes behind them. WebSocket v5 and tunnel requests go to the
// API server's own handlers, which need a connection to the streaming server. upstream passes SPDY
// and all other WebSocket requests to the streaming server in the same process.
type upstream struct {
	runtime streaming.Server
	spoken  atomic.Value // a string: protocol of the last stream, which GET spokenPath returns
}

func newUpstream(roleConfig) (http.Handler, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: listen for the runtime: %w", err)
	}
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
	runtime, err := streaming.NewServer(config, workloadRuntime{})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	server := &http.Server{Handler: runtime, ReadHeaderTimeout: headerTimeout}
	go func() { _ = server.Serve(l) }() // serves until the process ends, because this process has no other purpose
	u := &upstream{runtime: runtime}
	u.spoken.Store("")
	mux := http.NewServeMux()
	mux.HandleFunc(podPattern+"exec", u.exec)
	mux.HandleFunc(podPattern+"portforward", u.portForward)
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods", podWatch)
	mux.HandleFunc("GET "+spokenPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, u.spoken.Load().(string)) })
	mux.HandleFunc("GET "+listPath, listOrWatch)
	mux.HandleFunc("GET "+versionPath, answer(http.StatusOK, version))
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", answer(http.StatusCreated, accessOK))
	return mux, nil
}

func (u *upstream) exec(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	streams := execStreams(query)
	exec, err := u.runtime.GetExec(&runtimeapi.ExecRequest{
		ContainerId: query.Get("container"), Cmd: query["command"],
		Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr, Tty: streams.Tty,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	location := mustParse(exec.GetUrl())
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		u.spoken.Store(spokenV5)
		translate.NewStreamTranslatorHandler(location, nil, unlimited, streams).ServeHTTP(w, r)
		return
	}
	u.raw(w, r, location)
}

func (u *upstream) portForward(w http.ResponseWriter, r *http.Request) {
	request := &runtimeapi.PortForwardRequest{PodSandboxId: r.PathValue("pod")}
	for _, text := range r.URL.Query()["ports"] { // ports of a WebSocket request; SPDY sends them in the headers of its streams
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		request.Port = append(request.Port, int32(port))
	}
	forward, err := u.runtime.GetPortForward(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	location := mustParse(forward.GetUrl())
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		u.spoken.Store(spokenTunnel)
		passer := upgradeproxy.NewUpgradeAwareHandler(location, nil, false, true, responder{})
		translate.NewTunnelingHandler(passer).ServeHTTP(w, r)
		return
	}
	u.raw(w, r, location)
}

// raw passes an upgrade request to the container runtime's streaming server, with the URL that the
// streaming server created for it.
func (u *upstream) raw(w http.ResponseWriter, r *http.Request, location *url.URL) {
	u.spoken.Store(spokenSPDY)
	if wsstream.IsWebSocketRequest(r) {
		u.spoken.Store(spokenOther)
	}
	served := r.Clone(r.Context())
	served.URL = location
	u.runtime.ServeHTTP(w, served)
}

// mustParse parses a URL that the container runtime's streaming server created.
func mustParse(text string) *url.URL {
	location, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return location
}
