package authn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxReadyProblems bounds how many issuers Ready names.
const maxReadyProblems = 3

// Ready returns nil once any issuer's keys are in hand, and stays so while there are any; and where there is no issuer to
// wait for. Before, the error is [ErrNotReady] with what the newest fetches ended with behind it.
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

// Warnings are what an operator should know although edge is ready: issuers whose keys cannot be renewed, and since
// when; and a configuration file that was refused, and why. They are sorted lines, at most one per issuer and one for
// the file.
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
