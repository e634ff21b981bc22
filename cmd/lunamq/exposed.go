package main

import (
	"fmt"
	"net"
)

// isExposed says whether others than this machine's users reach a listener and
// need show nothing: beyond loopback, and without a client certificate.
func (w *way) isExposed() bool {
	addr, ok := w.net.Addr().(*net.TCPAddr)
	return ok && !addr.IP.IsLoopback() && !w.config.RequireClientCert
}

// isOpen says whether nobody is asked when a client connects, and all may.
func (p *program) isOpen() bool {
	return p.config.Auth.Default == "allow" && p.handlers("connect") == 0
}

// handlers is how many handlers of an event the rules have.
func (p *program) handlers(event string) int {
	if p.engine == nil {
		return 0
	}
	return p.engine.Status().Handlers[event]
}

// checkExposed refuses a broker that everybody may use and that nobody has
// said to be meant so. (SCRIPT-API.md, "Verdicts")
func (p *program) checkExposed() error {
	if p.config.Auth.Open || !p.isOpen() {
		return nil
	}
	for _, w := range p.ways {
		if w.isExposed() {
			return fmt.Errorf(`listener %s is reached from other machines, and nobody is asked who connects. Do one of these:
  - add a rule with a connect handler to the scripts folder (it decides who may connect)
  - set [auth] default = "deny"
  - require client certificates (require_client_cert)
  - listen on 127.0.0.1 only
  - set [auth] open = true, if everybody is meant to connect`, nameAndURL(w.config))
		}
	}
	return nil
}

// warnExposed repeats the check when rules have changed while clients are
// served: then it is too late to refuse.
func (p *program) warnExposed() {
	if err := p.checkExposed(); err != nil {
		p.log.Warn("unsafe: the rules no longer have a connect handler", "err", err)
	}
}
