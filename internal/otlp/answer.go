package otlp

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields of opentelemetry.proto.collector.trace.v1. Its generated Go package has the
// service too, and so links gRPC.
const (
	fieldPartialSuccess = 1 // of ExportTraceServiceResponse: an ExportTracePartialSuccess
	fieldRejectedSpans  = 1 // of ExportTracePartialSuccess: an int64
	fieldErrorMessage   = 2 // of ExportTracePartialSuccess: a string
)

// maxReason is how many bytes of a collector's reason an error contains.
const maxReason = 1 << 10

// rejected returns an error if the collector has rejected some of the spans, or has a warning. Such
// a batch must not be sent again. body is an ExportTraceServiceResponse; nil is returned for one
// that is malformed.
func rejected(body []byte) error {
	var partial, reason []byte
	var count uint64
	each(body, func(number protowire.Number, bytes []byte, _ uint64) {
		if number == fieldPartialSuccess {
			partial = append(partial, bytes...) // several messages in one field mean their concatenation
		}
	})
	each(partial, func(number protowire.Number, bytes []byte, integer uint64) {
		switch {
		case number == fieldErrorMessage && bytes != nil:
			reason = bytes
		case number == fieldRejectedSpans && bytes == nil:
			count = integer
		}
	})
	if count == 0 && len(reason) == 0 {
		return nil
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return fmt.Errorf("the collector rejected %d spans: %s", int64(count), strings.ToValidUTF8(string(reason), "\uFFFD"))
}

// each calls f for each field of a message: with the bytes of a message or string, which are not
// nil, or with the value of an integer. It stops where the message is malformed.
func each(message []byte, f func(number protowire.Number, bytes []byte, integer uint64)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return
		}
		switch kind {
		case protowire.BytesType:
			bytes, _ := protowire.ConsumeBytes(message)
			f(number, bytes, 0)
		case protowire.VarintType:
			integer, _ := protowire.ConsumeVarint(message)
			f(number, nil, integer)
		}
		message = message[n:]
	}
}
