package main

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/pki"
)

const (
	pod     = "shell"
	user    = "alice" // user whose token the sessions through edge use
	account = "direct"
)

// stage holds the running programs, and two addresses through which clients reach the same pod: the
// API server's (the field direct) and edge's (the field over).
type stage struct {
	tb           *testbed.Testbed
	cluster      *cluster.Cluster
	edge         *testbed.Edge
	direct, over cluster.Access
}

func newStage(ctx context.Context, tb *testbed.Testbed, o settings) (*stage, error) {
	s := &stage{tb: tb}
	var err error
	if s.cluster, err = tb.StartCluster(ctx, cluster.New); err != nil {
		return nil, err
	}
	if err := s.cluster.StartPod(ctx, cluster.PodOptions{Name: pod}); err != nil {
		return nil, err
	}
	issuer, err := tb.StartIssuer(ctx)
	if err != nil {
		return nil, err
	}
	if s.edge, err = tb.StartEdge(ctx, testbed.EdgeOptions{Cluster: s.cluster, Issuer: issuer, Args: o.edge}); err != nil {
		return nil, err
	}
	token, err := issuer.Login(ctx, user)
	if err != nil {
		return nil, err
	}
	s.over = s.edge.Access(token)
	s.direct = s.cluster.AdminAccess()
	s.direct.Client = pki.KeyPair{}
	if s.direct.Token, err = s.accountToken(ctx); err != nil {
		return nil, err
	}
	return s, s.grant(ctx)
}

// accountToken creates a ServiceAccount for the direct client and returns its token. The API server
// caches the result of checking a token, so for each new connection a token costs less than a
// certificate.
func (s *stage) accountToken(ctx context.Context) (string, error) {
	accounts := s.cluster.Client.CoreV1().ServiceAccounts(cluster.Namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	answer, err := accounts.CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("create a token for the direct client: %w", err)
	}
	return answer.Status.Token, nil
}

// grant allows both clients, the direct one and the one through edge, to exec. A direct WebSocket
// is a GET, so the API server also checks the verb get.
func (s *stage) grant(ctx context.Context) error {
	meta := metav1.ObjectMeta{Name: "exec"}
	rbac := s.cluster.Client.RbacV1()
	_, err := rbac.Roles(cluster.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get", "create"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = rbac.RoleBindings(cluster.Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: testbed.UsernamePrefix + user},
			{Kind: rbacv1.ServiceAccountKind, Namespace: cluster.Namespace, Name: account},
		},
	}, metav1.CreateOptions{})
	return err
}
