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

// AuditEvent contains the fields that tests read of an audit event (audit.k8s.io/v1) of an API
// server or of edge.
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

// Audit returns the matching events that all API servers of the cluster have written so far.
func (c *Cluster) Audit(match func(AuditEvent) bool) ([]AuditEvent, error) {
	logs, err := filepath.Glob(c.path("audit*.log"))
	var events []AuditEvent
	for _, log := range logs {
		more, lerr := ReadAudit(log, match)
		events, err = append(events, more...), errors.Join(err, lerr)
	}
	return events, err
}

// ReadAudit returns the matching events of one audit log file.
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
			break // the last line is incomplete: it is still being written
		}
		if match(e) {
			events = append(events, e)
		}
	}
	return events, lines.Err()
}

// WaitAudit waits for at most two minutes until an event matches and returns it. Some events are
// written long after the response to the request.
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
