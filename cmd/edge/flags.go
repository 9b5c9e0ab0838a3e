package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"edge/audit"
)

// options are the flags of edge serve. Names and meanings are those of
// kube-apiserver (OIDC, serving), kubectl (client) and kube-oidc-proxy.
type options struct {
	identity identityOptions
	serving  servingOptions
	client   clientOptions
	audit    *audit.Options

	readinessPort int
	shutdownDelay time.Duration
	flushInterval time.Duration
	logFormat     string
	accessLog     bool
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
	return sets
}

func (o *options) addOperation(fs *pflag.FlagSet) {
	fs.IntVar(&o.readinessPort, "readiness-probe-port", o.readinessPort, "The port of the probes, plain HTTP: /ready is 200 while an issuer's keys are in hand, the API server answers a request of edge's own and accepts its credential, and edge is not shutting down, /live while it runs.")
	fs.DurationVar(&o.shutdownDelay, "shutdown-delay-duration", o.shutdownDelay, "How long to go on serving after a signal, with /ready false already, until load balancers have noticed.")
	fs.DurationVar(&o.flushInterval, "flush-interval", o.flushInterval, "Accepted for kube-oidc-proxy's sake: edge flushes watches and logs at once.")
	fs.BoolVar(&o.accessLog, "access-log", o.accessLog, "Log one line for each request when it ends: AuSuccess, or AuFail where nobody was let in, with the reason.")
	fs.StringVar(&o.logFormat, "log-format", o.logFormat, "The format of the log on standard error: text or json.")
}

// accepted are flags that were given and have nothing left to change.
func (o *options) accepted() (flags []string) {
	if o.serving.addressSharing {
		flags = append(flags, "--permit-address-sharing")
	}
	if o.flushInterval != 0 {
		flags = append(flags, "--flush-interval")
	}
	return flags
}

// validate says what is wrong with the flags that no other package looks at.
func (o *options) validate() error {
	if o.logFormat != formatText && o.logFormat != formatJSON {
		return fmt.Errorf("--log-format: %q is neither text nor json", o.logFormat)
	}
	if err := validPort("--readiness-probe-port", o.readinessPort); err != nil {
		return err
	}
	if o.serving.securePort == o.readinessPort {
		return fmt.Errorf("--readiness-probe-port: %d is --secure-port's already", o.readinessPort)
	}
	if o.shutdownDelay < 0 {
		return errors.New("--shutdown-delay-duration: must not be negative")
	}
	for _, check := range []func() error{o.serving.validate, o.client.validate, o.identity.validate, o.audit.Validate} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func validPort(flag string, port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%s: %d is no port, use 1 to 65535", flag, port)
	}
	return nil
}
