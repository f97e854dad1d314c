package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// A Debian package is an ar archive of three members (deb(5)): debian-binary,
// which holds "2.0"; control.tar, what dpkg needs to know of it; data.tar, its
// files. The two are compressed, which their names tell.

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	// maxControl bounds, in bytes, what control.tar may unpack to: it is kept
	// in memory. The largest in Debian have some hundreds of kilobytes.
	maxControl = 32 << 20
)

var errDeb = errors.New("it is no Debian package, or a broken one")

// Deb is a package that is being read, from its beginning to its end.
type Deb struct {
	Control Stanza
	// Info are the other files of control.tar, by name: md5sums, conffiles,
	// and the maintainer scripts.
	Info map[string][]byte
	// Data is data.tar, uncompressed.
	Data *tar.Reader
}

// ReadDeb reads a package as far as its files, which come from Data then.
func ReadDeb(r io.Reader) (*Deb, error) {
	a := &arReader{r: bufio.NewReaderSize(r, 1<<16)}
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(a.r, magic); err != nil || string(magic) != arMagic {
		return nil, fmt.Errorf("%w: it does not begin as an ar archive", errDeb)
	}
	version, err := a.member("debian-binary")
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(version, 64))
	if err != nil || !strings.HasPrefix(string(b), "2.") {
		return nil, fmt.Errorf("%w: its format is %q, and 2.0 is known", errDeb, b)
	}
	control, err := a.archive("control.tar")
	if err != nil {
		return nil, err
	}
	d := &Deb{}
	if err := d.readControl(control); err != nil {
		return nil, err
	}
	data, err := a.archive("data.tar")
	if err != nil {
		return nil, err
	}
	d.Data = tar.NewReader(data)
	return d, nil
}

// readControl reads control.tar.
func (d *Deb) readControl(r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: maxControl}
	t := tar.NewReader(limited)
	d.Info = map[string][]byte{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: control.tar: %w", errDeb, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := strings.TrimPrefix(h.Name, "./")
		if name == "" || name != path.Base(name) {
			return fmt.Errorf("%w: control.tar holds %q", errDeb, h.Name)
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("%w: control.tar: %s: %w", errDeb, name, err)
		}
		d.Info[name] = b
	}
	if limited.N <= 0 {
		return fmt.Errorf("%w: control.tar is larger than %d bytes", errDeb, maxControl)
	}
	var err error
	if d.Control, err = parseStanza(d.Info["control"]); err != nil {
		return fmt.Errorf("%w: %w", errDeb, err)
	}
	for _, field := range []string{"Package", "Version", "Architecture"} {
		if v := d.Control.Get(field); v == "" || strings.ContainsAny(v, "/ \n") {
			return fmt.Errorf("%w: its %s is %q", errDeb, field, v)
		}
	}
	delete(d.Info, "control")
	return nil
}

// arReader reads the members of an ar archive (ar(5)), one after the other.
type arReader struct {
	r    *bufio.Reader
	left io.Reader // what is left of the member, and the byte of padding
}

// next goes to the next member.
func (a *arReader) next() (name string, content io.Reader, err error) {
	if a.left != nil {
		if _, err := io.Copy(io.Discard, a.left); err != nil {
			return "", nil, err
		}
	}
	var h [arHeaderSize]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return "", nil, fmt.Errorf("%w: it ends where a member should begin", errDeb)
	}
	name = strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	size, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 34) // ten digits
	if err != nil || string(h[58:]) != "`\n" {
		return "", nil, fmt.Errorf("%w: bad header of member %q", errDeb, name)
	}
	content = &io.LimitedReader{R: a.r, N: int64(size)}
	a.left = content
	if size%2 == 1 {
		a.left = io.MultiReader(content, io.LimitReader(a.r, 1))
	}
	return name, content, nil
}

// member goes to the member whose name begins so; dpkg allows others before it
// whose names begin with an underscore.
func (a *arReader) member(prefix string) (io.Reader, error) {
	for {
		name, content, err := a.next()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", prefix, err)
		}
		if strings.HasPrefix(name, prefix) {
			return content, nil
		}
		if !strings.HasPrefix(name, "_") {
			return nil, fmt.Errorf("%w: member %q is where %s should be", errDeb, name, prefix)
		}
	}
}

// archive goes to a compressed member.
func (a *arReader) archive(prefix string) (io.Reader, error) {
	for {
		name, content, err := a.next()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", prefix, err)
		}
		suffix, ok := strings.CutPrefix(name, prefix)
		if !ok {
			if strings.HasPrefix(name, "_") {
				continue
			}
			return nil, fmt.Errorf("%w: member %q is where %s should be", errDeb, name, prefix)
		}
		r, err := decompress(suffix, content)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errDeb, name, err)
		}
		return r, nil
	}
}

// maxWindow bounds, in bytes, the memory that a decompressor takes for what it
// may refer back to. xz -9 takes 64 MiB.
const maxWindow = 128 << 20

func decompress(suffix string, r io.Reader) (io.Reader, error) {
	switch suffix {
	case "":
		return r, nil
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		return xz.ReaderConfig{SingleStream: true}.NewReader(bufio.NewReaderSize(r, 1<<16))
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("compressed by %q: .xz, .zst and .gz are known", suffix)
}

// A Stanza is a paragraph of a control file: fields in their order (deb822(5)).
type Stanza []Field

// Field is one of them; the further lines of its value begin with a space, as
// in the file.
type Field struct{ Name, Value string }

// Get is the value of a field, whose name has no case.
func (s Stanza) Get(name string) string {
	for _, f := range s {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// parseStanza reads the one paragraph of a package's control file.
func parseStanza(b []byte) (s Stanza, err error) {
	for line := range bytes.Lines(bytes.TrimSpace(b)) {
		text := strings.TrimRight(string(line), " \t\r\n")
		switch {
		case text == "":
			return nil, errors.New("its control file has more than one paragraph")
		case text[0] == '#':
		case text[0] == ' ' || text[0] == '\t':
			if len(s) == 0 {
				return nil, errors.New("its control file begins with a space")
			}
			s[len(s)-1].Value += "\n" + text
		default:
			name, value, ok := strings.Cut(text, ":")
			if !ok || name == "" || s.Get(name) != "" {
				return nil, fmt.Errorf("its control file has the line %q", text)
			}
			s = append(s, Field{name, strings.TrimSpace(value)})
		}
	}
	return s, nil
}
