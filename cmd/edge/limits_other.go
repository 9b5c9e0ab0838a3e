//go:build !unix

package main

import "edge/bridge"

func maxSessions() int { return bridge.DefaultMaxSessions }
