package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxWrite is the maximum size of a write in a session, in bytes. kubectl sends no larger messages.
// The client's write buffer must hold a whole message, because gorilla/websocket would otherwise
// split the message into fragments, and golang.org/x/net/websocket on the server takes the first
// byte of a continuation frame for a channel.
const maxWrite = 32 << 10

// maxSessions limits the idle sessions, because each session needs two sockets and a proxy must
// stay below a limit of 20,000 file descriptors.
const maxSessions = 9500

// maxIdleHold limits the flag --idle-hold. It is less than the idle timeout of nginx and HAProxy
// (silentSeconds) and less than the lifetimes of tokens and certificates, so that none of them ends
// a session that bench holds.
const maxIdleHold = 30 * time.Minute

// settings are the values of bench's flags. The report contains them.
type settings struct {
	Proxies     []string      `json:"proxies"`     // names of proxies, in the order in which bench measures them
	Pairs       []string      `json:"pairs"`       // names of pairs (client dialect and upstream protocol)
	Rounds      int           `json:"rounds"`      // number of times that each proxy and pair is measured; not for idle sessions and watches
	Volume      int64         `json:"volume"`      // bytes of one measured transfer
	Writes      int64         `json:"writes"`      // maximum number of writes in one measured transfer
	Down        []int         `json:"down"`        // sizes of the writes to the client, in bytes
	Up          []int         `json:"up"`          // sizes of the writes from the client, in bytes
	Keystrokes  int           `json:"keystrokes"`  // keystrokes in each measurement of a proxy; 0: not measured
	PairKeys    int           `json:"pairKeys"`    // keystrokes in each measurement of a pair; 0: not measured
	Requests    int           `json:"requests"`    // requests of each kind in each measurement of a proxy; 0: not measured
	Starts      int           `json:"starts"`      // sessions that start in each measurement of a proxy; 0: not measured
	IdleRounds  int           `json:"idleRounds"`  // number of times that idle sessions are measured on each proxy; 0: never
	Sessions    int           `json:"sessions"`    // idle sessions on one proxy at one time; a kind of proxy can have a lower limit
	WatchRounds int           `json:"watchRounds"` // number of times that idle watches are measured on each proxy; 0: never
	Watches     int           `json:"watches"`     // idle watches on one proxy at one time
	Settle      time.Duration `json:"settle"`      // time that bench waits before it reads a proxy's memory; nanoseconds in JSON
	IdleHold    time.Duration `json:"idleHold"`    // how long bench holds edge's idle sessions to see memory grow; 0: not held
	Edge        string        `json:"-"`           // path of edge's binary; empty: build ./cmd/edge
	Before      string        `json:"-"`           // path of a second binary of edge; empty: none
	JSON        string        `json:"-"`           // path of the JSON report; empty: not written
	SVG         string        `json:"-"`           // folder for SVG charts; empty: not written
	Hold        bool          `json:"-"`           // true: measure nothing, only start edge so that another program can use it
}

func defaultSettings() settings {
	return settings{
		Proxies:     peerNames(),
		Pairs:       pairNames(),
		Rounds:      5,
		Volume:      128 << 20,
		Writes:      80_000,
		Down:        []int{32 << 10, 4 << 10, 100},
		Up:          []int{32 << 10, 4 << 10, 100},
		Keystrokes:  20_000,
		PairKeys:    5_000,
		Requests:    10_000,
		Starts:      1000,
		IdleRounds:  5,
		Sessions:    8000,
		WatchRounds: 5,
		Watches:     2000,
		Settle:      10 * time.Second,
	}
}

