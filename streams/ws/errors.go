package ws

import (
	"errors"

	"edge/streams"
)

var errBase64 = streams.Violation(streams.CloseInvalid, "payload that is not base64")

func violation(reason string) error {
	return streams.Violation(streams.CloseProtocol, "%s", reason)
}

func isViolation(err error) bool {
	var e *streams.ProtocolError
	return errors.As(err, &e)
}
