package main

import (
	"reflect"
	"testing"
)

func TestOnlyLeavesThePartsThatItNames(t *testing.T) {
	for _, part := range partNames {
		all, _ := parseSettings(nil, nil)
		s, err := parseSettings([]string{"--only", part}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{
			"pairs": len(s.Pairs) > 0, "streams": len(cpuExperiments(s)) > 0, "plain": s.Requests > 0, "starts": s.Starts > 0,
			"idle": s.IdleRounds > 0, "watches": s.WatchRounds > 0,
		}
		if len(got) != len(partNames) {
			t.Fatalf("%d parts", len(got))
		}
		for name, measured := range got {
			if measured != (name == part) {
				t.Errorf("--only %s: %s is measured: %v", part, name, measured)
			}
		}
		if s.needsProxies() != (part != "pairs") {
			t.Errorf("--only %s: needs proxies: %v", part, s.needsProxies())
		}
		if err := s.keepOnly(nil); err != nil || !reflect.DeepEqual(s.Proxies, all.Proxies) {
			t.Errorf("--only %s: proxies %q, %v", part, s.Proxies, err)
		}
	}
}
