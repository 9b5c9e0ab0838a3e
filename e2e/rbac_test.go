package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// forbidden returns the message of the API server's own 403 for this user, verb, resource and
// namespace.
func forbidden(user, verb, resource, namespace string) string {
	return fmt.Sprintf("User %q cannot %s resource %q in API group \"\" in the namespace %q", testbed.UsernamePrefix+user, verb, resource, namespace)
}

// TestRBACOverREST checks GETs of two users with different groups. Each user must see exactly what
// RBAC grants to that user's groups.
func TestRBACOverREST(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, c := range []struct {
			user, namespace, resource string
			allowed                   bool
		}{
			{"alice", cluster.Namespace, "pods", true},
			{"alice", opsNamespace, "pods", false},
			{"alice", cluster.Namespace, "secrets", false},
			{"bob", cluster.Namespace, "pods", true},
			{"bob", opsNamespace, "pods", true},
			{"bob", opsNamespace, "secrets", false},
		} {
			for _, path := range paths {
				t.Run(strings.Join([]string{c.user, c.namespace, c.resource, path}, "/"), func(t *testing.T) {
					r := s.kubectl(t, path, "1.35", c.user).Run(t.Context(), "get", c.resource, "-n", c.namespace)
					refusal := forbidden(c.user, "list", c.resource, c.namespace)
					switch {
					case c.allowed && r.Code != 0:
						t.Errorf("code %d: %s", r.Code, r.Stderr)
					case !c.allowed && (r.Code == 0 || !strings.Contains(string(r.Stderr), refusal)):
						t.Errorf("code %d, stderr %q; want %q", r.Code, r.Stderr, refusal)
					}
				})
			}
		}
	})
}

// TestRBACOnExec checks exec as bob in every dialect. bob may exec in his own namespace. In alice's
// namespace he must be refused with the API server's message.
func TestRBACOnExec(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, d := range dialects {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				if err := want(d.run(t.Context(), t, s, "bob", opsNamespace, "echo mine"), 0, "mine\n"); err != nil {
					t.Error(err)
				}
				r := d.run(t.Context(), t, s, "bob", cluster.Namespace, "echo not mine")
				refusal := forbidden("bob", "create", "pods/exec", cluster.Namespace)
				if d.version == "" {
					// the Python client shows only the status code; TestRefusalBody checks the
					// message
					refusal = "403 Forbidden"
				}
				if r.Code == 0 || len(r.Stdout) != 0 || !strings.Contains(string(r.Stderr), refusal) {
					t.Errorf("code %d, stdout %q, stderr %q; want %q", r.Code, r.Stdout, r.Stderr, refusal)
				}
			})
		}
	})
}

// TestRefusalBody checks that the response to a refused WebSocket handshake contains the API
// server's Status in its body, although most clients do not show the body.
func TestRefusalBody(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, path := range paths {
			for subprotocol, uri := range map[string]string{
				"v4.channel.k8s.io":           execURI,
				"v5.channel.k8s.io":           execURI,
				"SPDY/3.1+portforward.k8s.io": portForwardURI,
			} {
				a := raw(t.Context(), t, s.access(path, tokens["bob"]), "GET", uri, askWebSocket(subprotocol)...)
				status := a.status()
				if a.code != 403 || status.Reason != metav1.StatusReasonForbidden || !strings.Contains(status.Message, "cannot get resource") {
					t.Errorf("%s, %s: %v", path, subprotocol, a)
				}
			}
		}
	})
}

// TestRBACOnAttachAndPortForward checks attach and port-forward as bob, in each dialect that
// kubectl supports. bob may use them in his own namespace. In alice's namespace he must be refused
// with the API server's message.
func TestRBACOnAttachAndPortForward(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, d := range dialects {
			if d.version == "" {
				continue
			}
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				k := s.kubectl(t, d.path, d.version, "bob", d.env...)
				r := k.Run(ctx, "attach", "ticker")
				if refusal := forbidden("bob", "create", "pods/attach", cluster.Namespace); r.Code == 0 || !strings.Contains(string(r.Stderr), refusal) {
					t.Errorf("attach: code %d, stderr %q; want %q", r.Code, r.Stderr, refusal)
				}
				r = k.Run(ctx, "port-forward", "pod/shell", ":8080")
				if refusal := forbidden("bob", "create", "pods/portforward", cluster.Namespace); r.Code == 0 || !strings.Contains(string(r.Stderr), refusal) {
					t.Errorf("port-forward: code %d, stderr %q; want %q", r.Code, r.Stderr, refusal)
				}
				if d.path == balanced && d.version == "1.29" {
					// kubectl 1.29 forwards ports only over SPDY, which the load balancer does not
					// support
					return
				}
				p, err := k.PortForward(ctx, "pod/shell", 8080, "-n", opsNamespace)
				if err != nil {
					t.Fatal("port-forward in his own namespace:", err)
				}
				p.Stop()
			})
		}
	})
}

// TestAuditLogNamesUser checks the API server's audit log after an exec in every dialect: it must
// contain the name of the exec's user.
func TestAuditLogNamesUser(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		marker := "audit-" + string(s.cluster.Kind)
		for _, d := range dialects {
			name := marker + "-" + slug(d.name)
			d.run(t.Context(), t, s, "alice", cluster.Namespace, "echo "+name)
			e, err := s.cluster.WaitAudit(t.Context(), func(e cluster.AuditEvent) bool {
				return e.ObjectRef != nil && e.ObjectRef.Subresource == "exec" && strings.Contains(e.RequestURI, name)
			})
			if err != nil {
				t.Fatal(d.name, err)
			}
			checkAuditEvent(t, e, "alice", "dev")
		}
		// edge must have sent no request for a pod under its own name, without impersonation.
		events, err := s.cluster.Audit(func(e cluster.AuditEvent) bool {
			return e.ObjectRef != nil && e.ObjectRef.Resource == "pods" && strings.HasSuffix(e.User.Username, ":edge") && e.ImpersonatedUser == nil
		})
		if err != nil || len(events) != 0 {
			t.Errorf("edge acted in its own name: %+v, %v", events, err)
		}
	})
}

func checkAuditEvent(t *testing.T, e cluster.AuditEvent, user, group string) {
	t.Helper()
	switch u := e.ImpersonatedUser; {
	case u == nil:
		t.Errorf("audit event without impersonated user: %+v", e)
	case u.Username != testbed.UsernamePrefix+user:
		t.Errorf("audit event names %q, want %s", u.Username, user)
	case !slices.Contains(u.Groups, testbed.GroupsPrefix+group):
		t.Errorf("audit event has groups %q, want %s among them", u.Groups, group)
	}
	if e.ImpersonatedUser != nil && !slices.Contains(e.ImpersonatedUser.Groups, "system:authenticated") {
		t.Errorf("audit event has groups %q, without system:authenticated", e.ImpersonatedUser.Groups)
	}
	if e.Verb != "create" {
		t.Errorf("audit event has verb %s, want create", e.Verb)
	}
}
