package spdy

import "edge/streams"

func violation(format string, args ...any) error {
	return streams.Violation(streams.CloseProtocol, "SPDY: "+format, args...)
}

func tooBig(format string, args ...any) error {
	return streams.Violation(streams.CloseTooBig, "SPDY: "+format, args...)
}