func parseSettings(args []string, usage io.Writer) (settings, error) {
	s := defaultSettings()
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // discard the output of the package flag: the caller prints the error, which is one line
	fs.Var((*names)(&s.Proxies), "proxies", "proxies to measure, in this order; empty: none")
	fs.Var((*names)(&s.Pairs), "pairs", "pairs (client dialect and upstream protocol) to measure on edge, for example exec/v5/spdy; empty: none")
	fs.IntVar(&s.Rounds, "rounds", s.Rounds, "number of times that each proxy and pair is measured; for idle sessions and watches see --idle-rounds and --watch-rounds")
	fs.Int64Var(&s.Volume, "volume", s.Volume, "volume of one transfer, in bytes")
	fs.Int64Var(&s.Writes, "writes", s.Writes, "maximum number of writes of one transfer, which limits the volume of small writes")
	fs.Var((*sizes)(&s.Down), "down", "write sizes to the client, in bytes; empty: none")
	fs.Var((*sizes)(&s.Up), "up", "write sizes from the client, in bytes; empty: none")
	fs.IntVar(&s.Keystrokes, "keystrokes", s.Keystrokes, "keystrokes (round trips of one byte) in each measurement of a proxy; 0: none")
	fs.IntVar(&s.PairKeys, "pair-keystrokes", s.PairKeys, "keystrokes (round trips of one byte) in each measurement of a pair; 0: none")
	fs.IntVar(&s.Requests, "requests", s.Requests, "requests of each kind without an upgrade in each measurement of a proxy; 0: none")
	fs.IntVar(&s.Starts, "starts", s.Starts, "sessions that start in each measurement of a proxy; 0: none")
	fs.IntVar(&s.IdleRounds, "idle-rounds", s.IdleRounds, "number of times that idle sessions are measured on each proxy; 0: never")
	fs.IntVar(&s.Sessions, "sessions", s.Sessions, "number of idle sessions that are open on a proxy at one time")
	fs.IntVar(&s.WatchRounds, "watch-rounds", s.WatchRounds, "number of times that idle watches are measured on each proxy; 0: never")
	fs.IntVar(&s.Watches, "watches", s.Watches, "number of idle watches that are open on a proxy at one time")
	fs.DurationVar(&s.Settle, "settle", s.Settle, "wait before the resident memory of idle sessions or watches is read")
	fs.DurationVar(&s.IdleHold, "idle-hold", s.IdleHold,
		"how long to keep edge's idle sessions open after their last measurement, to report the growth of edge's memory; 0: not held")
	var only names
	fs.Var(&only, "only", "parts to measure: "+strings.Join(partNames, ", ")+"; empty: all")
	fs.StringVar(&s.Edge, "edge", s.Edge, "path of edge's binary; empty: build cmd/edge")
	fs.StringVar(&s.Before, "before", s.Before, "path of a second binary of edge, for example from before a change; it is measured after edge, as a proxy and in each pair")
	fs.StringVar(&s.JSON, "json", s.JSON, "path of a file to write the report to, as JSON")
	fs.StringVar(&s.SVG, "svg", s.SVG, "folder to write charts to, as SVG")
	fs.BoolVar(&s.Hold, "hold", s.Hold, "measure nothing: start edge and its upstream, print their address and files, and wait for a signal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(usage)
			fmt.Fprintln(usage, "bench measures edge and other proxies. It prints the tables to stdout and progress to stderr.")
			fs.PrintDefaults()
		}
		return settings{}, fmt.Errorf("bench: %w (see --help)", err)
	}
	if fs.NArg() > 0 {
		return settings{}, fmt.Errorf("bench: unexpected argument %q (see --help)", fs.Arg(0))
	}
	if err := s.keepOnly(only); err != nil {
		return settings{}, err
	}
	if err := s.validate(); err != nil {
		return settings{}, err
	}
	if edge := slices.Index(s.Proxies, "edge"); edge >= 0 && s.Before != "" {
		s.Proxies = slices.Insert(s.Proxies, edge+1, labelBefore)
	}
	return s, nil
}

