package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"k8s.io/klog/v2"
)

const (
	formatText = "text"
	formatJSON = "json"
)

// newLogger also takes over what libraries write through klog.
func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: harmless}
	var handler slog.Handler = slog.NewTextHandler(w, o)
	if format == formatJSON {
		handler = slog.NewJSONHandler(w, o)
	}
	logger := slog.New(handler)
	klog.SetSlogLogger(logger)
	return logger
}

// What a line shows of one value, in bytes.
const (
	maxLogged = 1 << 10
	maxStack  = 32 << 10 // a panic's
)

// harmless bounds a text, which may be somebody else's, and escapes what slog leaves
// as it is in one format or both: DEL, C1 controls, changes of direction.
func harmless(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindString {
		return a
	}
	s, most := a.Value.String(), maxLogged
	if a.Key == "stack" {
		most = maxStack
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	if strings.ContainsFunc(s, actsOnTerminals) {
		var b strings.Builder
		for _, r := range s {
			if actsOnTerminals(r) {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		s = b.String()
	}
	a.Value = slog.StringValue(s)
	return a
}

// actsOnTerminals leaves the C0 controls to slog, which escapes those.
func actsOnTerminals(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }

// serverLog is net/http's error log. Handshakes that fail are every health check
// and port scan, and no news.
type serverLog struct{ log *slog.Logger }

func (s serverLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, "HTTP server", "message", string(bytes.TrimSpace(line)))
	return len(line), nil
}
