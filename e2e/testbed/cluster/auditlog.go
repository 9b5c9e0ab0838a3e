package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	AuditID    string
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

// auditLog is an audit log file that a server is still writing. It keeps the events that it has
// read, so that each line is decoded only once: a cluster's log grows to 100 MB, and tests look for
// events in it many times per second.
type auditLog struct {
	path   string
	offset int64 // number of bytes of the file that are read
	events []AuditEvent
}

// update reads the events that the server has written since the last call.
func (l *auditLog) update() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the last line is incomplete, because the server is still writing it
		}
		if err != nil {
			return err
		}
		var e AuditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("testbed: %s: %w", l.path, err)
		}
		l.offset += int64(len(line))
		l.events = append(l.events, e)
	}
}

// matching returns the events for which match returns true.
func (l *auditLog) matching(match func(AuditEvent) bool) []AuditEvent {
	var events []AuditEvent
	for _, e := range l.events {
		if match(e) {
			events = append(events, e)
		}
	}
	return events
}

// Audit returns the audit events that all API servers of the cluster have written so far and for
// which match returns true. The caller must not change what the events point to.
func (c *Cluster) Audit(match func(AuditEvent) bool) ([]AuditEvent, error) {
	paths, err := filepath.Glob(c.path("audit*.log"))
	if err != nil {
		return nil, err
	}
	c.auditMu.Lock()
	defer c.auditMu.Unlock()
	var events []AuditEvent
	for _, path := range paths {
		log := c.audit[path]
		if log == nil {
			log = &auditLog{path: path}
			c.audit[path] = log
		}
		if err := log.update(); err != nil {
			return nil, err
		}
		events = append(events, log.matching(match)...)
	}
	return events, nil
}

// ReadAudit returns the audit events in one audit log file for which match returns true.
func ReadAudit(path string, match func(AuditEvent) bool) ([]AuditEvent, error) {
	log := &auditLog{path: path}
	err := log.update()
	return log.matching(match), err
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
