package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// pack compresses with one of the formats that Go can write.
func pack(t testing.TB, format string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch format {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&b)
	case "lzma":
		w, err = lzma.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "lz4":
		l := lz4.NewWriter(&b)
		w, err = l, l.Apply(lz4.LegacyOption(true))
	default:
		t.Fatalf("no format %s", format)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// payload is what the kernel's build makes of a kernel: compressed, and with
// its size.
func payload(t testing.TB, format string, content []byte) []byte {
	b := pack(t, format, content)
	if format != "gzip" {
		b = le.AppendUint32(b, uint32(len(content)))
	}
	return b
}

// written are the formats that the tests can write.
var written = []string{"gzip", "xz", "lzma", "zstd", "lz4"}

func TestUnpack(t *testing.T) {
	for _, format := range written {
		t.Run(format, func(t *testing.T) {
			size := 100_000
			if format == "lz4" {
				size = 9 << 20 // two blocks
			}
			want := append(vmlinux(note("Xen", 18, 0, 0, 0, 1)), calls(size)...)
			got, err := Unpack(bzImage("6.1.0", payload(t, format, want)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the kernel, of %d bytes, came out as another, of %d", len(want), len(got))
			}
		})
	}
}

// bzip2 of "\x7fELF and the rest of a kernel\n".
const packedBzip2 = "QlpoOTFBWSZTWXMxRVcAAA7VgAAQQAADBCdNnACgADFNMjExMQahpoNqNMh2uYZpJIftXiDg8VAgm0/F3JFOFCQczFFVwA=="

func TestUnpackBzip2(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString(packedBzip2)
	if err != nil {
		t.Fatal(err)
	}
	const want = "\x7fELF and the rest of a kernel\n"
	got, err := Unpack(bzImage("6.1.0", le.AppendUint32(packed, uint32(len(want)))))
	if err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestUnpackBad(t *testing.T) {
	kernel := vmlinux()
	good := map[string][]byte{}
	for _, format := range written {
		good[format] = payload(t, format, kernel)
	}
	sized := func(b []byte, size uint32) []byte {
		return changed(b, func(b []byte) { le.PutUint32(b[len(b)-4:], size) })
	}
	type bad struct {
		name, want string
		payload    []byte
	}
	cases := []bad{
		{"nothing", "no compression that Linux uses", nil},
		{"another packing", "50 4b 03 04", []byte("PK\x03\x04........")},
		{"lzo", "not supported", []byte("\x89LZO........\x00\x00\x00\x00")},
		{"not a kernel inside", "not an ELF file", payload(t, "lz4", []byte("hello, world"))},
		{"only the magic", "unexpected EOF", []byte("\x02\x21\x4c\x18")},
		{"lz4, block beyond the end", "unexpected EOF", []byte("\x02\x21\x4c\x18\xff\xff\xff\xff\x00\x00\x00\x00")},
	}
	for _, format := range written {
		b := good[format]
		cases = append(cases,
			bad{format + ", claims too much", "is not believed", sized(b, 0xffffffff)},
			// gzip knows its size itself.
			bad{format + ", claims more than it has", map[bool]string{true: "invalid checksum", false: "claims to have"}[format == "gzip"], sized(b, uint32(len(kernel)+1))},
			bad{format + ", claims less than it has", "(" + format, sized(b, uint32(len(kernel)-1))},
			bad{format + ", cut off", "(" + format, append(bytes.Clone(b[:len(b)/2]), b[len(b)-4:]...)},
		)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Unpack(bzImage("6.1.0", c.payload))
			wantError(t, err, c.want)
		})
	}
}

// A small file must not take much memory, whatever it claims.
func TestUnpackMemory(t *testing.T) {
	zeros := append([]byte("\x7fELF"), make([]byte, 16<<20)...)
	for _, format := range []string{"gzip", "zstd", "xz"} {
		b := payload(t, format, zeros)
		le.PutUint32(b[len(b)-4:], 1<<20)
		_, err := Unpack(bzImage("6.1.0", b))
		wantError(t, err, "more than 1048576 bytes")
	}
}

func FuzzUnpack(f *testing.F) {
	for _, format := range written {
		f.Add(payload(f, format, vmlinux(note("Xen", 18, 0, 0, 0, 1))))
	}
	f.Add([]byte("\x89LZO........\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// A claim of hundreds of megabytes is honoured, so that fuzzing
		// many of them is slow; TestUnpackBad has it.
		if len(b) >= 4 && le.Uint32(b[len(b)-4:]) > 1<<20 {
			t.Skip()
		}
		kernel, err := Unpack(bzImage("6.1.0", b))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(kernel, []byte("\x7fELF")) {
			t.Error("no ELF file came out")
		}
		HasPVH(bytes.NewReader(kernel))
	})
}

// The file calls.xz was made by xz 5.4 out of what calls(8192) gives:
// xz --check=crc32 --x86 --lzma2=dict=1MiB.
func TestX86Filter(t *testing.T) {
	packed, err := os.ReadFile("testdata/calls.xz")
	if err != nil {
		t.Fatal(err)
	}
	out := &output{limit: maxSize}
	if err := decodeXZ(packed, out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.data, calls(8192)) {
		t.Error("it came out other than it went in")
	}
}

func TestXZBad(t *testing.T) {
	good := pack(t, "xz", calls(5000))
	if err := decodeXZ(good, &output{limit: 5000}); err != nil {
		t.Fatal(err)
	}
	// No byte of the format is without a check, so that any damage is seen.
	for i := range good {
		b := changed(good, func(b []byte) { b[i] ^= 0x10 })
		if err := decodeXZ(b, &output{limit: 1 << 20}); err == nil {
			t.Errorf("byte %d of %d was damaged, unnoticed", i, len(good))
		}
		if err := decodeXZ(good[:i], &output{limit: 1 << 20}); err == nil {
			t.Errorf("cut off after byte %d of %d, unnoticed", i, len(good))
		}
	}
	wantError(t, decodeXZ(append(good, "more"...), &output{limit: 1 << 20}), "follow its end")
}

// FuzzXZ compares this reader with the package's, which has no x86 filter.
func FuzzXZ(f *testing.F) {
	f.Add(pack(f, "xz", []byte("hello, world")))
	f.Add(pack(f, "xz", calls(500)))
	if b, err := os.ReadFile("testdata/calls.xz"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := &output{limit: 1 << 20}
		if decodeXZ(b, out) != nil {
			return
		}
		r, err := xz.ReaderConfig{DictCap: 1 << 20, SingleStream: true}.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		want, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(out.data, want) {
			t.Errorf("%q, and the package xz says %q", out.data, want)
		}
	})
}

func TestUnpackReal(t *testing.T) {
	k := realKernel(t)
	if !strings.HasSuffix(k.Image, "-"+k.Release) {
		t.Errorf("the header says %s, and the file is called %s", k.Release, k.Image)
	}
	dir := t.TempDir()
	path, err := k.ELF(dir)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel has its own release in it.
	if !bytes.Contains(kernel, []byte("Linux version "+k.Release)) {
		t.Errorf("%s does not say that it is Linux %s", path, k.Release)
	}
	pvh, err := HasPVH(bytes.NewReader(kernel))
	t.Logf("%v: %d bytes, PVH %v, %v", k, len(kernel), pvh, err)
	if err != nil {
		t.Error(err)
	}
}
