package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// door is where the gateway is and how to speak to it: its socket, its port over TLS, or over mutual TLS.
func door() (string, credentials.TransportCredentials, error) {
	if env("ENCLAVE_TLS_ROOTS") == "" {
		return "unix://" + env("ENCLAVE_SOCKET"), insecure.NewCredentials(), nil
	}
	roots, err := os.ReadFile(env("ENCLAVE_TLS_ROOTS"))
	if err != nil {
		return "", nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(roots) {
		return "", nil, errors.New("expected PEM certificates in ENCLAVE_TLS_ROOTS, found none")
	}
	if env("ENCLAVE_TLS_CERTIFICATE") != "" {
		shown, err := tls.LoadX509KeyPair(env("ENCLAVE_TLS_CERTIFICATE"), env("ENCLAVE_TLS_KEY"))
		if err != nil {
			return "", nil, err
		}
		config.Certificates = []tls.Certificate{shown}
	}
	return env("ENCLAVE_ADDRESS"), credentials.NewTLS(config), nil
}
