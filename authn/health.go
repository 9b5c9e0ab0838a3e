package authn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxReadyProblems bounds the number of issuers whose problems Ready lists.
const maxReadyProblems = 3

// Ready returns nil while edge has keys of at least one issuer, or if no issuer is configured.
// Otherwise the error is [ErrNotReady], followed by the errors of the newest fetches.
func (a *Authenticator) Ready() error {
	rules := a.rules.Load()
	var problems []string
	for _, url := range slices.Sorted(maps.Keys(rules.issuers)) {
		s := rules.issuers[url].source
		if s.ready() {
			return nil
		}
		if text, _ := s.problem(); text != "" {
			problems = append(problems, url+": "+text)
		}
	}
	if len(rules.issuers) == 0 {
		return nil
	}
	if len(problems) == 0 {
		return ErrNotReady
	}
	if more := len(problems) - maxReadyProblems; more > 0 {
		problems = append(problems[:maxReadyProblems], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %s", ErrNotReady, strings.Join(problems, "; "))
}

// Warnings returns what an operator should know although edge is ready. For each issuer whose keys
// cannot be renewed, one line states why, and since when. If the configuration file was refused,
// one more line states why. The lines are sorted.
func (a *Authenticator) Warnings() []string {
	var warnings []string
	for _, i := range a.rules.Load().issuers {
		if w := i.source.warning(); w != "" {
			warnings = append(warnings, w)
		}
	}
	if w := a.config.warning(); w != "" {
		warnings = append(warnings, w)
	}
	slices.Sort(warnings)
	return warnings
}
