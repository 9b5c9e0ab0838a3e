package ws

import (
	"io"

	"edge/streams"
)

// A receiver takes a client's frames apart, for a source that knows what the
// messages mean.
type receiver struct {
	r   *streams.Reader
	rep streams.Replier
	in  inbound
	err error // what every further call returns

	room [streams.Headroom]byte // before nothing, in frames without payload
}

// next is a source's Next. It reads frames until one of them, or a piece of one
// that message takes, yields something.
func (c *receiver) next(message func() (streams.Frame, bool, error)) (streams.Frame, error) {
	for c.err == nil {
		var f streams.Frame
		var ok bool
		var err error
		if c.in.left == 0 {
			err = c.begin()
		}
		switch {
		case err != nil:
		case c.in.control():
			f, ok, err = c.control()
		default:
			f, ok, err = message()
		}
		if err != nil && isViolation(err) {
			c.err = err
		}
		if ok || err != nil {
			return f, err
		}
	}
	return streams.Frame{}, c.err
}

// begin reads the next frame's header.
func (c *receiver) begin() error {
	b, err := c.r.Need(prefixSize)
	if err != nil {
		if err == io.EOF && c.in.open != 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	n, err := c.in.prefix(b)
	if err != nil {
		return err
	}
	if b, err = c.need(n); err != nil {
		return err
	}
	c.r.Skip(n)
	return c.in.header(b)
}

// control takes a control frame, whole.
func (c *receiver) control() (f streams.Frame, ok bool, err error) {
	n := int(c.in.left)
	if err := c.take(n); err != nil {
		return f, false, err
	}
	b, off := c.r.Room(n)
	closed, code, err := answer(c.rep, c.in.op, b, off)
	if !closed {
		return f, false, err
	}
	c.err = io.EOF
	return streams.Frame{Kind: streams.Close, Code: uint32(code), Buf: c.room[:], Off: len(c.room)}, true, nil
}

// take consumes n bytes of payload, unmasked; the reader's Room has them.
func (c *receiver) take(n int) error {
	if n == 0 {
		return nil
	}
	b, err := c.need(n)
	if err != nil {
		return err
	}
	c.in.unmask(b)
	c.r.Skip(n)
	return nil
}

// need is the reader's Need within a frame.
func (c *receiver) need(n int) ([]byte, error) {
	b, err := c.r.NeedSoon(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
