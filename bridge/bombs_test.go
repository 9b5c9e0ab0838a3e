package bridge_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	moby "github.com/moby/spdystream/spdy"
	clientexec "k8s.io/client-go/util/exec"
)

// bombLimit is how many bytes one attacking session may allocate. The bytes are summed over the
// session's whole life, so bombLimit also bounds the memory in use at any moment. The test's client
// and API server run in the same process, so their allocations count too.
const bombLimit = 1 << 20

// bombFirst is the id of the SPDY stream that a client opens before it attacks.
const bombFirst = 5

// bombSessions is the number of sessions that attack at the same time.
const bombSessions = 2

const (
	bombTunnelProtocol = "SPDY/3.1+portforward.k8s.io"
	// bombHollow is a path for which the test's API server reads everything and sends nothing,
	// except SYN_REPLY for the streams of an exec. A real container runtime in the test's process
	// would allocate more for those streams than bombLimit allows.
	bombHollow = forwardPath + "?hollow=true"
	bombExec   = execPath + "&hollow=true"
)

// bombAccepts holds the SYN_REPLY frames, without headers, for the four streams of an exec.
var bombAccepts = bombControl(2, bombNumber(1)) + bombControl(2, bombNumber(3)) + bombControl(2, bombNumber(5)) + bombControl(2, bombNumber(7))

// bombBystander is a session on the same edge as the attacks. It carries an exec that the attacks
// must not disturb.
type bombBystander struct {
	w     *world
	stdin *io.PipeWriter
	heard chan string // lines that the process of the bystander session has read
	ended chan outcome
	said  string
}

// bombWorld starts edge with a container runtime behind it, and a bystander session that the
// attacks must not disturb.
func bombWorld(t *testing.T, c execClient) *bombBystander {
	t.Helper()
	heard := make(chan string)
	api := (&apiServer{
		run: func(p *process) error {
			for lines := bufio.NewScanner(p.in); lines.Scan(); {
				fmt.Fprintln(p.out, lines.Text())
				select {
				case heard <- lines.Text():
				case <-p.ctx.Done():
				}
			}
			return exitError(7)
		},
		forward: func(_ int32, c io.ReadWriter) error {
			_, err := io.Copy(io.Discard, c)
			return err
		},
	}).start(t)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !asked(r.URL.Query(), "hollow") {
			api.ServeHTTP(w, r)
			return
		}
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted(r.Header.Get("X-Stream-Protocol-Version")))
		if asked(r.URL.Query(), "stdout") {
			io.WriteString(conn, bombAccepts)
		}
		io.Copy(io.Discard, early)
	}))
	stdin, say := io.Pipe()
	b := &bombBystander{w: w, stdin: say, heard: heard, ended: make(chan outcome, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		b.ended <- c.doUntil(ctx, w.edge, command{stdin: stdin})
		stdin.Close()
	}()
	t.Cleanup(cancel)
	b.alive(t, "before")
	return b
}

// alive sends a word to the process of the bystander session and checks that the process reads it.
func (b *bombBystander) alive(t *testing.T, word string) {
	t.Helper()
	b.said += word + "\n"
	go io.WriteString(b.stdin, word+"\n")
	var got string
	b.w.eventually("the bystander", func() bool {
		select {
		case got = <-b.heard:
			return true
		default:
			return false
		}
	})
	if got != word {
		t.Errorf("the bystander's process read %q, not %q", got, word)
	}
}

// finish ends the stdin of the bystander session. It checks that all its input came back and that
// its process exits with 7.
func (b *bombBystander) finish(t *testing.T) {
	t.Helper()
	b.stdin.Close()
	got := <-b.ended
	var exit clientexec.CodeExitError
	if got.stdout != b.said || !errors.As(got.err, &exit) || exit.Code != 7 {
		t.Errorf("the bystander ended with %v and %d of %d bytes", got.err, len(got.stdout), len(b.said))
	}
}

// bombAllocated returns how many bytes the process has allocated since it started.
func bombAllocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// bombPacker compresses the header blocks of one SPDY connection. A client need not use SPDY's zlib
// dictionary, and bombPacker does not.
type bombPacker struct {
	level int
	buf   bytes.Buffer
	z     *zlib.Writer
}

