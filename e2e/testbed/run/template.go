package run

import (
	"errors"
	"os"
	"path/filepath"
	"text/template"
)

// Render executes the Go template text with values and writes the result to the file `to`. It
// returns an error if the template uses a key that values does not contain.
func Render(to, text string, values any) error {
	t, err := template.New(filepath.Base(to)).Option("missingkey=error").Parse(text)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, values), f.Close())
}
