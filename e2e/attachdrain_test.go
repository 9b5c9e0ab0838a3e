package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestAttachAtDrain checks that a pod's output goes on after edge has shut down in the first moments
// of attaches to the pod. If edge closed their connections before the container runtime has accepted
// their streams, the runtime would block the container's output for good.
func TestAttachAtDrain(t *testing.T) {
	t.Parallel()
	const attaches = 20
	ctx := t.Context()
	c := sites[cluster.New].cluster
	for _, mode := range []string{"spdy", "websocket"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pod := "drained-" + mode
			if err := c.StartPod(ctx, cluster.PodOptions{Name: pod, Script: tickerScript}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				pods := c.Client.CoreV1().Pods(cluster.Namespace)
				if err := pods.Delete(context.Background(), pod, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
					t.Error(err)
				}
			})
			edge, err := bed.StartEdge(ctx, testbed.EdgeOptions{
				Cluster: c, Issuer: idp, Args: []string{tenantOnly, "--upstream-streaming=" + mode, "--shutdown-delay-duration=0s"},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { edge.Process.Stop(5 * time.Second) })
			access := edge.Access(tokens["alice"])
			var conns []net.Conn
			for range attaches {
				conn := dial(ctx, t, access, "", "http/1.1")
				defer conn.Close()
				conns = append(conns, conn)
			}
			began := make(chan error, attaches)
			for _, conn := range conns {
				go func() {
					resp, err := tryExchange(conn, access, "GET", podsURI+"/"+pod+"/attach?stdout=true", askWebSocket("v5.channel.k8s.io")...)
					if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
						err = fmt.Errorf("the attach was answered with %s", resp.Status)
					}
					began <- err
				}()
			}
			if err := <-began; err != nil {
				t.Fatal(err)
			}
			edge.Process.Stop(time.Minute)
			follow, err := c.Client.CoreV1().Pods(cluster.Namespace).GetLogs(pod, &corev1.PodLogOptions{Follow: true, TailLines: new(int64(1))}).Stream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(time.Minute, func() { follow.Close() })
			defer late.Stop()
			lines := 0
			for s := bufio.NewScanner(follow); lines < 4 && s.Scan(); {
				lines++
			}
			if lines < 4 {
				t.Errorf("the pod's log has %d new lines after a minute, want 4", lines)
			}
		})
	}
}
