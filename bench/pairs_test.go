package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPairsOfEdge(t *testing.T) {
	expectNothingLeft(t)
	var names []string
	for _, p := range pairs {
		if p.spoken == spokenSPDY && !slices.Contains(notYet, p.client.name) {
			names = append(names, p.name())
		}
	}
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr bytes.Buffer
	args := smallArgs("--proxies", "", "--idle-rounds", "0", "--pairs", strings.Join(names, ","), "--json", file)
	if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	t.Log(stdout.String())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
}

var notYet = []string{"exec/channel", "exec/base64", "exec/v4.base64", "forward/v4"}
