package ws

import (
	"errors"

	"edge/streams"
)

var errBase64 = streams.Violation(streams.CloseInvalid, "invalid base64 in a payload")

func violation(reason string) error {
	return streams.Violation(streams.CloseProtocol, "%s", reason)
}

func isViolation(err error) bool {
	var e *streams.ProtocolError
	return errors.As(err, &e)
}
