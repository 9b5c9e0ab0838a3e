package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"edge/audit"
)

// options are the flags of edge serve. Their names and meanings are those of kube-apiserver (OIDC,
// serving), kubectl (client) and kube-oidc-proxy.
type options struct {
	identity identityOptions
	serving  servingOptions
	client   clientOptions
	audit    *audit.Options
	tracing  tracingOptions

	readinessPort int
	shutdownDelay time.Duration
	flushInterval time.Duration
	logFormat     string
	accessLog     bool
	metrics       bool
	profiling     bool
}

const defaultReadinessPort = 8080

func newOptions() *options {
	return &options{
		readinessPort: defaultReadinessPort,
		logFormat:     formatText,
		serving:       newServingOptions(),
		client:        newClientOptions(),
		audit:         audit.NewOptions(),
		accessLog:     true,
		metrics:       true,
		identity:      newIdentityOptions(),
	}
}

// flagSets returns the flags in the groups that --help shows.
func (o *options) flagSets() (sets cliflag.NamedFlagSets) {
	o.identity.addOIDCFlags(sets.FlagSet("OIDC"))
	o.identity.addFlags(sets.FlagSet("identity"))
	o.serving.addFlags(sets.FlagSet("serving"))
	o.client.addFlags(sets.FlagSet("API server"))
	o.audit.AddFlags(sets.FlagSet("audit"))
	o.addOperation(sets.FlagSet("operation"))
	o.tracing.addFlags(sets.FlagSet("tracing"))
	return sets
}

func (o *options) addOperation(fs *pflag.FlagSet) {
	fs.IntVar(&o.readinessPort, "readiness-probe-port", o.readinessPort, "Port for the probes, plain HTTP. /live returns 200 while edge runs. /ready returns 200 while edge has the keys of an issuer, the API server answers and accepts edge's credential, and edge is not shutting down.")
	fs.DurationVar(&o.shutdownDelay, "shutdown-delay-duration", o.shutdownDelay, "Time to keep serving after a termination signal, while /ready already fails, so that load balancers stop sending requests.")
	fs.DurationVar(&o.flushInterval, "flush-interval", o.flushInterval, "Has no effect; accepted for compatibility with kube-oidc-proxy. edge flushes watches and logs immediately.")
	fs.BoolVar(&o.accessLog, "access-log", o.accessLog, "Log one line for each request when it ends: AuSuccess, or AuFail with the reason if the request was not authenticated or its identity was refused.")
	fs.BoolVar(&o.metrics, "enable-metrics", o.metrics, "Serve Prometheus metrics at /metrics on the port of --readiness-probe-port. No label has a value that a user chooses.")
	fs.BoolVar(&o.profiling, "profiling", o.profiling, "Serve Go's profiles at /debug/pprof/ on the port of --readiness-probe-port, for everybody who can reach it. They have the names of functions and amounts, but no contents of memory. edge is slower while it makes one.")
	fs.StringVar(&o.logFormat, "log-format", o.logFormat, "Format of the log on standard error: text or json.")
}

// accepted returns the flags that the operator set and that have no effect. edge accepts these
// flags for compatibility only.
func (o *options) accepted() (flags []string) {
	if o.serving.addressSharing {
		flags = append(flags, "--permit-address-sharing")
	}
	if o.flushInterval != 0 {
		flags = append(flags, "--flush-interval")
	}
	return flags
}

// validate checks the flags that no other package checks, and returns an error for the first
// mistake.
func (o *options) validate() error {
	if o.logFormat != formatText && o.logFormat != formatJSON {
		return fmt.Errorf("--log-format: %q is neither text nor json", o.logFormat)
	}
	if err := validPort("--readiness-probe-port", o.readinessPort); err != nil {
		return err
	}
	if o.serving.securePort == o.readinessPort {
		return fmt.Errorf("--readiness-probe-port: %d is already used by --secure-port", o.readinessPort)
	}
	if o.shutdownDelay < 0 {
		return errors.New("--shutdown-delay-duration: must not be negative")
	}
	for _, check := range []func() error{o.serving.validate, o.client.validate, o.identity.validate, o.audit.Validate, o.tracing.validate} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func validPort(flag string, port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%s: %d is not a port number, use 1 to 65535", flag, port)
	}
	return nil
}
