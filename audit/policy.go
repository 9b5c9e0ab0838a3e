package audit

import (
	"fmt"
	"log/slog"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// loadPolicy reads an audit policy. It logs a warning if the policy has rules that record bodies,
// because edge records metadata only.
func loadPolicy(file string, log *slog.Logger) (*auditinternal.Policy, error) {
	rules, err := policy.LoadPolicyFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("--audit-policy-file: %w", err)
	}
	if asksForBodies(rules) {
		log.Warn("the audit policy has rules of level Request or RequestResponse: edge's events have metadata only, "+
			"the API server's events have the bodies", "file", file)
	}
	return rules, nil
}

func asksForBodies(p *auditinternal.Policy) bool {
	for _, rule := range p.Rules {
		if rule.Level == auditinternal.LevelRequest || rule.Level == auditinternal.LevelRequestResponse {
			return true
		}
	}
	return false
}

// applyPolicy finds the policy's rule for a request, prepares the request's events by that rule, and
// returns the rule's level.
func (e *requestEvents) applyPolicy(attributes authorizer.Attributes) (auditinternal.Level, error) {
	rule := e.policy.EvaluatePolicyRule(attributes)
	audit.ObservePolicyLevel(e.ctx, rule.Level)
	return rule.Level, e.ac.Init(rule, e.backend) // Init fails if ac is already initialized
}
