package authn

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"
)

// reloadInterval is how often the configuration file is read. Its content is compared, so that it does not matter how it
// changes: a mounted ConfigMap changes by a link.
const reloadInterval = 3 * time.Second

// watchedFile is what is known of the configuration file. Run changes it, under the Authenticator's mu.
type watchedFile struct {
	adopted []byte // the content that is in use
	refused []byte // the newest content that is not; nil: none, or the file cannot be read
	problem string // why the file as it is now is not in use; empty: it is
	since   time.Time
}

// reload reads the file and returns the configuration to use from now on, or nil if it does not change. A file that is wrong
// anywhere is refused as a whole, once.
func (a *Authenticator) reload() *configuration {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, err := readBounded(a.cfg.File, maxConfigBytes)
	switch {
	case err != nil:
		a.refuseFile(nil, err)
		return nil
	case bytes.Equal(data, a.file.adopted):
		if a.file.problem != "" {
			a.cfg.Log.Info("authentication configuration is again the one that is in use", slog.String("file", a.cfg.File))
		}
		a.file = watchedFile{adopted: data}
		return nil
	case a.file.problem != "" && bytes.Equal(data, a.file.refused):
		return nil
	}
	var conf *configuration
	doc, err := parseDocument(data)
	if err == nil {
		conf, err = compile(doc, a.current.Load(), a.cfg.Now)
	}
	if err != nil {
		a.refuseFile(data, err)
		return nil
	}
	a.file = watchedFile{adopted: data}
	a.cfg.Log.Info("authentication configuration adopted", slog.String("file", a.cfg.File), slog.Int("issuers", len(conf.issuers)))
	return conf
}

// refuseFile notes and logs what is wrong, unless it is what was wrong before.
func (a *Authenticator) refuseFile(data []byte, err error) {
	problem := fileError(a.cfg.File, err).Error()
	a.file.refused = data
	if problem == a.file.problem {
		return
	}
	a.file.problem, a.file.since = problem, a.cfg.Now()
	a.cfg.Log.Error("authentication configuration refused; the last good one stays in use", slog.String("error", problem))
}

// fileNote is a line for an operator; empty: nothing to note.
func (a *Authenticator) fileNote() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file.problem == "" {
		return ""
	}
	return fmt.Sprintf("since %s the last good configuration is in use, for the file is wrong: %s",
		a.file.since.UTC().Format(time.RFC3339), oneLine(a.file.problem, maxErrorBytes))
}
