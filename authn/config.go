package authn

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// Config says whose tokens are accepted and what a user is called: in flags for one issuer, in a file for many, or, where
// both are empty, nobody's.
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

// load returns the document that the configuration is, whole and valid in itself, and how it is used.
func (c Options) load() (*authenticationConfig, error) {
	flag, given := c.Flags.given()
	switch {
	case c.File != "" && given:
		return nil, fmt.Errorf("--authentication-config: excludes %s; describe the issuer in the file", flag)
	case c.File != "":
		data, err := readBounded(c.File, maxConfigBytes)
		if err != nil {
			return nil, fileError(c.File, err)
		}
		doc, err := parseConfig(data)
		if err != nil {
			return nil, fileError(c.File, err)
		}
		return doc, nil
	case given:
		return c.Flags.config()
	}
	return &authenticationConfig{api: &apiserver.AuthenticationConfiguration{}, algs: signingAlgs}, nil
}

func (c Options) withDefaults() Options {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// maxConfigErrorBytes bounds what is said about a configuration file: all its errors, unless it has very many.
const maxConfigErrorBytes = 4 << 10

// userInfo is a user name and password in a URL, which is an error that must not quote itself.
var userInfo = regexp.MustCompile(`//[^\s"]*@`)

// fileError makes one line of what is wrong with a configuration file.
func fileError(name string, err error) error {
	text := userInfo.ReplaceAllString(err.Error(), "//REDACTED@")
	return errors.New("--authentication-config: " + oneLine(name+": "+text, maxConfigErrorBytes))
}

// oneLine makes one printable line of at most about most bytes.
func oneLine(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), " ")
}
