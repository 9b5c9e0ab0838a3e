package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apiserver/pkg/authentication/token/jwt"
	"k8s.io/apiserver/pkg/authentication/user"
)

// notBeforeLeeway is how far ahead nbf may be, for clocks that differ. kube-apiserver's; go-oidc's own is wider.
const notBeforeLeeway = time.Minute

// claims is a token's payload, one level deep. JSON null decodes into a zero value, as in kube-apiserver.
type claims map[string]json.RawMessage

// user makes the user that the configuration reads out of verified claims.
func (c claims) user(cfg *Config) (*user.DefaultInfo, error) {
	name, err := c.username(cfg)
	if err != nil {
		return nil, err
	}
	groups, err := c.groups(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.required(cfg.RequiredClaims); err != nil {
		return nil, err
	}
	return &user.DefaultInfo{Name: name, Groups: groups, Extra: c.extra()}, nil
}

func (c claims) username(cfg *Config) (string, error) {
	raw, ok := c[cfg.UsernameClaim]
	if !ok {
		return "", refused(ReasonClaims, fmt.Sprintf("no username claim %q", cfg.UsernameClaim))
	}
	var name string
	if json.Unmarshal(raw, &name) != nil {
		return "", refused(ReasonClaims, fmt.Sprintf("username claim %q is not a string", cfg.UsernameClaim))
	}
	if raw, ok := c["email_verified"]; ok && cfg.UsernameClaim == "email" {
		var verified bool
		if json.Unmarshal(raw, &verified) != nil {
			return "", refused(ReasonClaims, "email_verified is not a boolean")
		}
		if !verified {
			return "", refused(ReasonClaims, "email_verified is false")
		}
	}
	return cfg.UsernamePrefix + name, nil
}

func (c claims) groups(cfg *Config) ([]string, error) {
	if cfg.GroupsClaim == "" {
		return nil, nil
	}
	raw, ok := c[cfg.GroupsClaim]
	if !ok {
		return nil, c.refuseDistributed(cfg.GroupsClaim)
	}
	groups, err := stringOrList(raw)
	if err != nil {
		return nil, refused(ReasonClaims, fmt.Sprintf("groups claim %q is neither a string nor a list of strings", cfg.GroupsClaim))
	}
	if cfg.GroupsPrefix != "" {
		for i := range groups {
			groups[i] = cfg.GroupsPrefix + groups[i]
		}
	}
	return groups, nil
}

// refuseDistributed refuses a token whose groups are elsewhere (OpenID Connect Core 1.0, section 5.6.2): to fetch them is to
// follow a URL out of a token, to do without them is to give a user other rights than the issuer meant.
func (c claims) refuseDistributed(groupsClaim string) error {
	raw, ok := c["_claim_names"]
	if !ok {
		return nil
	}
	var sources map[string]json.RawMessage
	if json.Unmarshal(raw, &sources) != nil {
		return refused(ReasonClaims, "_claim_names is not an object")
	}
	if _, ok := sources[groupsClaim]; ok {
		return refused(ReasonDistributedGroups,
			fmt.Sprintf("the token only refers to its %q (too many groups for it?); let the issuer send fewer", groupsClaim))
	}
	return nil
}

// required looks claims up in no fixed order: the first that fails is named.
func (c claims) required(want map[string]string) error {
	for claim, value := range want {
		raw, ok := c[claim]
		if !ok {
			return refused(ReasonClaims, fmt.Sprintf("required claim %q is missing", claim))
		}
		var got string
		if json.Unmarshal(raw, &got) != nil || got != value {
			return refused(ReasonClaims, fmt.Sprintf("required claim %q has another value", claim))
		}
	}
	return nil
}

// extra holds the token's jti, for the audit log.
func (c claims) extra() map[string][]string {
	var jti string
	if raw, ok := c["jti"]; !ok || json.Unmarshal(raw, &jti) != nil || jti == "" {
		return nil
	}
	return map[string][]string{user.CredentialIDKey: {jwt.CredentialIDForJTI(jti)}}
}

func stringOrList(raw json.RawMessage) ([]string, error) {
	var list []string
	if err := json.Unmarshal(raw, &list); err == nil {
		return list, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, errors.New("neither a string nor a list of strings")
	}
	return []string{one}, nil
}

// envelope is what is read before a signature is checked, to tell whose token it is, and what go-oidc checks otherwise.
type envelope struct {
	Issuer    string       `json:"iss"`
	NotBefore *json.Number `json:"nbf"`
}

// tooEarly must be asked only about a payload that go-oidc has decoded: nbf is then a number, whole or not.
func (e envelope) tooEarly(now time.Time) bool {
	if e.NotBefore == nil {
		return false
	}
	seconds, err := strconv.ParseInt(e.NotBefore.String(), 10, 64)
	if err != nil {
		f, err := e.NotBefore.Float64()
		if err != nil {
			return true
		}
		seconds = int64(f)
	}
	return now.Add(notBeforeLeeway).Before(time.Unix(seconds, 0))
}
