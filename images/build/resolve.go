package build

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

// Resolve gives the packages of all layers of a recipe: from its lock, or if it
// has none from apt, on the base's as they are locked; then it writes the lock.
// A lock that does not fit the recipe is an error, since it is not to change
// unless one says so, with Update.
func (b *Builder) Resolve(ctx context.Context, r *Recipe, platform v1.Platform) ([]LockedLayer, error) {
	if r == nil {
		return nil, nil
	}
	arch, err := architecture(platform)
	if err != nil {
		return nil, err
	}
	file := b.Lock(r)
	lock, err := ReadLock(file)
	if err != nil {
		return nil, err
	}
	name := images.FormatPlatform(platform)
	parts := r.parts()
	if lock != nil && lock.Platforms[name] != nil && (!b.Update || b.updated[file+" "+name]) {
		if !fits(lock.Platforms[name], parts) {
			return nil, fmt.Errorf("the lock %s is of other packages than the recipe %s, or its base, asks for now: --update makes it anew, with the newest versions", file, r.Name)
		}
		return lock.Platforms[name], nil
	}
	locked, err := b.Resolve(ctx, r.base, platform)
	if err != nil {
		return nil, err
	}
	locked = slices.Clone(locked)
	for _, p := range parts[len(locked):] {
		l, err := b.resolve(ctx, p, arch, locked, parts)
		if err != nil {
			return nil, err
		}
		locked = append(locked, l)
	}
	if lock == nil || lock.Platforms == nil {
		lock = &Lock{Platforms: map[string][]LockedLayer{}}
	}
	lock.Recipe = r.Name
	if lock.Digest, err = r.Digest(); err != nil {
		return nil, err
	}
	lock.Platforms[name] = locked
	set(&b.updated, file+" "+name, true)
	return locked, lock.Write(file)
}

// resolve asks apt for the packages of one layer.
func (b *Builder) resolve(ctx context.Context, p part, arch string, below []LockedLayer, parts []part) (l LockedLayer, err error) {
	l = LockedLayer{Recipe: p.recipe.Name, Layer: p.number, Wanted: p.Packages, Without: p.Without, Date: time.Unix(0, 0).UTC()}
	if len(below) > 0 {
		l.Date = below[len(below)-1].Date
	}
	if len(p.Packages) == 0 {
		return l, nil
	}
	var have []installed
	var without []string
	for i, lower := range below {
		if err := b.fetch(ctx, arch, lower.Packages); err != nil {
			return l, err
		}
		for _, p := range lower.Packages {
			c, err := b.control(p)
			if err != nil {
				return l, err
			}
			have = append(have, c)
		}
		without = append(without, parts[i].Without...)
	}
	without = slices.DeleteFunc(append(without, p.Without...), func(w string) bool { return slices.Contains(p.Packages, w) })
	b.log("resolving %s: %s", p, strings.Join(p.Packages, " "))
	a := b.apt(arch)
	unlock, err := a.open(ctx)
	if err != nil {
		return l, err
	}
	defer unlock()
	from, err := a.debian(ctx, b.Update && !b.updated[a.dir])
	if err != nil {
		return l, err
	}
	set(&b.updated, a.dir, true)
	if l.Packages, err = a.resolve(ctx, p.Packages, without, have, from); err != nil {
		return l, fmt.Errorf("%s: %w", p, err)
	}
	for _, s := range from {
		if suite := s.label + " " + s.codename; !slices.Contains(l.Suites, suite) {
			l.Suites = append(l.Suites, suite)
		}
	}
	if date, err := a.date(); err != nil {
		return l, err
	} else if date.After(l.Date) {
		l.Date = date
	}
	return l, nil
}
