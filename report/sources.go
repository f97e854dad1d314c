package report

// What others published, as links for the texts.
const (
	agache      = "[Agache et al. (Firecracker, NSDI 2020)](https://www.usenix.org/conference/nsdi20/presentation/agache)"
	firecracker = "[Firecracker's specification](https://github.com/firecracker-microvm/firecracker/blob/main/SPECIFICATION.md)"
	garzarella  = "[Garzarella (2019)](https://stefano-garzarella.github.io/posts/2019-08-23-qemu-linux-kernel-pvh/)"
	manco       = "[Manco et al. (LightVM, SOSP 2017)](https://doi.org/10.1145/3132747.3132763)"
	idlab       = "[IDLab's comparison of containerd's runtimes (2024)](https://github.com/idlab-discover/benchmark-containerd-runtimes)"
	crunReadme  = "[The README of crun](https://github.com/containers/crun)"
	felter      = "[Felter et al. (2014)](https://doi.org/10.1109/ISPASS.2015.7095802)"
	lin         = "[Lin et al. (ACSAC 2018)](https://doi.org/10.1145/3274694.3274720)"
	anjali      = "[Anjali, Caraza-Harter and Swift (VEE 2020)](https://doi.org/10.1145/3381052.3381315)"
)
