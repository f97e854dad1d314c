package images

import (
	"errors"
	"slices"
	"testing"
)

// TestPutWorkloadOn: the image that is measured in place of another one has its layers
// below, and its own program and settings.
func TestPutWorkloadOn(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	base, err := workloadLayers([]byte("the base's program")).image(workloadConfig(HostPlatform().Architecture))
	if err != nil {
		t.Fatal(err)
	}
	below, err := s.Put(t.Context(), "nginx:1.25", base)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		on, err := s.PutWorkloadOn(t.Context(), "nginx:1.25", []byte("the workload"))
		if err != nil {
			t.Fatal(err)
		}
		if on.Name != "workload-on/nginx:1.25" || on.Digest == below.Digest {
			t.Errorf("%s %s", on.Name, on.Digest)
		}
		ids := on.DiffIDs()
		if len(ids) != 4 || !slices.Equal(ids[:2], below.DiffIDs()) {
			t.Errorf("layers %v upon %v", ids, below.DiffIDs())
		}
		if c := on.Config; c.Config.Entrypoint[0] != "/bench/workload" || c.Config.WorkingDir != "/bench" || len(c.History) != 4 {
			t.Errorf("configuration %+v", c)
		}
		again, err := s.Image("workload-on/nginx:1.25", HostPlatform())
		if err != nil || again.Digest != on.Digest {
			t.Errorf("in the store: %v, %v", again, err)
		}
	}
	var missing *NotFoundError
	if _, err := s.PutWorkloadOn(t.Context(), "nothing", nil); !errors.As(err, &missing) {
		t.Errorf("error %v", err)
	}
}

func TestNameOn(t *testing.T) {
	for base, want := range map[string]string{
		"debian:latest":               "workload-on/debian:latest",
		"localhost:5000/a/b:1":        "workload-on/localhost-5000/a/b:1",
		"ghcr.io/a/b@sha256:0123abcd": "workload-on/ghcr.io/a/b-sha256:0123abcd",
	} {
		if got := nameOn(base); got != want {
			t.Errorf("on %s: %s, want %s", base, got, want)
		}
		if _, err := FamiliarName(nameOn(base)); err != nil {
			t.Errorf("on %s: %v", base, err)
		}
	}
}