func (s settings) validate() error {
	if len(s.Proxies) == 0 && len(s.Pairs) == 0 {
		return errors.New("bench: nothing to measure: --proxies and --pairs are both empty")
	}
	if err := checkNames("--proxies", s.Proxies, peerNames()); err != nil {
		return err
	}
	if err := checkNames("--pairs", s.Pairs, pairNames()); err != nil {
		return err
	}
	for _, size := range slices.Concat(s.Down, s.Up) {
		if size < 1 || size > maxWrite {
			return fmt.Errorf("bench: write size %d is out of range, use 1 to %d", size, maxWrite)
		}
	}
	if s.Edge != "" {
		if _, err := os.Stat(s.Edge); err != nil {
			return fmt.Errorf("bench: --edge: %w", err)
		}
	}
	if s.Before != "" {
		if _, err := os.Stat(s.Before); err != nil {
			return fmt.Errorf("bench: --before: %w", err)
		}
	}
	if s.JSON != "" { // report an unusable path before the measurement
		if _, err := os.Stat(filepath.Dir(s.JSON)); err != nil {
			return fmt.Errorf("bench: --json: %w", err)
		}
	}
	switch {
	case s.Rounds < 1:
		return fmt.Errorf("bench: --rounds %d is less than 1", s.Rounds)
	case s.Volume < maxWrite:
		return fmt.Errorf("bench: --volume %d is less than %d", s.Volume, maxWrite)
	case s.Writes < 1:
		return fmt.Errorf("bench: --writes %d is less than 1", s.Writes)
	case s.Keystrokes < 0:
		return fmt.Errorf("bench: --keystrokes %d is negative", s.Keystrokes)
	case s.PairKeys < 0:
		return fmt.Errorf("bench: --pair-keystrokes %d is negative", s.PairKeys)
	case s.Requests < 0:
		return fmt.Errorf("bench: --requests %d is negative", s.Requests)
	case s.Starts < 0:
		return fmt.Errorf("bench: --starts %d is negative", s.Starts)
	case s.IdleRounds < 0:
		return fmt.Errorf("bench: --idle-rounds %d is negative", s.IdleRounds)
	case s.Sessions < 1 || s.Sessions > maxSessions:
		return fmt.Errorf("bench: --sessions %d is out of range, use 1 to %d", s.Sessions, maxSessions)
	case s.WatchRounds < 0:
		return fmt.Errorf("bench: --watch-rounds %d is negative", s.WatchRounds)
	case s.Watches < 1 || s.Watches > maxSessions:
		return fmt.Errorf("bench: --watches %d is out of range, use 1 to %d", s.Watches, maxSessions)
	case s.Settle < 0:
		return fmt.Errorf("bench: --settle %s is negative", s.Settle)
	case s.IdleHold < 0 || s.IdleHold > maxIdleHold:
		return fmt.Errorf("bench: --idle-hold %s is out of range, use 0 to %s", s.IdleHold, maxIdleHold)
	}
	return nil
}

// checkNames returns an error if names has an unknown name, or a name twice.
func checkNames(flag string, names, known []string) error {
	for i, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("bench: %s: unknown name %q, use one of %s", flag, name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("bench: %s: %q is given twice", flag, name)
		}
	}
	return nil
}

// transferSize returns how many bytes bench sends in one transfer whose writes have size bytes
// each. The result is the greatest multiple of size that exceeds neither Volume bytes nor Writes
// writes.
func (s settings) transferSize(size int) int64 {
	return min(s.Volume/int64(size), s.Writes) * int64(size)
}

// names and sizes are types of flags whose value is a comma-separated list of words or numbers.
type (
	names []string
	sizes []int
)

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(v string) error {
	*n = splitList(v)
	return nil
}

func (z *sizes) String() string {
	words := make([]string, len(*z))
	for i, n := range *z {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

func (z *sizes) Set(v string) error {
	*z = nil
	for _, word := range splitList(v) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		*z = append(*z, n)
	}
	return nil
}

func splitList(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}
