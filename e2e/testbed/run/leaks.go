package run

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// holders are the files and folders below the state folder that have tokens in them by purpose. All others are searched.
var holders = []string{
	"kubeconfig-*",           // users' and edge's own credentials
	"issuer-*",               // the provider's own state
	"cluster-*/etcd",         // the API server's storage
	"cluster-*/containerd",   // containers' file systems
	"cluster-*/kubelet",      // pods' volumes
	"cluster-*/*.kubeconfig", // the node's own credential
	"browser-*",              // what a page was given
	"owner",                  // the state folder's lock
}

// Leaks says in which files of the run stands a token that an issuer handed out or that edge has of its own: its signature, or the
// base64url of it that goes into a WebSocket's subprotocol. Edge's logs, audit files, temporary files and crash dumps are among those
// that are searched, and the API servers' logs and audit logs. It names no token.
func (r *Run) Leaks() ([]string, error) {
	prints := fingerprints()
	var found []string
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was temporary
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		if isHolder(name) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 != 0 { // a program
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		ours := strings.HasPrefix(name, "edge")
		for _, what := range prints.in(text, ours) {
			found = append(found, fmt.Sprintf("%s has %s", name, what))
		}
		return err
	})
	return found, err
}

func isHolder(name string) bool {
	return slices.ContainsFunc(holders, func(pattern string) bool {
		match, err := filepath.Match(pattern, name)
		return match && err == nil
	})
}

// A print is a piece of a token that is unlike any of another: there is no need to search for each whole.
type prints map[[printSize]byte]string

const printSize = 16 // characters, 96 bits

// SentOn are what tests let edge send on, in a URL that is the API server's to log.
const SentOn = "a token that a test sent on"

func fingerprints() prints {
	all := prints{}
	for token, kind := range allIssued() {
		signature := token[strings.LastIndexByte(token, '.')+1:]
		encoded := base64.RawURLEncoding.EncodeToString([]byte(token))
		all.add(signature, 0, kind)
		all.add(signature, len(signature)/2, kind)
		all.add(encoded, len(encoded)*3/4, kind+", in base64url") // of the signature; the header is everybody's
		all.add(encoded, len(encoded)-2*printSize, kind+", in base64url")
	}
	return all
}

func (p prints) add(text string, at int, what string) {
	if at >= 0 && at+printSize <= len(text) {
		p[[printSize]byte([]byte(text[at:at+printSize]))] = what
	}
}

var base64URLRun = regexp.MustCompile(fmt.Sprintf(`[A-Za-z0-9_-]{%d,}`, printSize))

// in returns what of all that is in a text. A token that a test sent on may be in others' files than edge's.
func (p prints) in(text []byte, ours bool) []string {
	found := map[string]bool{}
	for _, run := range base64URLRun.FindAll(text, -1) {
		for at := range len(run) - printSize + 1 {
			if what, ok := p[[printSize]byte(run[at:at+printSize])]; ok && (ours || !strings.HasPrefix(what, SentOn)) {
				found[what] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
