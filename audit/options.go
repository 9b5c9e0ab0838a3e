package audit

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
)

// Options are the audit flags of kube-apiserver, with the same names, defaults and help. They are a
// copy, because the package of kube-apiserver's own AuditOptions links etcd's client.
type Options struct {
	PolicyFile string
	Log        LogOptions
	Webhook    WebhookOptions
	// Metrics, if set, measures the events. It is no flag.
	Metrics *Metrics
}

// LogOptions configure the events that are written to a file.
type LogOptions struct {
	Path       string // "-": standard output
	MaxAge     int    // days for which a rotated file is kept; 0: no limit
	MaxBackups int
	MaxSize    int // MiB at which the file is rotated; 0: no rotation
	Format     string
	Compress   bool
	Delivery   Delivery
}

// WebhookOptions configure the events that are posted to a webhook.
type WebhookOptions struct {
	ConfigFile     string // path of a kubeconfig
	InitialBackoff time.Duration
	Delivery       Delivery
}

// Delivery configures how events are delivered to a backend, file or webhook.
type Delivery struct {
	Mode            string
	Batch           buffered.BatchConfig // used in mode batch only
	TruncateEnabled bool
	Truncate        truncate.Config
	Version         string
}

// Values of Delivery.Mode.
const (
	// modeBatch buffers events and delivers them in the background. Events that do not fit in the
	// buffer are dropped.
	modeBatch = "batch"
	// modeBlocking makes a request wait for the delivery of its event. The request proceeds even if
	// the delivery fails.
	modeBlocking = "blocking"
	// modeBlockingStrict is like modeBlocking, but edge refuses a request if its first event cannot
	// be delivered.
	modeBlockingStrict = "blocking-strict"
)

var modes = []string{modeBatch, modeBlocking, modeBlockingStrict}

// NewOptions returns the defaults of kube-apiserver. By default there is no policy, and therefore
// edge makes no events.
func NewOptions() *Options {
	delivery := Delivery{
		Truncate: truncate.Config{MaxBatchSize: 10 * 1024 * 1024, MaxEventSize: 100 * 1024},
		Version:  auditv1.SchemeGroupVersion.String(),
	}
	toFile, posted := delivery, delivery
	toFile.Mode = modeBlocking
	toFile.Batch = buffered.BatchConfig{BufferSize: 10000, MaxBatchSize: 1}
	posted.Mode = modeBatch
	posted.Batch = buffered.BatchConfig{
		BufferSize: 10000, MaxBatchSize: 400, MaxBatchWait: 30 * time.Second,
		ThrottleEnable: true, ThrottleQPS: 10, ThrottleBurst: 15,
	}
	return &Options{
		Log:     LogOptions{MaxAge: 366, MaxBackups: 100, MaxSize: 100, Format: pluginlog.FormatJson, Delivery: toFile},
		Webhook: WebhookOptions{InitialBackoff: 10 * time.Second, Delivery: posted},
	}
}

// AddFlags adds the flags --audit-policy-file, --audit-log-* and --audit-webhook-*.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.PolicyFile, "audit-policy-file", o.PolicyFile, "Path to the file that defines the audit policy configuration.")

	l := &o.Log
	fs.StringVar(&l.Path, "audit-log-path", l.Path, "If set, all requests coming to the apiserver will be logged to this file.  '-' means standard out.")
	fs.IntVar(&l.MaxAge, "audit-log-maxage", l.MaxAge, "The maximum number of days to retain old audit log files based on the timestamp encoded in their filename. Setting a value of 0 means old audit log files are not removed based on age.")
	fs.IntVar(&l.MaxBackups, "audit-log-maxbackup", l.MaxBackups, "The maximum number of old audit log files to retain. Setting a value of 0 will mean there's no restriction on the number of files.")
	fs.IntVar(&l.MaxSize, "audit-log-maxsize", l.MaxSize, "The maximum size in megabytes of the audit log file before it gets rotated. Setting to 0 disables rotation (not recommended).")
	fs.StringVar(&l.Format, "audit-log-format", l.Format, "Format of saved audits. \"legacy\" indicates 1-line text format for each event. \"json\" indicates structured json format. Known formats are "+strings.Join(pluginlog.AllowedFormats, ",")+".")
	fs.BoolVar(&l.Compress, "audit-log-compress", l.Compress, "If set, the rotated log files will be compressed using gzip.")
	l.Delivery.addFlags(fs, "log")

	w := &o.Webhook
	fs.StringVar(&w.ConfigFile, "audit-webhook-config-file", w.ConfigFile, "Path to a kubeconfig formatted file that defines the audit webhook configuration.")
	for _, name := range []string{"audit-webhook-initial-backoff", "audit-webhook-batch-initial-backoff"} {
		fs.DurationVar(&w.InitialBackoff, name, w.InitialBackoff, "The amount of time to wait before retrying the first failed request.")
	}
	_ = fs.MarkDeprecated("audit-webhook-batch-initial-backoff", "Deprecated, use --audit-webhook-initial-backoff instead.")
	w.Delivery.addFlags(fs, "webhook")
}

func (d *Delivery) addFlags(fs *pflag.FlagSet, backend string) {
	prefix := "audit-" + backend
	fs.StringVar(&d.Version, prefix+"-version", d.Version, "API group and version used for serializing audit events written to "+backend+".")
	fs.StringVar(&d.Mode, prefix+"-mode", d.Mode, "Strategy for sending audit events. Blocking indicates sending events should block server responses. Batch causes the backend to buffer and write events asynchronously. Known modes are "+strings.Join(modes, ",")+".")

	b := &d.Batch
	fs.IntVar(&b.BufferSize, prefix+"-batch-buffer-size", b.BufferSize, "The size of the buffer to store events before batching and writing. Only used in batch mode.")
	fs.IntVar(&b.MaxBatchSize, prefix+"-batch-max-size", b.MaxBatchSize, "The maximum size of a batch. Only used in batch mode.")
	fs.DurationVar(&b.MaxBatchWait, prefix+"-batch-max-wait", b.MaxBatchWait, "The amount of time to wait before force writing the batch that hadn't reached the max size. Only used in batch mode.")
	fs.BoolVar(&b.ThrottleEnable, prefix+"-batch-throttle-enable", b.ThrottleEnable, "Whether batching throttling is enabled. Only used in batch mode.")
	fs.Float32Var(&b.ThrottleQPS, prefix+"-batch-throttle-qps", b.ThrottleQPS, "Maximum average number of batches per second. Only used in batch mode.")
	fs.IntVar(&b.ThrottleBurst, prefix+"-batch-throttle-burst", b.ThrottleBurst, "Maximum number of requests sent at the same moment if ThrottleQPS was not utilized before. Only used in batch mode.")

	fs.BoolVar(&d.TruncateEnabled, prefix+"-truncate-enabled", d.TruncateEnabled, "Whether event and batch truncating is enabled.")
	t := &d.Truncate
	fs.Int64Var(&t.MaxBatchSize, prefix+"-truncate-max-batch-size", t.MaxBatchSize, "Maximum size of the batch sent to the underlying backend. Actual serialized size can be several hundreds of bytes greater. If a batch exceeds this limit, it is split into several batches of smaller size.")
	fs.Int64Var(&t.MaxEventSize, prefix+"-truncate-max-event-size", t.MaxEventSize, "Maximum size of the audit event sent to the underlying backend. If the size of an event is greater than this number, first request and response are removed, and if this doesn't reduce the size enough, event is discarded.")
}
