package main

import "errors"

// ready returns an error if edge should not receive traffic now, with the reason.
func (p *parts) ready() error {
	if p.draining.Load() {
		return errors.New("shutting down")
	}
	if err := p.gate.tokens.Ready(); err != nil {
		return err
	}
	if p.token != nil {
		if err := p.token.ready(); err != nil {
			return err
		}
	}
	if p.needed {
		if err := p.credential.Ready(); err != nil {
			return err
		}
	}
	return p.apiServer.Ready()
}
