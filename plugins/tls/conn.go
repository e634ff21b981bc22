package tls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"lunamq/core"
)

// closeWait bounds how long Close may wait for a peer that does not read:
// crypto/tls itself would try for 5 s to send its close_notify.
const closeWait = 100 * time.Millisecond

var (
	_ core.Handshaker = (*conn)(nil)
	_ core.TLSConn    = (*conn)(nil)
)

// conn is one TLS connection. Read, Write and Close may be called at once.
type conn struct {
	*tls.Conn
	under *link
}

// Handshake implements core.Handshaker.
func (c *conn) Handshake(ctx context.Context) error { return c.HandshakeContext(ctx) }

// Close says close_notify, if the peer's socket takes it at once, and closes.
func (c *conn) Close() error {
	c.under.closing.Store(true)
	return c.Conn.Close()
}

// TLSInfo implements core.TLSConn; nil before the handshake is complete.
func (c *conn) TLSInfo() *core.TLSInfo {
	s := c.ConnectionState()
	if !s.HandshakeComplete {
		return nil
	}
	info := &core.TLSInfo{
		Version:    strings.TrimPrefix(tls.VersionName(s.Version), "TLS "),
		Cipher:     tls.CipherSuiteName(s.CipherSuite),
		ServerName: s.ServerName,
	}
	if len(s.PeerCertificates) > 0 {
		cert := s.PeerCertificates[0]
		sum := sha256.Sum256(cert.Raw)
		info.CommonName = cert.Subject.CommonName
		info.Subject = cert.Subject.String()
		info.Serial = cert.SerialNumber.Text(16)
		info.Fingerprint = hex.EncodeToString(sum[:])
	}
	return info
}

// link is the connection under TLS, which holds crypto/tls to closeWait.
type link struct {
	net.Conn
	closing atomic.Bool
}

// SetWriteDeadline is what crypto/tls calls before its close_notify.
func (l *link) SetWriteDeadline(t time.Time) error {
	if by := time.Now().Add(closeWait); l.closing.Load() && t.After(by) {
		t = by
	}
	return l.Conn.SetWriteDeadline(t)
}
