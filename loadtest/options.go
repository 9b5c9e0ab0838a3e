package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	cliflag "k8s.io/component-base/cli/flag"

	"edge/streams"
)

const (
	maxSessions  = 100_000
	maxWriteSize = streams.MaxData // maximum bytes of one write; every protocol of a session can carry them in one frame
	maxInFlight  = 16 << 20        // maximum of --in-flight, in bytes
	// spareDescriptors is the number of file descriptors that are reserved for other uses than
	// sessions.
	spareDescriptors = 64
	// maxWatched limits the number of --watch-pid processes.
	maxWatched = 16
)

// options holds the values of all flags.
type options struct {
	url, kubeconfig, context                string
	tokenFile, clientCertificate, clientKey string
	certificateAuthority                    string
	insecure                                bool

	namespace, pod, container string
	command                   []string
	port                      uint16

	sessions, busy, bulk int
	mixText              string
	mix                  mix // the kinds of sessions and their weights: mixText parsed, set by validate
	keystrokes, bulks    pace
	inFlight             int

	ramp, duration       time.Duration
	openTimeout, timeout time.Duration

	watchPIDs             []int
	reportJSON, reportSVG string
	thresholds            thresholds
}

func newOptions() *options {
	return &options{
		namespace: "default", command: []string{"cat"}, port: 7,
		sessions: 10, mixText: "exec",
		keystrokes: pace{size: 1, rate: 5, alone: true}, bulks: pace{size: maxWriteSize, rate: 32}, inFlight: 128 << 10,
		ramp: 10 * time.Second, duration: time.Minute,
		openTimeout: 30 * time.Second, timeout: 60 * time.Second,
		thresholds: newThresholds(),
	}
}

// flagSets returns loadtest's flags in the groups that --help shows.
func (o *options) flagSets() (sets cliflag.NamedFlagSets) {
	fs := sets.FlagSet("server")
	fs.StringVar(&o.url, "url", o.url, "URL of the server, https://HOST[:PORT]. Overrides the server of the kubeconfig.")
	fs.StringVar(&o.tokenFile, "token-file", o.tokenFile, "Path to a file with a bearer token.")
	fs.StringVar(&o.clientCertificate, "client-certificate", o.clientCertificate, "Path to a PEM file with a client certificate. Requires --client-key.")
	fs.StringVar(&o.clientKey, "client-key", o.clientKey, "Path to a PEM file with the private key of --client-certificate.")
	fs.StringVar(&o.certificateAuthority, "certificate-authority", o.certificateAuthority, "Path to a PEM file with the CA certificates that loadtest trusts to sign the server's certificate.")
	fs.BoolVar(&o.insecure, "insecure-skip-tls-verify", o.insecure, "Accept any server certificate without verification. An attacker on the network can then read the credential.")
	fs.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, "Path to a kubeconfig, for settings that the other flags do not set. Default: kubectl's kubeconfig, or none if --url is set and --context is not.")
	fs.StringVar(&o.context, "context", o.context, "Context of the kubeconfig. Default: its current context.")

	fs = sets.FlagSet("sessions")
	fs.StringVarP(&o.namespace, "namespace", "n", o.namespace, "Namespace of the pod and of the watches.")
	fs.StringVar(&o.pod, "pod", o.pod, "Name of the pod for all exec and port-forward sessions.")
	fs.StringVarP(&o.container, "container", "c", o.container, "Container for all exec sessions. Can be empty if the pod has only one.")
	fs.StringArrayVar(&o.command, "command", o.command, "Command of every exec session. Repeat the flag for each word. The command must copy its input to its output.")
	fs.Uint16Var(&o.port, "port", o.port, "Port of the pod for all port-forward sessions. The server on that port must echo all data.")
	fs.IntVar(&o.sessions, "sessions", o.sessions, fmt.Sprintf("Number of sessions, from 1 to %d.", maxSessions))
	fs.StringVar(&o.mixText, "mix", o.mixText, "Kinds of sessions with their weights, for example exec=60,port-forward=20,watch=20. Kinds: "+kindNames()+".")
	fs.DurationVar(&o.ramp, "ramp", o.ramp, "Duration of the ramp phase, over which loadtest spreads the opening of the sessions.")
	fs.DurationVar(&o.duration, "duration", o.duration, "Duration of the hold phase, which follows the ramp.")
	fs.DurationVar(&o.openTimeout, "open-timeout", o.openTimeout, "Timeout for opening one session, from the dial to the server's response.")
	fs.DurationVar(&o.timeout, "timeout", o.timeout, "Timeout for each sent byte to come back, and for a session to end after its half-close.")

	fs = sets.FlagSet("traffic")
	fs.IntVar(&o.busy, "busy", o.busy, "Number of sessions that write small pieces all the time, like a user who types. Sessions that are neither busy nor bulk write only when they begin and when they end.")
	fs.IntVar(&o.keystrokes.size, "write-size", o.keystrokes.size, "Size of each write of a busy session, in bytes.")
	fs.Float64Var(&o.keystrokes.rate, "rate", o.keystrokes.rate, "Writes per second of each busy session. 0: each write waits until the previous one has come back.")
	fs.IntVar(&o.bulk, "bulk", o.bulk, "Number of sessions, in addition to --busy, that write large pieces, like kubectl cp.")
	fs.IntVar(&o.bulks.size, "bulk-write-size", o.bulks.size, "Size of each write of a bulk session, in bytes.")
	fs.Float64Var(&o.bulks.rate, "bulk-rate", o.bulks.rate, "Writes per second of each bulk session. 0: as fast as --in-flight permits.")
	fs.IntVar(&o.inFlight, "in-flight", o.inFlight, "Maximum number of bytes that one session has sent and not yet received back.")

	fs = sets.FlagSet("report")
	fs.IntSliceVar(&o.watchPIDs, "watch-pid", o.watchPIDs, "PID of a process on this machine, for example the server. The report has its memory, CPU and file descriptors. May be repeated.")
	fs.StringVar(&o.reportJSON, "report-json", o.reportJSON, "Path of a file to write the report to, as JSON.")
	fs.StringVar(&o.reportSVG, "report-svg", o.reportSVG, "Path of a file to write the report's charts to, as SVG.")

	o.thresholds.addFlags(sets.FlagSet("thresholds"))
	return sets
}

