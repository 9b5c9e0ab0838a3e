package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/authentication/user"
	cliflag "k8s.io/component-base/cli/flag"

	"edge/authn"
)

// identityOptions say who is let in, and as whom they go on.
type identityOptions struct {
	oidc     authn.Flags
	config   string // --authentication-config
	clientCA string

	passthrough          bool
	passthroughAudiences []string
	disableImpersonation bool
	allowSystem          []string
	unusableGroups       string // groupsDeny or groupsDrop
	extra                []string
	clientIP             bool
	anonymousPaths       []string
}

// What --unusable-groups may be.
const (
	groupsDeny = "deny"
	groupsDrop = "drop"
)

func newIdentityOptions() identityOptions {
	return identityOptions{oidc: authn.Flags{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}}, unusableGroups: groupsDeny}
}

func (o *identityOptions) addOIDCFlags(fs *pflag.FlagSet) {
	c := &o.oidc
	fs.StringVar(&c.IssuerURL, "oidc-issuer-url", c.IssuerURL, "The URL of the OpenID issuer, https only: it must be what tokens have as \"iss\".")
	fs.StringVar(&c.ClientID, "oidc-client-id", c.ClientID, "The client ID for the OpenID Connect client: tokens must have it in \"aud\". Required with --oidc-issuer-url.")
	fs.StringVar(&c.CAFile, "oidc-ca-file", c.CAFile, "If set, the issuer's certificate is verified by one of the authorities in this file, otherwise by the host's root CA set.")
	fs.StringVar(&c.UsernameClaim, "oidc-username-claim", c.UsernameClaim, "The claim to use as the user name. Claims other than \"sub\" are not guaranteed to be unique and immutable.")
	fs.StringVar(&c.UsernamePrefix, "oidc-username-prefix", c.UsernamePrefix, "If set, all user names get this prefix. If not, claims other than \"email\" get the issuer's URL and \"#\" before them. Use \"-\" for no prefix at all.")
	fs.StringVar(&c.GroupsClaim, "oidc-groups-claim", c.GroupsClaim, "If set, the claim with the user's groups, a string or an array of strings.")
	fs.StringVar(&c.GroupsPrefix, "oidc-groups-prefix", c.GroupsPrefix, "If set, all groups get this prefix, so that they cannot clash with others.")
	fs.StringSliceVar(&c.SigningAlgs, "oidc-signing-algs", c.SigningAlgs, "Comma-separated JOSE signing algorithms that are accepted: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.")
	fs.Var(cliflag.NewMapStringStringNoSplit(&c.RequiredClaims), "oidc-required-claim", "A key=value pair that a token must have as a claim. Repeat the flag for more.")
	fs.StringVar(&o.config, "authentication-config", o.config, "File with an AuthenticationConfiguration, apiserver.config.k8s.io/v1 or v1beta1: many issuers, rules in CEL, anonymous requests. It is read again when it changes; a file that is not valid changes nothing. Excludes the --oidc-* flags.")
}

