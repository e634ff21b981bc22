package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config names the files of a listener, all PEM.
type Config struct {
	CertFile string // the server's certificate, then those between it and the root
	KeyFile  string // its private key, unencrypted

	// ClientCAFile holds the authorities of client certificates; a client
	// that shows one must show a valid one. "" asks for none.
	ClientCAFile string
	// RequireClientCert refuses clients without a certificate of ClientCAFile.
	RequireClientCert bool

	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13; 0 is 1.2. Older ones
	// are refused (RFC 8996).
	MinVersion uint16
}

// load reads the files and returns what crypto/tls needs.
func (c Config) load() (*tls.Config, error) {
	if c.MinVersion != 0 && c.MinVersion < tls.VersionTLS12 {
		return nil, fmt.Errorf("minimum TLS version %s: 1.2 and 1.3 are spoken here", tls.VersionName(c.MinVersion))
	}
	pair, err := c.loadPair()
	if err != nil {
		return nil, err
	}
	out := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(c.MinVersion, tls.VersionTLS12),
	}
	if c.ClientCAFile == "" {
		if c.RequireClientCert {
			return nil, errors.New("client certificates are required, but there is no file of authorities to check them by: set client_ca")
		}
		return out, nil
	}
	if out.ClientCAs, err = loadPool(c.ClientCAFile); err != nil {
		return nil, err
	}
	out.ClientAuth = tls.VerifyClientCertIfGiven
	if c.RequireClientCert {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

func (c Config) loadPair() (tls.Certificate, error) {
	cert, err := readPEM("certificate", "cert", c.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPEM("private key", "key", c.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with private key %s: %w: both must be PEM, the key unencrypted and that of the first certificate in the file", c.CertFile, c.KeyFile, err)
	}
	return pair, nil
}

func loadPool(file string) (*x509.CertPool, error) {
	pem, err := readPEM("client authorities", "client_ca", file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client authorities %s: no certificate in it: it must hold PEM blocks BEGIN CERTIFICATE", file)
	}
	return pool, nil
}

// readPEM reads one file; what and key name it to the operator.
func readPEM(what, key, file string) ([]byte, error) {
	if file == "" {
		return nil, fmt.Errorf("no %s given: set %s to a PEM file", what, key)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: set %s to a PEM file that this user may read", what, err, key)
	}
	return b, nil
}
