package experiment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
)

// message is one of PostgreSQL's: type, length, body.
func message(kind byte, body string) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...))
}

var (
	trusted  = message('R', "\x00\x00\x00\x00") + message('S', "server_version\x0015\x00") + message('K', "12345678") + message('Z', "I")
	oneRow   = message('T', "\x00\x01?column?\x00") + message('D', "\x00\x01\x00\x00\x00\x011") + message('C', "SELECT 1\x00") + message('Z', "I")
	starting = message('E', "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00")
)

// turn is one of a server's in a conversation: it waits for what begins so, and says.
type turn struct{ wants, says string }

// talker is a server that has one conversation with each client, and then hangs up.
func talker(t *testing.T, turns ...turn) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for _, s := range turns {
				got := make([]byte, len(s.wants))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != s.wants {
					t.Errorf("the client says %q, want %q: %v", got, s.wants, err)
					break
				}
				if _, err := io.WriteString(c, s.says); err != nil {
					break
				}
			}
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestApplicationClients(t *testing.T) {
	login := "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	query := message('Q', "SELECT 1\x00")
	for _, tt := range []struct {
		name  string
		talk  func(net.Conn) error
		turns []turn
		err   string
	}{
		{"redis", redisPong, []turn{{"PING\r\n", "+PONG\r\n"}}, ""},
		{"redis that loads", redisPong, []turn{{"PING\r\n", "-LOADING Redis is loading the dataset in memory\r\n"}}, "-LOADING"},
		{"redis with a password", redisPong, []turn{{"PING\r\n", "-NOAUTH Authentication required.\r\n"}}, "-NOAUTH"},
		{"redis that hangs up", redisPong, []turn{{"PING\r\n", "+PO"}}, "EOF"},
		{"redis without end", redisPong, []turn{{"PING\r\n", strings.Repeat("x", 10_000)}}, "buffer full"},
		{"postgres", postgresOne, []turn{{login, trusted}, {query, oneRow}}, ""},
		{"postgres that starts", postgresOne, []turn{{login, starting}}, "the database system is starting up (SQLSTATE 57P03)"},
		{"postgres with a password", postgresOne, []turn{{login, message('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")}}, "asks for a password"},
		{"postgres that hangs up", postgresOne, []turn{{login, trusted[:20]}}, "EOF"},
		{"another row", postgresOne, []turn{{login, trusted}, {query, strings.Replace(oneRow, "\x011", "\x012", 1)}}, "with the row"},
		{"no row", postgresOne, []turn{{login, trusted}, {query, message('Z', "I")}}, "with the row"},
		{"an error for an answer", postgresOne, []turn{{login, trusted}, {query, message('E', "C53200\x00Mout of memory\x00\x00")}}, "out of memory (SQLSTATE 53200)"},
		{"no server of databases", postgresOne, []turn{{login, "HTTP/1.1 400 Bad Request\r\n\r\n"}}, "says that it has 1414811695 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := converse(t.Context(), talker(t, tt.turns...), tt.talk)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
			}
		})
	}
}

// FuzzPostgres: whatever a server says, the client neither hangs nor takes more memory
// than a message may have.
func FuzzPostgres(f *testing.F) {
	for _, s := range []string{"", trusted, oneRow, starting, trusted[:7], "R\xff\xff\xff\xff", "Z\x00\x00\x00\x03"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := postgresUntilReady(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && !bytes.Contains(b, []byte("Z")) {
			t.Errorf("ready, without having been told so: %q", b)
		}
		if len(row) > maxMessage {
			t.Errorf("a row of %d bytes", len(row))
		}
	})
}

// subject is one whose platform is a script, with an image that is not looked at.
func subject(f *fake, image error, variant error) Subject {
	return Subject{
		Name: "container", Prepared: f,
		Image: func(context.Context, string) (*images.Image, error) { return &images.Image{}, image },
		Variant: func(context.Context, string, func(*platform.Workload) error) (platform.Prepared, error) {
			return f, variant
		},
	}
}

func TestApplications(t *testing.T) {
	s := subject(newFake(t, healthy), nil, nil)
	trials := applications.trials(s, Limits{})
	if len(trials) != 3 || trials[0].Series != "redis" || trials[2].Series != "postgres" {
		t.Fatalf("trials %+v", trials)
	}
	for _, name := range []string{"process", "runc", "crun", "vm-bare"} {
		if got := applications.trials(Subject{Name: name}, Limits{}); got != nil {
			t.Errorf("%s has %d trials", name, len(got))
		}
	}
	redis := func(f *fake, image error) harness.Trial {
		return applications.trials(subject(f, image, nil), Limits{})[0]
	}

	t.Run("answers", func(t *testing.T) {
		f := newFake(t, healthy)
		f.change = func(i *instance) { i.address = talker(t, turn{"PING\r\n", "+PONG\r\n"}) }
		trial := redis(f, nil)
		if err := trial.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := harness.Now()
		got, err := trial.Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Values["answer_ns"]; v <= 0 || v > float64(harness.Now()-begin) || got.Values["memory_limit_bytes"] != applicationMemory {
			t.Errorf("values %v", got.Values)
		}
		if f.last.stopped.Load() != 1 {
			t.Error("it was not stopped")
		}
	})
	t.Run("ends", func(t *testing.T) {
		f := newFake(t, "echo cannot go on >&2; exit 3")
		f.change = func(i *instance) { i.err = nil }
		trial := redis(f, nil)
		if err := trial.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := trial.Measure(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("a program that has ended is waited for: %v", err)
		}
		if f.last.stopped.Load() != 1 {
			t.Error("it was not stopped")
		}
	})
	t.Run("no image", func(t *testing.T) {
		err := redis(newFake(t, healthy), errors.New("no network")).Enter(t.Context())
		var far *harness.OutOfReach
		if !errors.As(err, &far) || far.Reason != "redis is not measured: no network" {
			t.Errorf("%v", err)
		}
	})
}
