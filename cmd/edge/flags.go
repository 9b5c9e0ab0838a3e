package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"edge/authn"
)

// options are the flags of edge serve. Names and meanings are those of
// kube-apiserver (OIDC, serving), kubectl (client) and kube-oidc-proxy.
type options struct {
	oidc    authn.Config
	serving servingOptions
	client  clientOptions

	readinessPort int
	shutdownDelay time.Duration
	flushInterval time.Duration
	logFormat     string
}

const defaultReadinessPort = 8080

func newOptions() *options {
	return &options{
		readinessPort: defaultReadinessPort,
		logFormat:     formatText,
		serving:       newServingOptions(),
		client:        newClientOptions(),
		oidc:          authn.Config{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}},
	}
}

// flagSets returns the flags in the groups that --help shows.
func (o *options) flagSets() (sets cliflag.NamedFlagSets) {
	o.addOIDC(sets.FlagSet("OIDC"))
	o.serving.addFlags(sets.FlagSet("serving"))
	o.client.addFlags(sets.FlagSet("API server"))
	o.addOperation(sets.FlagSet("operation"))
	return sets
}

func (o *options) addOIDC(fs *pflag.FlagSet) {
	c := &o.oidc
	fs.StringVar(&c.IssuerURL, "oidc-issuer-url", c.IssuerURL, "The URL of the OpenID issuer, https only: it must be what tokens have as \"iss\". Required.")
	fs.StringVar(&c.ClientID, "oidc-client-id", c.ClientID, "The client ID for the OpenID Connect client: tokens must have it in \"aud\". Required.")
	fs.StringVar(&c.CAFile, "oidc-ca-file", c.CAFile, "If set, the issuer's certificate is verified by one of the authorities in this file, otherwise by the host's root CA set.")
	fs.StringVar(&c.UsernameClaim, "oidc-username-claim", c.UsernameClaim, "The claim to use as the user name. Claims other than \"sub\" are not guaranteed to be unique and immutable.")
	fs.StringVar(&c.UsernamePrefix, "oidc-username-prefix", c.UsernamePrefix, "If set, all user names get this prefix. If not, claims other than \"email\" get the issuer's URL and \"#\" before them. Use \"-\" for no prefix at all.")
	fs.StringVar(&c.GroupsClaim, "oidc-groups-claim", c.GroupsClaim, "If set, the claim with the user's groups, a string or an array of strings.")
	fs.StringVar(&c.GroupsPrefix, "oidc-groups-prefix", c.GroupsPrefix, "If set, all groups get this prefix, so that they cannot clash with others.")
	fs.StringSliceVar(&c.SigningAlgs, "oidc-signing-algs", c.SigningAlgs, "Comma-separated JOSE signing algorithms that are accepted: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.")
	fs.Var(cliflag.NewMapStringStringNoSplit(&c.RequiredClaims), "oidc-required-claim", "A key=value pair that a token must have as a claim. Repeat the flag for more.")
}

func (o *options) addOperation(fs *pflag.FlagSet) {
	fs.IntVar(&o.readinessPort, "readiness-probe-port", o.readinessPort, "The port of the probes, plain HTTP: /ready is 200 while the issuer's keys are in hand and edge is not shutting down, /live while it runs.")
	fs.DurationVar(&o.shutdownDelay, "shutdown-delay-duration", o.shutdownDelay, "How long to go on serving after a signal, with /ready false already, until load balancers have noticed.")
	fs.DurationVar(&o.flushInterval, "flush-interval", o.flushInterval, "Accepted for kube-oidc-proxy's sake: edge always flushes at once.")
	fs.StringVar(&o.logFormat, "log-format", o.logFormat, "The format of the log on standard error: text or json.")
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
	for _, check := range []func() error{o.serving.validate, o.client.validate, o.oidc.Validate} {
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