func (p *bombPacker) pack(plain string) string {
	if p.z == nil {
		p.z = must(zlib.NewWriterLevel(&p.buf, p.level))
	}
	io.WriteString(p.z, plain)
	p.z.Flush()
	defer p.buf.Reset()
	return p.buf.String()
}

// syn returns a SYN_STREAM frame. plain is its header block before compression.
func (p *bombPacker) syn(id uint32, plain string) string {
	return bombControl(1, bombNumber(id)+"\x00\x00\x00\x00\x00\x00"+p.pack(plain))
}

// headers returns a HEADERS frame. plain is its header block before compression.
func (p *bombPacker) headers(id uint32, plain string) string {
	return bombControl(8, bombNumber(id)+p.pack(plain))
}

func bombControl(kind byte, body string) string {
	return "\x80\x03\x00" + string(rune(kind)) + bombNumber(uint32(len(body))) + body
}

func bombNumber(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// bombBlock encodes a header block of the given names and values, uncompressed.
func bombBlock(pairs ...string) string {
	b := bombNumber(uint32(len(pairs) / 2))
	for _, s := range pairs {
		b += bombNumber(uint32(len(s))) + s
	}
	return b
}

// spdyBomb describes an attack: what a client sends after it has opened the stream bombFirst.
type spdyBomb struct {
	name string
	say  func(*bombPacker) string
	// only names the one client dialect (protocol) in which the test runs this attack; "": all.
	only string
	// hollow selects the path bombHollow for port-forward. Behind another path, the real container
	// runtime would never end the stream that this attack leaves open.
	hollow bool
}

// bombPair returns a header block with the headers that a port-forward stream needs.
func bombPair(i int) string {
	return bombBlock("streamtype", "error", "port", "80", "requestid", fmt.Sprint(i))
}

var spdyBombs = []spdyBomb{
	{name: "2^32-1 headers", say: func(p *bombPacker) string { return p.syn(bombFirst+2, "\xff\xff\xff\xff") }},
	{name: "2^31 headers in HEADERS", say: func(p *bombPacker) string { return p.headers(bombFirst, "\x80\x00\x00\x00") }},
	{name: "a name of 2^32-1 bytes", say: func(p *bombPacker) string { return p.syn(bombFirst+2, bombNumber(1)+"\xff\xff\xff\xff") }},
	{name: "a value of 2^32-1 bytes", say: func(p *bombPacker) string {
		return p.syn(bombFirst+2, bombNumber(1)+bombNumber(1)+"a\xff\xff\xff\xff")
	}},
	{name: "1000:1 in a value", say: func(p *bombPacker) string { return p.syn(bombFirst+2, bombBlock("a", strings.Repeat("\x00", 4<<20))) }},
	{name: "1000:1 after the headers", say: func(p *bombPacker) string {
		return p.syn(bombFirst+2, bombBlock("streamtype", "stdin")+strings.Repeat("\x00", 4<<20))
	}},
	{name: "65,535 headers", say: func(p *bombPacker) string {
		return p.syn(bombFirst+2, bombNumber(0xffff)+strings.Repeat("\x00\x00\x00\x01a\x00\x00\x00\x01b", 0xffff))
	}},
	{name: "a header block of 16 MiB", say: func(*bombPacker) string {
		return "\x80\x03\x00\x01\x00\xff\xff\xff" + bombNumber(3) + strings.Repeat("\x00", 40_000)
	}},
	{name: "SETTINGS of 16 MiB", say: func(*bombPacker) string {
		return "\x80\x03\x00\x04\x00\xff\xff\xff" + strings.Repeat("\x00", 40_000)
	}},
	{name: "a PING of 16 MiB", say: func(*bombPacker) string { return "\x80\x03\x00\x06\x00\xff\xff\xff\x00\x00\x00\x01" }},
	{name: "an id again", say: func(p *bombPacker) string { return p.syn(bombFirst, bombPair(0)) }},
	{name: "a falling id", say: func(p *bombPacker) string { return p.syn(bombFirst-2, bombPair(1)) }},
	{name: "an id that was reset", hollow: true, say: func(p *bombPacker) string {
		return bombControl(3, bombNumber(bombFirst)+bombNumber(5)) + p.syn(bombFirst, bombPair(0))
	}},
	{name: "a server's id", say: func(p *bombPacker) string { return p.syn(2, bombPair(0)) }},
	{name: "id 0", say: func(p *bombPacker) string { return p.syn(0, bombPair(0)) }},
	{name: "streams by the thousand", only: "exec", say: func(p *bombPacker) string { return bombSyns(p, bombFirst, 2000) }},
}

// bombSyns returns the SYN_STREAM frames that open several streams. Their indexes begin with the
// parameter from and end before the parameter to. Each frame has a small header block.
func bombSyns(p *bombPacker, from, to int) string {
	var all strings.Builder
	for i := from; i < to; i++ {
		all.WriteString(p.syn(uint32(2*i+1), bombPair(i)))
	}
	return all.String()
}

// bombDialect is a protocol in which a client sends SPDY to edge.
type bombDialect struct {
	name, path, protocol string
	tunnel               bool
	first                string // header block of stream bombFirst, uncompressed
}

var bombDialects = []bombDialect{
	{name: "exec", path: bombExec, protocol: "v4.channel.k8s.io", first: bombBlock("streamtype", "error")},
	{name: "port-forward", path: forwardPath, protocol: "portforward.k8s.io", first: bombPair(0)},
	{name: "tunnel", path: forwardPath, protocol: bombTunnelProtocol, tunnel: true, first: bombPair(0)},
}

// dial begins a session in the dialect (protocol) d.
func (d bombDialect) dial(t *testing.T, w *world, path string) *rawConn {
	if d.tunnel {
		return w.rawWebSocket(t, path, d.protocol)
	}
	return w.rawSPDY(t, path, d.protocol)
}

// wrap packs SPDY bytes as the dialect (protocol) d carries them: in a WebSocket message if d is a
// tunnel, else unchanged.
func (d bombDialect) wrap(said string) string {
	if d.tunnel {
		return message(said)
	}
	return said
}

// TestSpdyBombs is a row of the attack corpus in docs/security.md. A client sends wrong counts,
// lengths and stream ids, or header blocks that expand a lot. Each such attack must end its own
// session without a success Status, allocate less than bombLimit, and not disturb other sessions.
func TestSpdyBombs(t *testing.T) {
	b := bombWorld(t, clientNamed("websocket v5"))
	ended := 0
	for _, d := range bombDialects {
		for _, bomb := range spdyBombs {
			if bomb.only != "" && bomb.only != d.name {
				continue
			}
			t.Run(d.name+" "+bomb.name, func(t *testing.T) {
				var clients [bombSessions]*rawConn
				path := d.path
				if path == forwardPath && bomb.hollow {
					path = bombHollow
				}
				p := &bombPacker{level: zlib.BestCompression}
				first := d.wrap(p.syn(bombFirst, d.first))
				for i := range clients {
					clients[i] = d.dial(t, b.w, path)
					io.WriteString(clients[i].Conn, first)
					if path == forwardPath {
						d.accepted(t, clients[i])
					}
				}
				said := []byte(d.wrap(bomb.say(p)))
				var got [bombSessions][]byte
				var errs [bombSessions]error
				before := bombAllocated()
				for _, c := range clients {
					if _, err := c.Write(said); err != nil {
						t.Error(err)
					}
				}
				for i, c := range clients {
					got[i], errs[i] = c.rest()
				}
				took := (bombAllocated() - before) / bombSessions
				for _, c := range clients {
					c.Close()
				}
				for range clients {
					ended++
					if line := b.w.ended(ended); !strings.Contains(line, `cause="client violated its protocol: streams: SPDY: `) {
						t.Error(line)
					}
				}
				if took > bombLimit {
					t.Errorf("a session took %d bytes", took)
				}
				for i := range clients {
					if errs[i] != nil {
						t.Errorf("the connection ended with %v", errs[i])
					}
					d.judge(t, got[i])
				}
				b.alive(t, d.name+" "+bomb.name)
			})
		}
		if d.path == forwardPath {
			t.Run(d.name+" streams by the thousand", func(t *testing.T) {
				d.thousands(t, b.w, ended)
				ended += bombSessions
				b.alive(t, d.name+" thousands")
			})
		}
	}
	b.finish(t)
}

// accepted waits for the answer to the stream that the client has opened. If the connection ended
// earlier, the container runtime would leave a goroutine behind.
func (d bombDialect) accepted(t *testing.T, c *rawConn) {
	var said io.Reader = c
	if d.tunnel {
		f, err := readFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		said = strings.NewReader(f.payload)
	}
	frame, err := must(moby.NewFramer(io.Discard, said)).ReadFrame()
	if reply, ok := frame.(*moby.SynReplyFrame); !ok || reply.StreamId != bombFirst {
		t.Fatalf("the first stream is answered by %+v, %v", frame, err)
	}
}

// thousands opens 4,000 streams on a port-forward, nearly as many as edge allows, and checks that
// these streams hold little memory. Then it opens 200 more, which exceeds the limit and must end
// the session.
func (d bombDialect) thousands(t *testing.T, w *world, ended int) {
	const held, most = 4000, 4200
	p := &bombPacker{level: zlib.BestSpeed}
	hold := []byte(d.wrap(p.syn(bombFirst, d.first)) + d.wrap(bombSyns(p, bombFirst, held)) + d.wrap(bombControl(6, bombNumber(1))))
	more := []byte(d.wrap(bombSyns(p, held, most)))
	var clients [bombSessions]*rawConn
	for i := range clients {
		clients[i] = d.dial(t, w, bombHollow)
	}
	before := slowHeap()
	for _, c := range clients {
		if _, err := c.Write(hold); err != nil {
			t.Fatal(err)
		}
		// edge answers this ping after it has read all streams' SYN_STREAM.
		pong := make([]byte, 12)
		if d.tunnel {
			f, err := readFrame(c)
			if err != nil {
				t.Fatal(err)
			}
			copy(pong, f.payload)
		} else if _, err := io.ReadFull(c, pong); err != nil {
			t.Fatal(err)
		}
		if string(pong) != bombControl(6, bombNumber(1)) {
			t.Fatalf("a ping is answered by %q", pong)
		}
	}
	slowHolds(t, before, bombSessions)
	for _, c := range clients {
		if _, err := c.Write(more); err != nil {
			t.Error(err)
		}
		got, err := c.rest()
		if err != nil {
			t.Errorf("the connection ended with %v", err)
		}
		d.judge(t, got)
		c.Close()
	}
	for i := range bombSessions {
		if line := w.ended(ended + i + 1); !strings.Contains(line, `streams: SPDY: more than 4096 streams`) {
			t.Error(line)
		}
	}
}

// judge checks what the attacking client has received: no success, and the error with which its
// dialect ends a session.
func (d bombDialect) judge(t *testing.T, got []byte) {
	t.Helper()
	if bytes.Contains(got, []byte("Success")) {
		t.Errorf("the client saw success: %q", got)
	}
	switch {
	case d.tunnel:
		frames, err := readFrames(bytes.NewReader(got), false)
		if err != io.EOF || len(frames) == 0 || frames[len(frames)-1].op != opClose {
			t.Fatalf("no Close: %+v, %v", frames, err)
		}
		if code := frames[len(frames)-1].payload; code != "\x03\xea" && code != "\x03\xf1" {
			t.Errorf("Close %q", code)
		}
	case d.path == bombExec:
		s := readStory(must(moby.NewFramer(io.Discard, bytes.NewReader(got))))
		if s.err != io.EOF || !strings.Contains(s.data[bombFirst], `"status":"Failure"`) {
			t.Errorf("the error stream says %q: %v, %v", s.data[bombFirst], s.frames, s.err)
		}
	}
}

// webSocketBomb is an attack: bytes that a client sends, and the close code with which edge must
// answer.
type webSocketBomb struct {
	name string
	say  string
	code int
	only string // the one kind of client dialect in which this attack runs; "": all
}

// bombHead returns the header of a WebSocket frame as a client sends it. It announces n bytes in
// the 64-bit length form.
func bombHead(first byte, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, n)) + "key!"
}

