package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"

	"edge/internal/testkit"
)

// parse returns the options that the flags set.
func parse(t *testing.T, flags ...string) *Options {
	t.Helper()
	o := NewOptions()
	fs := pflag.NewFlagSet("edge", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFlagsAreKubeAPIServers checks that names, types, defaults, deprecations and help of the audit
// flags are kube-apiserver's. The expected values come from a file: the flags of kube-apiserver's
// AuditOptions (v0.37.2), printed once. Importing the package of AuditOptions would link etcd's
// client.
func TestFlagsAreKubeAPIServers(t *testing.T) {
	want, err := os.ReadFile("testdata/kube-apiserver-flags.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	fs := pflag.NewFlagSet("edge", pflag.ContinueOnError)
	NewOptions().AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		fmt.Fprintf(&got, "%s\t%s\t%s\t%s\t%s\n", f.Name, f.Value.Type(), f.DefValue, f.Deprecated, f.Usage)
	})
	if got.String() != string(want) {
		t.Errorf("edge:\n%s\nkube-apiserver:\n%s", got.String(), want)
	}
}

// TestEachFlagIsAnOption checks that every audit flag changes an option that no other flag changes.
// The other tests of this file check what the options do.
func TestEachFlagIsAnOption(t *testing.T) {
	values := map[string]string{"string": "x", "int": "77", "int64": "77", "duration": "77s", "float32": "77"}
	seen := map[string]string{}
	fs := pflag.NewFlagSet("edge", pflag.ContinueOnError)
	NewOptions().AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		value := values[f.Value.Type()]
		if f.Value.Type() == "bool" {
			value = fmt.Sprint(f.DefValue != "true")
		}
		o := parse(t, "--"+f.Name+"="+value)
		if reflect.DeepEqual(o, NewOptions()) {
			t.Errorf("--%s changes nothing", f.Name)
		}
		changed := fmt.Sprintf("%+v", *o)
		if other, ok := seen[changed]; ok && f.Deprecated == "" && other != "audit-webhook-batch-initial-backoff" {
			t.Errorf("--%s and --%s do the same", f.Name, other)
		}
		seen[changed] = f.Name
	})
}

func TestValidate(t *testing.T) {
	if err := NewOptions().Validate(); err != nil {
		t.Error(err)
	}
	for _, backend := range []struct{ name, on string }{{"log", "--audit-log-path=-"}, {"webhook", "--audit-webhook-config-file=x"}} {
		if err := parse(t, backend.on).Validate(); err != nil {
			t.Error(err)
		}
		batch := "--audit-" + backend.name + "-mode=batch"
		for flag, others := range map[string][]string{
			"mode=some":                 nil,
			"batch-buffer-size=0":       {batch},
			"batch-max-size=-1":         {batch},
			"batch-throttle-qps=0":      {batch, "--audit-" + backend.name + "-batch-throttle-enable", "--audit-" + backend.name + "-batch-throttle-burst=1"},
			"batch-throttle-burst=0":    {batch, "--audit-" + backend.name + "-batch-throttle-enable", "--audit-" + backend.name + "-batch-throttle-qps=1"},
			"truncate-max-event-size=0": nil,
			"truncate-max-batch-size=9": nil,
			"version=audit.k8s.io/v2":   nil,
		} {
			flag = "--audit-" + backend.name + "-" + flag
			name, _, _ := strings.Cut(flag, "=")
			err := parse(t, append(others, backend.on, flag)...).Validate()
			if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", flag, err)
			}
			// The flags of a backend that is not configured are not checked.
			if err := parse(t, append(others, flag)...).Validate(); err != nil {
				t.Errorf("%s alone: %v", flag, err)
			}
		}
	}
	for _, flag := range []string{"--audit-log-format=xml", "--audit-log-maxage=-1", "--audit-log-maxbackup=-1", "--audit-log-maxsize=-1"} {
		name, _, _ := strings.Cut(flag, "=")
		if err := parse(t, "--audit-log-path=-", flag).Validate(); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	// Validate reports all errors, not only the first.
	err := parse(t, "--audit-log-path=-", "--audit-log-maxage=-1", "--audit-log-format=xml", "--audit-log-mode=some").Validate()
	if err == nil || strings.Count(err.Error(), "--audit-") != 3 {
		t.Error(err)
	}
}

// batches is a backend that records how many events each batch has.
type batches struct {
	memory
	mu    sync.Mutex
	sizes []int
}

func (b *batches) ProcessEvents(events ...*auditinternal.Event) bool {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(events))
	b.mu.Unlock()
	return b.memory.ProcessEvents(events...)
}

func (b *batches) got() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int(nil), b.sizes...)
}

func event(uri string) *auditinternal.Event {
	return &auditinternal.Event{Level: auditinternal.LevelMetadata, AuditID: "1", Stage: auditinternal.StageRequestReceived, RequestURI: uri}
}

