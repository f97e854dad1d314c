// Package build makes OCI images from recipes and Debian's packages, without a
// registry, without root, and without running anything of what it builds.
//
// What a Dockerfile does with `RUN apt-get install`, in a container that is
// thrown away, is done here by hand, so that each part of it can be seen:
//
//  1. A recipe (recipe.go) says what an image is: a base (chain.go), layers of
//     packages, files, folders, links and users, and a configuration (config.go).
//  2. Resolving (resolve.go) asks apt (apt.go), with a state folder of its own in
//     which nothing is installed, which packages that takes. The answer, versions
//     and SHA-256 digests, is the lock (lock.go). From a lock no question is asked
//     again: the same recipe and lock give the same image, bit for bit, on any
//     machine and at any time.
//  3. Fetching (fetch.go) downloads these packages, once, and checks them.
//  4. A package is two archives in a third (deb.go). It is unpacked (unpack.go),
//     and its files are put in place as dpkg would (layer.go, path.go) and noted in
//     dpkg's database (dpkg.go). Its maintainer scripts are not run: what they
//     would do (make a user, point /usr/bin/awk at mawk) the recipe declares
//     (declared.go, users.go).
//  5. The layer is written as a tar archive (write.go), whose bytes depend on
//     nothing but its content: entries sorted, no time later than that of the
//     lock, owners by number, compressed by one library at one level.
//  6. The configuration is made, and with the layers is an image (build.go).
//
// Since nothing is run, an image for arm64 is built on amd64 just as well.
//
// A recipe is a file NAME.yaml; this one is a web server with a page of its own:
//
//	about: My page.
//	from: nginx                  # one of bench's recipes, one beside this file, or scratch
//	layers:
//	  - packages: [curl]
//	    files:
//	      /var/www/html/index.html:
//	        source: index.html   # beside this file
//	config:
//	  labels: {course: operating systems}
//
// `bench image build ./my.yaml` makes the image my, and my.lock.json.
package build
