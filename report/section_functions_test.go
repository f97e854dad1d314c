package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// tracedRun is a run in which a machine stood for the host.
func tracedRun() *result.Run {
	run := synthetic{memory: 8, emulated: true}.run()
	run.Header.Experiments = append(run.Header.Experiments, functionsExperiment)
	run.Platforms = append(run.Platforms, result.Platform{Name: "throwaway", Kind: "vm", Experiment: isolation.Group, Status: result.Ready, Accelerator: "tcg", Emulated: true})
	functions := func(n int, more ...string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("function_", i))
		}
		return append(list, more...)
	}
	for round := range 5 {
		s := result.Sample{Experiment: functionsExperiment, Platform: "throwaway", Round: round, Tracings: []isolation.Tracing{
			{Subject: "process", Kernel: "6.1.0", Functions: functions(100+round, "only_process"), Interrupts: []string{"tick"}, Calls: 1000},
			{Subject: "container", Kernel: "6.1.0", Functions: functions(100+round, "ovl_open [overlay]", "ovl_read_iter [overlay]", "__seccomp_filter", "something"), Calls: 1000, Lost: round / 4},
		}}
		if round == 0 {
			s.Tracings = append(s.Tracings, isolation.Tracing{Subject: "vm-q35", Kernel: "6.1.0", Accelerator: "tcg", Functions: functions(20, "kvm_only"), Idle: 40, Calls: 1000})
		}
		run.Samples = append(run.Samples, s)
	}
	run.Notes = append(run.Notes, result.Note{Text: "functions: throwaway: this host does not let functions be traced", Experiment: functionsExperiment, Platform: "throwaway"})
	return run
}

func TestFunctionsSection(t *testing.T) {
	markdown := func(run *result.Run) string {
		var b bytes.Buffer
		writeMarkdown(&b, newModel(run).document())
		return strings.ReplaceAll(b.String(), nbsp, " ")
	}
	text := markdown(tracedRun())
	for _, want := range []string{
		"the plain process 103 (101 to 105), the container 106 (104 to 108), vm-q35 (emulated) 21.",
		"The container has the kernel run 1.03 times as many functions as the plain process: 4 that never run for that one, and 1 of that one's never run for it.",
		"0.20 times as many functions as the plain process: 1 that never run", "another 40 run also while it idles",
		"| process | 5 | 103 | 101 to 105 | 1 | 0 |", "| container | 5 | 106 | 104 to 108 | 0 | 0 |",
		"Of the container the tracer had no room for 1 call:",
		"stands for the host (throwaway, emulated), Linux 6.1.0", "this host does not let functions be traced",
		"| overlay of the image's layers | 2 | ovl_open, ovl_read_iter |", "| filter of system calls | 1 | __seccomp_filter |", "| all else | 1 | something |",
		"63 163", "defence in depth",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		_, after, _ := strings.Cut(text, "what the host's kernel does")
		t.Log(after[:min(len(after), 4000)])
	}

	// What failed is told, and is no figure.
	run := tracedRun()
	for i := range run.Samples {
		for j := range run.Samples[i].Tracings {
			if tr := &run.Samples[i].Tracings[j]; tr.Subject != "process" {
				*tr = isolation.Tracing{Subject: tr.Subject, Accelerator: tr.Accelerator, Error: "it did not do its work"}
			}
		}
	}
	text = markdown(run)
	for _, want := range []string{"The container was not traced: it did not do its work.", "| vm-q35 (emulated) | 0 | – |"} {
		if !strings.Contains(text, want) {
			t.Errorf("of failures it does not say %q", want)
		}
	}
	if strings.Contains(text, "times as many functions") {
		t.Error("it compares with what has no figure")
	}
	if strings.Contains(markdown(synthetic{memory: 8}.run()), "what the host's kernel does") {
		t.Error("a run without that has the section")
	}
}
