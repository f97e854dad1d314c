// Package sharing finds out what images have in common.
//
// An image is a pile of layers, and each layer has a name that says what is in
// it: the SHA-256 of its content. So two images that were built on the same base
// need not know of each other to share it. A store keeps a layer once, however
// many images name it; a registry is not asked for one that is here; and the
// containers of all of these images read the same files, in one copy of the page
// cache. What is in two images and has not the same name, be it for one byte or
// for the time in one header, is there twice.
//
// A layer has two names. Its diff ID is the digest of the archive: what is
// unpacked is known by it. Its digest is that of the blob, the archive as it was
// compressed: what is stored and sent is known by that. One archive compressed in
// two ways is unpacked once, and stored and sent twice.
//
// All here is arithmetic on what the caller knows: no file is opened.
package sharing

import "slices"

// A Layer of an image.
type Layer struct {
	DiffID    string `json:"diff_id"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`    // of the blob, in bytes
	Archive   int64  `json:"archive"` // of the archive, in bytes; negative if it is not known
	Stored    bool   `json:"stored"`  // the blob is here already
	CreatedBy string `json:"created_by,omitempty"`
}

// A Stack is an image: its layers, the lowest first.
type Stack struct {
	Name   string
	Layers []Layer
}

// Bytes are what layers take as blobs, and as archives, which is about what
// they take unpacked. Archive is negative if it is not known of a layer.
type Bytes struct {
	Size    int64 `json:"size"`
	Archive int64 `json:"archive"`
}

func (b *Bytes) add(size, archive int64) {
	b.Size += size
	if b.Archive < 0 || archive < 0 {
		b.Archive = -1
		return
	}
	b.Archive += archive
}

// Sharing is what some images have in common.
type Sharing struct {
	Layers []Shared `json:"layers"` // each once, in the order of the drawing
	Images []Image  `json:"images"` // in an order in which those that share stand together
	Once   Bytes    `json:"once"`   // every layer once, as they are stored
	Copied Bytes    `json:"copied"` // if every image had a copy of all its layers
}

// Shared is one layer, and who has it.
type Shared struct {
	Layer
	Sign   string `json:"sign"`   // "A" to "Z", "AA", ...: its name in a drawing
	Images []int  `json:"images"` // their places in Sharing.Images
}

// Image is one of the images.
type Image struct {
	Name   string `json:"name"`
	Layers []int  `json:"layers"` // places in Sharing.Layers, the lowest first
	All    Bytes  `json:"all"`    // its layers, each once
	Own    Bytes  `json:"own"`    // of these, those that none of the other images has
	// Fetch is what a pull would have to download now, in bytes, and
	// FetchBeside what if all of the others were here, and nothing else.
	Fetch       int64 `json:"fetch"`
	FetchBeside int64 `json:"fetch_beside"`
}

// Saved is how many times more bytes copies would take, of the blobs. It is 1
// without layers.
func (s Sharing) Saved() float64 {
	if s.Once.Size <= 0 {
		return 1
	}
	return float64(s.Copied.Size) / float64(s.Once.Size)
}

