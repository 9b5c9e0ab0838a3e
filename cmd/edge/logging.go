package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"k8s.io/klog/v2"
)

const (
	formatText = "text"
	formatJSON = "json"
)

// newProcessLogger returns the logger of an edge process, which writes to standard error. It also
// receives what libraries log through klog. klog's logger is a global variable that libraries read
// without a lock, so only the process itself sets it, before it starts anything else.
func newProcessLogger(format string, level slog.Level) *slog.Logger {
	logger := newLogger(os.Stderr, format, level)
	klog.SetSlogLogger(logger)
	return logger
}

// newLogger returns a logger that writes in a format of --log-format.
func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: harmless}
	var handler slog.Handler = slog.NewTextHandler(w, o)
	if format == formatJSON {
		handler = slog.NewJSONHandler(w, o)
	}
	return slog.New(handler)
}

// Limits on one value in a log line, in bytes.
const (
	maxLogged = 1 << 10
	maxStack  = 32 << 10 // bytes of the stack of a panic
)

// harmless makes a log attribute safe. It limits the length of a string value, which may come from
// a client. It escapes the characters that slog leaves unescaped in one of its formats or in both:
// DEL, C1 controls, changes of writing direction.
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

// actsOnTerminals reports whether a character may affect a terminal. The C0 controls are not
// included, because slog escapes them.
func actsOnTerminals(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }

// serverLog receives the error log of net/http. It lowers failed TLS handshakes to level Debug,
// because every health check and port scan causes them.
type serverLog struct{ log *slog.Logger }

func (s serverLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, "HTTP server", "message", string(bytes.TrimSpace(line)))
	return len(line), nil
}