// TestDelivery checks the effect of each delivery flag on both backends, file and webhook. Five
// events are in the buffer before the backend runs.
func TestDelivery(t *testing.T) {
	const five = 5
	for _, backend := range []string{"log", "webhook"} {
		for _, c := range []struct {
			name  string
			flags string // flags without their prefix --audit-log- or --audit-webhook-
			want  []int  // sizes of the batches that are delivered before the shutdown
			rest  int    // number of events that the shutdown delivers; 0: the test cancels the context before the shutdown
		}{
			{"blocking", "mode=blocking", []int{1, 1, 1, 1, 1}, 0},
			{"max-size", "mode=batch batch-throttle-enable=false batch-max-size=2 batch-max-wait=1h", []int{2, 2}, 1},
			{"max-wait", "mode=batch batch-throttle-enable=false batch-max-size=100 batch-max-wait=1s", []int{5}, 0},
			{"longer wait", "mode=batch batch-throttle-enable=false batch-max-size=100 batch-max-wait=1h", nil, 5},
			{"buffer-size", "mode=batch batch-throttle-enable=false batch-max-size=1 batch-buffer-size=3", []int{1, 1, 1}, 0},
			{"throttled", "mode=batch batch-throttle-enable batch-throttle-qps=0.001 batch-throttle-burst=2 batch-max-size=1", []int{1, 1}, 0},
			{"burst", "mode=batch batch-throttle-enable batch-throttle-qps=0.001 batch-throttle-burst=4 batch-max-size=1", []int{1, 1, 1, 1}, 0},
			{"qps", "mode=batch batch-throttle-enable batch-throttle-qps=1000 batch-throttle-burst=1 batch-max-size=1", []int{1, 1, 1, 1, 1}, 0},
		} {
			t.Run(backend+"/"+c.name, func(t *testing.T) {
				var flags []string
				for flag := range strings.FieldsSeq(c.flags) {
					flags = append(flags, "--audit-"+backend+"-"+flag)
				}
				o := parse(t, flags...)
				delivery := o.Log.Delivery
				if backend == "webhook" {
					delivery = o.Webhook.Delivery
				}
				var end batches
				hurry, cut := context.WithCancel(context.Background())
				defer cut()
				b := delivery.wrap(hurry, &end, 1, nil)
				for i := range five {
					b.ProcessEvents(event(fmt.Sprint("/", i)))
				}
				stop := make(chan struct{})
				if err := b.Run(stop); err != nil {
					t.Fatal(err)
				}
				testkit.WaitFor(t, fmt.Sprint(c.want), func() bool { return len(end.got()) >= len(c.want) })
				close(stop)
				if c.rest == 0 {
					cut()
				}
				b.Shutdown()
				got, rest := end.got(), 0
				for _, size := range got[len(c.want):] {
					rest += size
				}
				if !slices.Equal(got[:len(c.want)], c.want) || rest != c.rest {
					t.Errorf("batches of %v, want %v and then %d events", got, c.want, c.rest)
				}
			})
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, backend := range []string{"log", "webhook"} {
		for flags, want := range map[string][]int{
			"truncate-enabled=false truncate-max-event-size=2000":                          {5},
			"truncate-enabled truncate-max-event-size=2000":                                {4}, // one event is too large and is dropped
			"truncate-enabled truncate-max-event-size=2000 truncate-max-batch-size=2000":   {2, 2},
			"truncate-enabled truncate-max-event-size=10000 truncate-max-batch-size=10000": {5},
		} {
			all := []string{"--audit-" + backend + "-mode=blocking-strict"}
			for flag := range strings.FieldsSeq(flags) {
				all = append(all, "--audit-"+backend+"-"+flag)
			}
			o := parse(t, all...)
			delivery := o.Log.Delivery
			if backend == "webhook" {
				delivery = o.Webhook.Delivery
			}
			var end batches
			small := event("/" + strings.Repeat("s", 500))
			delivery.wrap(context.Background(), &end, 1, nil).ProcessEvents(small, small, event("/"+strings.Repeat("l", 3000)), small, small)
			if got := end.got(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: batches of %v, want %v", backend, flags, got, want)
			}
		}
	}
}

// TestModes checks that a request whose first event cannot be stored is refused in mode
// blocking-strict, and in no other mode.
func TestModes(t *testing.T) {
	for _, backend := range []string{"log", "webhook"} {
		for mode, want := range map[string]bool{"batch": true, "blocking": true, "blocking-strict": false} {
			o := parse(t, "--audit-"+backend+"-mode="+mode)
			delivery := o.Log.Delivery
			if backend == "webhook" {
				delivery = o.Webhook.Delivery
			}
			end := &batches{memory: memory{refuse: true}}
			if got := delivery.wrap(context.Background(), end, 1, nil).ProcessEvents(event("/")); got != want {
				t.Errorf("%s %s: %v", backend, mode, got)
			}
		}
	}
}

// newEvents returns an Events (the Observer that makes audit events) with a policy that records
// every request. It runs until the test calls the returned function.
func newEvents(t *testing.T, flags ...string) (*Events, func()) {
	t.Helper()
	o := parse(t, append([]string{"--audit-policy-file=testdata/policy.yaml"}, flags...)...)
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return e, stop
}
