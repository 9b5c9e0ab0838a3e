package main

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// explainToken runs edge explain-token with a token on standard input.
func (b *bed) explainToken(token string, args ...string) (out, errs string, code int) {
	b.Helper()
	cmd := edgeCommand(b.Context(), append([]string{"explain-token"}, args...)...)
	cmd.Stdin = strings.NewReader(token)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ok := err.(*exec.ExitError); !ok {
			b.Fatal(err)
		}
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// TestExplainToken checks that edge explain-token reports what edge serve does, with the reason,
// and never prints the token.
func TestExplainToken(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve("--oidc-required-claim=name=Jane")
	flags := append(b.oidc(), "--oidc-required-claim=name=Jane")
	for name, c := range map[string]struct {
		claims map[string]any
		says   []string
	}{
		"good":         {nil, []string{`The user is "jane"`, `in groups ["dev"]`, "ok  signature"}},
		"expired":      {map[string]any{"exp": time.Now().Add(-3 * time.Hour).Unix()}, []string{"refused  expiry", "3h", `The user would be "jane"`}},
		"audience":     {map[string]any{"aud": "other"}, []string{"refused  audience", `"other"`}},
		"issuer":       {map[string]any{"iss": "https://other"}, []string{"refused  issuer", "No configured issuer matches the token. Configured: " + b.issuer.URL}},
		"claim":        {map[string]any{"name": "Joe"}, []string{"refused  required claims", "name"}},
		"two at once":  {map[string]any{"aud": "other", "name": "Joe"}, []string{"refused  audience", "refused  required claims"}},
		"system user":  {map[string]any{"sub": "system:admin"}, []string{"refused  identity", "system:admin"}},
		"system group": {map[string]any{"groups": []string{"system:masters"}}, []string{"refused  identity", "system:masters"}},
		"no name":      {map[string]any{"sub": ""}, []string{"refused  identity"}},
		"control":      {map[string]any{"sub": "a\x1b[2Jb"}, []string{"refused  identity", `\x1b`}},
	} {
		t.Run(name, func(t *testing.T) {
			token := b.token(c.claims)
			out, errs, code := b.explainToken("Bearer "+token+"\n", flags...)
			resp, _ := e.ask(token, "/api")
			if accepted := resp.StatusCode == 200; accepted != (code == 0) {
				t.Errorf("edge serve answers %s, explain-token exits with %d", resp.Status, code)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("lacks %q:\n%s%s", want, out, errs)
				}
			}
			parts := strings.Split(token, ".")
			if strings.Contains(out+errs, parts[1]) || strings.Contains(out+errs, parts[2]) || strings.Contains(out, "\x1b") {
				t.Errorf("the token, or what is in it, is printed as it stands:\n%s%s", out, errs)
			}
		})
	}
}

// TestExplainTokenOffline checks that without the issuer everything but the signature is checked,
// and that the token is then not accepted.
func TestExplainTokenOffline(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	flags := append(b.oidc(), "--offline", "--output=json")
	b.issuer.Close()
	out, errs, code := b.explainToken(b.token(nil), flags...)
	var said explanation
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatal(err, out)
	}
	if code != exitFailed || said.Accepted || said.User == nil || said.User.Name != "jane" || !strings.Contains(errs, "not checked") {
		t.Errorf("exit %d, %+v, %s", code, said, errs)
	}
	for _, s := range said.Steps {
		if (s.Outcome == "skipped") != (s.Name == "signature") || s.Outcome == "refused" {
			t.Errorf("%+v", s)
		}
	}
}

// TestExplainTokenArgument checks that a token as an argument is refused, and not repeated in the
// error.
func TestExplainTokenArgument(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	token := b.token(nil)
	out, errs, code := b.explainToken("", append(b.oidc(), token)...)
	if code != exitUsage || !strings.Contains(errs, "standard input") || strings.Contains(out+errs, token) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	file := b.file("token", token)
	if out, errs, code := b.explainToken("", append(b.oidc(), "--filename="+file)...); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for name, args := range map[string][]string{
		"nothing": b.oidc(), "no issuer": nil, "no file": append(b.oidc(), "--filename="+file+".not"), "output": append(b.oidc(), "--output=xml"),
	} {
		if _, errs, code := b.explainToken("", args...); code != exitUsage || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
}

// TestExplainTokenIsPrintable checks that claims of a token cannot control the terminal on which
// edge explain-token prints them.
func TestExplainTokenIsPrintable(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const name = "a\x1b[2J\u009b2J\u202eb\x7f\U000e0041"
	token := b.token(map[string]any{"sub": name, "groups": []string{name}, "aud": name})
	for _, output := range []string{"text", "json"} {
		out, errs, _ := b.explainToken(token, append(b.oidc(), "--output="+output)...)
		if i := strings.IndexFunc(out+errs, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: %q", output, out+errs)
		}
		if output == "json" {
			var said explanation
			if err := json.Unmarshal([]byte(out), &said); err != nil || said.User == nil || said.User.Name != name {
				t.Errorf("%v, %+v", err, said.User)
			}
		}
	}
}
