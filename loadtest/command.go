package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/term"
)

// execute is the program without its process: the report on stdout, progress and errors on stderr, an exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand(stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	var ran failed
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ran):
		fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return exitMissed
	}
	fmt.Fprintf(stderr, "loadtest: %v (see --help)\n", err)
	return exitUsage
}

func newCommand(progress io.Writer) *cobra.Command {
	o := newOptions()
	cmd := &cobra.Command{
		Use:   "loadtest --url=https://HOST --pod=NAME [flags]",
		Short: "Many streaming sessions against a Kubernetes API, with every byte checked",
		Long: `loadtest opens many exec, port-forward and watch sessions at any endpoint that
speaks the Kubernetes API, holds them, and checks every byte that comes back.

The pod needs a command whose output is its input (cat), and for port-forward a
port on which an echo server listens (--port).

It exits with 0 when all thresholds were met, 1 when one was missed, 2 when flags
or files cannot be used. By default the only threshold is that nothing fails.
Ctrl-C ends a run in order, with its report and 1.`,
		Example: `  # With kubectl's own credential: 100 shells, 10 of which are typed into
  loadtest --pod=web --sessions=100 --busy=10

  # A mix, in both protocols, with a report and thresholds
  loadtest --url=https://edge.example.com --token-file=token --certificate-authority=ca.pem --pod=web \
      --mix=exec=50,exec-spdy=10,port-forward=20,watch=20 --sessions=8500 --busy=500 --ramp=2m --duration=10m \
      --watch-pid=4711 --max-p99=200ms --max-rss-growth=5 --report-json=load.json --report-svg=load.svg`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // not repeated: one may be a token, which a space has parted from its flag
				return errors.New("there are arguments, and it takes flags only: --name=value")
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return runLoad(ctx, o, cmd.OutOrStdout(), progress)
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	sets := o.flagSets()
	for _, set := range sets.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	cmd.Flags().SortFlags = false
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		width, _, _ := term.TerminalSize(cmd.OutOrStdout()) // 0: no terminal, no wrapping
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n\nExamples:\n%s\n", cmd.Long, cmd.UseLine(), cmd.Example)
		cliflag.PrintSections(out, sets, width)
	})
	return cmd
}

// runLoad is a load test from validated flags to its reports.
func runLoad(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	e, err := newEndpoint(o)
	if err != nil {
		return err
	}
	r, err := newRun(o, e)
	if err != nil {
		return err
	}
	sm := newSampler(r)
	bar := newProgress(stderr, sm)
	stop := make(chan struct{})
	var recording sync.WaitGroup
	recording.Go(func() { sm.keep(stop, bar.show) })
	broken := r.load(ctx)
	close(stop)
	recording.Wait()
	bar.done()
	if errors.Is(broken, context.Canceled) {
		broken = errInterrupted
	}
	rep := newReport(r, sm, broken)
	err = rep.writeTable(stdout)
	if o.reportJSON != "" {
		err = errors.Join(err, rep.writeJSON(o.reportJSON))
	}
	if o.reportSVG != "" {
		err = errors.Join(err, rep.writeSVG(o.reportSVG))
	}
	switch {
	case err != nil:
		return failed{err}
	case rep.missed():
		return failed{errMissed}
	}
	return nil
}

// Exit codes.
const (
	exitOK     = 0
	exitMissed = 1 // a threshold, or the report could not be written
	exitUsage  = 2
)
