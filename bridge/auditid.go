package bridge

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"edge/bridge/internal/status"
)

// maxAuditID limits an Audit-ID that a client sends, in bytes.
const maxAuditID = 256

// tokenBegins is how every JWT begins: the base64url encoding of `{"`.
const tokenBegins = "eyJ"

// setAuditID gives a request its Audit-ID, under which edge's log, audit event, trace and session
// and the API server's audit event record it. As at kube-apiserver, it is the client's, if the
// client sent one. An Audit-ID that is too long, that may contain a token or that has characters other
// than printable ASCII is replaced: logs escape such characters, each in its own way, and a span that
// is not valid UTF-8 would be lost together with all others of its batch.
func setAuditID(h http.Header) {
	id := h.Get(status.HeaderAuditID)
	if id == "" || len(id) > maxAuditID || strings.Contains(id, tokenBegins) || strings.ContainsFunc(id, isUnprintable) {
		id = newAuditID()
	} else {
		id = strings.Clone(id) // a stream keeps it for days, and a substring would keep the whole header in memory
	}
	h.Set(status.HeaderAuditID, id)
}

// isUnprintable reports whether a character is not printable ASCII.
func isUnprintable(r rune) bool { return r < ' ' || r > '~' }

// newAuditID returns a random UUID (RFC 9562, version 4). An Audit-ID is not a secret, so that a fast
// source of random numbers is enough.
func newAuditID() string {
	var id uuid.UUID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40 // the version
	id[8] = id[8]&0x3f | 0x80 // the variant
	return id.String()
}
