package main

import (
	"context"
	"os"
)

// Exit codes.
const (
	exitOK     = 0
	exitMissed = 1 // a threshold, or the report could not be written
	exitUsage  = 2
)

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
