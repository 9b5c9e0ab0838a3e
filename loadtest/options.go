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
	maxWriteSize = streams.MaxData // bytes: what every dialect carries in one piece
	maxInFlight  = 16 << 20        // bytes
	// spareDescriptors are for all that is no session.
	spareDescriptors = 64
	// maxWatched bounds the processes whose memory is watched.
	maxWatched = 16
)

// options are the flags.
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
	mix                  mix // of mixText, once it is validated
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

// flagSets returns the flags in the groups that --help shows.
func (o *options) flagSets() (sets cliflag.NamedFlagSets) {
	fs := sets.FlagSet("server")
	fs.StringVar(&o.url, "url", o.url, "The server, https://HOST[:PORT]. It goes before the kubeconfig's.")
	fs.StringVar(&o.tokenFile, "token-file", o.tokenFile, "A file with a bearer token.")
	fs.StringVar(&o.clientCertificate, "client-certificate", o.clientCertificate, "A file with a client certificate in PEM; needs --client-key.")
	fs.StringVar(&o.clientKey, "client-key", o.clientKey, "A file with the certificate's key.")
	fs.StringVar(&o.certificateAuthority, "certificate-authority", o.certificateAuthority, "A file with the certificates that the server's must come from.")
	fs.BoolVar(&o.insecure, "insecure-skip-tls-verify", o.insecure, "Believe any certificate of the server. Who sits between reads the credential.")
	fs.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, "A kubeconfig for what these flags do not say. Without it: kubectl's own, unless --url is given without --context.")
	fs.StringVar(&o.context, "context", o.context, "The kubeconfig's context.")

	fs = sets.FlagSet("sessions")
	fs.StringVarP(&o.namespace, "namespace", "n", o.namespace, "The namespace of the pod, and of watches.")
	fs.StringVar(&o.pod, "pod", o.pod, "The pod of every exec and port-forward.")
	fs.StringVarP(&o.container, "container", "c", o.container, "The container of every exec. Without it: the pod's first.")
	fs.StringArrayVar(&o.command, "command", o.command, "What every exec runs, a word for each time the flag is given. Its output must be its input.")
	fs.Uint16Var(&o.port, "port", o.port, "The port of every port-forward. What listens there must say what it is told.")
	fs.IntVar(&o.sessions, "sessions", o.sessions, fmt.Sprintf("How many sessions, up to %d.", maxSessions))
	fs.StringVar(&o.mixText, "mix", o.mixText, "What sessions are, with weights: exec=60,port-forward=20,watch=20. Kinds: "+kindNames()+".")
	fs.DurationVar(&o.ramp, "ramp", o.ramp, "Over how long the opening of sessions is spread.")
	fs.DurationVar(&o.duration, "duration", o.duration, "How long sessions are held after --ramp.")
	fs.DurationVar(&o.openTimeout, "open-timeout", o.openTimeout, "How long one session may take from dial to answer.")
	fs.DurationVar(&o.timeout, "timeout", o.timeout, "How long a byte may take to come back, and a session to end.")

	fs = sets.FlagSet("traffic")
	fs.IntVar(&o.busy, "busy", o.busy, "How many of --sessions write all the time, as people type. Those that are neither busy nor bulk write when they begin and when they end.")
	fs.IntVar(&o.keystrokes.size, "write-size", o.keystrokes.size, "Bytes of each write of a --busy session.")
	fs.Float64Var(&o.keystrokes.rate, "rate", o.keystrokes.rate, "Writes per second of each --busy session. 0: the next when the last has come back.")
	fs.IntVar(&o.bulk, "bulk", o.bulk, "How many of --sessions, besides --busy, write large pieces, as cp does.")
	fs.IntVar(&o.bulks.size, "bulk-write-size", o.bulks.size, "Bytes of each write of a --bulk session.")
	fs.Float64Var(&o.bulks.rate, "bulk-rate", o.bulks.rate, "Writes per second of each --bulk session. 0: as fast as they come back.")
	fs.IntVar(&o.inFlight, "in-flight", o.inFlight, "How many bytes of one session may be on their way.")

	fs = sets.FlagSet("report")
	fs.IntSliceVar(&o.watchPIDs, "watch-pid", o.watchPIDs, "A process on this machine, the server say, whose memory, CPU and descriptors are recorded. May be repeated.")
	fs.StringVar(&o.reportJSON, "report-json", o.reportJSON, "A file to write the report to, as JSON.")
	fs.StringVar(&o.reportSVG, "report-svg", o.reportSVG, "A file to draw the report in, as SVG.")

	o.thresholds.addFlags(sets.FlagSet("thresholds"))
	return sets
}