// Of computes what images have in common.
func Of(stacks []Stack) Sharing {
	stacks = arrange(stacks)
	s := Sharing{Layers: []Shared{}, Images: []Image{}} // in JSON, none are [] and not null
	place := map[string]int{}                           // by diff ID
	owners := map[string]map[int]bool{}                 // images, by diff ID
	holders := map[string]map[int]bool{}                // images, by digest
	note := func(m map[string]map[int]bool, key string, image int) {
		if m[key] == nil {
			m[key] = map[int]bool{}
		}
		m[key][image] = true
	}
	for i, stack := range stacks {
		img := Image{Name: stack.Name, Layers: []int{}}
		for _, l := range stack.Layers {
			if _, ok := place[l.DiffID]; !ok {
				place[l.DiffID] = len(s.Layers)
				s.Layers = append(s.Layers, Shared{Layer: l, Sign: sign(len(s.Layers))})
			}
			n := place[l.DiffID]
			img.Layers = append(img.Layers, n)
			if !slices.Contains(s.Layers[n].Images, i) {
				s.Layers[n].Images = append(s.Layers[n].Images, i)
			}
			note(owners, l.DiffID, i)
			note(holders, l.Digest, i)
		}
		s.Images = append(s.Images, img)
	}
	once := newSet()
	for i, stack := range stacks {
		img := &s.Images[i]
		own := newSet()
		for _, l := range stack.Layers {
			blob, archive := own.blobs[l.Digest], own.archives[l.DiffID]
			own.add(&img.All, l)
			once.add(&s.Once, l)
			alone := Bytes{}
			if !blob && len(holders[l.Digest]) == 1 {
				alone.Size = l.Size
				img.FetchBeside += l.Size
			}
			if !archive && len(owners[l.DiffID]) == 1 {
				alone.Archive = l.Archive
			}
			img.Own.add(alone.Size, alone.Archive)
			if !blob && !l.Stored {
				img.Fetch += l.Size
			}
		}
		s.Copied.add(img.All.Size, img.All.Archive)
	}
	return s
}

// set counts a blob and an archive once each.
type set struct{ blobs, archives map[string]bool }

func newSet() set { return set{map[string]bool{}, map[string]bool{}} }

func (s set) add(b *Bytes, l Layer) {
	var size, archive int64
	if !s.blobs[l.Digest] {
		size = l.Size
	}
	if !s.archives[l.DiffID] {
		archive = l.Archive
	}
	s.blobs[l.Digest], s.archives[l.DiffID] = true, true
	b.add(size, archive)
}

// sign is the n-th name of a layer: A to Z, AA, AB and so on.
func sign(n int) string {
	text := ""
	for n++; n > 0; n = (n - 1) / 26 {
		text = string(rune('A'+(n-1)%26)) + text
	}
	return text
}

// arrange puts images that have the same lowest layers next to each other, those
// with more in common nearer. Otherwise they keep their order.
func arrange(stacks []Stack) []Stack {
	var out []Stack
	var group func(list []Stack, depth int)
	group = func(list []Stack, depth int) {
		var order []string
		groups := map[string][]Stack{}
		for _, s := range list {
			if len(s.Layers) == depth {
				out = append(out, s) // all of it is below the others
				continue
			}
			id := s.Layers[depth].DiffID
			if groups[id] == nil {
				order = append(order, id)
			}
			groups[id] = append(groups[id], s)
		}
		for _, id := range order {
			group(groups[id], depth+1)
		}
	}
	group(stacks, 0)
	return out
}

// A Block is a part of a drawing: layers that lie upon each other in the same
// images, on the same layers below. A layer that lies on different ones is in
// several blocks, with the same sign.
type Block struct {
	Layers   []int // places in Sharing.Layers, the lowest first
	Level    int   // how many blocks lie below it
	From, To int   // the images that have it: Sharing.Images[From:To]
}

// Blocks are what to draw, what lies below before what lies on it. With merge,
// layers that the same images have are one block, else each is one.
func (s Sharing) Blocks(merge bool) []Block {
	var blocks []Block
	var walk func(from, to, depth, level int)
	walk = func(from, to, depth, level int) {
		for from < to {
			if len(s.Images[from].Layers) == depth {
				from++
				continue
			}
			end := s.same(from, to, depth)
			b := Block{Layers: []int{s.Images[from].Layers[depth]}, Level: level, From: from, To: end}
			next := depth + 1
			for merge && len(s.Images[from].Layers) > next && s.same(from, end, next) == end {
				b.Layers = append(b.Layers, s.Images[from].Layers[next])
				next++
			}
			blocks = append(blocks, b)
			walk(from, end, next, level+1)
			from = end
		}
	}
	walk(0, len(s.Images), 0, 0)
	return blocks
}

// same is the end of the images, from one on, that have its layer at a depth.
func (s Sharing) same(from, to, depth int) int {
	end := from + 1
	for end < to && len(s.Images[end].Layers) > depth && s.Images[end].Layers[depth] == s.Images[from].Layers[depth] {
		end++
	}
	return end
}
