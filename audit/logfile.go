package audit

import (
	"io"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"
)

// openLog opens the audit log file. It creates the file at once, so that edge fails at start if the
// file cannot be written.
func openLog(o LogOptions) (io.WriteCloser, error) {
	if o.Path == "-" {
		return standardOutput{os.Stdout}, nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || o.MaxSize == 0 {
		return file, err
	}
	file.Close()
	return &lumberjack.Logger{
		Filename: o.Path, MaxAge: o.MaxAge, MaxBackups: o.MaxBackups, MaxSize: o.MaxSize, Compress: o.Compress,
	}, nil
}

// standardOutput is the standard output of the process. Close leaves it open.
type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }
