package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/authentication/user"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/term"

	"edge/authn"
	"edge/impersonate"
)

// explainTimeout limits the whole run of edge explain-token. edge fetches at most the discovery
// document and the keys.
const explainTimeout = time.Minute

// explainOptions are the flags of edge explain-token.
type explainOptions struct {
	identity identityOptions
	file     string
	offline  bool
	output   string
}

func newExplainCommand() *cobra.Command {
	o := &explainOptions{identity: newIdentityOptions(), output: "text"}
	cmd := &cobra.Command{
		Use:   "explain-token",
		Short: "Show whether edge accepts a token, as which user, and why not",
		Long: `explain-token reads a token from standard input or a file. It shows what edge serve
with the same flags would do with the token: which issuer it belongs to, which rules
refuse it and why, and which user it stands for. It continues after a refusal, so that
you see all problems at once.

It prints single claims, but never the token, and it sends the token to nobody. To check
the signature, it fetches the issuer's discovery document and keys; with --offline it
fetches nothing. It does not accept the cluster's own tokens, which edge serve accepts
with --token-passthrough. The exit code is 0 if the token is accepted, 1 if it is not,
and 2 for flags or files that cannot be used.`,
		Example: `  # Check the token that kubectl sends:
  kubectl oidc-login get-token ... | jq -r .status.token | \
      edge explain-token --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes

  # Check a token with a new configuration, without network access:
  edge explain-token --authentication-config=new.yaml --offline --filename=token`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // do not repeat the argument in the error: it may be a token
				return errors.New("unexpected arguments: a token must not be an argument, which other users of this machine could see: send it on standard input, or name its file with --filename")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explain(cmd.Context(), o, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	var sets cliflag.NamedFlagSets
	o.identity.addOIDCFlags(sets.FlagSet("OIDC"))
	o.addFlags(sets.FlagSet("explanation"))
	addFlagSets(cmd, sets)
	return cmd
}

func (o *explainOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.file, "filename", "f", o.file, "File that contains the token. If empty or -, the token is read from standard input.")
	fs.BoolVar(&o.offline, "offline", o.offline, "Do not fetch the issuer's keys. The signature is then not checked.")
	fs.StringVarP(&o.output, "output", "o", o.output, "Output format: text or json.")
	fs.StringSliceVar(&o.identity.allowSystem, "allow-system-identities", nil, "Comma-separated exact names beginning with \"system:\" that issuers may give to users and groups. Set it to the same value as for edge serve.")
	fs.StringVar(&o.identity.unusableGroups, "unusable-groups", o.identity.unusableGroups, "What to do if a user has a group that cannot be sent in a header: deny or drop. Set it to the same value as for edge serve.")
}

// explanation is the result of edge explain-token, in the form in which --output=json prints it.
type explanation struct {
	Accepted bool     `json:"accepted"`
	Reason   string   `json:"reason,omitempty"` // the same text as in the log of edge serve
	Issuer   string   `json:"issuer,omitempty"`
	Issuers  []string `json:"configuredIssuers"`
	Steps    []step   `json:"steps"`
	User     *whom    `json:"user,omitempty"`
	Expires  string   `json:"expires,omitempty"`
}

type step struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

type whom struct {
	Name   string              `json:"name"`
	UID    string              `json:"uid,omitempty"`
	Groups []string            `json:"groups,omitempty"`
	Extra  map[string][]string `json:"extra,omitempty"`
}

func explain(ctx context.Context, o *explainOptions, stdin io.Reader, out io.Writer) error {
	if o.output != "text" && o.output != "json" {
		return usageError{fmt.Errorf("--output: %q is neither text nor json", o.output)}
	}
	if o.identity.config == "" && o.identity.oidc.IssuerURL == "" {
		return usageError{errors.New("no issuer is configured: set --oidc-issuer-url and --oidc-client-id, or --authentication-config")}
	}
	if err := o.identity.validateUnusableGroups(); err != nil {
		return usageError{err}
	}
	tokens, err := authn.New(authn.Options{Flags: o.identity.oidc, File: o.identity.config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return usageError{err}
	}
	policy, err := impersonate.NewPolicy(impersonate.PolicyConfig{
		AllowSystem: o.identity.allowSystem, DropUnusable: o.identity.unusableGroups == groupsDrop,
	})
	if err != nil {
		return usageError{fmt.Errorf("--allow-system-identities: %w", err)}
	}
	token, err := readToken(o.file, stdin)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	said := tokens.Explain(ctx, token, authn.ExplainOptions{Fetch: !o.offline})
	e := explanation{Accepted: said.Outcome == authn.OutcomeOK, Reason: string(said.Reason), Issuer: said.Issuer, Issuers: said.Issuers}
	for _, s := range said.Steps {
		e.Steps = append(e.Steps, step{s.Name, string(s.Outcome), s.Detail})
	}
	if !said.Expires.IsZero() {
		e.Expires = said.Expires.UTC().Format(time.RFC3339)
	}
	if u := said.User; u != nil {
		e.User = &whom{u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()}
		last := step{Name: "identity", Outcome: string(authn.OutcomeOK), Detail: "edge can impersonate this user"}
		switch id, err := identityOf(ctx, policy, u); {
		case err != nil:
			last.Outcome, last.Detail = string(authn.OutcomeRefused), err.Error()
			e.Accepted = false
		case len(id.Dropped) > 0:
			last.Detail += fmt.Sprintf(", without the groups %q", id.Dropped)
			e.User.Groups = id.Groups
		}
		e.Steps = append(e.Steps, last)
	}
	if o.output == "json" {
		err = e.printJSON(out)
	} else {
		err = e.print(out)
	}
	switch {
	case err != nil:
		return err
	case e.Accepted:
		return nil
	case said.Outcome == authn.OutcomeSkipped:
		return errors.New("no rule refuses the token, but its signature was not checked")
	}
	return errors.New("the token is refused")
}

// identityOf returns the identity that package impersonate derives from a user, or its refusal.
func identityOf(ctx context.Context, policy *impersonate.Policy, u user.Info) (impersonate.Identity, error) {
	return policy.Identity(ctx, u, impersonate.Request{Header: http.Header{}})
}

// readToken reads the token from the file or from stdin. It removes white space around the token
// and "Bearer" before it.
func readToken(file string, stdin io.Reader) (string, error) {
	source := "on standard input"
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if wrong := (*fs.PathError)(nil); errors.As(err, &wrong) { // the error's text has the file name, which may be the token itself
			return "", fmt.Errorf("--filename: %w", wrong.Err)
		}
		if err != nil {
			return "", err
		}
		defer f.Close()
		stdin, source = f, "in "+file
	} else if f, ok := stdin.(*os.File); ok && isTerminal(f) {
		fmt.Fprintln(os.Stderr, "edge: reading the token from the terminal: paste it, then press Enter and Ctrl-D")
	}
	text, err := io.ReadAll(io.LimitReader(stdin, authn.MaxTokenBytes+1024))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	text = bytes.TrimSpace(text)
	if len(text) > len("bearer ") && strings.EqualFold(string(text[:len("bearer ")]), "bearer ") {
		text = bytes.TrimSpace(text[len("bearer "):])
	}
	if len(text) == 0 {
		return "", fmt.Errorf("found no token %s", source)
	}
	return string(text), nil
}

func isTerminal(f *os.File) bool {
	_, _, err := term.TerminalSize(f) // only a terminal has a size; /dev/null has none
	return err == nil
}

// printJSON escapes every character that is not printable. JSON itself escapes only the control
// characters of ASCII, but U+009B controls a terminal as ESC does.
func (e explanation) printJSON(out io.Writer) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	var printable bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			printable.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&printable, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&printable, `\u%04x`, r)
		}
	}
	printable.WriteByte('\n')
	_, err = out.Write(printable.Bytes())
	return err
}

// print prints the explanation as text.
func (e explanation) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Outcome, s.Name, s.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Issuer == "" {
		fmt.Fprintf(out, "\nNo configured issuer matches the token. Configured: %s\n", strings.Join(e.Issuers, ", "))
	}
	if u := e.User; u != nil {
		verb := "would be"
		if e.Accepted {
			verb = "is"
		}
		fmt.Fprintf(out, "\nThe user %s %q", verb, u.Name)
		if u.UID != "" {
			fmt.Fprintf(out, ", uid %q", u.UID)
		}
		fmt.Fprintf(out, ", in groups %q", u.Groups)
		if e.Expires != "" {
			fmt.Fprintf(out, ", until %s", e.Expires)
		}
		fmt.Fprintln(out)
		for _, key := range slices.Sorted(maps.Keys(u.Extra)) {
			fmt.Fprintf(out, "extra %q: %q\n", key, u.Extra[key])
		}
	}
	return nil
}
