package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// hostPatience is how long the host may take to read a report. (A variable for tests.)
var hostPatience = 5 * time.Second

// portPatience is how long the ports may take to appear after their driver.
const portPatience = 20 * time.Second

// portsDir is where the driver shows its ports. In a distribution udev makes a
// link /dev/virtio-ports/NAME of each; here is no udev, so the names are read.
const portsDir = "/sys/class/virtio-ports"

// openPorts waits for all ports. The driver and the device agree on them by
// messages, after the driver has been loaded: so they come a moment later.
func (g *guest) openPorts() error {
	needed := []string{wire.OutputPort}
	vsock := os.Getenv(wire.VsockVariable)
	if vsock == "" {
		needed = append(needed, wire.ControlPort)
	}
	for _, s := range []struct{ stream, port string }{{wire.StreamError, wire.ErrorPort}, {wire.StreamInput, wire.InputPort}} {
		if g.has(s.stream) {
			needed = append(needed, s.port)
		}
	}
	deadline := time.Now().Add(portPatience)
	for {
		g.ports = findPorts()
		if !slices.ContainsFunc(needed, func(name string) bool { return g.ports[name] == "" }) {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for the virtio-serial ports %q, and found %q: does the machine have the device, and the kernel the modules virtio_pci and virtio_console?", portPatience, needed, g.ports)
		}
		time.Sleep(time.Millisecond / 2)
	}
	if err := g.openStreams(); err != nil {
		return err
	}
	return g.openControl(vsock)
}

// findPorts gives the device file of each port by its name.
func findPorts() map[string]string {
	ports := map[string]string{}
	dir, err := os.Open(portsDir)
	if err != nil {
		return ports
	}
	defer dir.Close()
	devices, _ := dir.Readdirnames(-1)
	for _, d := range devices {
		name, err := os.ReadFile(filepath.Join(portsDir, d, "name"))
		if err == nil {
			ports[strings.TrimSpace(string(name))] = filepath.Join("/dev", d)
		}
	}
	return ports
}

// openControl opens the channel of the reports and commands: a port, or a connection to
// a port of the host over virtio-vsock, if there is one.
func (g *guest) openControl(vsock string) (err error) {
	var f *os.File
	if vsock != "" {
		g.heard = make(chan struct{})
		f, err = dialHost(vsock)
	} else if f, err = os.OpenFile(g.ports[wire.ControlPort], os.O_RDWR, 0); err != nil {
		err = fmt.Errorf("opening the port %s: %w", wire.ControlPort, err)
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.control = f
	g.flush()
	go g.obey(f)
	return nil
}

func (g *guest) phaseAt(name string, at int64) {
	g.mu.Lock()
	g.last = name
	g.mu.Unlock()
	g.report(wire.Report{Event: wire.EventPhase, Phase: name, At: at})
}

func (g *guest) lastPhase() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last
}

// report sends a line to the host, or keeps it until the port is there.
func (g *guest) report(r wire.Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = append(g.pending, r)
	g.flush()
}

// flush writes what is pending, in one write: each one wakes the host. That
// the host does not listen is no reason to stop.
func (g *guest) flush() {
	if g.control == nil || len(g.pending) == 0 {
		return
	}
	var b []byte
	for _, r := range g.pending {
		r.Now = boottime()
		line, err := json.Marshal(r)
		if err != nil {
			continue // of a struct of strings and numbers: cannot be
		}
		b = append(append(b, line...), '\n')
	}
	g.pending = nil
	if g.torn {
		b = append([]byte{'\n'}, b...)
	}
	g.control.SetWriteDeadline(time.Now().Add(hostPatience))
	if n, err := g.control.Write(b); n > 0 {
		g.torn = err != nil
	}
}

// obey carries out the host's commands, until the machine is powered off.
func (g *guest) obey(control io.Reader) {
	lines := bufio.NewScanner(control)
	for lines.Scan() {
		var c wire.Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintf(os.Stderr, "guest: a command that is not JSON: %.80q\n", lines.Bytes())
			continue
		}
		switch c.Command {
		case wire.CommandPing:
			g.report(wire.Report{Event: wire.EventPong})
		case wire.CommandStop:
			g.stop()
		case wire.CommandResume:
			select {
			case g.resumed <- c.Renewal:
			default: // told twice
			}
		case wire.CommandSignal:
			g.signal(unix.Signal(c.Signal))
		case wire.CommandResize:
			g.resize(c.Rows, c.Columns)
		case wire.CommandMemory:
			g.report(memory())
		case wire.CommandTouch:
			g.report(touch(c.Bytes))
		default:
			fmt.Fprintf(os.Stderr, "guest: unknown command %.80q\n", c.Command)
		}
	}
	if g.leaving.Load() {
		close(g.heard)
		return
	}
	err := lines.Err()
	if err == nil {
		err = errors.New("the host has closed it")
	}
	g.fail(fmt.Errorf("reading the host's commands: %w", err))
}