// validate says what is wrong with the flags, and what would be right.
func (o *options) validate() (err error) {
	if o.mix, err = parseMix(o.mixText); err != nil {
		return err
	}
	if o.sessions < 1 || o.sessions > maxSessions {
		return fmt.Errorf("--sessions: %d is not from 1 to %d", o.sessions, maxSessions)
	}
	if o.busy < 0 || o.bulk < 0 {
		return errors.New("--busy and --bulk: must not be negative")
	}
	for _, s := range o.mix {
		if !s.kind.isWatch() && o.pod == "" {
			return fmt.Errorf("--pod: %s needs one", s.kind.name)
		}
	}
	if len(o.command) == 0 || o.port == 0 {
		return errors.New("--command and --port: must not be empty")
	}
	if (o.clientCertificate == "") != (o.clientKey == "") {
		return errors.New("--client-certificate and --client-key: one needs the other")
	}
	if _, err := url.Parse(o.url); err != nil {
		return errors.New("--url: this is none; use https://HOST[:PORT]")
	}
	for flag, d := range map[string]time.Duration{"--open-timeout": o.openTimeout, "--timeout": o.timeout, "--duration": o.duration} {
		if d <= 0 {
			return fmt.Errorf("%s: must be more than 0, as 30s or 10m", flag)
		}
	}
	if o.ramp < 0 {
		return errors.New("--ramp: must not be negative")
	}
	if err := o.validatePaces(); err != nil {
		return err
	}
	if len(o.watchPIDs) > maxWatched {
		return fmt.Errorf("--watch-pid: %d processes are more than %d", len(o.watchPIDs), maxWatched)
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
		return fmt.Errorf("--sessions: %d sessions need %d descriptors, and this process may have %d; raise it with ulimit -n", o.sessions, need, most)
	}
	return o.thresholds.validate(o.busy+o.bulk > 0, len(o.watchPIDs) > 0, o.duration)
}

// validateFiles finds now what cannot be read, and what could not be written after the run.
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
		return fmt.Errorf("--in-flight: %d is not from 1 to %d", o.inFlight, maxInFlight)
	}
	for _, p := range []struct {
		size, rate string
		pace       *pace
	}{{"--write-size", "--rate", &o.keystrokes}, {"--bulk-write-size", "--bulk-rate", &o.bulks}} {
		if p.pace.size < 1 || p.pace.size > maxWriteSize {
			return fmt.Errorf("%s: %d is not from 1 to %d bytes", p.size, p.pace.size, maxWriteSize)
		}
		if !(p.pace.rate >= 0 && p.pace.rate <= maxRate) {
			return fmt.Errorf("%s: %v is not from 0 to %d per second", p.rate, p.pace.rate, maxRate)
		}
	}
	for _, write := range []struct {
		flag           string
		size, sessions int
	}{{"--write-size", o.keystrokes.size, o.busy}, {"--bulk-write-size", o.bulks.size, o.bulk}} {
		if write.sessions > 0 && write.size > o.inFlight {
			return fmt.Errorf("--in-flight: %d is less than %s, %d", o.inFlight, write.flag, write.size)
		}
	}
	return nil
}
