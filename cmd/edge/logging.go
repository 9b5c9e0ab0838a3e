package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"

	"k8s.io/klog/v2"
)

const (
	formatText = "text"
	formatJSON = "json"
)

// newLogger also takes over what libraries write through klog.
func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, o)
	if format == formatJSON {
		handler = slog.NewJSONHandler(w, o)
	}
	logger := slog.New(handler)
	klog.SetSlogLogger(logger)
	return logger
}

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
