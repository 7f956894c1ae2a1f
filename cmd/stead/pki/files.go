package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
)

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// load reads the CA of a folder.
func load(folder string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	raw, err := readPEM(filepath.Join(folder, CAName), blockCertificate)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the CA: %w", err)
	}
	if !certificate.IsCA {
		return nil, nil, fmt.Errorf("%s is the certificate of %s, and no CA's", filepath.Join(folder, CAName), certificate.Subject)
	}
	if raw, err = readPEM(filepath.Join(folder, CAKeyName), blockKey); err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	key, known := parsed.(*ecdsa.PrivateKey)
	if err != nil || !known {
		return nil, nil, fmt.Errorf("cannot read the CA's key %s: it is none that stead pki init made", filepath.Join(folder, CAKeyName))
	}
	return certificate, key, nil
}

func readPEM(path, kind string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no CA here: %w", err)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM", path, kind)
	}
	return block.Bytes, nil
}

// write puts a certificate and its key into a folder, the key first: a certificate that is there has
// its key.
func write(folder, certificateName string, certificate []byte, keyName string, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cannot encode the key: %w", err)
	}
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return fmt.Errorf("cannot make the folder: %w", err)
	}
	for _, name := range []string{certificateName, keyName} {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
			return fmt.Errorf("cannot write %s: %w", filepath.Join(folder, name), fs.ErrExist)
		}
	}
	if err := writePEM(filepath.Join(folder, keyName), blockKey, raw); err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, certificateName), blockCertificate, certificate)
}

func writePEM(path, kind string, raw []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	err = pem.Encode(file, &pem.Block{Type: kind, Bytes: raw})
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// checkOut refuses a folder that holds another CA, before anything is put there.
func checkOut(out string, authority *x509.Certificate) error {
	path := filepath.Join(out, CAName)
	present, err := readPEM(path, blockCertificate)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(present, authority.Raw):
		return fmt.Errorf("%s is another CA's than the one that signs", path)
	}
	return nil
}

// copyAuthority makes out hold all that a process needs.
func copyAuthority(out string, authority *x509.Certificate) error {
	err := writePEM(filepath.Join(out, CAName), blockCertificate, authority.Raw)
	if errors.Is(err, fs.ErrExist) {
		return checkOut(out, authority)
	}
	return err
}
