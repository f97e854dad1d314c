package experiment

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// answerFor is how long an application that has taken a connection may take to answer.
// A server that is still starting refuses, and does not keep who asks waiting.
const answerFor = 5 * time.Second

// converse connects to an address, and has talk talk: what does not connect within
// tryFor is tried anew (a packet that is lost), and what does not answer within answerFor.
func converse(ctx context.Context, address netip.AddrPort, talk func(net.Conn) error) error {
	d := net.Dialer{Timeout: tryFor}
	conn, err := d.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(answerFor)); err != nil {
		return err
	}
	return talk(conn)
}

// redisPong is a client of Redis that says PING, in one line (Redis serialization
// protocol, "Inline commands"), and expects PONG.
func redisPong(conn net.Conn) error {
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := readLine(bufio.NewReader(conn))
	if err == nil && line != "+PONG" {
		err = fmt.Errorf("the answer to PING is %q", line)
	}
	return err
}

// readLine reads a line of a size that is to be expected.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	return strings.TrimRight(string(b), "\r\n"), err
}

// postgresOne is a client of PostgreSQL that connects as the user postgres, asks for the
// result of SELECT 1, and wants to see 1. The messages are those of the manual,
// "Frontend/Backend Protocol", version 3.0: a type, a length that counts itself, and
// what it says.
func postgresOne(conn net.Conn) error {
	startup := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(startup))), startup...)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	if _, err := postgresUntilReady(r); err != nil {
		return fmt.Errorf("logging in to PostgreSQL: %w", err)
	}
	query := "SELECT 1\x00"
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(4+len(query))), query...)); err != nil {
		return err
	}
	row, err := postgresUntilReady(r)
	if err != nil {
		return fmt.Errorf("asking PostgreSQL for SELECT 1: %w", err)
	}
	// One column, of one byte: "1".
	if string(row) != "\x00\x01\x00\x00\x00\x011" {
		return fmt.Errorf("PostgreSQL answers SELECT 1 with the row %q", row)
	}
	_, err = conn.Write([]byte{'X', 0, 0, 0, 4}) // Terminate
	return err
}

// maxMessage is more than any message that is expected here.
const maxMessage = 64 << 10

// postgresUntilReady reads messages until the server is ready for a query, and gives the
// last row that came.
func postgresUntilReady(r io.Reader) (row []byte, err error) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size < 4 || size > maxMessage {
			return nil, fmt.Errorf("a message of type %q says that it has %d bytes", head[0], size)
		}
		body := make([]byte, size-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, err
		}
		switch head[0] {
		case 'Z': // ReadyForQuery
			return row, nil
		case 'D': // DataRow
			row = body
		case 'E': // ErrorResponse
			return nil, errors.New(postgresError(body))
		case 'R': // Authentication
			if len(body) < 4 || binary.BigEndian.Uint32(body) != 0 {
				return nil, errors.New("it asks for a password, and the image's database is to ask nobody for one")
			}
		}
	}
}

// postgresError is what an ErrorResponse says: fields, of which M is the message for
// people and C the code.
func postgresError(body []byte) string {
	var code, message string
	for field := range strings.SplitSeq(string(body), "\x00") {
		if text, ok := strings.CutPrefix(field, "M"); ok {
			message = text
		}
		if text, ok := strings.CutPrefix(field, "C"); ok {
			code = text
		}
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", message, code)
}
