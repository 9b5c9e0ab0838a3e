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
	flag.IntVar(&o.Rounds, "rounds", 5, "number of rounds; each round measures all kinds of session")
	flag.IntVar(&o.Sessions, "sessions", 100, "sessions per round for each kind: this many direct and as many through edge")
	flag.IntVar(&o.Kubectls, "kubectl", 20, "runs of kubectl after the last round: this many direct and as many through edge; 0: none")
	flag.Func("edge-flag", "an additional `flag` for edge serve, for example --upstream-streaming=websocket; may be repeated", func(v string) error {
		o.edge = append(o.edge, v)
		return nil
	})
	file := flag.String("json", "", "`file` to which the report is written as JSON")
	flag.Parse()
	if o.Rounds < 1 || o.Sessions < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "firstbyte: --rounds and --sessions must be at least 1, and arguments other than flags are not allowed (see --help)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // so that a second Ctrl-C kills the command at once
	}()
	if err := run(ctx, o, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// settings configure how many sessions the command measures. The exported fields are part of the
// JSON report.
type settings struct {
	Rounds   int `json:"rounds"`
	Sessions int `json:"sessions"`
	Kubectls int `json:"kubectls"`

	edge []string // additional flags for `edge serve`
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
