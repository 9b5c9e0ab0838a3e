package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of bench.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == roleCommand {
		os.Exit(runRole(os.Args[2], os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs bench with args and returns its exit code. It prints the tables to stdout, and progress
// and errors to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parseSettings(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if s.Hold {
		if err := holdEdge(ctx, s, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return exitError
		}
		return exitOK
	}
	r, err := measureAll(ctx, s, stderr)
	if r != nil { // Even if a long measurement ends with an error, report the figures that were measured before it.
		err = errors.Join(err, writeReport(stdout, s, r))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitError
	}
	return exitOK
}

// writeReport prints the tables and writes the files of --json and --svg. It prints the tables even
// if it cannot write a file.
func writeReport(stdout io.Writer, s settings, r *report) error {
	err := writeTable(stdout, r)
	if s.JSON != "" {
		err = errors.Join(err, writeJSON(s.JSON, r))
	}
	if s.SVG != "" {
		err = errors.Join(err, writeCharts(s.SVG, r))
	}
	return err
}

func writeJSON(name string, r *report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("bench: encode the report: %w", err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("bench: write the report: %w", err)
	}
	return nil
}
