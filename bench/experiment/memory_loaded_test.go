package experiment

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"vmctr/bench/platform"
)

// TestMemoryLoaded: the requests are served, and both states of one instance are told.
func TestMemoryLoaded(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer server.Close()
	f := newFake(t, healthy)
	f.change = func(i *instance) { i.address = netip.MustParseAddrPort(server.Listener.Addr().String()) }
	s, _, err := measure(t, memoryLoaded, f)
	if err != nil {
		t.Fatal(err)
	}
	if served.Load() != burst+1 || s.Values["requests"] != burst { // one to find out that it listens
		t.Errorf("%d requests were served, and %v told", served.Load(), s.Values["requests"])
	}
	if s.Values["idle_pss_bytes"] <= 0 || s.Values["pss_bytes"] <= 0 || s.Values["load_ns"] <= 0 {
		t.Errorf("values %v", s.Values)
	}

	// One that serves nobody stays idle, and that is no failure.
	f.change = func(*instance) {}
	s, _, err = measure(t, memoryLoaded, f)
	if _, told := s.Values["pss_bytes"]; err != nil || told || s.Values["idle_pss_bytes"] <= 0 {
		t.Errorf("%v, %v", s.Values, err)
	}

	// One that answers with an error has failed, and has its idle state.
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) > burst+10 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	f.change = func(i *instance) { i.address = netip.MustParseAddrPort(server.Listener.Addr().String()) }
	s, _, err = measure(t, memoryLoaded, f)
	if err == nil || !strings.Contains(err.Error(), "500") || errors.Is(err, platform.ErrNoNetwork) || s.Values["idle_pss_bytes"] <= 0 {
		t.Errorf("%v, %v", s.Values, err)
	}
}
