package main

import (
	"net/http"
	"net/url"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// execPattern is the path under which the API server serves a pod's exec, by POST for SPDY and by GET for
// WebSocket.
const execPattern = "/api/v1/namespaces/{namespace}/pods/{pod}/exec"

// newUpstream is the exec server of the container runtimes behind an API server's path: each request
// gets a token as the kubelet would ask one for it, and is served under the token's path.
func newUpstream(roleConfig) (http.Handler, error) {
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "https", Host: "localhost", Path: "/"}
	server, err := streaming.NewServer(config, workloadRuntime{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(execPattern, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		streams := execStreams(query)
		exec, err := server.GetExec(&runtimeapi.ExecRequest{
			ContainerId: query.Get("container"), Cmd: query["command"],
			Stdin: streams.stdin, Stdout: streams.stdout, Stderr: streams.stderr, Tty: streams.tty,
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		location, err := url.Parse(exec.Url)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		served := r.Clone(r.Context())
		served.URL = location
		server.ServeHTTP(w, served)
	})
	return mux, nil
}
