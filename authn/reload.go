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
type configWatcher struct {
	adopted []byte // the content that is in use
	refused []byte // the newest content that is not; nil: none, or the file cannot be read
	problem string // why the file as it is now is not in use; empty: it is
	since   time.Time
}

// reload reads the file and returns the configuration to use from now on, or nil if it does not change. A file that is wrong
// anywhere is refused as a whole, once.
func (a *Authenticator) reload() *ruleSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, err := readBounded(a.options.File, maxConfigBytes)
	switch {
	case err != nil:
		a.refuseFile(nil, err)
		return nil
	case bytes.Equal(data, a.config.adopted):
		if a.config.problem != "" {
			a.options.Log.Info("authentication configuration is again the one that is in use", slog.String("file", a.options.File))
		}
		a.config = configWatcher{adopted: data}
		return nil
	case a.config.problem != "" && bytes.Equal(data, a.config.refused):
		return nil
	}
	var conf *ruleSet
	doc, err := parseConfig(data)
	if err == nil {
		conf, err = compileRules(doc, a.rules.Load(), a.options.Now)
	}
	if err != nil {
		a.refuseFile(data, err)
		return nil
	}
	a.config = configWatcher{adopted: data}
	a.options.Log.Info("authentication configuration adopted", slog.String("file", a.options.File), slog.Int("issuers", len(conf.issuers)))
	return conf
}

// refuseFile notes and logs what is wrong, unless it is what was wrong before.
func (a *Authenticator) refuseFile(data []byte, err error) {
	problem := fileError(a.options.File, err).Error()
	a.config.refused = data
	if problem == a.config.problem {
		return
	}
	a.config.problem, a.config.since = problem, a.options.Now()
	a.options.Log.Error("authentication configuration refused; the last good one stays in use", slog.String("error", problem))
}

// fileNote is a line for an operator; empty: nothing to note.
func (a *Authenticator) configWarning() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config.problem == "" {
		return ""
	}
	return fmt.Sprintf("since %s the last good configuration is in use, for the file is wrong: %s",
		a.config.since.UTC().Format(time.RFC3339), oneLine(a.config.problem, maxErrorBytes))
}
