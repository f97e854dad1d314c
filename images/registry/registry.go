// Package registry gets images from registries and brings them there, over
// HTTP, as the OCI distribution-spec says.
//
// A pull is four kinds of GET:
//
//	/v2/                          is this a registry, and whom does it want to know?
//	/v2/NAME/manifests/TAG        the one thing that is asked for by a name that may change
//	/v2/NAME/manifests/DIGEST     the manifest for a platform, of those in an index
//	/v2/NAME/blobs/DIGEST         its configuration and its layers
//
// All but the second ask for content by its digest. So it does not matter who
// answers, a mirror, a cache or a thief: what is not what was asked for is
// thrown away. It does not matter either how often the answer breaks off: the
// part that came is kept, and a Range header (RFC 9110, section 14) asks for the
// rest, in this run or in the next one. And what is here already, because
// another image has it too, is not asked for at all.
//
//	registry.go    a registry's client: who asks, how, and with which certificates
//	pull.go        manifests and blobs, into a store
//	look.go        manifests alone, to know what a pull would bring
//	push.go        the way back
//	retry.go       a registry that is busy, or a connection that breaks
//	errors.go      what went wrong, and what would fix it
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A Client talks to registries. The zero Client is what Docker is by default.
type Client struct {
	// PlainHTTP allows a registry without TLS, which one on this host may
	// be anyway: whoever is on the way sees what is sent, the password with it.
	PlainHTTP bool
	// Insecure accepts any certificate, which is no better.
	Insecure bool
	// Keychain knows the user's name and password: without another one that
	// of Docker, ~/.docker/config.json with its helpers, or $DOCKER_CONFIG.
	Keychain authn.Keychain
	// CertDirs hold, for a registry, HOST[:PORT]/*.crt, certificates to trust
	// beside the system's, and *.cert with *.key to show (docs of dockerd, "Verify
	// repository client with certificates"). Without any they are Docker's and
	// Podman's.
	CertDirs []string
	// Parallel is how many blobs are under way at once, 3 without it.
	Parallel int
	// Progress is told what happens, from several goroutines.
	Progress func(Event)

	// A test has less of these.
	pause    time.Duration // before the second try
	patience time.Duration // that nothing comes
}

// An Event is something that happened to a blob on its way.
type Event struct {
	Blob  v1.Descriptor
	State State
	Done  int64 // bytes of it that are there, while it comes or goes
	Err   error // why it is tried again
}

// State is how far a blob is.
type State string

// The states of a blob. Each begins as one of Present and Moving, and ends as
// one of Present and Complete.
const (
	Present  State = "already here"
	Moving   State = "under way"
	Retrying State = "interrupted"
	Complete State = "complete"
)

func (c *Client) tell(e Event) {
	if c.Progress != nil {
		c.Progress(e)
	}
}

// patience is how long nothing may come of an answer that has begun.
const patience = 30 * time.Second

func (c *Client) parallel() int {
	if c.Parallel > 0 {
		return c.Parallel
	}
	return 3
}

// parse reads a reference, as Docker does.
func (c *Client) parse(ref string) (name.Reference, error) {
	var options []name.Option
	if c.PlainHTTP {
		options = append(options, name.Insecure)
	}
	r, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, fmt.Errorf("%q is no name of an image: %w", ref, err)
	}
	return r, nil
}

func (c *Client) keychain() authn.Keychain {
	if c.Keychain != nil {
		return c.Keychain
	}
	return authn.DefaultKeychain
}

// connect finds out how a registry wants to be asked, and gives a client that
// does it: for one repository, with the right to do what the scope says. To
// close it is to call the function.
func (c *Client) connect(ctx context.Context, repo name.Repository, scope string) (*http.Client, func(), error) {
	base, closeIdle, err := c.transport(repo.Registry)
	if err != nil {
		return nil, nil, err
	}
	auth, err := authn.Resolve(ctx, c.keychain(), repo)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the credentials for %s from Docker's configuration: %w", repo.RegistryStr(), err)
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, base, []string{repo.Scope(scope)})
	if err != nil {
		closeIdle()
		return nil, nil, err
	}
	return &http.Client{Transport: rt}, closeIdle, nil
}

// transport is HTTP with the registry's certificates, a deadline for each wait,
// and another try where that may help.
func (c *Client) transport(registry name.Registry) (http.RoundTripper, func(), error) {
	config, err := c.tlsConfig(registry.RegistryStr())
	if err != nil {
		return nil, nil, err
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   c.parallel() + 1,
		DisableCompression:    true, // blobs are what they are
	}
	var rt http.RoundTripper = &retry{inner: t, pause: c.pause}
	if !c.PlainHTTP {
		rt = encrypted{rt}
	}
	return rt, t.CloseIdleConnections, nil
}

// encrypted refuses to send anything in the clear over a network: the registry
// may be in the local one, or send us elsewhere, and neither is a reason.
type encrypted struct{ inner http.RoundTripper }

func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && !isLoopback(r.URL.Hostname()) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, &plainHTTPError{r.URL.Host}
	}
	return e.inner.RoundTrip(r)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// tlsConfig reads the certificates for a registry.
func (c *Client) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	dirs := c.CertDirs
	if dirs == nil {
		dirs = []string{"/etc/docker/certs.d", "/etc/containers/certs.d"}
	}
	for _, dir := range dirs {
		dir = filepath.Join(dir, host)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading the certificates of the registry %s: %w", host, err)
		}
		for _, e := range entries {
			if err := addCertificate(config, filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("reading the certificates of the registry %s: %w", host, err)
			}
		}
	}
	return config, nil
}

func addCertificate(config *tls.Config, path string) error {
	switch filepath.Ext(path) {
	case ".crt":
		pem, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if config.RootCAs == nil {
			if config.RootCAs, err = x509.SystemCertPool(); err != nil {
				return err
			}
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate in PEM's form", path)
		}
	case ".cert":
		pair, err := tls.LoadX509KeyPair(path, strings.TrimSuffix(path, ".cert")+".key")
		if err != nil {
			return err
		}
		config.Certificates = append(config.Certificates, pair)
	}
	return nil
}
