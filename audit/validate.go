package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
)

// Validate returns all errors in the flags of the configured backends. It checks the same rules as
// kube-apiserver.
func (o *Options) Validate() error {
	var wrong []error
	if l := &o.Log; l.Path != "" {
		wrong = append(wrong, l.Delivery.validate("log"))
		if !slices.Contains(pluginlog.AllowedFormats, l.Format) {
			wrong = append(wrong, oneOf("--audit-log-format", l.Format, pluginlog.AllowedFormats))
		}
		wrong = append(wrong,
			notNegative("--audit-log-maxage", l.MaxAge),
			notNegative("--audit-log-maxbackup", l.MaxBackups),
			notNegative("--audit-log-maxsize", l.MaxSize))
	}
	if w := &o.Webhook; w.ConfigFile != "" {
		wrong = append(wrong, w.Delivery.validate("webhook"))
	}
	return errors.Join(wrong...)
}

func (d *Delivery) validate(backend string) error {
	prefix := "--audit-" + backend
	var wrong []error
	switch b := d.Batch; {
	case !slices.Contains(modes, d.Mode):
		wrong = append(wrong, oneOf(prefix+"-mode", d.Mode, modes))
	case d.Mode == modeBatch:
		wrong = append(wrong,
			positive(prefix+"-batch-buffer-size", b.BufferSize),
			positive(prefix+"-batch-max-size", b.MaxBatchSize))
		if b.ThrottleEnable {
			wrong = append(wrong,
				positive(prefix+"-batch-throttle-qps", b.ThrottleQPS),
				positive(prefix+"-batch-throttle-burst", b.ThrottleBurst))
		}
	}
	wrong = append(wrong, positive(prefix+"-truncate-max-event-size", d.Truncate.MaxEventSize))
	if d.Truncate.MaxBatchSize < d.Truncate.MaxEventSize {
		wrong = append(wrong, fmt.Errorf("%s-truncate-max-batch-size: %d is less than %s-truncate-max-event-size, %d",
			prefix, d.Truncate.MaxBatchSize, prefix, d.Truncate.MaxEventSize))
	}
	if known := auditv1.SchemeGroupVersion.String(); d.Version != known {
		wrong = append(wrong, oneOf(prefix+"-version", d.Version, []string{known}))
	}
	return errors.Join(wrong...)
}

func oneOf(flag, value string, known []string) error {
	return fmt.Errorf("%s: %q is not one of %s", flag, value, strings.Join(known, ", "))
}

func positive[N int | int64 | float32](flag string, n N) error {
	if n > 0 {
		return nil
	}
	return fmt.Errorf("%s: %v is not a positive number", flag, n)
}

func notNegative(flag string, n int) error {
	if n >= 0 {
		return nil
	}
	return fmt.Errorf("%s: %d is negative", flag, n)
}
