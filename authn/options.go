package authn

import (
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// Options say whose tokens are accepted and what a user is called: in flags for one issuer, in a file for many, or,
// where both are empty, nobody's.
type Options struct {
	// Flags are kube-apiserver's --oidc-* flags.
	Flags Flags
	// File is kube-apiserver's --authentication-config, an AuthenticationConfiguration. It excludes Flags, and is read again
	// while [Authenticator.Run] runs.
	File string

	// Log gets one line whenever an issuer's keys come into hand, whenever fetching them begins to fail, and whenever File
	// changes. Nil: none.
	Log *slog.Logger
	// Now is the clock that exp and nbf are compared with, and that key fetches are paced by. Nil: time.Now.
	Now func() time.Time
}

// load returns the configuration that the options describe, decoded and not validated yet.
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
