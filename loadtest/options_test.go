package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestUsage checks that an invalid flag or file causes exit code 2, no report, and an error of one
// line that names the flag and shows no secrets.
func TestUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	for says, args := range map[string][]string{
		"unknown flag":                       {"--no-such-flag"},
		"only flags":                         {"secret-word"},
		"--mix: unknown kind":                {"--mix", "exec=1,ssh=2"},
		"--mix: exec is given twice":         {"--mix", "exec,exec"},
		"--mix: the weight of exec":          {"--mix", "exec=0"},
		"--sessions: 0":                      {"--sessions", "0"},
		"--sessions: 100001":                 {"--sessions", "100001"},
		"--sessions: 99999 sessions need":    {"--sessions", "99999"},
		"--pod: required for exec":           {"--pod", ""},
		"--client-certificate and":           {"--client-certificate", "x"},
		"--duration: must be greater":        {"--duration", "0"},
		"--ramp: must not":                   {"--ramp", "-1s"},
		"--busy and --bulk are 11 together":  {"--busy", "11"},
		"--busy and --bulk are 4 together":   {"--busy", "4", "--mix", "exec=1,watch=2"},
		"--write-size: 0":                    {"--write-size", "0"},
		"--bulk-write-size: 32769":           {"--bulk-write-size", "32769"},
		"--rate: -1":                         {"--rate", "-1"},
		"--bulk-rate: NaN":                   {"--bulk-rate", "NaN"},
		"--in-flight: 100 is less":           {"--in-flight", "100", "--bulk", "1"},
		"--token-file: open":                 {"--token-file", "/no/such/file"},
		"is empty":                           {"--token-file", empty},
		"--url: http://x":                    {"--url", "http://x"},
		"credentials over https only":        {"--url", "https://user:word@x"},
		"--watch-pid: process 0":             {"--watch-pid", "0"},
		"--max-p50, --max-p99: only":         {"--max-p99", "1s"},
		"--max-rss-growth: requires --watch": {"--max-rss-growth", "5"},
		"--max-rss-growth: requires a --dur": {"--max-rss-growth", "5", "--watch-pid", strconv.Itoa(os.Getpid())},
		"must not be negative":               {"--max-errors", "-1"},
		"kubeconfig: ":                       {"--kubeconfig", "/no/such/file"},
		"--certificate-authority: open":      {"--certificate-authority", "/no/such/file"},
		"--client-key: ":                     {"--client-certificate", "options.go", "--client-key", empty},
		"--report-json: stat":                {"--report-json", "/no/such/folder/report.json"},
	} {
		o := s.drive(t, args...)
		text := o.stderr.String()
		if o.code != exitUsage || o.stdout.Len() > 0 || strings.Count(text, "\n") != 1 || !strings.Contains(text, says) || !strings.Contains(text, "--help") {
			t.Errorf("%q: want %q\n%s", args, says, o)
		}
		if strings.Contains(text, "secret-word") || strings.Contains(text, "word@") {
			t.Errorf("%q shows a secret: %s", args, text)
		}
	}
}

func TestHelp(t *testing.T) {
	var o outcome
	o.code = execute(t.Context(), []string{"--help"}, &o.stdout, &o.stderr)
	for _, want := range []string{"Examples:", "Thresholds flags:", "--max-rss-growth", "--token-file", "port-forward-spdy"} {
		if o.code != exitOK || !strings.Contains(o.stdout.String(), want) {
			t.Errorf("no %q\n%s", want, &o)
		}
	}
}

// TestPlan checks that the kinds of sessions have their weights of --mix in the whole list of
// sessions and in its first 100. It also checks that busy and bulk sessions are spread over the
// kinds in proportion.
func TestPlan(t *testing.T) {
	o := newOptions()
	o.mix = must(parseMix("exec=60,port-forward=20,watch=20"))
	o.sessions, o.busy, o.bulk = 8500, 400, 100
	kinds, paces, err := planSessions(o)
	if err != nil {
		t.Fatal(err)
	}
	all, some, busy, bulk := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for i, k := range kinds {
		all[k.name]++
		if i < 100 {
			some[k.name]++
		}
		switch paces[i] {
		case &o.keystrokes:
			busy[k.name]++
		case &o.bulks:
			bulk[k.name]++
		}
	}
	for name, want := range map[string][4]int{"exec": {5100, 60, 300, 75}, "port-forward": {1700, 20, 100, 25}, "watch": {1700, 20, 0, 0}} {
		if got := [4]int{all[name], some[name], busy[name], bulk[name]}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestKubeconfig checks that loadtest finds the server and the credential through --kubeconfig and
// --context, and that flags override the kubeconfig.
func TestKubeconfig(t *testing.T) {
	s := newServer(t)
	args := s.args(t)
	ca, token := args[3], args[5]
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"wrong",
"clusters":[{"name":"c","cluster":{"server":"` + s.front.URL + `","certificate-authority":"` + ca + `"}}],
"users":[{"name":"u","user":{"tokenFile":"` + token + `"}},{"name":"nobody","user":{"token":"old"}}],
"contexts":[{"name":"right","context":{"cluster":"c","user":"u"}},{"name":"wrong","context":{"cluster":"c","user":"nobody"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	short := []string{"--kubeconfig", file, "--pod", "p", "--sessions", "5", "--mix", allKinds, "--ramp", "0", "--duration", "100ms"}
	for _, test := range []struct {
		more []string
		code int
	}{{[]string{"--context", "right"}, exitOK}, {nil, exitMissed}, {[]string{"--token-file", token}, exitOK}} {
		var o outcome
		o.code = execute(t.Context(), append(short, test.more...), &o.stdout, &o.stderr)
		if o.code != test.code {
			t.Errorf("%q: want exit code %d\n%s", test.more, test.code, &o)
		}
	}
}
