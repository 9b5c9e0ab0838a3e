package run

import (
	"errors"
	"os"
	"path/filepath"
	"text/template"
)

// Render executes the template text with values and writes the result to the file `to`. A key that
// is missing in values is an error.
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
