package main

// partNames are the names that --only accepts, each for one part of the measurement, in the order
// of the report.
var partNames = []string{"pairs", "streams", "plain", "starts", "idle", "watches"}

// keepOnly disables all parts of the measurement except those in the parameter names, the value of
// the flag --only. If names is empty, it keeps all parts.
func (s *settings) keepOnly(names []string) error {
	if err := checkNames("--only", names, partNames); err != nil || len(names) == 0 {
		return err
	}
	kept := map[string]bool{}
	for _, name := range names {
		kept[name] = true
	}
	if !kept["pairs"] {
		s.Pairs = nil
	}
	if !kept["streams"] {
		s.Down, s.Up, s.Keystrokes = nil, nil, 0
	}
	if !kept["plain"] {
		s.Requests = 0
	}
	if !kept["starts"] {
		s.Starts = 0
	}
	if !kept["idle"] {
		s.IdleRounds = 0
	}
	if !kept["watches"] {
		s.WatchRounds = 0
	}
	return nil
}

// needsProxies reports whether bench measures any part other than pairs.
func (s settings) needsProxies() bool {
	return len(cpuExperiments(s)) > 0 || s.Requests > 0 || s.Starts > 0 || s.IdleRounds > 0 || s.WatchRounds > 0
}
