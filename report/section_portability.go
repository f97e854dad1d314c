package report

import (
	"fmt"
	"slices"
	"strings"

	"vmctr/images/sharing"
	"vmctr/report/result"
)

// portabilitySection tells what an image carries, what a machine needs besides,
// and what images have in common.
func (m *model) portabilitySection() section {
	s := section{ID: "portability", Title: "Portability"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "What has to be carried to another computer so that the program runs there, in a container and in a virtual machine? This is the evidence for the row " +
		"\"Portability\" of the lecture's table."})
	img := m.image()
	if img == nil {
		add(paragraph{"Not measured.", "This journal does not say what the image was made of."})
		return s
	}
	add(m.sizesFigure(img), paragraph{"Findings.", ""}, points(m.portabilityWords(img)))
	shared := m.sharing()
	if len(shared.Layers) > 0 {
		add(layersFigure(shared))
		s.Details = append(s.Details, m.layerTable(shared))
	}
	if len(shared.Images) > 1 {
		add(m.sharingTable(shared))
	}
	s.Details = append([]block{m.carryTable(img)}, s.Details...)
	add(paragraph{"How to read it.", "An image, in the form on which the OCI has agreed, is a list of layers, each an archive of files that is named by the SHA-256 of its content, and a configuration that says which program to start. It holds user space only: " +
		"no kernel and no drivers. What it needs of where it runs is a Linux kernel and a processor that understands its instructions; " +
		"the latter is why an image for several processors is several images under one name."},
		paragraph{"How it was measured.", "The sizes are those of the files: of the blobs as they are sent, of the archives in them, of the disks that were made of them, of kernel and initramfs. They are exact, and the same each time. " +
			"That the programs read the same data is known by the SHA-256 that each computed of a file of the image."},
		paragraph{"What it does not tell.", "This run was on one computer: that the image runs on another one, or under another hypervisor, is not shown by it. " +
			"A virtual machine's own disk usually holds a whole operating system, with a boot loader, an init system and a package manager; here it was given no more than the image needs, so the difference is the smallest possible."})
	s.Ask = []string{
		"What would have to be carried to a computer with another kind of processor, for the container and for the virtual machine?",
		"A new version changes the program and not the rest. Which layers have to be sent again? Order the layers of an image of your own so that it is little.",
		"The lecture calls the portability of machines lower. Which of its reasons does this section measure, and which not?",
	}
	return s
}

// image is what the journal says of the measured image.
func (m *model) image() *result.StoredImage {
	i := slices.IndexFunc(m.run.Images, func(i result.StoredImage) bool { return i.Measured })
	if i < 0 {
		return nil
	}
	return &m.run.Images[i]
}

// imageSums are the sums over an image's layers, in bytes; disk is 0 unless each
// has one.
func imageSums(img *result.StoredImage) (blobs, archives, disks int64) {
	for _, l := range img.Layers {
		blobs += l.BlobBytes
		archives += max(0, l.ArchiveBytes)
		disks += l.DiskBytes
	}
	if slices.ContainsFunc(img.Layers, func(l result.StoredLayer) bool { return l.DiskBytes <= 0 }) {
		disks = 0
	}
	return blobs, archives, disks
}

