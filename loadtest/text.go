package main

import "fmt"

// maxExample limits the length of a quoted message of a server, in bytes.
const maxExample = 300

// short quotes b, a message of a server, and truncates it to maxExample bytes.
func short(b []byte) string { return fmt.Sprintf("%.*q", maxExample, b) }

// bytesText formats a number of bytes with a unit, for example "1.5 KiB".
func bytesText(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 {
			return digits(n) + " " + unit
		}
		n /= 1024
	}
	return digits(n) + " GiB"
}

// digits formats a number with three significant digits, or with all digits before the decimal
// point if these are more.
func digits(n float64) string {
	if n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}
