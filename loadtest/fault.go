package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"edge/streams"
)

// Classes of session failures. faultf callers build the classes "http <code>" and "close <code>"
// where they read the code.
const (
	classDial       = "dial"
	classTLS        = "tls"
	classRefused    = "upgrade refused" // a response that is neither a 101 nor an HTTP error
	classTimeout    = "timeout"
	classReset      = "reset"
	classEOF        = "connection ended"
	classProtocol   = "protocol"
	classWrong      = "wrong bytes"
	classMissing    = "missing bytes"
	classNoStatus   = "no status"
	classStatus     = "status"       // the Status is not a success, or is not JSON
	classForward    = "port-forward" // the error stream of a port-forward contained text
	classStderr     = "stderr"       // the command wrote to stderr
	classEarly      = "ended early"  // the session ended without an error, but too early
	classEvent      = "watch event"  // an event is not JSON, is too large, or has type ERROR
	classCredential = "credential"   // no credential from a kubeconfig plugin or file; unused
	classOther      = "other"
)

// fault is the reason why a session failed, with its class.
type fault struct {
	class string
	err   error
}

func (f *fault) Error() string { return f.class + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// closeClass returns the class of a session that a WebSocket close frame with this code ended.
func closeClass(code uint32) string { return fmt.Sprintf("close %d", code) }

func faultf(class, format string, args ...any) error {
	return &fault{class, fmt.Errorf(format, args...)}
}

// classify returns err as a fault. An error that has no class yet gets one by its type.
func classify(err error) *fault {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	var broken *streams.ProtocolError
	var timeout net.Error
	class := classOther
	switch {
	case errors.As(err, &broken):
		class = classProtocol
	case isTLS(err):
		class = classTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		class = classTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		class = classReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		class = classEOF
	}
	return &fault{class, err}
}

func isTLS(err error) bool {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &authority)
}