// validate parses --mix and checks all flags. The error is about the first flag with an invalid
// value, and states which values are valid.
func (o *options) validate() (err error) {
	if o.mix, err = parseMix(o.mixText); err != nil {
		return err
	}
	if o.sessions < 1 || o.sessions > maxSessions {
		return fmt.Errorf("--sessions: %d is out of range, use 1 to %d", o.sessions, maxSessions)
	}
	if o.busy < 0 || o.bulk < 0 {
		return errors.New("--busy and --bulk: must not be negative")
	}
	for _, s := range o.mix {
		if !s.kind.isWatch() && o.pod == "" {
			return fmt.Errorf("--pod: required for %s sessions", s.kind.name)
		}
	}
	if len(o.command) == 0 || o.port == 0 {
		return errors.New("--command must not be empty, and --port must not be 0")
	}
	if (o.clientCertificate == "") != (o.clientKey == "") {
		return errors.New("--client-certificate and --client-key: must be set together")
	}
	if _, err := url.Parse(o.url); err != nil {
		return errors.New("--url: invalid URL; use https://HOST[:PORT]")
	}
	for flag, d := range map[string]time.Duration{"--open-timeout": o.openTimeout, "--timeout": o.timeout, "--duration": o.duration} {
		if d <= 0 {
			return fmt.Errorf("%s: must be greater than 0, for example 30s or 10m", flag)
		}
	}
	if o.ramp < 0 {
		return errors.New("--ramp: must not be negative")
	}
	if err := o.validatePaces(); err != nil {
		return err
	}
	if len(o.watchPIDs) > maxWatched {
		return fmt.Errorf("--watch-pid: %d processes given, the maximum is %d", len(o.watchPIDs), maxWatched)
	}
	for _, pid := range o.watchPIDs {
		if _, err := readUsage(pid); err != nil {
			return fmt.Errorf("--watch-pid: %w", err)
		}
	}
	if err := o.validateFiles(); err != nil {
		return err
	}
	if need, most := o.sessions+spareDescriptors, maxDescriptors(2*maxSessions); need > most {
		return fmt.Errorf("--sessions: %d sessions need %d file descriptors, but the limit of this process is %d; raise it with ulimit -n", o.sessions, need, most)
	}
	return o.thresholds.validate(o.busy+o.bulk > 0, len(o.watchPIDs) > 0, o.duration)
}

// validateFiles checks, before any session opens, that loadtest can read all input files and that
// the folders of the reports exist.
func (o *options) validateFiles() error {
	for _, f := range [...]struct{ flag, name string }{
		{"--token-file", o.tokenFile}, {"--client-certificate", o.clientCertificate}, {"--client-key", o.clientKey},
		{"--certificate-authority", o.certificateAuthority},
	} {
		if f.name == "" {
			continue
		}
		text, err := os.ReadFile(f.name)
		if err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return fmt.Errorf("%s: %s is empty", f.flag, f.name)
		}
	}
	for _, f := range [...]struct{ flag, name string }{{"--report-json", o.reportJSON}, {"--report-svg", o.reportSVG}} {
		if f.name == "" {
			continue
		}
		if _, err := os.Stat(filepath.Dir(f.name)); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
	}
	return nil
}

func (o *options) validatePaces() error {
	if o.inFlight < 1 || o.inFlight > maxInFlight {
		return fmt.Errorf("--in-flight: %d is out of range, use 1 to %d bytes", o.inFlight, maxInFlight)
	}
	for _, p := range []struct {
		size, rate string
		pace       *pace
	}{{"--write-size", "--rate", &o.keystrokes}, {"--bulk-write-size", "--bulk-rate", &o.bulks}} {
		if p.pace.size < 1 || p.pace.size > maxWriteSize {
			return fmt.Errorf("%s: %d is out of range, use 1 to %d bytes", p.size, p.pace.size, maxWriteSize)
		}
		if !(p.pace.rate >= 0 && p.pace.rate <= maxRate) {
			return fmt.Errorf("%s: %v is out of range, use 0 to %d per second", p.rate, p.pace.rate, maxRate)
		}
	}
	for _, write := range []struct {
		flag           string
		size, sessions int
	}{{"--write-size", o.keystrokes.size, o.busy}, {"--bulk-write-size", o.bulks.size, o.bulk}} {
		if write.sessions > 0 && write.size > o.inFlight {
			return fmt.Errorf("--in-flight: %d is less than %s %d", o.inFlight, write.flag, write.size)
		}
	}
	return nil
}
