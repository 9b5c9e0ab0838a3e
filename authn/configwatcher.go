package authn

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// reloadInterval is how often the configuration file is read. Its content is compared, so that it does not matter how it
// changes: a mounted ConfigMap changes by a link.
const reloadInterval = 3 * time.Second

// configWatcher reads the configuration file again and again, and knows why it is not in use as it is now.
type configWatcher struct {
	file string
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	adopted []byte // the content that is in use
	refused []byte // the newest content that is not; nil: none, or the file cannot be read
	problem string // why the file as it is now is not in use; empty: it is
	since   time.Time
}

// reload reads the file and returns the rules to use from now on, or nil if those in use stay. A file that is wrong
// anywhere is refused as a whole, once.
func (w *configWatcher) reload(inUse *ruleSet) *ruleSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	data, err := readBounded(w.file, maxConfigBytes)
	switch {
	case err != nil:
		w.refuse(nil, err)
		return nil
	case bytes.Equal(data, w.adopted):
		if w.problem != "" {
			w.log.Info("authentication configuration is again the one that is in use", slog.String("file", w.file))
		}
		w.adopt(data)
		return nil
	case w.problem != "" && bytes.Equal(data, w.refused):
		return nil
	}
	var rules *ruleSet
	config, err := parseConfig(data)
	if err == nil {
		rules, err = compileRules(config, inUse, w.now)
	}
	if err != nil {
		w.refuse(data, err)
		return nil
	}
	w.adopt(data)
	w.log.Info("authentication configuration adopted", slog.String("file", w.file), slog.Int("issuers", len(rules.issuers)))
	return rules
}

// adopt notes that the file as it is now is in use.
func (w *configWatcher) adopt(data []byte) {
	w.adopted, w.refused, w.problem, w.since = data, nil, "", time.Time{}
}

// refuse notes and logs what is wrong, unless it is what was wrong before.
func (w *configWatcher) refuse(data []byte, err error) {
	problem := fileError(w.file, err).Error()
	w.refused = data
	if problem == w.problem {
		return
	}
	w.problem, w.since = problem, w.now()
	w.log.Error("authentication configuration refused; the last good one stays in use", slog.String("error", problem))
}

// warning is a line for an operator; empty: all is well.
func (w *configWatcher) warning() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem == "" {
		return ""
	}
	return fmt.Sprintf("since %s the last good configuration is in use, for the file is wrong: %s",
		w.since.UTC().Format(time.RFC3339), oneLine(w.problem, maxErrorBytes))
}
