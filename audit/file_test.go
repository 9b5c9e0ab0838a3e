package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/bridge"
	"edge/internal/testkit"
)

// see passes one request to the observer from Begin to the end, and returns the error of the
// observer's method Identified.
func see(o bridge.Observer, target string) error {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("Authorization", "Bearer alice")
	seen := o.Begin(r)
	id, refused := identifyPerson(r)
	err := seen.Identified(r, id, refused)
	code := 200
	if err != nil {
		code = 500
	}
	seen.Started(code)
	seen.Ended(bridge.End{Code: code})
	return err
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

func TestLogFormats(t *testing.T) {
	for format, isOne := range map[string]func(line string) bool{
		"json": func(line string) bool {
			var e struct{ Kind, APIVersion, AuditID, Stage, RequestURI string }
			return json.Unmarshal([]byte(line), &e) == nil && e.Kind == "Event" && e.APIVersion == "audit.k8s.io/v1" && e.RequestURI == "/api"
		},
		"legacy": func(line string) bool {
			return strings.Contains(line, ` AUDIT: id="`) && strings.Contains(line, ` uri="/api" response="`)
		},
	} {
		path := filepath.Join(t.TempDir(), "made", "audit.log")
		e, _ := newEvents(t, "--audit-log-path="+path, "--audit-log-format="+format)
		if err := see(e, "/api"); err != nil {
			t.Error(err)
		}
		got := lines(t, path) // the event is already in the file: in the default mode, blocking, a request waits for that
		if len(got) != 2 || !isOne(got[0]) || !isOne(got[1]) {
			t.Errorf("%s: %q", format, got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info.Mode(), err)
		}
	}
}

func TestLogToStandardOutput(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	e, stop := newEvents(t, "--audit-log-path=-")
	os.Stdout = stdout
	see(e, "/api")
	stop()
	if _, err := write.WriteString("open"); err != nil {
		t.Error("standard output was closed: ", err)
	}
	write.Close()
	if got, _ := io.ReadAll(read); strings.Count(string(got), `"kind":"Event"`) != 2 {
		t.Errorf("%q", got)
	}
}

// TestLogBatch checks that events of a batch that is not full are written to the file when the
// backend shuts down.
func TestLogBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	e, stop := newEvents(t, "--audit-log-path="+path, "--audit-log-mode=batch", "--audit-log-batch-max-size=1000", "--audit-log-batch-max-wait=1h")
	for i := range 10 {
		see(e, fmt.Sprint("/", i))
	}
	stop()
	if got := lines(t, path); len(got) != 20 {
		t.Errorf("%d lines", len(got))
	}
}

// TestLogFull checks that a write error refuses a request only in mode blocking-strict.
func TestLogFull(t *testing.T) {
	for mode, refuses := range map[string]bool{"blocking": false, "blocking-strict": true} {
		e, _ := newEvents(t, "--audit-log-path=/dev/full", "--audit-log-maxsize=0", "--audit-log-mode="+mode)
		if err := see(e, "/api"); (err != nil) != refuses {
			t.Errorf("%s: %v", mode, err)
		}
	}
	o := parse(t, "--audit-log-path=/dev/full/audit.log", "--audit-policy-file=testdata/policy.yaml")
	if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "--audit-log-path: ") {
		t.Error(err)
	}
}

// TestLogRotation checks that rotated audit log files are deleted by number and by age, and that
// they are compressed.
func TestLogRotation(t *testing.T) {
	const name = "audit.log"
	big := "/" + strings.Repeat("x", 7<<10) // an event with this path takes 14 KiB
	const enough = 400                      // enough requests for more than two rotations of 1 MiB
	// other creates a file in dir like a log file that was rotated the given number of days ago.
	other := func(dir string, days int) {
		stamp := time.Now().UTC().AddDate(0, 0, -days).Format("2006-01-02T15-04-05.000")
		if err := os.WriteFile(filepath.Join(dir, "audit-"+stamp+".log"), []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		flags []string
		old   int // age in days of a rotated file that exists at the start
		done  func(files []string) bool
	}{
		{"never", []string{"--audit-log-maxsize=0"}, 400, func(files []string) bool { return len(files) == 2 }},
		{"by size", []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=0"}, 1, func(files []string) bool { return len(files) >= 4 }},
		{"by number", []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=1"}, 1, func(files []string) bool { return len(files) == 2 }},
		{"by age", []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=0", "--audit-log-maxage=3"}, 5, func(files []string) bool {
			return len(files) >= 3 && !containsOld(files, 5)
		}},
		{"of any age", []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=0", "--audit-log-maxage=0"}, 500, func(files []string) bool {
			return len(files) >= 4 && containsOld(files, 500)
		}},
		{"compressed", []string{"--audit-log-maxsize=1", "--audit-log-compress"}, 1, func(files []string) bool {
			packed := 0
			for _, f := range files {
				if strings.HasSuffix(f, ".log.gz") {
					packed++
				}
			}
			return packed == len(files)-1
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			other(dir, c.old)
			e, _ := newEvents(t, append(c.flags, "--audit-log-path="+filepath.Join(dir, name))...)
			for range enough {
				see(e, big)
			}
			testkit.WaitFor(t, c.name, func() bool {
				files, _ := filepath.Glob(filepath.Join(dir, "*"))
				return c.done(files)
			})
		})
	}
}

func containsOld(files []string, days int) bool {
	day := time.Now().UTC().AddDate(0, 0, -days).Format("2006-01-02")
	for _, f := range files {
		if strings.Contains(f, day) {
			return true
		}
	}
	return false
}
