package main

import "fmt"

// maxExample bounds what is quoted of a peer, in bytes.
const maxExample = 300

// short quotes what a peer said.
func short(b []byte) string { return fmt.Sprintf("%.*q", maxExample, b) }

// bytesText is a number of bytes for people.
func bytesText(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 {
			return digits(n) + " " + unit
		}
		n /= 1024
	}
	return digits(n) + " GiB"
}

// digits is a number for people: three digits, or all before the point if those are more.
func digits(n float64) string {
	if n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}
