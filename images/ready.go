package images

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Ready is how the application of an image says that it is ready to serve: it
// prints a line, or a port answers; if both are given, it does both. An image
// carries it as a label.
type Ready struct {
	// Line is part of a line that it prints, on either of its outputs.
	Line string `json:"line,omitempty" yaml:"line"`
	// Port is the TCP port that it serves.
	Port int `json:"port,omitempty" yaml:"port"`
	// Send is what a client says first on Port; Expect is what then comes
	// back, from the first byte. With neither, a connection is answer enough.
	Send   string `json:"send,omitempty" yaml:"send"`
	Expect string `json:"expect,omitempty" yaml:"expect"`
}

// readyLabel is the label of the image's configuration that holds a Ready, as
// JSON (image-spec, annotations.md: the names of labels are reversed domains,
// or one's own).
const readyLabel = "bench.ready"

// ReadyOf reads from the configuration of an image how its application says
// that it is ready; ok is false for an image that does not tell.
func ReadyOf(c v1.Config) (r Ready, ok bool, err error) {
	label, ok := c.Labels[readyLabel]
	if !ok {
		return r, false, nil
	}
	if err := json.Unmarshal([]byte(label), &r); err != nil {
		return r, false, fmt.Errorf("the image's label %s, %q: %w", readyLabel, label, err)
	}
	if err := r.Check(); err != nil {
		return r, false, fmt.Errorf("the image's label %s, %q: %w", readyLabel, label, err)
	}
	return r, true, nil
}

// Label writes r into the labels of an image's configuration.
func (r Ready) Label(c *v1.Config) error {
	if err := r.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels[readyLabel] = string(b)
	return nil
}

// Check tells whether r makes sense.
func (r Ready) Check() error {
	switch {
	case r.Port < 0 || r.Port > 65535:
		return fmt.Errorf("there is no port %d", r.Port)
	case r.Port == 0 && r.Line == "":
		return errors.New("it takes a port that answers, or a line that is printed, to tell that an application is ready")
	case r.Port == 0 && r.Send+r.Expect != "":
		return errors.New("to send and expect takes a port")
	}
	return nil
}

// Probe asks the application at host, once, whether it is ready: nil if it
// answers as it should. It waits for an answer as long as ctx allows.
func (r Ready) Probe(ctx context.Context, host string) error {
	addr := net.JoinHostPort(host, strconv.Itoa(r.Port))
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err // names the address
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, r.Send); err != nil {
		return fmt.Errorf("asking %s: %w", addr, err)
	}
	got := make([]byte, len(r.Expect))
	n, err := io.ReadFull(bufio.NewReader(conn), got)
	if !strings.HasPrefix(r.Expect, string(got[:n])) || n < len(got) {
		return errors.Join(fmt.Errorf("asking %s: it answers %q, not %q", addr, got[:n], r.Expect), err, ctx.Err())
	}
	return nil
}
