package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"edge/e2e/testbed/run"
)

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// AuditEvent contains those fields of an audit event (audit.k8s.io/v1) that the tests use. The
// event may come from an API server or from edge.
type AuditEvent struct {
	Level      string
	Stage      string
	Verb       string
	RequestURI string
	UserAgent  string
	User       struct {
		Username string
		Groups   []string
		Extra    map[string][]string
	}
	ImpersonatedUser *struct {
		Username string
		UID      string
		Groups   []string
		Extra    map[string][]string
	}
	ObjectRef *struct {
		Resource    string
		Subresource string
		Namespace   string
		Name        string
	}
	ResponseStatus *struct {
		Code    int
		Message string
	}
	Annotations map[string]string
}

// Audit returns the audit events that all API servers of the cluster have written so far and for
// which match returns true.
func (c *Cluster) Audit(match func(AuditEvent) bool) ([]AuditEvent, error) {
	logs, err := filepath.Glob(c.path("audit*.log"))
	var events []AuditEvent
	for _, log := range logs {
		more, lerr := ReadAudit(log, match)
		events, err = append(events, more...), errors.Join(err, lerr)
	}
	return events, err
}

// ReadAudit returns the audit events in one audit log file for which match returns true.
func ReadAudit(log string, match func(AuditEvent) bool) ([]AuditEvent, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var events []AuditEvent
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e AuditEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			break // the last line is incomplete, because the server is still writing it
		}
		if match(e) {
			events = append(events, e)
		}
	}
	return events, lines.Err()
}

// WaitAudit waits for at most two minutes until the cluster's audit logs contain an event for which
// match returns true, and returns it. The API server writes some events long after the response.
func (c *Cluster) WaitAudit(ctx context.Context, match func(AuditEvent) bool) (AuditEvent, error) {
	var found AuditEvent
	err := run.Until(ctx, 2*time.Minute, "audit log", func(context.Context) error {
		events, err := c.Audit(match)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("no audit event matches")
		}
		found = events[0]
		return nil
	})
	return found, err
}
