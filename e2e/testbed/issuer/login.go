package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"edge/e2e/testbed/run"
)

// Tokens are the tokens that the provider issues when a user logs in.
type Tokens struct {
	ID string // ID token, which clients send to edge
	// refresh token, for the method Refresh; empty unless the login's scope contains offline_access
	Refresh string
}

// The scopes that a login requests from the provider (OpenID Connect Core 1.0, sections 3.1.2.1 and
// 11).
const (
	scopeOnline  = "openid"
	scopeOffline = "openid offline_access"
)

// Login logs a user in and returns the ID token, which is for edge.
func (i *Issuer) Login(ctx context.Context, user string) (string, error) {
	return i.LoginFor(ctx, user, ClientID)
}

// LoginFor logs a user in at the OpenID Connect client clientID and returns the ID token, which is
// for that client.
func (i *Issuer) LoginFor(ctx context.Context, user, clientID string) (string, error) {
	tokens, err := i.authorize(ctx, user, clientID, scopeOnline)
	return tokens.ID, err
}

// LoginOffline logs a user in and returns the ID token and a refresh token.
func (i *Issuer) LoginOffline(ctx context.Context, user string) (Tokens, error) {
	return i.authorize(ctx, user, ClientID, scopeOffline)
}

// Refresh exchanges a refresh token for new tokens (RFC 6749, section 6). The new refresh token
// replaces refreshToken.
func (i *Issuer) Refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	return i.redeem(ctx, url.Values{"grant_type": {"refresh_token"}, "client_id": {ClientID}, "refresh_token": {refreshToken}})
}

// authorize logs a user in: it does what a browser and the client's backend do in the authorization
// code flow with PKCE (RFC 6749, section 4.1, and RFC 7636). It fills in the provider's login and
// consent pages.
func (i *Issuer) authorize(ctx context.Context, user, clientID, scope string) (Tokens, error) {
	verifier := run.RandomHex(32)
	challenge := sha256.Sum256([]byte(verifier))
	state := run.RandomHex(8)
	query := url.Values{
		"client_id":             {clientID},
		"response_type":         {"code"},
		"scope":                 {scope},
		"redirect_uri":          {i.redirectURI},
		"state":                 {state},
		"nonce":                 {run.RandomHex(8)},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if scope == scopeOffline {
		// the provider grants the scope offline_access only if the request contains this prompt
		query.Set("prompt", "consent")
	}
	back, err := i.browse(ctx, i.URL+"/auth?"+query.Encode(), user)
	if err != nil {
		return Tokens{}, fmt.Errorf("testbed: log in %s: %w", user, err)
	}
	if back.Get("state") != state || back.Get("code") == "" {
		return Tokens{}, fmt.Errorf("testbed: log in %s: the provider's redirect contains no code, or not the state that was sent: %v", user, back)
	}
	return i.redeem(ctx, url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {clientID},
		"code":          {back.Get("code")},
		"redirect_uri":  {i.redirectURI},
		"code_verifier": {verifier},
	})
}

// form matches the HTML form in a page of the provider. It captures the URL to which the form is
// sent, and the name of the prompt ("login" or "consent").
var form = regexp.MustCompile(`(?s)<form[^>]* action="([^"]+)" method="post">.*?name="prompt" value="(\w+)"`)

// browse follows the provider's pages and redirects, until the provider redirects to the client. It
// returns the query of that last redirect.
func (i *Issuer) browse(ctx context.Context, address, user string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := *i.client
	browser.Jar = jar
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var fields url.Values // form fields of the next request, a POST; nil: the next request is a GET
	for range 12 {
		resp, page, err := get(ctx, &browser, address, fields)
		if err != nil {
			return nil, err
		}
		fields = nil
		if location := resp.Header.Get("Location"); location != "" {
			if strings.HasPrefix(location, i.redirectURI) {
				back, err := url.Parse(location)
				if err != nil {
					return nil, err
				}
				return back.Query(), nil
			}
			next, err := resp.Request.URL.Parse(location)
			if err != nil {
				return nil, err
			}
			address = next.String()
			continue
		}
		found := form.FindSubmatch(page)
		if found == nil {
			return nil, fmt.Errorf("%s answered %s without a form: %s", address, resp.Status, page)
		}
		address = string(found[1])
		fields = url.Values{"prompt": {string(found[2])}, "login": {user}, "password": {"any"}}
	}
	return nil, errors.New("the provider did not redirect to the client within 12 requests")
}

// redeem exchanges a grant (an authorization code or a refresh token) for tokens.
func (i *Issuer) redeem(ctx context.Context, fields url.Values) (Tokens, error) {
	resp, body, err := get(ctx, i.client, i.URL+"/token", fields)
	if err != nil {
		return Tokens{}, err
	}
	var answer struct {
		IDToken      string `json:"id_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.IDToken == "" {
		return Tokens{}, fmt.Errorf("testbed: token endpoint answered %s: %s", resp.Status, body)
	}
	return Tokens{ID: issued(answer.IDToken), Refresh: answer.RefreshToken}, nil
}

// get sends a POST with the form fields or, if fields is nil, a GET. It returns the response and
// the whole body.
func get(ctx context.Context, client *http.Client, address string, fields url.Values) (*http.Response, []byte, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if fields != nil {
		method, body = http.MethodPost, strings.NewReader(fields.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, nil, err
	}
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, page, err
}
