package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"edge/e2e/testbed"
	"edge/e2e/testbed/binaries"
)

func main() {
	var o settings
	flag.IntVar(&o.Rounds, "rounds", 5, "how often everything is measured")
	flag.IntVar(&o.Sessions, "sessions", 100, "sessions of each kind, on each way, in a round")
	flag.IntVar(&o.Kubectls, "kubectl", 20, "runs of kubectl on each way, in all; 0 for none")
	flag.Func("edge-flag", "one more flag of edge serve, as --upstream-streaming=websocket; may be repeated", func(v string) error {
		o.edge = append(o.edge, v)
		return nil
	})
	file := flag.String("json", "", "file for the report as JSON")
	flag.Parse()
	if o.Rounds < 1 || o.Sessions < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "firstbyte: --rounds and --sessions are at least 1, and there are flags only (see --help)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends it at once
	}()
	if err := run(ctx, o, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// settings are how much is measured.
type settings struct {
	Rounds   int `json:"rounds"`
	Sessions int `json:"sessions"`
	Kubectls int `json:"kubectls"`

	edge []string // more flags of edge serve
}

func run(ctx context.Context, o settings, file string) (err error) {
	tb, err := testbed.Open(ctx, os.Stderr, binaries.Clusters)
	if err != nil {
		return err
	}
	defer func() {
		if closing := tb.Close(); err == nil {
			err = closing
		}
	}()
	s, err := newStage(ctx, tb, o)
	if err != nil {
		return err
	}
	report, err := s.measure(ctx, o)
	if err != nil {
		return err
	}
	report.print(os.Stdout)
	if file == "" {
		return nil
	}
	out, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(out, '\n'), 0o644)
}
