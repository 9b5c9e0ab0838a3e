package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

const (
	edgeNamespace = "edge"
	// service account for which edge requests tokens, which it sends with upstream requests; edge
	// starts with a token of the account "edge"
	ownAccount      = "own"
	apiAudience     = "https://kubernetes.default.svc"
	ownTokenRequest = "/api/v1/namespaces/" + edgeNamespace + "/serviceaccounts/" + ownAccount + "/token"
)

// startWithOwnToken starts an edge that requests tokens of the service account ownAccount and uses
// them upstream. If allowed is true, ownAccount has edge's rights, and edge may request its tokens.
func startWithOwnToken(t *testing.T, c *cluster.Cluster, upstream cluster.Access, allowed bool) (*testbed.Edge, error) {
	t.Helper()
	ctx := t.Context()
	if err := makeOwnAccount(ctx, c); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: "own-token", Namespace: edgeNamespace}
	subject := func(account string) []rbacv1.Subject {
		return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: edgeNamespace, Name: account}}
	}
	bind := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "own-token"}, Subjects: subject(ownAccount),
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edge"},
	}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{ownAccount}, Verbs: []string{"create"},
	}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: subject("edge"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
	}
	rbac := c.Client.RbacV1()
	if allowed {
		_, err := rbac.ClusterRoleBindings().Create(ctx, bind, metav1.CreateOptions{})
		if err == nil {
			_, err = rbac.Roles(edgeNamespace).Create(ctx, role, metav1.CreateOptions{})
		}
		if err == nil {
			_, err = rbac.RoleBindings(edgeNamespace).Create(ctx, binding, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return bed.StartEdge(ctx, testbed.EdgeOptions{Cluster: c, Issuer: idp, Upstream: upstream, Args: []string{
		"--upstream-token-request=" + edgeNamespace + "/" + ownAccount,
		"--upstream-token-request-audience=" + apiAudience, "--upstream-token-request-lifetime=10m",
	}})
}

// makeOwnAccount deletes and creates the service account ownAccount. This invalidates the tokens of
// the deleted account.
func makeOwnAccount(ctx context.Context, c *cluster.Cluster) error {
	accounts := c.Client.CoreV1().ServiceAccounts(edgeNamespace)
	// ignore the error, because the account may not exist yet
	_ = accounts.Delete(ctx, ownAccount, metav1.DeleteOptions{})
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: ownAccount}}, metav1.CreateOptions{})
	return err
}

// TestUpstreamToken checks the flags --upstream-token-request*. edge must send clients' requests
// upstream with a short-lived token of the configured service account and audience. When the API
// server no longer accepts the token, edge must request a new one and use it.
func TestUpstreamToken(t *testing.T) {
	t.Parallel()
	c := sites[cluster.New].cluster
	if _, err := startWithOwnToken(t, c, cluster.Access{}, false); err == nil ||
		!strings.Contains(err.Error(), "verb create on resource serviceaccounts/token, resourceNames [own]") {
		t.Errorf("without the right: %v", err)
	}
	recorder, err := bed.StartRecorder(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := startWithOwnToken(t, c, recorder.Access(), true)
	if err != nil {
		t.Fatal(err)
	}
	to := edge.Access(tokens["alice"])
	credentials := func(path string) (of []string) {
		for _, head := range recorder.Heads() {
			if strings.HasPrefix(head.URI, path) {
				of = append(of, head.Header.Get("Authorization"))
			}
		}
		return of
	}
	bootstrap := credentials(ownTokenRequest)
	if len(bootstrap) != 1 {
		t.Fatalf("edge requested %d tokens at its start, want 1", len(bootstrap))
	}
	if a := raw(t.Context(), t, to, "GET", podsURI+"?own=first", askJSON); a.code != 200 {
		t.Fatal(a)
	}
	if a := raw(t.Context(), t, to, "GET", execURI+"&own=first", askWebSocket("v5.channel.k8s.io")...); a.code != 101 {
		t.Fatal(a)
	}
	first := credentials(podsURI)
	if len(first) != 2 || first[0] != first[1] || first[0] == bootstrap[0] {
		t.Fatalf("%d requests with %d credentials, want 2 requests with the same new credential", len(first), len(slices.Compact(first)))
	}
	claims := ownClaims(t, first[0])
	if claims.Subject != "system:serviceaccount:edge:own" || !slices.Equal(claims.Audiences, []string{apiAudience}) || claims.Expires-claims.Issued != 600 {
		t.Errorf("the token has claims %+v", claims)
	}
	if e := ownEvent(t, c, "own=first"); e.User.Username != claims.Subject || e.ImpersonatedUser == nil ||
		e.ImpersonatedUser.Username != testbed.UsernamePrefix+"alice" {
		t.Errorf("the API server saw %+v", e)
	}

	// Create the account again, which invalidates edge's token. The API server notices it only
	// after some seconds, because it caches tokens.
	if err := makeOwnAccount(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	next := first[0]
	for ; next == first[0]; time.Sleep(100 * time.Millisecond) {
		a := raw(t.Context(), t, to, "GET", podsURI+"?own=next", askJSON)
		if a.code == 200 {
			all := credentials(podsURI)
			next = all[len(all)-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("edge did not use a new token: %v", a)
		}
	}
	if again := ownClaims(t, next); again.Subject != claims.Subject || again.ID == claims.ID || again.Of.Account.UID == claims.Of.Account.UID {
		t.Errorf("the next token has claims %+v", again)
	}
	for _, credential := range credentials(ownTokenRequest) {
		if credential != bootstrap[0] {
			t.Error("edge requested a token with another credential than its first one")
		}
	}
	if strings.Contains(edge.Process.Tail(), strings.TrimPrefix(first[0], "Bearer ")) {
		t.Error("the token is in the log")
	}
}

// ownEvent returns the API server's audit event for the request whose URI contains marker.
func ownEvent(t *testing.T, c *cluster.Cluster, marker string) cluster.AuditEvent {
	t.Helper()
	e, err := c.WaitAudit(t.Context(), func(e cluster.AuditEvent) bool { return strings.Contains(e.RequestURI, marker) })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type accountClaims struct {
	Subject   string   `json:"sub"`
	Audiences []string `json:"aud"`
	Issued    int64    `json:"iat"`
	Expires   int64    `json:"exp"`
	ID        string   `json:"jti"`
	Of        struct {
		Account struct {
			UID string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// ownClaims decodes the claims of the ServiceAccount token in an Authorization header. It does not
// check the signature, which the API server has already verified.
func ownClaims(t *testing.T, authorization string) accountClaims {
	t.Helper()
	var claims accountClaims
	parts := strings.Split(authorization, ".")
	if len(parts) != 3 {
		t.Fatal("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}
