package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"vmctr/images"
)

// An Error is a pull or a push that failed.
type Error struct {
	Op     string // "pulling" or "pushing"
	Ref    string
	Err    error
	Advice string // what would fix it, if that is known
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err)
	if e.Advice != "" {
		s += "\n" + e.Advice
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// plainHTTPError is a request that was not made, since everybody on the way
// would have seen it.
type plainHTTPError struct{ host string }

func (e *plainHTTPError) Error() string {
	return fmt.Sprintf("%s was to be asked over plain HTTP", e.host)
}

// explain says what would fix an error.
func explain(op string, ref name.Reference, err error) error {
	for _, c := range causes {
		if c.is(err) {
			words := strings.NewReplacer("HOST", ref.Context().RegistryStr(), "REPOSITORY", ref.Context().RepositoryStr(), "TAG", ref.Identifier())
			return &Error{op, ref.String(), err, words.Replace(c.advice)}
		}
	}
	return &Error{Op: op, Ref: ref.String(), Err: err}
}

// causes are tried in turn. In the advice HOST is the registry, REPOSITORY the
// repository in it and TAG the tag or digest.
var causes = []struct {
	is     func(error) bool
	advice string
}{
	{is[x509.UnknownAuthorityError],
		"The certificate of HOST is by an authority that this host does not know. Put the authority's certificate into /etc/docker/certs.d/HOST/ca.crt, or, if who is on the way does not matter, use --insecure."},
	{is[x509.HostnameError],
		"The registry at HOST has a certificate for another name: use that name, or, if who is on the way does not matter, --insecure."},
	{is[x509.CertificateInvalidError],
		"The certificate of HOST is not valid (now): is the clock of this host right? If who is on the way does not matter, use --insecure."},
	{is[tls.AlertError],
		"The registry HOST refuses the connection: it may want a certificate of you, as /etc/docker/certs.d/HOST/client.cert and client.key."},
	{answered(nil, transport.NameUnknownErrorCode),
		"The registry HOST has no repository REPOSITORY: is the name right?"},
	{answered([]int{http.StatusUnauthorized, http.StatusForbidden}, transport.UnauthorizedErrorCode, transport.DeniedErrorCode),
		"The registry HOST does not allow it. Log in (docker login HOST, or podman login --compat-auth-file ~/.docker/config.json HOST), and see whether the name is right: some registries say this of what does not exist."},
	{answered([]int{http.StatusNotFound}, transport.ManifestUnknownErrorCode),
		"The registry HOST has no REPOSITORY with the tag or the digest TAG: is the name right?"},
	{answered([]int{http.StatusTooManyRequests}, transport.TooManyRequestsErrorCode),
		"The registry HOST has had enough of us: wait, or log in (docker login HOST), since it may bear more of those whom it knows."},
	{answered([]int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}),
		"The registry HOST is in trouble: try again later. What came is kept."},
	{is[*plainHTTPError], "If the registry HOST has no TLS and who is on the way does not matter, use --plain-http."},
	{isError(http.ErrSchemeMismatch), "The registry HOST has no TLS, it seems: if who is on the way does not matter, use --plain-http."},
	{func(err error) bool { d, ok := errors.AsType[*net.DNSError](err); return ok && d.IsNotFound },
		"There is no host HOST: is the name right, and does this host have a network? If only a proxy leads out, set HTTPS_PROXY."},
	{isError(syscall.ECONNREFUSED), "Nothing listens at HOST: does the registry run, and on this port?"},
	{isError(syscall.ENETUNREACH, syscall.EHOSTUNREACH),
		"No way leads to HOST: does this host have a network? If only a proxy leads out, set HTTPS_PROXY."},
	{isError(errStalled), "The connection to HOST may be bad. What came is kept, and the next try goes on there."},
	{func(err error) bool { n, ok := errors.AsType[net.Error](err); return ok && n.Timeout() },
		"No answer from HOST: does this host have a network, or does a firewall want a proxy (HTTPS_PROXY)? What came is kept."},
	{isError(syscall.ENOSPC), "The disk is full: bench image prune removes what no image needs."},
	{is[*images.DigestError], "Try again: if it stays so, the image is damaged in the registry HOST, or in a proxy on the way."},
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isError(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// answered are the answers of a registry with one of these codes, or, without any
// code, one of these HTTP statuses.
func answered(status []int, codes ...transport.ErrorCode) func(error) bool {
	return func(err error) bool {
		answer, ok := errors.AsType[*transport.Error](err)
		if !ok {
			return false
		}
		if len(answer.Errors) == 0 || len(codes) == 0 {
			return slices.Contains(status, answer.StatusCode)
		}
		return slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
	}
}
