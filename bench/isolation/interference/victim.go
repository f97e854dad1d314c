package interference

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Victim serves a client until that hangs up, measures itself in so many windows of each
// kind, and begins anew, until somebody ends it.
func Victim(out io.Writer, address string, window time.Duration, count int) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	v := &victim{from: make([]byte, 16<<20), to: make([]byte, 16<<20)}
	if v.file, err = os.CreateTemp(".", "victim-"); err != nil {
		return err
	}
	defer os.Remove(v.file.Name())
	defer v.file.Close()
	for i := 0; i < len(v.from); i += 4096 { // each page is there, and one of its own
		v.from[i], v.to[i] = byte(i>>12), 1
	}
	kinds := []struct {
		name    string
		measure func(time.Duration) (Line, error)
	}{{"cpu", v.cpu}, {"memory", v.memory}, {"disk", v.disk}}
	for _, k := range kinds { // the first time is another: an emulator translates, files are made
		if _, err := k.measure(window / 5); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	done := make(chan struct{}, 1)
	go accept(listener, done)
	print := json.NewEncoder(out)
	if err := print.Encode(Line{Kind: Hello, Files: fileSystem(".")}); err != nil {
		return err
	}
	for {
		select { // a client that hung up earlier than now belongs to a turn before
		case <-done:
		default:
		}
		if err := print.Encode(Line{Kind: Serve}); err != nil {
			return err
		}
		select {
		case <-done:
		case <-time.After(MostWait):
			return fmt.Errorf("no client has called for %v", MostWait)
		}
		for _, k := range kinds {
			for range count {
				line, err := k.measure(window)
				if err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
				line.Kind = k.name
				if err := print.Encode(line); err != nil {
					return err
				}
			}
		}
	}
}

type victim struct {
	from, to []byte
	file     *os.File
}

// cpu hashes.
func (v *victim) cpu(window time.Duration) (Line, error) {
	n, begin := 0, time.Now()
	for {
		for range 4 {
			sum := sha256.Sum256(v.from[:4096])
			v.from[0] = sum[0]
		}
		n += 4
		if d := time.Since(begin); d >= window {
			return Line{Count: float64(n), Ns: int64(d)}, nil
		}
	}
}

// memory copies, by a quarter of a MiB at a time, through more than caches hold.
func (v *victim) memory(window time.Duration) (Line, error) {
	const step = 256 << 10
	n, begin := 0, time.Now()
	for {
		at := n * step % len(v.from)
		copy(v.to[at:at+step], v.from[at:at+step])
		n++
		if d := time.Since(begin); d >= window {
			return Line{Count: float64(n) * step, Ns: int64(d)}, nil
		}
	}
}

// disk writes a small file and has it put on the disk (fsync(2)).
func (v *victim) disk(window time.Duration) (Line, error) {
	var took []int64
	begin := time.Now()
	for {
		t := time.Now()
		if _, err := v.file.WriteAt(v.to[:4096], 0); err != nil {
			return Line{}, err
		}
		if err := v.file.Sync(); err != nil {
			return Line{}, err
		}
		took = append(took, int64(time.Since(t)))
		if d := time.Since(begin); d >= window {
			slices.Sort(took)
			return Line{Count: float64(len(took)), Ns: int64(d), P50Ns: took[len(took)/2], P99Ns: took[len(took)*99/100]}, nil
		}
	}
}

// accept serves clients, and tells when one has hung up.
func accept(l net.Listener, done chan<- struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			serve(conn)
			conn.Close()
			select {
			case done <- struct{}{}:
			default:
			}
		}()
	}
}

// serve answers one client until it hangs up.
func serve(conn net.Conn) error {
	var ask [Frame]byte
	for {
		if err := conn.SetDeadline(time.Now().Add(MostWait)); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, ask[:]); err != nil {
			return err
		}
		var err error
		switch ask[0] {
		case AskRequest:
			sum := sha256.Sum256(ask[:])
			copy(ask[:], sum[:])
			_, err = conn.Write(ask[:])
		case AskStream:
			err = stream(conn, time.Duration(binary.BigEndian.Uint64(ask[1:])))
		default:
			err = fmt.Errorf("a client asks for %q", ask[0])
		}
		if err != nil {
			return err
		}
	}
}

// stream sends for a time.
func stream(conn net.Conn, d time.Duration) error {
	chunk := make([]byte, Chunk)
	chunk[0] = 1
	for begin := time.Now(); ; {
		if time.Since(begin) >= min(d, MostStream) {
			chunk[0] = 0
		}
		if _, err := conn.Write(chunk); err != nil || chunk[0] == 0 {
			return err
		}
	}
}

// fileSystem is the kind of the one that holds a path (statfs(2)).
func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err.Error()
	}
	return FileSystem(int64(st.Type))
}

// FileSystem names a file system by statfs(2)'s f_type.
func FileSystem(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return fmt.Sprintf("file system %#x", magic)
}