func (o *identityOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.clientCA, "client-ca-file", o.clientCA, "If set, a client that shows a certificate of one of the authorities in this file is the user of its common name, in the groups of its organizations. It is read again when it changes.")
	fs.BoolVar(&o.passthrough, "token-passthrough", o.passthrough, "Try a token that OIDC refuses with a TokenReview: if the API server accepts it, the request goes on under that token, unimpersonated.")
	fs.StringSliceVar(&o.passthroughAudiences, "token-passthrough-audiences", o.passthroughAudiences, "Comma-separated audiences of which such a token must be for one. Empty: the API server's own.")
	fs.BoolVar(&o.disableImpersonation, "disable-impersonation", o.disableImpersonation, "Impersonate nobody: authenticate, then let the request go on under the caller's own token, which the API server has to accept as well.")
	fs.StringSliceVar(&o.allowSystem, "allow-system-identities", o.allowSystem, "Comma-separated names under \"system:\" that an issuer or client certificate may give to a user or group, exactly. All others are refused with 403. Whoever may sign as system:masters may do everything.")
	fs.StringVar(&o.unusableGroups, "unusable-groups", o.unusableGroups, unusableGroupsUsage)
	fs.StringSliceVar(&o.extra, "extra-user-headers", o.extra, "Comma-separated key=value pairs that each user gets as extra; repeat a key for more values. edge's own account needs the right to impersonate userextras/KEY.")
	fs.StringSliceVar(&o.anonymousPaths, "anonymous-paths", o.anonymousPaths, "Comma-separated paths where a GET or HEAD without a credential goes on as system:anonymous, exactly as they stand, such as /version or /openid/v1/jwks. What may be read there is the cluster's RBAC for system:unauthenticated. Excludes --authentication-config, which has its own.")
	fs.BoolVar(&o.clientIP, "extra-user-header-client-ip", o.clientIP, "Give each user the extra remote-client-ip, the client's address; see --trusted-proxies.")
}

const unusableGroupsUsage = "What becomes of a user with a group that is empty, has a control character, or white space at an end, as no header can carry it: deny (403) or drop (go on without that group, which the access log and audit events tell). Groups under \"system:\" are refused in any case."

func (o *identityOptions) validate() error {
	if o.config == "" && o.oidc.IssuerURL == "" && o.clientCA == "" && !o.passthrough {
		return errors.New("nobody could log in: set --oidc-issuer-url and --oidc-client-id, --authentication-config, --client-ca-file or --token-passthrough")
	}
	if !o.passthrough && len(o.passthroughAudiences) > 0 {
		return errors.New("--token-passthrough-audiences: needs --token-passthrough")
	}
	if o.disableImpersonation {
		switch {
		case o.clientCA != "":
			return errors.New("--disable-impersonation: excludes --client-ca-file: there is no token that the request could go on under")
		case len(o.anonymousPaths) > 0:
			return errors.New("--disable-impersonation: excludes --anonymous-paths: there is no token that the request could go on under")
		case o.unusableGroups == groupsDrop:
			return errors.New("--disable-impersonation: excludes --unusable-groups=drop: the API server reads the groups in the token itself")
		case len(o.extra) > 0, o.clientIP:
			return errors.New("--disable-impersonation: excludes --extra-user-headers and --extra-user-header-client-ip: nobody is impersonated")
		}
	}
	if o.config != "" && len(o.anonymousPaths) > 0 {
		return errors.New("--anonymous-paths: excludes --authentication-config: name the paths in its anonymous.conditions")
	}
	if _, err := authn.NewAnonymousPaths(o.anonymousPaths); err != nil {
		return fmt.Errorf("--anonymous-paths: %w", err)
	}
	if err := o.validateUnusableGroups(); err != nil {
		return err
	}
	for _, name := range o.allowSystem {
		if !strings.HasPrefix(name, "system:") {
			return fmt.Errorf("--allow-system-identities: %q does not begin with system:", name)
		}
		if name == user.Anonymous {
			return fmt.Errorf("--allow-system-identities: %s is nobody, and no token may say it; see --anonymous-paths, and anonymous in --authentication-config", name)
		}
	}
	_, err := o.extraValues()
	return err
}

func (o *identityOptions) validateUnusableGroups() error {
	if o.unusableGroups != groupsDeny && o.unusableGroups != groupsDrop {
		return fmt.Errorf("--unusable-groups: %q is neither deny nor drop", o.unusableGroups)
	}
	return nil
}

// extraValues reads --extra-user-headers. Keys are header names, so without case.
func (o *identityOptions) extraValues() (map[string][]string, error) {
	extra := map[string][]string{}
	for _, pair := range o.extra {
		key, value, ok := strings.Cut(pair, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" {
			return nil, fmt.Errorf("--extra-user-headers: %q is not key=value", pair)
		}
		extra[key] = append(extra[key], value)
	}
	return extra, nil
}
