package authn

import (
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// Options configure which issuers' tokens are accepted and what users they make. Flags describe one
// issuer, File describes any number of issuers. If both are empty, no token is accepted.
type Options struct {
	// Flags are kube-apiserver's --oidc-* flags.
	Flags Flags
	// File is the path of an AuthenticationConfiguration, as in kube-apiserver's
	// --authentication-config. File and Flags exclude each other. While [Authenticator.Run] runs,
	// edge reads File again periodically.
	File string

	// Log receives a line when edge gets an issuer's keys, when fetching them begins to fail, and
	// when File changes. Nil: nothing is logged.
	Log *slog.Logger
	// Metrics, if set, measures the fetches of keys and the changes of File.
	Metrics *Metrics
	// Now is the clock for exp and nbf, and for the minimum interval of key fetches that tokens
	// cause. Nil: time.Now.
	Now func() time.Time
}

// load returns the configuration that the options describe. The configuration is decoded, but not
// validated as a whole.
func (o Options) load() (*authenticationConfig, error) {
	flag, given := o.Flags.given()
	switch {
	case o.File != "" && given:
		return nil, fmt.Errorf("--authentication-config: excludes %s; describe the issuer in the file", flag)
	case o.File != "":
		data, err := readBounded(o.File, maxConfigBytes)
		if err != nil {
			return nil, fileError(o.File, err)
		}
		config, err := parseConfig(data)
		if err != nil {
			return nil, fileError(o.File, err)
		}
		return config, nil
	case given:
		return o.Flags.config()
	}
	return &authenticationConfig{api: &apiserver.AuthenticationConfiguration{}, algs: signingAlgs}, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
