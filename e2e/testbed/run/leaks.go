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

// holders are patterns for the files and folders in the state folder that may contain tokens. Leaks
// searches all other files for tokens.
var holders = []string{
	"kubeconfig-*",           // credentials of users, and edge's own credential
	"issuer-*",               // state of the identity provider, with its keys
	"cluster-*/etcd",         // storage of the API server
	"cluster-*/containerd",   // file systems of the containers
	"cluster-*/kubelet",      // volumes of the pods
	"cluster-*/*.kubeconfig", // credential of the kubelet
	"browser-*",              // profile of a browser, whose pages get tokens
	"owner",                  // lock of the state folder
}

// Leaks searches the files of the run for tokens and returns the files that contain one: a token
// that an issuer issued, or a token of edge's own. It searches for the signature of each token and
// for the token in base64url, as clients send it in a WebSocket subprotocol. It searches all files
// except holders and executables: also edge's logs, audit files, temporary files and crash dumps,
// and the API servers' logs and audit logs. The result contains no token.
func (r *Run) Leaks() ([]string, error) {
	prints := fingerprints()
	var found []string
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // ignore a temporary file that was removed during the search
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
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 != 0 { // skip executables
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

// prints maps fingerprints to the kind of a token. A fingerprint is a short piece of a token that
// no other token contains, so Leaks need not search for whole tokens.
type prints map[[printSize]byte]string

// printSize is the number of a token's characters in a fingerprint. 16 characters in base64url carry
// 96 bits.
const printSize = 16

// SentOn is the kind of a token that edge forwards in a URL during a test. The API server may log
// the URL.
const SentOn = "a token that a test lets edge forward"

func fingerprints() prints {
	all := prints{}
	for token, kind := range allIssued() {
		signature := token[strings.LastIndexByte(token, '.')+1:]
		encoded := base64.RawURLEncoding.EncodeToString([]byte(token))
		all.add(signature, 0, kind)
		all.add(signature, len(signature)/2, kind)
		// take a piece of the encoded signature as fingerprint, because many tokens have equal
		// headers
		all.add(encoded, len(encoded)*3/4, kind+", in base64url")
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

// in returns the kinds of the tokens that a file's text contains. It ignores tokens of kind SentOn
// if the file is not edge's own (ours is false).
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
