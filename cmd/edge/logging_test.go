package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode"
)

// TestLogIsHarmless checks that a logged value is limited in length and cannot control a terminal,
// in both log formats, text and JSON.
func TestLogIsHarmless(t *testing.T) {
	t.Parallel()
	for _, format := range []string{formatText, formatJSON} {
		var b bytes.Buffer
		log := newLogger(&b, format, slog.LevelInfo)
		for _, evil := range []string{"a\nb", "a\x1b[2Jb", "a\x7fb", "a\u009bb", "a\u202eb", "a\u2028b", "a\xffb", strings.Repeat("l", 1<<20), strings.Repeat("\u009b", 1<<10)} {
			b.Reset()
			log.Info(evil, "user", evil)
			line := b.String()
			if strings.Count(line, "\n") != 1 || len(line) > 16*maxLogged {
				t.Errorf("%s: %d bytes: %.200q", format, len(line), line)
			}
			for _, r := range strings.TrimSuffix(line, "\n") {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 {
					t.Errorf("%s: %U in %.200q", format, r, line)
				}
			}
			if format == formatJSON && !json.Valid(b.Bytes()) {
				t.Errorf("no JSON: %.200q", line)
			}
		}
	}
}
