package authn

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// reloadInterval is how often edge reads the configuration file. edge compares the content and not
// the time of the last change: a mounted ConfigMap changes through a symbolic link.
const reloadInterval = 3 * time.Second

// configWatcher reads the configuration file periodically. If the current file is refused,
// configWatcher stores why.
type configWatcher struct {
	file string
	log  *slog.Logger
	now  func() time.Time
	// metrics counts the changes; nil: nobody does.
	metrics *Metrics

	mu      sync.Mutex
	adopted []byte // content of the configuration file that is in use
	refused []byte // content of the configuration file that edge refused; nil: the current file is in use, or edge cannot read it
	problem string // why the current configuration file is not in use; empty: it is in use
	since   time.Time
}

// reload reads the configuration file. It returns the rules to use from now on, or nil if the
// current rules stay in use. A file with any error is refused as a whole. The same content is
// refused and logged only once.
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
			w.log.Info("authentication configuration file is again the same as the configuration in use", slog.String("file", w.file))
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
	w.metrics.reloaded(resultSuccess)
	w.log.Info("reloaded the authentication configuration", slog.String("file", w.file), slog.Int("issuers", len(rules.issuers)))
	return rules
}

// adopt records that the current content of the configuration file is in use.
func (w *configWatcher) adopt(data []byte) {
	w.adopted, w.refused, w.problem, w.since = data, nil, "", time.Time{}
}

// refuse records why the current configuration file is refused. It logs the problem, unless the
// problem is the same as before.
func (w *configWatcher) refuse(data []byte, err error) {
	problem := fileError(w.file, err).Error()
	w.refused = data
	if problem == w.problem {
		return
	}
	w.problem, w.since = problem, w.now()
	w.metrics.reloaded(resultFailure)
	w.log.Error("refused the authentication configuration file; the previous configuration stays in use", slog.String("error", problem))
}

// warning returns a line for the operator that states why the configuration file is refused. It
// returns an empty string if the current file is in use.
func (w *configWatcher) warning() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem == "" {
		return ""
	}
	return fmt.Sprintf("the configuration file is refused since %s, and the previous configuration stays in use: %s",
		w.since.UTC().Format(time.RFC3339), oneLine(w.problem, maxErrorBytes))
}
