package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Sessions of every kind, idle and busy, come and go without a failure, against the real handlers.
func TestAllKinds(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "report.json")
	o := s.drive(t, "--sessions", "50", "--mix", "exec=1,exec-spdy=1,port-forward=1,port-forward-spdy=1,watch=1",
		"--busy", "12", "--rate", "50", "--bulk", "8", "--bulk-rate", "0", "--report-json", file)
	if o.code != exitOK {
		t.Fatal(o)
	}
	t.Log(o)
	var rep report
	if err := json.Unmarshal(must(os.ReadFile(file)), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Kinds) != len(kinds) {
		t.Errorf("%d kinds of %d", len(rep.Kinds), len(kinds))
	}
}