// imagePlatforms are those that an image exists for.
func (m *model) imagePlatforms(name string) []string {
	var list []string
	for _, i := range m.run.Images {
		if i.Name == name {
			list = append(list, clean(i.Platform))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sharing is what all images of the journal have in common.
func (m *model) sharing() sharing.Sharing {
	var stacks []sharing.Stack
	for _, i := range m.run.Images {
		s := sharing.Stack{Name: clip(clean(i.Name), 60)}
		if len(m.imagePlatforms(i.Name)) > 1 {
			s.Name += " " + strings.TrimPrefix(clean(i.Platform), "linux/")
		}
		for _, l := range i.Layers {
			s.Layers = append(s.Layers, sharing.Layer{DiffID: l.DiffID, Digest: l.Digest, Size: l.BlobBytes, Archive: l.ArchiveBytes, Stored: true, CreatedBy: l.CreatedBy})
		}
		stacks = append(stacks, s)
	}
	return sharing.Of(stacks)
}

// parts are the files that a platform needs beside the image, and how many bytes
// of them are not the image's.
func (p *platform) parts(img *result.StoredImage) (names []string, besides int64) {
	_, archives, _ := imageSums(img)
	for _, part := range p.Parts {
		names = append(names, fmt.Sprintf("%s %s", clean(part.Name), value(float64(part.Bytes), "bytes")))
		besides += part.Bytes
		if part.WithImage {
			besides -= min(archives, part.Bytes)
		}
	}
	return names, besides
}

func (m *model) portabilityWords(img *result.StoredImage) []string {
	blobs, archives, _ := imageSums(img)
	out := []string{fmt.Sprintf("The image %s has %s: %s to send, compressed, and %s unpacked. It holds the program and its files, and no kernel.", shortDigest(img.Digest),
		count(len(img.Layers), "layer", "layers"), value(float64(blobs), "bytes"), value(float64(archives), "bytes"))}
	if platforms := m.imagePlatforms(img.Name); len(platforms) > 1 {
		common := 0
		for _, l := range img.Layers {
			everywhere := true
			for _, other := range m.run.Images {
				if other.Name == img.Name && !slices.ContainsFunc(other.Layers, func(o result.StoredLayer) bool { return o.DiffID == l.DiffID }) {
					everywhere = false
				}
			}
			if everywhere {
				common++
			}
		}
		out = append(out, fmt.Sprintf("It exists for %s: the name stands for an image for each, of which this host took the one for its processor. Of its %s, %d %s the same in all of them.",
			list(platforms), count(len(img.Layers), "layer", "layers"), common, map[bool]string{true: "is", false: "are"}[common == 1]))
	}
	var ran []string
	sums := map[string]bool{}
	for _, p := range m.platforms {
		if id := m.run.Identity(p.Name); id != nil && id.DataSHA256 != "" {
			ran = append(ran, p.the())
			sums[id.DataSHA256] = true
		}
	}
	switch {
	case len(sums) == 1 && len(ran) > 1:
		if len(ran) > many {
			ran = []string{fmt.Sprintf("the programs on %d platforms", len(ran))}
		}
		out = append(out, begin(fmt.Sprintf("%s ran from this one image: they read the very same data (equal SHA-256).", list(ran))))
	case len(sums) > 1:
		out = append(out, begin(fmt.Sprintf("%s did not read the same data: the image was not the same everywhere.", list(ran))))
	}
	if kernels := m.kernels(); len(kernels) > 1 {
		out = append(out, fmt.Sprintf("It ran on %d kernels, which need not be of the image's distribution: %s.", len(kernels), list(kernels)))
	}
	by := map[string][]*platform{}
	var texts []string
	for _, p := range m.platforms {
		if len(p.Parts) == 0 {
			continue
		}
		var names []string
		for _, part := range p.Parts {
			names = append(names, clean(part.Name))
		}
		_, besides := p.parts(img)
		text := fmt.Sprintf("%s by %%s (%s times the unpacked image: %s)", value(float64(besides), "bytes"), result.FormatRatio(float64(besides)/float64(max(1, archives))), list(names))
		if by[text] == nil {
			texts = append(texts, text)
		}
		by[text] = append(by[text], p)
	}
	for i, text := range texts {
		texts[i] = strings.Replace(text, "%s", labels(by[text]), 1)
	}
	if len(texts) > 0 {
		out = append(out, "Needed besides the image's own files: "+strings.Join(texts, "; ")+".")
	}
	if s := m.sharing(); len(s.Images) > 1 {
		out = append(out, fmt.Sprintf("The %s that are counted here take %s, since a layer that several have is stored once; copies would take %s, %s times as much.",
			count(len(s.Images), "image", "images"), value(float64(s.Once.Size), "bytes"), value(float64(s.Copied.Size), "bytes"), result.FormatRatio(s.Saved())))
	}
	return out
}

// kernels are those that served the image's program, each once.
func (m *model) kernels() []string {
	var list []string
	for _, p := range m.platforms {
		if id := m.run.Identity(p.Name); id != nil && id.Kernel.Release != "" {
			if k := clean(kernelName(id.Kernel)); !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
	}
	return list
}

// carryTable is what has to be there before a first start.
func (m *model) carryTable(img *result.StoredImage) *table {
	blobs, archives, disks := imageSums(img)
	t := &table{Caption: "What has to be carried", Notes: []string{"The image, against which the rest is counted, is the unpacked one."}, Columns: []column{{Title: "What"}, {Title: "For whom", Wide: 1}, {Title: "Bytes", Right: true}, {Title: "Times the image", Right: true}}}
	row := func(what, whom string, bytes int64) {
		share := "–"
		if archives > 0 {
			share = result.FormatRatio(float64(bytes) / float64(archives))
		}
		t.Rows = append(t.Rows, []string{what, whom, value(float64(bytes), "bytes"), share})
	}
	row("the image, compressed", "sent once, to whoever runs it", blobs)
	row("the image, unpacked", "all containers of it, which share it", archives)
	if disks > 0 {
		row("the image, as disks", "virtual machines that have it on disks, which share them", disks)
	}
	var parts []result.Part
	who := map[result.Part][]string{}
	for _, p := range m.platforms {
		for _, part := range p.Parts {
			if len(who[part]) == 0 {
				parts = append(parts, part)
			}
			who[part] = append(who[part], p.label())
		}
	}
	for _, part := range parts {
		what := clean(part.Name)
		if part.WithImage {
			what += ", with the image's files"
		}
		row(what, strings.Join(who[part], ", "), part.Bytes)
	}
	return t
}

// layerDisks are the bytes that layers take as disks, by diff ID, of those of
// which there is one.
func (m *model) layerDisks() map[string]int64 {
	disks := map[string]int64{}
	for _, i := range m.run.Images {
		for _, l := range i.Layers {
			if l.DiskBytes > 0 {
				disks[l.DiffID] = l.DiskBytes
			}
		}
	}
	return disks
}

func (m *model) layerTable(s sharing.Sharing) *table {
	disks := m.layerDisks()
	t := &table{Caption: "The layers", Columns: []column{{Title: ""}, {Title: "Diff ID"}, {Title: "What made it", Wide: 1}, {Title: "Images", Right: true},
		{Title: "Compressed", Right: true}, {Title: "Unpacked", Right: true}, {Title: "As a disk", Right: true}}}
	// More are a page that nobody reads.
	const most = 40
	for n, l := range s.Layers {
		if n == most {
			t.Notes = append(t.Notes, fmt.Sprintf("And %s more, which the journal has.", count(len(s.Layers)-most, "layer", "layers")))
			break
		}
		unpacked, disk := "–", "–"
		if l.Archive >= 0 {
			unpacked = value(float64(l.Archive), "bytes")
		}
		if disks[l.DiffID] > 0 {
			disk = value(float64(disks[l.DiffID]), "bytes")
		}
		t.Rows = append(t.Rows, []string{l.Sign, strings.TrimPrefix(shortDigest(clean(l.DiffID)), "sha256:"), cmpOr(clip(clean(l.CreatedBy), 80), "–"), fmt.Sprint(len(l.Images)),
			value(float64(l.Size), "bytes"), unpacked, disk})
	}
	return t
}

func (m *model) sharingTable(s sharing.Sharing) *table {
	t := &table{Caption: "What sharing saves", Columns: []column{{Title: "Image", Wide: 1}, {Title: "Layers", Right: true}, {Title: "Unpacked", Right: true}, {Title: "As disks", Right: true},
		{Title: "Compressed", Right: true}, {Title: "Its own", Right: true}, {Title: "To fetch *", Right: true}},
		Notes: []string{"* What a pull downloads where the others are. As disks: for a virtual machine, which needs a kernel and an initramfs besides."}}
	disks := m.layerDisks()
	archive := func(b sharing.Bytes) string {
		if b.Archive < 0 {
			return "–"
		}
		return value(float64(b.Archive), "bytes")
	}
	for _, i := range s.Images {
		disk, all := int64(0), true
		for _, l := range i.Layers {
			bytes, ok := disks[s.Layers[l].DiffID]
			disk, all = disk+bytes, all && ok
		}
		text := "–"
		if all {
			text = value(float64(disk), "bytes")
		}
		t.Rows = append(t.Rows, []string{i.Name, fmt.Sprint(len(i.Layers)), archive(i.All), text, value(float64(i.All.Size), "bytes"), value(float64(i.Own.Size), "bytes"), value(float64(i.FetchBeside), "bytes")})
	}
	t.Rows = append(t.Rows,
		[]string{"All, each layer once", fmt.Sprint(len(s.Layers)), archive(s.Once), "", value(float64(s.Once.Size), "bytes"), "", ""},
		[]string{"All, if copied", "", archive(s.Copied), "", value(float64(s.Copied.Size), "bytes"), "", ""})
	return t
}
