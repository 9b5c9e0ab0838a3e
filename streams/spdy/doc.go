// Package spdy is SPDY/3.1.
package spdy
