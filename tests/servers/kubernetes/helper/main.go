// What start.sh needs and a shell is bad at: keys and certificates, and asking an HTTPS server
// how it is. It has no dependency but the standard library, so that it starts in milliseconds:
// the control plane's own binary needs a good part of a second for that.
//
//	helper certs DIR            make what is missing of the keys and certificates in DIR
//	helper ready URL CA [PID…]  wait until URL answers "ok"; fail when one of the processes is gone
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "certs":
		err = certs(os.Args[2])
	case len(os.Args) >= 4 && os.Args[1] == "ready":
		err = ready(os.Args[2], os.Args[3], os.Args[4:])
	default:
		err = fmt.Errorf("usage: helper certs DIR | helper ready URL CA [PID…]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// certs makes a CA, the API server's certificate signed by it, the key that signs ServiceAccount
// tokens, and the administrator's bearer token. What is there already is kept, so that a cluster
// that is started again is still the same one to its clients.
func certs(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "token")); err == nil {
		return nil // written last
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	w := writer{dir: dir}
	now := time.Now()

	caKey := w.key("ca.key")
	ca := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "kollect-test-ca"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	w.cert("ca.crt", ca, ca, &caKey.PublicKey, caKey)

	serverKey := w.key("apiserver.key")
	w.cert("apiserver.crt", &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)},
	}, ca, &serverKey.PublicKey, caKey)

	saKey := w.key("sa.key")
	saPub, err := x509.MarshalPKIXPublicKey(&saKey.PublicKey)
	w.check(err)
	w.pem("sa.pub", "PUBLIC KEY", saPub)

	secret := make([]byte, 24)
	_, err = rand.Read(secret)
	w.check(err)
	token := hex.EncodeToString(secret)
	w.file("tokens.csv", []byte(token+`,admin,admin,"system:masters"`+"\n"))
	w.file("token", []byte(token))
	return w.err
}

// writer puts files into a folder and keeps the first error.
type writer struct {
	dir string
	err error
}

func (w *writer) check(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) file(name string, data []byte) {
	if w.err == nil {
		w.err = os.WriteFile(filepath.Join(w.dir, name), data, 0o600)
	}
}

func (w *writer) pem(name, kind string, der []byte) {
	w.file(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (w *writer) key(name string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // no randomness: nothing to go on with
	}
	der, err := x509.MarshalECPrivateKey(key)
	w.check(err)
	w.pem(name, "EC PRIVATE KEY", der)
	return key
}

func (w *writer) cert(name string, cert, issuer *x509.Certificate, of *ecdsa.PublicKey, by *ecdsa.PrivateKey) {
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, of, by)
	w.check(err)
	w.pem(name, "CERTIFICATE", der)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err)
	}
	return n
}

// ready asks every 25 ms, for at most three minutes.
func ready(url, ca string, pids []string) error {
	roots := x509.NewCertPool()
	data, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	if !roots.AppendCertsFromPEM(data) {
		return fmt.Errorf("no certificate in %s", ca)
	}
	token, err := os.ReadFile(filepath.Join(filepath.Dir(ca), "token"))
	if err != nil {
		return err
	}
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, // and no proxy
	}
	last := "no answer"
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+string(token))
		if res, err := client.Do(req); err != nil {
			last = err.Error()
		} else {
			body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			last = res.Status + ": " + strings.TrimSpace(string(body))
		}
		for _, pid := range pids {
			n, err := strconv.Atoi(pid)
			if err != nil {
				return err
			}
			if syscall.Kill(n, 0) == syscall.ESRCH || zombie(pid) {
				return fmt.Errorf("process %s has ended", pid)
			}
		}
	}
	return fmt.Errorf("not ready after three minutes; last answer: %s", last)
}

func zombie(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return true
	}
	i := strings.LastIndexByte(string(stat), ')')
	return i+2 < len(stat) && stat[i+2] == 'Z'
}
