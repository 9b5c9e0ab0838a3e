package session

import "time"

// describe returns the log fields of a session, for the lines at its begin and its end.
func (s *session) describe() []any {
	line := []any{
		"session", s.ID,
		"audit-ID", s.AuditID,
		"user", s.User,
		"verb", s.Target.Verb,
		"namespace", s.Target.Namespace,
		"pod", s.Target.Pod,
		"proxied", s.Target.Via(),
		"downstream", s.Downstream,
		"upstream", s.Upstream,
	}
	if s.Requestor != "" {
		line = append(line, "requestor", s.Requestor)
	}
	return line
}

// logBegin logs the begin of a session. If edge is killed later, at least this line exists.
func (s *session) logBegin() { s.log.Info("session began", s.describe()...) }

// logEnd logs the end of a session: how much it carried, for how long, and why it ended.
func (s *session) logEnd(end Summary) {
	line := append(s.describe(),
		"bytesUp", end.In,
		"bytesDown", end.Out,
		"duration", end.Duration.Round(time.Millisecond),
		"cause", end.Detail,
	)
	if end.Sessions > 0 {
		line = append(line, "upstreamSessions", end.Sessions)
	}
	s.log.Info("session ended", line...)
}
