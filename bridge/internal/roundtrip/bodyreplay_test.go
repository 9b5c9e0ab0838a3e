package roundtrip_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"edge/bridge/internal/roundtrip"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func post(body io.Reader) *http.Request {
	req, err := http.NewRequest("POST", "https://api.test/", io.NopCloser(body))
	if err != nil {
		panic(err)
	}
	return req
}

var ok = &http.Response{StatusCode: 200, Body: http.NoBody}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestBodyIsSentAgain checks that the second attempt of a request sends the whole body, wherever
// the first attempt stopped reading it.
func TestBodyIsSentAgain(t *testing.T) {
	const body = "a body of some length"
	for stop := range len(body) + 1 {
		k := roundtrip.NewKeeper(roundTrip(func(r *http.Request) (*http.Response, error) {
			io.ReadFull(r.Body, make([]byte, stop))
			r.Body.Close()
			again := must(r.GetBody())
			if got := string(must(io.ReadAll(again))); got != body {
				t.Errorf("stopped at %d: %q", stop, got)
			}
			again.Close()
			return ok, nil
		}))
		must(k.RoundTrip(post(strings.NewReader(body))))
	}
}

// TestLongBodyIsNotKept checks that a request body longer than keptBody passes completely, but
// cannot be sent again.
func TestLongBodyIsNotKept(t *testing.T) {
	body := bytes.Repeat([]byte("x"), roundtrip.KeptBody+1)
	k := roundtrip.NewKeeper(nil)
	k.SetNext(roundTrip(func(r *http.Request) (*http.Response, error) {
		if got := must(io.ReadAll(r.Body)); !bytes.Equal(got, body) {
			t.Errorf("%d bytes of %d", len(got), len(body))
		}
		if _, err := r.GetBody(); !errors.Is(err, roundtrip.ErrNotKept) {
			t.Errorf("GetBody: %v", err)
		}
		if n := k.Used(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
		return ok, nil
	}))
	must(k.RoundTrip(post(bytes.NewReader(body))))
}

// TestKeptBodiesAreBounded checks that a request body passes without being stored while stored
// bodies already use keptBodies bytes, and that these bytes are free again at the end.
func TestKeptBodiesAreBounded(t *testing.T) {
	k := roundtrip.NewKeeper(nil)
	body := bytes.Repeat([]byte("x"), roundtrip.KeptBody)
	var nest func(depth int)
	kept := 0
	nest = func(depth int) {
		if depth == 0 {
			return
		}
		k.SetNext(roundTrip(func(r *http.Request) (*http.Response, error) {
			if n := must(io.Copy(io.Discard, r.Body)); n != int64(len(body)) {
				t.Errorf("%d bytes", n)
			}
			if again, err := r.GetBody(); err == nil {
				defer again.Close()
				kept++
			}
			if n := k.Used(); n > roundtrip.KeptBodies {
				t.Errorf("%d bytes are kept", n)
			}
			nest(depth - 1)
			return ok, nil
		}))
		must(k.RoundTrip(post(bytes.NewReader(body))))
	}
	nest(roundtrip.KeptBodies/roundtrip.KeptBody + 5)
	if want := roundtrip.KeptBodies / roundtrip.KeptBody; kept != want {
		t.Errorf("%d bodies were kept, not %d", kept, want)
	}
	if n := k.Used(); n != 0 {
		t.Errorf("%d bytes did not come back", n)
	}
}

// TestMemoryIsTakenAsItArrives checks that storing a request body uses memory only for bytes that
// have arrived, and none for the length that the client declares.
func TestMemoryIsTakenAsItArrives(t *testing.T) {
	k := roundtrip.NewKeeper(nil)
	k.SetNext(roundTrip(func(r *http.Request) (*http.Response, error) {
		if n := k.Used(); n != 0 {
			t.Errorf("%d bytes before one is there", n)
		}
		r.Body.Read(make([]byte, 10))
		if n := k.Used(); n < 10 || n > 100 {
			t.Errorf("%d bytes for 10", n)
		}
		return ok, nil
	}))
	req := post(strings.NewReader(strings.Repeat("x", 1000)))
	req.ContentLength = roundtrip.KeptBody
	must(k.RoundTrip(req))
	if n := k.Used(); n != 0 {
		t.Errorf("%d bytes after the answer's head", n)
	}
}

// TestBrokenBodyIsTheClients checks that an error while reading the client's body is a BodyError,
// which differs from an upstream error.
func TestBrokenBodyIsTheClients(t *testing.T) {
	broken := errors.New("bad chunk")
	k := roundtrip.NewKeeper(roundTrip(func(r *http.Request) (*http.Response, error) {
		_, err := io.ReadAll(r.Body)
		return nil, err
	}))
	_, err := k.RoundTrip(post(io.MultiReader(strings.NewReader("half"), brokenReader{broken})))
	var body *roundtrip.BodyError
	if !errors.As(err, &body) || !errors.Is(err, broken) {
		t.Errorf("a broken body: %v", err)
	}
	k = roundtrip.NewKeeper(roundTrip(func(r *http.Request) (*http.Response, error) {
		io.ReadAll(r.Body)
		return nil, io.ErrUnexpectedEOF
	}))
	if _, err := k.RoundTrip(post(strings.NewReader("whole"))); errors.As(err, &body) {
		t.Errorf("upstream's error: %v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// TestSecondTryWaitsForTheFirstsRead checks the second attempt of a request while a Read of the
// body by the first attempt still waits. That Read must not take bytes from the second attempt.
func TestSecondTryWaitsForTheFirstsRead(t *testing.T) {
	source, client := io.Pipe()
	entered := make(chan struct{}, 10)
	k := roundtrip.NewKeeper(roundTrip(func(r *http.Request) (*http.Response, error) {
		stands := make(chan struct{})
		go func() {
			defer close(stands)
			if n, err := r.Body.Read(make([]byte, 10)); n != 0 || err == nil {
				t.Errorf("the first try got %d, %v", n, err)
			}
		}()
		<-entered
		first := r.Body
		second := must(r.GetBody())
		first.Close()
		go func() {
			client.Write([]byte("the body"))
			client.Close()
		}()
		if got := string(must(io.ReadAll(second))); got != "the body" {
			t.Errorf("the second try got %q", got)
		}
		<-stands
		return ok, nil
	}))
	must(k.RoundTrip(post(tellingReader{source, entered})))
}

// tellingReader is a request body that signals each Read before the Read waits.
type tellingReader struct {
	io.Reader
	entered chan<- struct{}
}

func (r tellingReader) Read(p []byte) (int, error) {
	r.entered <- struct{}{}
	return r.Reader.Read(p)
}

// TestClientsBodyIsClosed checks that the client's body is closed once, after the last attempt to
// send the request.
func TestClientsBodyIsClosed(t *testing.T) {
	for name, fails := range map[string]bool{"answered": false, "failed": true} {
		src := &countedClose{Reader: strings.NewReader("body")}
		k := roundtrip.NewKeeper(roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Body.Close()
			second := must(r.GetBody())
			if src.n != 0 {
				t.Errorf("%s: closed between two tries", name)
			}
			second.Close()
			if fails {
				return nil, io.ErrUnexpectedEOF
			}
			return ok, nil
		}))
		req := post(nil)
		req.Body = src
		k.RoundTrip(req)
		if src.n != 1 {
			t.Errorf("%s: closed %d times", name, src.n)
		}
	}
}

type countedClose struct {
	io.Reader
	n int
}

func (c *countedClose) Close() error { c.n++; return nil }
