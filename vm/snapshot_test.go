package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/vm/guest/wire"
	"vmctr/vm/qmp"
)

// TestSnapshot: two machines that were restored from one have nothing in common that
// must be each one's own.
func TestSnapshot(t *testing.T) {
	c := machineWith(t, Initramfs{Template: true, Network: true}, "./testdata/clone", "")
	c.Template, c.Network = true, UserNetwork()
	template, _ := start(t, c)
	s, err := template.Save(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := template.Save(within(t)); err == nil || !strings.Contains(err.Error(), "was saved before") {
		t.Errorf("saved twice: %v", err)
	}
	ram, state, err := s.Size()
	if err != nil || ram < 16<<20 || ram > c.Memory || state < 10<<10 || state > 4<<20 {
		t.Errorf("it occupies %d bytes of RAM and %d of state: %v", ram, state, err)
	}
	time.Sleep(100 * time.Millisecond) // by which a clock is late that is not set

	type self struct {
		Random, Hostname, MAC, Address, BootID string
		Time                                   int64
	}
	var machines []*Machine
	var selves []self
	for n := range 2 {
		clone := Clone{Name: "bench-test", Dir: filepath.Join(filepath.Dir(c.Dir), fmt.Sprint("clone", n)), Hostname: fmt.Sprint("clone-", n), Network: UserNetwork()}
		clone.Network.MAC[5] += byte(n) + 1
		clone.Network.Address = netip.MustParsePrefix(fmt.Sprintf("10.0.2.%d/24", 20+n))
		before := time.Now()
		m, err := s.Restore(within(t), clone)
		if err != nil {
			t.Fatal(err)
		}
		defer stopped(t, m)
		machines = append(machines, m)
		lines := bufio.NewScanner(m.Output())
		var me self
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &me) != nil {
			t.Fatalf("it says %q: %v", lines.Text(), m.Err())
		}
		after := time.Now()
		selves = append(selves, me)
		if me.Hostname != clone.Hostname || me.MAC != clone.Network.MAC.String() || me.Address != fmt.Sprintf("[%v]", clone.Network.Address) {
			t.Errorf("it is %+v, and should be %+v, %+v", me, clone, clone.Network)
		}
		if at := time.Unix(0, me.Time); at.Before(before.Add(-after.Sub(before))) || at.After(after) {
			t.Errorf("its clock says %v, between %v and %v", at, before, after)
		}
		if !m.Running(within(t)) {
			t.Fatal(m.Err())
		}
		var phases []string
		marks := m.Timeline()
		for _, k := range marks {
			phases = append(phases, k.Phase)
		}
		if want := []string{"start", PhaseQEMU, PhaseRestore, PhaseResume, wire.PhaseRenew, wire.PhaseWorkload, wire.PhaseRunning}; !slices.Equal(phases, want) {
			t.Errorf("phases %q, want %q", phases, want)
		}
		for i, k := range marks {
			if i > 0 && k.Ns < marks[i-1].Ns || k.Ns > now() {
				t.Errorf("the timeline is out of order: %v", marks)
			}
			t.Logf("%-10s %6.1f ms", k.Phase, float64(k.Ns-marks[0].Ns)/1e6)
		}
		if d, err := m.Ping(within(t)); err != nil || d <= 0 {
			t.Errorf("a message there and back took %v: %v", d, err)
		}
	}
	if selves[0].Random == selves[1].Random || selves[0].Random[:32] == selves[1].Random[:32] {
		t.Errorf("both draw the random bytes %s", selves[0].Random)
	}
	// It is drawn when it is first read.
	if selves[0].BootID == selves[1].BootID {
		t.Errorf("both have the boot_id %s", selves[0].BootID)
	}
	for _, m := range machines {
		if err := m.Err(); err != nil {
			t.Errorf("a machine that is well: %v", err)
		}
		// It has copies of its own of what it has written, and reads all else of its RAM
		// where the other reads it.
		all, err := m.Memory(within(t))
		if err != nil || all.RAM.USS <= 0 || all.RAM.USS >= all.RAM.RSS || all.RAM.USS > ram {
			t.Errorf("of a snapshot of %d bytes it has %+v: %v", ram, all.RAM, err)
		}
		files, err := m.Cached()
		if last := files[len(files)-1]; err != nil || last.Name != "snapshot" || last.Cached < ram || last.Cached > last.Size {
			t.Errorf("the snapshot of %d bytes is told of as %+v: %v", ram, last, err)
		}
	}
}

// TestSaveFails: what stands in the way of a save is said.
func TestSaveFails(t *testing.T) {
	c := signalMachine(t, TCG)
	m, _ := start(t, c)
	if _, err := m.Save(within(t)); err == nil || !strings.Contains(err.Error(), "it is not a template") {
		t.Errorf("a machine that is no template: %v", err)
	}
	c = machineWith(t, Initramfs{Template: true}, "./testdata/clone", "")
	c.Template = true
	early, _ := start(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := early.Save(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not say that it is ready") {
		t.Errorf("a guest that is not ready: %v", err)
	}
	// QEMU does not come to the socket.
	if err := early.monitor.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := early.writeState(within(t)); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("a QEMU that cannot be asked: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
}

// TestRestoreFails: QEMU's own words are in the error, and nothing is left.
func TestRestoreFails(t *testing.T) {
	ram, err := memfd("ram")
	if err != nil {
		t.Fatal(err)
	}
	c := machineWith(t, Initramfs{Template: true}, "./testdata/clone", "")
	c.Template = true
	if err := ram.Truncate(c.Memory); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		state string
		clone Clone
		want  string
	}{
		{"no state", "", Clone{Name: "x", Dir: c.Dir}, "load of migration failed"},
		{"not a state", strings.Repeat("x", 1000), Clone{Name: "x", Dir: c.Dir}, "Not a migration stream"},
		{"a card that its template has not", "", Clone{Name: "x", Dir: c.Dir, Network: UserNetwork()}, "network card"},
		{"no name", "", Clone{Dir: c.Dir}, "name: missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Snapshot{cfg: c, ram: ram, state: []byte(tt.state)}
			m, err := s.Restore(within(t), tt.clone)
			if err == nil {
				stopped(t, m)
				t.Fatal("it was restored")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error lacks %q: %v", tt.want, err)
			}
			t.Log(err)
			if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its folder is left: %v", err)
			}
		})
	}
	s := &Snapshot{cfg: c, ram: ram}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Restore(within(t), Clone{Name: "x", Dir: c.Dir}); err == nil {
		t.Error("restored from a snapshot that was closed")
	} else {
		t.Log(err)
	}
}

func TestMigrationStatus(t *testing.T) {
	for _, tt := range []struct {
		reply string
		done  bool
		want  string // of the error; "" is none
	}{
		{`{"status": "completed", "ram": {"total": 1}}`, true, ""},
		{`{"status": "active"}`, false, ""},
		{`{"status": "setup"}`, false, ""},
		{`{}`, false, ""},
		{`{"status": "failed", "error-desc": "Unable to write to socket: Broken pipe"}`, false, "QEMU's migration is \"failed\": Unable to write to socket: Broken pipe"},
		{`{"status": "failed"}`, false, "QEMU gives no reason"},
		{`{"status": "cancelled"}`, false, "cancelled"},
		{`"x"`, false, "the reply to query-migrate"},
	} {
		done, err := migrationStatus([]byte(tt.reply))
		if done != tt.done || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v", tt.reply, done, err)
		}
	}
}
