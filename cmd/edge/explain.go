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

// explainTimeout bounds all of it: at most discovery and keys are fetched.
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
		Short: "Say what edge would make of a token, and why",
		Long: `explain-token reads a token from standard input, or from a file, and says what
edge serve with the same flags would make of it: which issuer it is of, which
rule refuses it and why, and whom it would make. It goes on after a refusal, so
that all that is wrong is said at once.

The token is not printed, but single claims are, and it goes nowhere. Only the
issuer's discovery document and keys are fetched, to check the signature; with
--offline nothing is. A token of the cluster's own, which --token-passthrough would
let in, is nobody's here. The exit code is 0 if the token is accepted, 1 if not, and
2 for flags or files that cannot be used.`,
		Example: `  # What is wrong with the token that kubectl sends?
  kubectl oidc-login get-token ... | jq -r .status.token | \
      edge explain-token --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes

  # Would the new configuration take it? Nothing is asked of anybody.
  edge explain-token --authentication-config=new.yaml --offline --filename=token`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // not even repeated: it may be a token
				return errors.New("a token is not an argument, which everybody on this machine can see: send it on standard input, or name its file with --filename")
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
	fs.StringVarP(&o.file, "filename", "f", o.file, "The file that the token is in. Empty, or -: standard input.")
	fs.BoolVar(&o.offline, "offline", o.offline, "Fetch nothing: the signature is not checked.")
	fs.StringVarP(&o.output, "output", "o", o.output, "How to say it: text or json.")
	fs.StringSliceVar(&o.identity.allowSystem, "allow-system-identities", nil, "As for edge serve.")
	fs.StringVar(&o.identity.unusableGroups, "unusable-groups", o.identity.unusableGroups, "As for edge serve.")
}

// explanation is what is printed, in JSON as it stands.
type explanation struct {
	Accepted bool     `json:"accepted"`
	Reason   string   `json:"reason,omitempty"` // as in the log of edge serve
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
		return usageError{errors.New("say whose tokens edge takes: --oidc-issuer-url and --oidc-client-id, or --authentication-config")}
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
		last := step{Name: "identity", Outcome: string(authn.OutcomeOK), Detail: "may be named to the API server"}
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
		return errors.New("nothing refuses the token, but its signature was not checked")
	}
	return errors.New("the token is refused")
}

// identityOf asks what package impersonate asks of every user.
func identityOf(ctx context.Context, policy *impersonate.Policy, u user.Info) (impersonate.Identity, error) {
	return policy.Identity(ctx, u, impersonate.Request{Header: http.Header{}})
}

// readToken takes the token as it is, with "Bearer" before it or white space
// around it.
func readToken(file string, stdin io.Reader) (string, error) {
	source := "on standard input"
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if wrong := (*fs.PathError)(nil); errors.As(err, &wrong) { // whose text has what was given: it may be the token itself
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
		return "", fmt.Errorf("there is no token %s", source)
	}
	return string(text), nil
}

func isTerminal(f *os.File) bool {
	_, _, err := term.TerminalSize(f) // which nothing else has, /dev/null neither
	return err == nil
}

// printJSON leaves nothing to a terminal that is not printable: JSON escapes the
// control characters of ASCII only, and U+009B begins a command as ESC does.
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

// print is for people.
func (e explanation) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Outcome, s.Name, s.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Issuer == "" {
		fmt.Fprintf(out, "\nNo configured issuer is the token's. Configured: %s\n", strings.Join(e.Issuers, ", "))
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