func webSocketBombs() []webSocketBomb {
	const fin = 0x80
	closing := func(payload string) string { return masked(true, opClose, payload) }
	first := func(b byte) string { return string([]byte{b}) }
	raw := func(b byte, payload string) string { return first(b) + masked(true, 0, payload)[1:] }
	bombs := []webSocketBomb{
		{name: "2^63 bytes", say: bombHead(fin|opBinary, 1<<63), code: 1002},
		{name: "2^64-1 bytes", say: bombHead(fin|opBinary, 1<<64-1), code: 1002},
		{name: "2^63 bytes in a fragment", say: masked(false, opBinary, "\x00a") + bombHead(opContinuation, 1<<63), code: 1002},
		{name: "a ping of 2^63 bytes", say: bombHead(fin|opPing, 1<<63), code: 1002},
		{name: "64 bits for nothing", say: bombHead(fin|opBinary, 0), code: 1002},
		{name: "a size of 2^62 bytes", say: bombHead(fin|opBinary, 1<<62) + first('k'^4) + strings.Repeat("x", 40_000), code: 1009, only: "exec"},
		{name: "a size without end", say: masked(false, opBinary, "\x04{") + strings.Repeat(masked(false, opContinuation, "1"), 1_000), code: 1009, only: "exec"},
		{name: "endless empty fragments", say: masked(false, opBinary, "\x00") + strings.Repeat(masked(false, opContinuation, ""), 1_000), code: 1002, only: "exec"},
		{name: "nothing but empty fragments", say: masked(false, opBinary, "") + strings.Repeat(masked(false, opContinuation, ""), 1_000), code: 1002},
		{name: "endless empty fragments and pings", say: masked(false, opBinary, "") + strings.Repeat(masked(false, opContinuation, "")+masked(true, opPing, ""), 1_000), code: 1002},
		{name: "an unmasked message", say: "\x82\x02\x00a", code: 1002},
		{name: "an unmasked ping", say: "\x89\x00", code: 1002},
		{name: "reserved bit 1", say: raw(fin|0x40|opBinary, "\x00a"), code: 1002},
		{name: "reserved bit 2", say: raw(fin|0x20|opBinary, "\x00a"), code: 1002},
		{name: "reserved bit 3", say: raw(fin|0x10|opBinary, "\x00a"), code: 1002},
		{name: "a reserved bit in a ping", say: raw(fin|0x40|opPing, ""), code: 1002},
		{name: "a fragmented ping", say: masked(false, opPing, "a"), code: 1002},
		{name: "a fragmented Close", say: masked(false, opClose, "\x03\xe8"), code: 1002},
		{name: "a ping of 126 bytes", say: masked(true, opPing, strings.Repeat("a", 126)), code: 1002},
		{name: "a pong of 64 KiB", say: masked(true, opPong, strings.Repeat("a", 1<<16)), code: 1002},
		{name: "a Close of 126 bytes", say: closing("\x03\xe8" + strings.Repeat("a", 124)), code: 1002},
		{name: "a continuation of nothing", say: masked(true, opContinuation, "a"), code: 1002},
		{name: "a message within a message", say: masked(false, opBinary, "\x00") + message("\x00b"), code: 1002, only: "exec"},
		{name: "a Close of one byte", say: closing("\x03"), code: 1002},
		{name: "a Close that is not UTF-8", say: closing("\x03\xe8\xc3"), code: 1007},
		{name: "a size of base64 without end", say: masked(false, opText, "4") + strings.Repeat(masked(false, opContinuation, "eyAg"), 1_000), code: 1009, only: "base64"},
		{name: "what is no base64", say: masked(true, opText, "0????"), code: 1007, only: "base64"},
		{name: "what is no base64, to a port", say: masked(true, opText, "0????"), code: 1007, only: "base64 ports"},
		{name: "text in a tunnel", say: masked(true, opText, "hello"), code: 1003, only: "tunnel"},
	}
	for _, op := range []byte{3, 7, 0xb, 0xf} {
		bombs = append(bombs, webSocketBomb{name: fmt.Sprintf("opcode %x", op), say: raw(fin|op, ""), code: 1002})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535} {
		say := closing(string(binary.BigEndian.AppendUint16(nil, code)))
		bombs = append(bombs, webSocketBomb{name: fmt.Sprintf("Close %d", code), say: say, code: 1002})
	}
	return bombs
}

