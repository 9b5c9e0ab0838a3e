package bridge_test

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"
)

// most is the largest number of ports of one session over WebSocket channels.
const most = 128

// TestManyEndsAtOnce checks a port-forward over WebSocket channels of which all connections but one
// end at the same time. edge must reset the upstream streams of each ended connection, as client-go
// does. The remaining connection must continue.
func TestManyEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, streaming := range upstreams {
		t.Run(string(streaming), func(t *testing.T) {
			die := make(chan struct{})
			w := newWorld(t, (&apiServer{patience: patience, forward: func(port int32, c io.ReadWriter) error {
				io.WriteString(c, "up")
				<-die
				if port == 81 {
					time.Sleep(300 * time.Millisecond) // meanwhile all other connections of the port-forward end
					io.WriteString(c, "alive")
				}
				return nil
			}}).start(t), speaking(streaming))
			outlives(t, w, func() { close(die) })
		})
	}
}

// TestManyEndsInABurst checks the same as TestManyEndsAtOnce, with an API server that sends the
// ends of all connections in one write.
func TestManyEndsInABurst(t *testing.T) {
	t.Parallel()
	frame := func(connection int, flags byte, said string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(4*connection+3))
		b = binary.BigEndian.AppendUint32(b, uint32(flags)<<24|uint32(len(said)))
		return append(b, said...)
	}
	die := make(chan struct{})
	w := newWorld(t, played(2*most, func(u *upstreamSession) {
		var ups, ends []byte
		for i := range most {
			ups = append(ups, frame(i, 0, "up")...)
			if i < most-1 {
				ends = append(ends, frame(i, 1, "")...)
			}
		}
		u.conn.Write(ups)
		<-die
		u.conn.Write(ends)
		u.conn.Write(frame(most-1, 0, "alive"))
		io.Copy(io.Discard, u.conn)
	}))
	outlives(t, w, func() { close(die) })
}

// outlives waits until all connections of a port-forward are up, and calls end, which ends all but
// the last. It then waits for the last connection's data.
func outlives(t *testing.T, w *world, end func()) {
	t.Helper()
	c, err := dialChannels(t.Context(), w.edge, "portforward", strings.Repeat("ports=80&", most-1)+"ports=81", "v4.channel.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	for ups := 0; ; {
		channel, b, err := c.receive()
		if err != nil {
			t.Fatalf("the session ended before the last connection: %v, %s", err, w.ended(1))
		}
		switch string(b) {
		case "up":
			if ups++; ups == most {
				end()
			}
		case "alive":
			if channel != 2*(most-1) {
				t.Errorf("alive is channel %d", channel)
			}
			return
		}
	}
}
