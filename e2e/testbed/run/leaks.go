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

// holders are the files and folders in the state folder that may contain tokens. Leaks searches all
// others.
var holders = []string{
	"kubeconfig-*",           // credentials of the users and of edge
	"issuer-*",               // the identity provider's state
	"cluster-*/etcd",         // the API server's storage
	"cluster-*/containerd",   // containers' file systems
	"cluster-*/kubelet",      // the pods' volumes
	"cluster-*/*.kubeconfig", // the kubelet's credential
	"browser-*",              // a browser's profile; pages receive tokens
	"owner",                  // the lock of the state folder
}

// Leaks returns the files of the run that contain a token that an issuer issued, or a token of
// edge's own. It searches for the token's signature, and for the token's base64url form, which
// clients send in a WebSocket subprotocol. It searches all files except holders and executables:
// also edge's logs, audit files, temporary files and crash dumps, and the API servers' logs and
// audit logs. The result contains no token.
func (r *Run) Leaks() ([]string, error) {
	prints := fingerprints()
	var found []string
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file that has been removed
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
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 != 0 { // executables are not searched
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		ours := strings.HasPrefix(name, "edge")
		for _, what := range prints.in(text, ours) {
			found = append(found, fmt.Sprintf("%s contains %s", name, what))
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

// prints maps fingerprints, which are short pieces of tokens, to the kind of token. A piece is
// unique to its token, so Leaks need not search for whole tokens.
type prints map[[printSize]byte]string

const printSize = 16 // characters, 96 bits

// SentOn is the kind of a token that a test lets edge forward in a URL, which the API server may
// log.
const SentOn = "a token that a test lets edge forward"

func fingerprints() prints {
	all := prints{}
	for token, kind := range allIssued() {
		signature := token[strings.LastIndexByte(token, '.')+1:]
		encoded := base64.RawURLEncoding.EncodeToString([]byte(token))
		all.add(signature, 0, kind)
		all.add(signature, len(signature)/2, kind)
		all.add(encoded, len(encoded)*3/4, kind+", in base64url") // lies in the encoded signature; the header is the same in many tokens
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

// in returns the kinds of the tokens that text contains. If the file is not edge's (ours is false),
// it ignores SentOn tokens.
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