// bombWebSockets are the WebSocket subprotocols whose frames edge parses.
var bombWebSockets = []struct{ name, kind, path, protocol string }{
	{"v5", "exec", bombExec, "v5.channel.k8s.io"},
	{"v4", "exec", bombExec, "v4.channel.k8s.io"},
	{"v1", "exec", bombExec, "channel.k8s.io"},
	{"v4 base64", "base64", bombExec, "v4.base64.channel.k8s.io"},
	{"v1 base64", "base64", bombExec, "base64.channel.k8s.io"},
	{"ports", "ports", bombHollow + "&ports=80", "v4.channel.k8s.io"},
	{"ports base64", "base64 ports", bombHollow + "&ports=80", "v4.base64.channel.k8s.io"},
	{"tunnel", "tunnel", bombHollow, bombTunnelProtocol},
}

// TestWebSocketBombs is a row of the attack corpus in docs/security.md. edge must answer each frame
// that RFC 6455 forbids with the close code for it, even though the client offered deflate. Other
// sessions must continue.
func TestWebSocketBombs(t *testing.T) {
	b := bombWorld(t, clientNamed("spdy v4"))
	ended := 0
	for _, d := range bombWebSockets {
		// The API server at the path bombHollow never accepts the streams of a port-forward. At the
		// end of each session edge waits for the accepts until the linger time is over, so make it
		// short.
		if strings.HasSuffix(d.kind, "ports") {
			b.w.handler.SetTimes(time.Minute, 100*time.Millisecond, time.Minute)
		}
		for _, bomb := range webSocketBombs() {
			if bomb.only != "" && bomb.only != d.kind {
				continue
			}
			t.Run(d.name+" "+bomb.name, func(t *testing.T) {
				c := dialRaw(t, b.w.edge)
				defer c.Close()
				c.ask("", askWebSocket(d.path, "Sec-WebSocket-Protocol: "+d.protocol,
					"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_no_context_takeover")...)
				resp := c.answer()
				if chosen := resp.Header.Values("Sec-WebSocket-Extensions"); resp.StatusCode != http.StatusSwitchingProtocols || len(chosen) > 0 {
					t.Fatalf("deflate is answered by %s, %q", resp.Status, chosen)
				}
				said := []byte(bomb.say)
				before := bombAllocated()
				if _, err := c.Write(said); err != nil {
					t.Error(err)
				}
				frames, err := readFrames(c, false)
				took := bombAllocated() - before
				c.Close()
				ended++
				if line := b.w.ended(ended); !strings.Contains(line, `cause="client violated its protocol: streams: `) {
					t.Error(line)
				}
				if took > bombLimit {
					t.Errorf("the session took %d bytes", took)
				}
				if err != io.EOF || len(frames) == 0 {
					t.Fatalf("%+v, ended with %v", frames, err)
				}
				want := string(binary.BigEndian.AppendUint16(nil, uint16(bomb.code)))
				if last := frames[len(frames)-1]; last.op != opClose || !strings.HasPrefix(last.payload, want) {
					t.Errorf("answered by %+v, not by Close %d", last, bomb.code)
				}
				op, status := byte(opBinary), "\x03"
				if strings.Contains(d.kind, "base64") {
					op, status = opText, "3"
				}
				for _, f := range frames[:len(frames)-1] {
					if f.op != op || strings.HasPrefix(f.payload, status) {
						t.Errorf("before the Close came %+v", f)
					}
				}
			})
		}
		b.alive(t, d.name)
	}
	b.finish(t)
}
