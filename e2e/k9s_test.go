package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// k9sVerbs are operations of k9s, which is a user interface in a terminal. It runs kubectl for a
// shell, and has a port-forward of its own.
var k9sVerbs = []verb{
	{name: "watch", run: k9sWatch},
	{name: "logs -f", run: k9sLogs},
	{name: "exec -it, resize", stream: true, run: k9sShell},
	{name: "port-forward, 20 requests", stream: true, run: k9sPortForward},
}

// startK9s starts k9s with a view of the pods whose line matches a regular expression. It returns
// when k9s shows the first of them.
func startK9s(ctx context.Context, tr *trial, pods string) (*clients.Terminal, error) {
	term, err := bed.K9s(ctx, tr.file, "--command=pods /"+pods)
	if err != nil {
		return nil, err
	}
	if err := term.Expect(ctx, "Running"); err != nil {
		term.Close()
		return nil, err
	}
	return term, nil
}

// leaveK9s ends k9s as a user does.
func leaveK9s(ctx context.Context, term *clients.Terminal) error {
	if err := term.Type(":quit\r"); err != nil {
		return err
	}
	if code := term.Wait(ctx); code != 0 {
		return fmt.Errorf("exit code %d: %q", code, term.Shown())
	}
	return nil
}

// startPodForK9s starts a pod in the trial's cluster and returns a function that deletes it.
func startPodForK9s(ctx context.Context, tr *trial, name, script string) (remove func(), err error) {
	err = tr.site.cluster.StartPod(ctx, cluster.PodOptions{Name: name, Script: script})
	return func() {
		tr.site.cluster.Client.CoreV1().Pods(cluster.Namespace).Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{})
	}, err
}

// k9sWatch checks that k9s shows a pod that is created while it runs. The pod's name is after
// "shell" in the alphabet, so that its line is empty before: k9s draws only those characters of a
// line that have changed.
func k9sWatch(ctx context.Context, tr *trial) error {
	term, err := startK9s(ctx, tr, "^shell|"+tr.name)
	if err != nil {
		return err
	}
	defer term.Close()
	pod := "watched-" + tr.name
	remove, err := startPodForK9s(ctx, tr, pod, "")
	defer remove()
	if err != nil {
		return err
	}
	if err := term.Expect(ctx, pod); err != nil {
		return err
	}
	return leaveK9s(ctx, term)
}

// k9sLogs checks that k9s shows a line that is written to a log after k9s has shown an earlier one.
func k9sLogs(ctx context.Context, tr *trial) error {
	const script = "echo the first line; until [ -e /tmp/go ]; do sleep 0.1; done; echo and a later one; exec sleep 2147483647"
	pod := tr.name + "-logs"
	remove, err := startPodForK9s(ctx, tr, pod, script)
	defer remove()
	if err != nil {
		return err
	}
	term, err := startK9s(ctx, tr, pod)
	if err != nil {
		return err
	}
	defer term.Close()
	if err := errors.Join(term.Type("l"), term.Expect(ctx, "the first line")); err != nil {
		return err
	}
	k := tr.site.kubectl(tr.t, tr.path, "1.37", "alice")
	if err := want(k.Run(ctx, "exec", pod, "--", "touch", "/tmp/go"), 0, ""); err != nil {
		return err
	}
	if err := term.Expect(ctx, "and a later one"); err != nil {
		return err
	}
	return leaveK9s(ctx, term)
}

// k9sShell checks a shell that k9s opens in a pod, and that k9s shows the pods when the shell ends.
func k9sShell(ctx context.Context, tr *trial) error {
	term, err := startK9s(ctx, tr, "^shell")
	if err != nil {
		return err
	}
	defer term.Close()
	if err := errors.Join(term.Type("s"), term.Expect(ctx, "/ # ")); err != nil {
		return err
	}
	if err := followResize(ctx, term); err != nil {
		return err
	}
	term.Forget()
	if err := errors.Join(term.Type("exit\r"), term.Expect(ctx, "Running")); err != nil {
		return err
	}
	return leaveK9s(ctx, term)
}

func k9sPortForward(ctx context.Context, tr *trial) error {
	term, err := startK9s(ctx, tr, "^shell")
	if err != nil {
		return err
	}
	defer term.Close()
	if err := errors.Join(term.Type("F"), term.Expect(ctx, "Local Port")); err != nil {
		return err
	}
	port, err := run.FreePort()
	if err != nil {
		return err
	}
	// k9s fills in the pod's port as the local one, too, so Ctrl-U must clear it first. Two more tabs
	// lead to the button OK.
	const ctrlU = "\x15"
	if err := term.Type(fmt.Sprintf("main::8080\t%s%d\t\t\r", ctrlU, port)); err != nil {
		return err
	}
	addr := run.Loopback(port)
	err = run.Until(ctx, patience, "k9s listens", func(context.Context) error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %q", err, term.Shown())
	}
	if err := fetchPages(addr); err != nil {
		return err
	}
	return leaveK9s(ctx, term)
}
