package main

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestUnusableGroupsAreDropped checks that with --unusable-groups=drop groups that cannot be sent
// in a header are removed from the user: upstream, in access reviews, in the access log and in
// audit events. Such groups under "system:" are still refused.
func TestUnusableGroupsAreDropped(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ca, pair := b.clientCertificate("anna", "dev", "night shift ", "\u007fops")
	policy := b.file("policy.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
	events := b.file("audit.log", "")
	e := b.serve("--unusable-groups=drop", "--client-ca-file="+ca, "--audit-policy-file="+policy, "--audit-log-path="+events, "--audit-log-mode=blocking")
	odd := []string{"dev", "night shift ", "", "a\r\nImpersonate-Group: system:masters"}
	token := b.token(map[string]any{"groups": odd})
	if got := e.upstreamOf(token, "/api"); !slices.Equal(got["Impersonate-Group"], []string{"dev"}) || got.Get("Impersonate-User") != "jane" {
		t.Error(got)
	}
	if got := e.upstreamOf(token, "/apis", "Impersonate-User", "bob"); got.Get("Impersonate-User") != "bob" || !slices.Equal(got["Impersonate-Extra-Originaluser.jetstack.io-Groups"], []string{"dev"}) {
		t.Error(got)
	}
	if _, bodies := b.requests("/apis/authorization.k8s.io/v1/subjectaccessreviews"); len(bodies) != 1 || !strings.Contains(bodies[0], `"groups":["dev","system:authenticated"]`) {
		t.Error(bodies)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}}
	resp, err := client.Get(e.url + "/version/anna")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen, _ := b.requests("/version/anna"); len(seen) != 1 || seen[0].Header.Get("Impersonate-User") != "anna" || !slices.Equal(seen[0].Header["Impersonate-Group"], []string{"dev"}) {
		t.Error(resp.Status, seen)
	}
	for _, group := range []string{"system:masters", "system:masters ", " system:masters", "\tsystem:nodes"} {
		if status := e.refusalOf(b.token(map[string]any{"groups": append(slices.Clone(odd), group)}), "/forbidden"); status.Code != 403 || !strings.Contains(status.Message, "system:") {
			t.Errorf("%q: %d %s", group, status.Code, status.Message)
		}
	}
	if seen, _ := b.requests("/forbidden"); len(seen) != 0 {
		t.Error("a refused request went upstream")
	}
	e.stop()
	if log := e.log.String(); !strings.Contains(log, `user=jane groups=dev droppedGroups="\"night shift \",\"\",\"a\\r\\nImpersonate-Group: system:masters\"" status=200`) {
		t.Error(log)
	}
	if text := b.authorityText(events); strings.Count(text, `"annotations":{"edge.identity/dropped-groups":"[\"night shift \",\"\",\"a\\u000d\\u000aImpersonate-Group: system:masters\"]"}`) != 4 {
		t.Error(text)
	}

	out, errs, code := b.explainToken(token, append(b.oidc(), "--unusable-groups=drop")...)
	if code != 0 || !strings.Contains(out, `edge can impersonate this user, without the groups ["night shift " "" "a\r\nImpersonate-Group: system:masters"]`) || !strings.Contains(out, `in groups ["dev"]`) {
		t.Error(code, out, errs)
	}
	if out, _, code := b.explainToken(token, b.oidc()...); code == 0 || !strings.Contains(out, `group "night shift " has`) {
		t.Error(code, out)
	}
}

// TestUnusableGroupsFlag checks that values and combinations that cannot work are an error at
// start.
func TestUnusableGroupsFlag(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*identityOptions){
		"":                                func(o *identityOptions) { o.unusableGroups = "drop" },
		"neither deny nor drop":           func(o *identityOptions) { o.unusableGroups = "Drop" },
		`"" is neither`:                   func(o *identityOptions) { o.unusableGroups = "" },
		"excludes --unusable-groups=drop": func(o *identityOptions) { o.unusableGroups, o.disableImpersonation = "drop", true },
	} {
		o := newIdentityOptions()
		o.oidc.IssuerURL, o.oidc.ClientID = "https://issuer", "edge"
		change(&o)
		if err := o.validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
