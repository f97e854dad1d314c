package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is a page in a headless Chromium. It is spoken to by the DevTools
// protocol (https://chromedevtools.github.io/devtools-protocol/) over two pipes,
// on which a message is JSON and ends with a zero byte.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	session string
	last    int
	events  []event
}

// event is what the browser says unasked.
type event struct {
	Method string
	Params json.RawMessage
}

// browse starts a browser, or skips the test.
func browse(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "chromium") {
			t.Fatal("there is no chromium, and BENCH_REQUIRE has it")
		}
		t.Skip("there is no chromium; try: apt-get install chromium")
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Root has no use for the browser's sandbox, nor has a page of our own.
	cmd := exec.Command(program, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, to: in, from: bufio.NewReaderSize(out, 1<<20)}
	deadline := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		deadline.Stop()
		fmt.Fprint(in, `{"id":0,"method":"Browser.close"}`+"\x00")
		in.Close()
		stop := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		stop.Stop()
		out.Close()
		if t.Failed() {
			t.Logf("chromium said: %s", said.String())
		}
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", `{"url":"about:blank"}`, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", `{"flatten":true,"targetId":"`+target.TargetID+`"}`, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", `{}`, nil)
	}
	return b
}

// navigate opens a file and waits until it has been loaded.
func (b *browser) navigate(path string) {
	b.t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		b.t.Fatal(err)
	}
	before := len(b.events)
	b.call("Page.navigate", fmt.Sprintf(`{"url":%q}`, (&url.URL{Scheme: "file", Path: abs}).String()), nil)
	for !slices.ContainsFunc(b.events[before:], func(e event) bool { return e.Method == "Page.loadEventFired" }) {
		b.read()
	}
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// read takes one message; an event is kept.
func (b *browser) read() message {
	b.t.Helper()
	line, err := b.from.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("reading from chromium: %v", err)
	}
	var m message
	if err := json.Unmarshal(line[:len(line)-1], &m); err != nil {
		b.t.Fatalf("chromium: %v in %s", err, line)
	}
	if m.Method != "" {
		b.events = append(b.events, event{m.Method, m.Params})
	}
	return m
}

// call asks the browser to do something, and waits until it is done.
func (b *browser) call(method, params string, result any) {
	b.t.Helper()
	b.last++
	session := ""
	if b.session != "" {
		session = fmt.Sprintf(`"sessionId":%q,`, b.session)
	}
	if _, err := fmt.Fprintf(b.to, `{"id":%d,%s"method":%q,"params":%s}`+"\x00", b.last, session, method, params); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.read()
		if m.ID != b.last {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v in %s", method, err, m.Result)
			}
		}
		return
	}
}

// eval gives the value of an expression in the page.
func eval[T any](b *browser, expression string) (value T) {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	quoted, _ := json.Marshal(expression)
	b.call("Runtime.evaluate", `{"returnByValue":true,"awaitPromise":true,"expression":`+string(quoted)+`}`, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	if out.Result.Value != nil {
		if err := json.Unmarshal(out.Result.Value, &value); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
	return value
}

// window gives the page a size in CSS pixels, and the reader's wish for light or dark.
func (b *browser) window(width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", fmt.Sprintf(`{"width":%d,"height":%d,"deviceScaleFactor":1,"mobile":%t}`, width, height, width < 500), nil)
	b.call("Emulation.setEmulatedMedia", fmt.Sprintf(`{"features":[{"name":"prefers-color-scheme","value":%q}]}`, scheme), nil)
}

// press presses a key.
func (b *browser) press(key string) {
	b.t.Helper()
	code := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}[key]
	text := ""
	if key == "Enter" {
		text = `,"text":"\r"`
	}
	b.call("Input.dispatchKeyEvent", fmt.Sprintf(`{"type":"keyDown","key":%q,"code":%q,"windowsVirtualKeyCode":%d%s}`, key, key, code, text), nil)
	b.call("Input.dispatchKeyEvent", fmt.Sprintf(`{"type":"keyUp","key":%q,"code":%q,"windowsVirtualKeyCode":%d}`, key, key, code), nil)
}

// point moves the pointer to the middle of the first element of a selector.
func (b *browser) point(selector string) {
	b.t.Helper()
	at := eval[[]float64](b, fmt.Sprintf(`(async () => { const e = document.querySelector(%q); e.scrollIntoView({block: 'center'}); for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, selector))
	b.call("Input.dispatchMouseEvent", fmt.Sprintf(`{"type":"mouseMoved","x":%f,"y":%f}`, at[0], at[1]), nil)
}

// picture is what the window shows, as PNG.
func (b *browser) picture(path string, whole bool) {
	b.t.Helper()
	var out struct{ Data []byte }
	b.call("Page.captureScreenshot", fmt.Sprintf(`{"format":"png","captureBeyondViewport":%t}`, whole), &out)
	if err := os.WriteFile(path, out.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// complaints are what the page should not have made the browser say, and the
// addresses that it has asked for beside its own.
func (b *browser) complaints() (list []string) {
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
			list = append(list, e.Method+": "+string(e.Params))
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &p); err != nil {
				b.t.Fatal(err)
			}
			if !strings.HasPrefix(p.Request.URL, "file://") || !strings.HasSuffix(p.Request.URL, ".html") {
				list = append(list, "asked for "+p.Request.URL)
			}
		}
	}
	return list
}
