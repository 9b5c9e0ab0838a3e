module edge

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // loadtest: round-trip times
	github.com/coreos/go-oidc/v3 v3.21.0
	github.com/emicklei/go-restful/v3 v3.13.0 // tests: the router of a kubelet, an oracle for paths
	github.com/go-jose/go-jose/v4 v4.1.8 // authn: signatures; go-oidc uses it too
	github.com/go-logr/logr v1.4.3 // cmd/edge: passes the log of OpenTelemetry to log/slog
	github.com/google/cel-go v0.29.2 // authn: the expressions of an AuthenticationConfiguration
	github.com/google/uuid v1.6.0 // audit: the Audit-ID of a request
	github.com/gorilla/websocket v1.5.4-0.20250319132907-e064f32e3674 // tests, bench: clients and servers; the commit that k8s.io requires, newer than v1.5.3
	github.com/moby/spdystream v0.5.1 // tests: frames of the SPDY library that Kubernetes uses
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.10
	go.opentelemetry.io/otel v1.44.0 // tracing
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.44.0 // internal/otlp: converts spans to messages; links no gRPC
	go.opentelemetry.io/otel/sdk v1.44.0 // tracing
	go.opentelemetry.io/otel/trace v1.44.0 // tracing
	go.opentelemetry.io/proto/otlp v1.10.0 // internal/otlp: the messages, without the services
	go.uber.org/goleak v1.3.0 // tests: goroutines that nobody ended
	go.yaml.in/yaml/v3 v3.0.4 // authn: finds a second document in a configuration file
	golang.org/x/net v0.62.0 // HTTP/2 on both sides, and the syntax of headers
	golang.org/x/sync v0.24.0 // errgroup, semaphore, singleflight
	golang.org/x/sys v0.49.0 // epoll, SO_REUSEPORT, CPU times
	google.golang.org/protobuf v1.36.12-0.20260120151049-f2248ac996af // internal/otlp: encodes the messages
	gopkg.in/natefinch/lumberjack.v2 v2.2.1 // audit: rotates the log file, as kube-apiserver does
	k8s.io/api v0.37.2
	k8s.io/apimachinery v0.37.2
	k8s.io/apiserver v0.37.2
	k8s.io/client-go v0.37.2
	k8s.io/component-base v0.37.2 // cmd/edge, loadtest: help with flags in groups
	k8s.io/cri-api v0.37.2 // tests, bench: the requests of cri-streaming
	k8s.io/cri-streaming v0.37.2 // tests, bench: the exec server of container runtimes
	k8s.io/klog/v2 v2.140.0 // cmd/edge: passes the log of client-go to log/slog
	k8s.io/streaming v0.37.2 // names in SPDY handshakes; in tests and bench, Kubernetes' own SPDY and WebSocket
)

require (
	cel.dev/expr v0.25.1 // indirect
	github.com/Azure/go-ansiterm v0.0.0-20250102033503-faa5f7b0171c // indirect
	github.com/antlr4-go/antlr/v4 v4.13.1 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/blang/semver/v4 v4.0.0 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/coreos/go-oidc v2.5.0+incompatible // indirect; tests: kube-apiserver's OIDC authenticator, an oracle for authn, still uses v2
	github.com/davecgh/go-spew v1.1.2-0.20180830191138-d8f796af33cc // indirect
	github.com/felixge/httpsnoop v1.0.4 // indirect
	github.com/fsnotify/fsnotify v1.9.0 // indirect
	github.com/fxamacker/cbor/v2 v2.9.1 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-openapi/jsonpointer v1.0.0 // indirect
	github.com/go-openapi/jsonreference v1.0.0 // indirect
	github.com/go-openapi/swag v0.27.1 // indirect
	github.com/go-openapi/swag/cmdutils v0.27.1 // indirect
	github.com/go-openapi/swag/conv v0.27.1 // indirect
	github.com/go-openapi/swag/fileutils v0.27.1 // indirect
	github.com/go-openapi/swag/jsonutils v0.27.1 // indirect
	github.com/go-openapi/swag/loading v0.27.1 // indirect
	github.com/go-openapi/swag/mangling v0.27.1 // indirect
	github.com/go-openapi/swag/netutils v0.27.1 // indirect
	github.com/go-openapi/swag/pools v0.27.1 // indirect
	github.com/go-openapi/swag/stringutils v0.27.1 // indirect
	github.com/go-openapi/swag/typeutils v0.27.1 // indirect
	github.com/go-openapi/swag/yamlutils v0.27.1 // indirect
	github.com/google/gnostic-models v0.7.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.29.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/moby/term v0.5.2 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.3-0.20250322232337-35a7c28c31ee // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/mxk/go-flowrate v0.0.0-20140419014527-cca7078d478f // indirect
	github.com/pmezard/go-difflib v1.0.1-0.20181226105442-5d4384ee4fb2 // indirect
	github.com/pquerna/cachecontrol v0.1.0 // indirect
	github.com/prometheus/client_golang v1.24.0
	github.com/prometheus/client_model v0.6.2
	github.com/prometheus/common v0.70.0
	github.com/prometheus/procfs v0.21.1 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.69.0 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.44.0 // indirect
	go.opentelemetry.io/otel/metric v1.44.0 // indirect
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/exp v0.0.0-20260410095643-746e56fc9e2f // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/term v0.47.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
	google.golang.org/grpc v1.82.1 // indirect
	gopkg.in/evanphx/json-patch.v4 v4.13.0 // indirect
	gopkg.in/go-jose/go-jose.v2 v2.6.3 // indirect; tests: kube-apiserver's OIDC authenticator, with go-oidc v2
	gopkg.in/inf.v0 v0.9.1 // indirect
	k8s.io/kube-openapi v0.0.0-20260721132016-d427ff9ee9ad // indirect
	k8s.io/utils v0.0.0-20260626114624-be93311217bd // indirect
	sigs.k8s.io/apiserver-network-proxy/konnectivity-client v0.36.0 // indirect
	sigs.k8s.io/json v0.0.0-20250730193827-2d320260d730 // indirect
	sigs.k8s.io/randfill v1.0.0 // indirect
	sigs.k8s.io/structured-merge-diff/v6 v6.4.2 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)

require github.com/kylelemons/godebug v1.1.0 // indirect
