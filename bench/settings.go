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

// maxWrite bounds a write size, in bytes. kubectl sends no more in one message, and the client's write
// buffer holds it whole: gorilla cuts what does not fit into fragments, and golang.org/x/net/websocket
// takes the first byte of a continuation for a channel.
const maxWrite = 32 << 10

// maxSessions keeps a proxy, which holds two sockets per session, under a limit of 20,000 descriptors.
const maxSessions = 9500

// maxIdleHold is below silentSeconds, and the lifetimes of token and certificates.
const maxIdleHold = 30 * time.Minute

// settings is what one run measures. It goes into the report as it is.
type settings struct {
	Proxies     []string      `json:"proxies"`     // names of peers, in the order in which they take turns
	Pairs       []string      `json:"pairs"`       // names of pairs
	Rounds      int           `json:"rounds"`      // turns of each proxy and pair at every measure of CPU
	Volume      int64         `json:"volume"`      // bytes of one transfer
	Writes      int64         `json:"writes"`      // most writes of one transfer: bounds the volume of small writes
	Down        []int         `json:"down"`        // write sizes towards the client, bytes
	Up          []int         `json:"up"`          // write sizes from the client, bytes
	Keystrokes  int           `json:"keystrokes"`  // round trips of one turn of a proxy; 0 measures none
	PairKeys    int           `json:"pairKeys"`    // the same of a pair
	Requests    int           `json:"requests"`    // of each kind on the plain path in one turn; 0 measures none
	Starts      int           `json:"starts"`      // sessions started in one turn; 0 measures none
	IdleRounds  int           `json:"idleRounds"`  // turns of each proxy at idle sessions; 0 measures none
	Sessions    int           `json:"sessions"`    // idle sessions of one turn; a peer may have a bound below
	WatchRounds int           `json:"watchRounds"` // turns of each proxy at idle watches; 0 measures none
	Watches     int           `json:"watches"`     // idle watches of one turn
	Settle      time.Duration `json:"settle"`      // wait before resident memory is read, nanoseconds in JSON
	IdleHold    time.Duration `json:"idleHold"`    // how long edge's idle sessions are held once more; 0 is not
	Edge        string        `json:"-"`           // edge's binary; empty builds ./cmd/edge
	Before      string        `json:"-"`           // another binary of edge's, which takes turns beside it; empty: none
	JSON        string        `json:"-"`           // file for the report; empty writes none
	SVG         string        `json:"-"`           // folder for charts; empty draws none
	Hold        bool          `json:"-"`           // measure nothing: see holdEdge
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
	fs.SetOutput(io.Discard) // an error is one line, which the caller prints
	fs.Var((*names)(&s.Proxies), "proxies", "proxies to measure, in the order in which they take turns; empty for none")
	fs.Var((*names)(&s.Pairs), "pairs", "pairs of dialects to measure on edge, as exec/v5/spdy; empty for none")
	fs.IntVar(&s.Rounds, "rounds", s.Rounds, "turns of each proxy and pair at every measure of CPU")
	fs.Int64Var(&s.Volume, "volume", s.Volume, "bytes of one transfer")
	fs.Int64Var(&s.Writes, "writes", s.Writes, "most writes of one transfer, whatever its volume")
	fs.Var((*sizes)(&s.Down), "down", "write sizes towards the client, in bytes; empty for none")
	fs.Var((*sizes)(&s.Up), "up", "write sizes from the client, in bytes; empty for none")
	fs.IntVar(&s.Keystrokes, "keystrokes", s.Keystrokes, "keystroke round trips of one turn of a proxy; 0 for none")
	fs.IntVar(&s.PairKeys, "pair-keystrokes", s.PairKeys, "keystroke round trips of one turn of a pair; 0 for none")
	fs.IntVar(&s.Requests, "requests", s.Requests, "requests of each kind on the plain path in one turn; 0 for none")
	fs.IntVar(&s.Starts, "starts", s.Starts, "sessions started in one turn; 0 for none")
	fs.IntVar(&s.IdleRounds, "idle-rounds", s.IdleRounds, "turns of each proxy at idle sessions; 0 for none")
	fs.IntVar(&s.Sessions, "sessions", s.Sessions, "idle sessions of one turn")
	fs.IntVar(&s.WatchRounds, "watch-rounds", s.WatchRounds, "turns of each proxy at idle watches; 0 for none")
	fs.IntVar(&s.Watches, "watches", s.Watches, "idle watches of one turn")
	fs.DurationVar(&s.Settle, "settle", s.Settle, "wait before resident memory is read")
	fs.DurationVar(&s.IdleHold, "idle-hold", s.IdleHold,
		"hold edge's idle sessions for so long in its last turn, and report the growth of its memory")
	var only names
	fs.Var(&only, "only", "parts to measure, of "+strings.Join(partNames, ", ")+"; empty for all")
	fs.StringVar(&s.Edge, "edge", s.Edge, "edge's binary; built from cmd/edge when not given")
	fs.StringVar(&s.Before, "before", s.Before, "another binary of edge, from before a change: it takes its turns after edge's, as a proxy and in each pair")
	fs.StringVar(&s.JSON, "json", s.JSON, "file to write the report to, as JSON")
	fs.StringVar(&s.SVG, "svg", s.SVG, "folder to draw charts into")
	fs.BoolVar(&s.Hold, "hold", s.Hold, "measure nothing: start edge and its upstream, print where they are, and wait for a signal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(usage)
			fmt.Fprintln(usage, "bench measures edge beside its peers: table on stdout, progress on stderr.")
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
		return errors.New("bench: --proxies and --pairs are both empty")
	}
	if err := checkNames("--proxies", s.Proxies, peerNames()); err != nil {
		return err
	}
	if err := checkNames("--pairs", s.Pairs, pairNames()); err != nil {
		return err
	}
	for _, size := range slices.Concat(s.Down, s.Up) {
		if size < 1 || size > maxWrite {
			return fmt.Errorf("bench: a write of %d bytes is not between 1 and %d", size, maxWrite)
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
	if s.JSON != "" { // found now, not after the run
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
		return fmt.Errorf("bench: --sessions %d is not between 1 and %d", s.Sessions, maxSessions)
	case s.WatchRounds < 0:
		return fmt.Errorf("bench: --watch-rounds %d is negative", s.WatchRounds)
	case s.Watches < 1 || s.Watches > maxSessions:
		return fmt.Errorf("bench: --watches %d is not between 1 and %d", s.Watches, maxSessions)
	case s.Settle < 0:
		return fmt.Errorf("bench: --settle %s is negative", s.Settle)
	case s.IdleHold < 0 || s.IdleHold > maxIdleHold:
		return fmt.Errorf("bench: --idle-hold %s is not between 0 and %s", s.IdleHold, maxIdleHold)
	}
	return nil
}

// checkNames holds a list of a flag against what there is.
func checkNames(flag string, names, known []string) error {
	for i, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("bench: %s: %q is none of %s", flag, name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("bench: %s: %q is there twice", flag, name)
		}
	}
	return nil
}

// transferSize is the volume of a transfer in writes of size bytes: a whole number of them.
func (s settings) transferSize(size int) int64 {
	return min(s.Volume/int64(size), s.Writes) * int64(size)
}

// names is a comma-separated flag of words, sizes one of numbers.
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
