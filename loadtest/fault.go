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

// Classes of session failures. There are also the classes "http <code>" and "close <code>", which
// the code builds where it reads the status code or the close code.
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
	classEvent      = "watch event"  // an event of a watch is not JSON, is too large, or has type ERROR
	classCredential = "credential"   // a kubeconfig plugin or file gave no credential; not used at present
	classOther      = "other"
)

// fault is the reason why a session failed, together with the class of the failure.
type fault struct {
	class string
	err   error
}

func (f *fault) Error() string { return f.class + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// closeClass returns the failure class of a session that a WebSocket close frame with this code
// ended.
func closeClass(code uint32) string { return fmt.Sprintf("close %d", code) }

func faultf(class, format string, args ...any) error {
	return &fault{class, fmt.Errorf(format, args...)}
}

// classify returns err as a fault (a failure with its class). If err has no class yet, its Go type
// decides the class.
func classify(err error) *fault {
	if known, ok := errors.AsType[*fault](err); ok {
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
