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

// execute runs the loadtest command with args and returns the exit code. It writes the report to
// stdout, and progress and errors to stderr.
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
		Short: "Load test a Kubernetes API with streaming sessions and check every byte",
		Long: `loadtest opens many exec, port-forward and watch sessions at any endpoint that
serves the Kubernetes API, holds them open, and checks every byte that comes back.

The pod needs a command that copies its input to its output (cat). Port-forward
sessions need an echo server that listens on a port of the pod (--port).

Exit codes: 0 if all thresholds were met, 1 if a threshold was missed or a report
could not be written, 2 if flags or files are invalid. By default a run must
complete, and no session may fail. After Ctrl-C loadtest ends all sessions, prints
the report and exits with 1.`,
		Example: `  # With the credential from kubectl's kubeconfig: 100 exec sessions, 10 of them busy
  loadtest --pod=web --sessions=100 --busy=10

  # Several kinds of sessions, with thresholds and a report
  loadtest --url=https://edge.example.com --token-file=token --certificate-authority=ca.pem --pod=web \
      --mix=exec=50,exec-spdy=10,port-forward=20,watch=20 --sessions=8500 --busy=500 --ramp=2m --duration=10m \
      --watch-pid=4711 --max-p99=200ms --max-rss-growth=5 --report-json=load.json --report-svg=load.svg`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				// Do not quote args in the error, because one of them can be a misplaced token.
				return errors.New("unexpected arguments; loadtest takes only flags, written as --name=value")
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // restores Go's default handling of signals after the first signal, so that a second signal ends the process at once
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
		width, _, _ := term.TerminalSize(cmd.OutOrStdout()) // width 0: stdout is no terminal, do not wrap the help
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n\nExamples:\n%s\n", cmd.Long, cmd.UseLine(), cmd.Example)
		cliflag.PrintSections(out, sets, width)
	})
	return cmd
}

// runLoad validates the flags, runs the load test and writes its reports.
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

// Exit codes of loadtest.
const (
	exitOK     = 0
	exitMissed = 1 // A threshold was missed, or loadtest could not write a report.
	exitUsage  = 2 // Flags or files are invalid.
)
