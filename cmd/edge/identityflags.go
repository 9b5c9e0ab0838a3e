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

// identityOptions configure which users edge authenticates, and with which identity their requests
// go upstream.
type identityOptions struct {
	oidc     authn.Flags
	config   string // path of --authentication-config
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

// Values of --unusable-groups.
const (
	groupsDeny = "deny"
	groupsDrop = "drop"
)

func newIdentityOptions() identityOptions {
	return identityOptions{oidc: authn.Flags{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}}, unusableGroups: groupsDeny}
}

func (o *identityOptions) addOIDCFlags(fs *pflag.FlagSet) {
	c := &o.oidc
	fs.StringVar(&c.IssuerURL, "oidc-issuer-url", c.IssuerURL, "URL of the OpenID Connect issuer. It must use https and be exactly the value of \"iss\" in the tokens.")
	fs.StringVar(&c.ClientID, "oidc-client-id", c.ClientID, "OpenID Connect client ID. A token must have it in \"aud\". Required with --oidc-issuer-url.")
	fs.StringVar(&c.CAFile, "oidc-ca-file", c.CAFile, "File with the certificate authorities that may sign the issuer's certificate, PEM. If not set, the host's root certificates are used.")
	fs.StringVar(&c.UsernameClaim, "oidc-username-claim", c.UsernameClaim, "Claim to use as the user name. Claims other than \"sub\" are not guaranteed to be unique and immutable.")
	fs.StringVar(&c.UsernamePrefix, "oidc-username-prefix", c.UsernamePrefix, "Prefix for all user names. If not set, the prefix is the issuer's URL and \"#\", or nothing if the claim is \"email\". \"-\" means no prefix.")
	fs.StringVar(&c.GroupsClaim, "oidc-groups-claim", c.GroupsClaim, "Claim with the user's groups, a string or an array of strings. If not set, users have no groups.")
	fs.StringVar(&c.GroupsPrefix, "oidc-groups-prefix", c.GroupsPrefix, "Prefix for all groups, so that they cannot clash with groups from other sources. If not set, groups have no prefix.")
	fs.StringSliceVar(&c.SigningAlgs, "oidc-signing-algs", c.SigningAlgs, "Comma-separated JOSE signing algorithms to accept: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.")
	fs.Var(cliflag.NewMapStringStringNoSplit(&c.RequiredClaims), "oidc-required-claim", "A claim=value pair that every token must have. Repeat the flag to require more claims.")
	fs.StringVar(&o.config, "authentication-config", o.config, "File with an AuthenticationConfiguration (apiserver.config.k8s.io/v1 or v1beta1): several issuers, CEL rules, anonymous requests. edge reloads it when it changes, and ignores a version that is not valid. Excludes the --oidc-* flags.")
}

func (o *identityOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.clientCA, "client-ca-file", o.clientCA, "File with certificate authorities, PEM. A client with a certificate from one of them is authenticated as the user in the certificate's common name, in the groups in its organizations. edge reloads the file when it changes.")
	fs.BoolVar(&o.passthrough, "token-passthrough", o.passthrough, "If OIDC does not accept a token, check it with a TokenReview. If the API server accepts it, edge forwards the request with that token, without impersonation.")
	fs.StringSliceVar(&o.passthroughAudiences, "token-passthrough-audiences", o.passthroughAudiences, "Comma-separated audiences for --token-passthrough: a token must be valid for one of them. If empty, the API server's own audiences are used.")
	fs.BoolVar(&o.disableImpersonation, "disable-impersonation", o.disableImpersonation, "Do not impersonate: authenticate each request, then forward it with the client's own token. The API server must accept the token as well.")
	fs.StringSliceVar(&o.allowSystem, "allow-system-identities", o.allowSystem, "Comma-separated exact names beginning with \"system:\" that issuers and client certificates may give to users and groups. All others are refused with 403. With system:masters, anyone who can issue credentials has full access.")
	fs.StringVar(&o.unusableGroups, "unusable-groups", o.unusableGroups, unusableGroupsUsage)
	fs.StringSliceVar(&o.extra, "extra-user-headers", o.extra, "Comma-separated key=value pairs to add to every user as extra. Repeat a key for several values. edge's account needs permission to impersonate userextras/KEY.")
	fs.StringSliceVar(&o.anonymousPaths, "anonymous-paths", o.anonymousPaths, "Comma-separated exact paths, such as /version or /openid/v1/jwks, where a GET or HEAD without a credential is forwarded as system:anonymous. RBAC for system:unauthenticated still applies. Excludes --authentication-config, which has its own setting.")
	fs.BoolVar(&o.clientIP, "extra-user-header-client-ip", o.clientIP, "Add the client's address to every user as the extra remote-client-ip. Behind a load balancer, also set --trusted-proxies.")
}

const unusableGroupsUsage = "What to do if a user has a group that cannot be sent in a header (empty, a control character, white space at an end): deny (403), or drop the group and record that in access log and audit events. Such groups under \"system:\" are always refused."

func (o *identityOptions) validate() error {
	if o.config == "" && o.oidc.IssuerURL == "" && o.clientCA == "" && !o.passthrough {
		return errors.New("no authentication is configured: set --oidc-issuer-url and --oidc-client-id, --authentication-config, --client-ca-file or --token-passthrough")
	}
	if !o.passthrough && len(o.passthroughAudiences) > 0 {
		return errors.New("--token-passthrough-audiences: needs --token-passthrough")
	}
	if o.disableImpersonation {
		switch {
		case o.clientCA != "":
			return errors.New("--disable-impersonation: excludes --client-ca-file: a request with a client certificate has no token to forward")
		case len(o.anonymousPaths) > 0:
			return errors.New("--disable-impersonation: excludes --anonymous-paths: an anonymous request has no token to forward")
		case o.unusableGroups == groupsDrop:
			return errors.New("--disable-impersonation: excludes --unusable-groups=drop: the API server reads the groups from the token itself")
		case len(o.extra) > 0, o.clientIP:
			return errors.New("--disable-impersonation: excludes --extra-user-headers and --extra-user-header-client-ip: extras are sent only with impersonation")
		}
	}
	if o.config != "" && len(o.anonymousPaths) > 0 {
		return errors.New("--anonymous-paths: excludes --authentication-config: set the paths in its anonymous.conditions")
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
			return fmt.Errorf("--allow-system-identities: %s is the user of requests without a credential, and no token may have that name; see --anonymous-paths, and anonymous in --authentication-config", name)
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

// extraValues parses --extra-user-headers. It returns the keys in lower case, because they are sent
// in header names.
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
