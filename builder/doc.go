// Package builder makes images: it checks out a commit, builds it with buildah and pushes the result by digest.
//
// Nothing hostile runs in the service. Every build is a tree of processes that can be killed as one:
//
//	service            Build: makes the job's directory and cgroup, starts the child, waits, removes everything
//	└─ child           pid 1 of its own pid, mount, ipc and uts namespaces; sees a root made of /usr, a few files of
//	   │               /etc, the layer storage and the job's directory, and nothing else of the host. Has the host's
//	   │               network: it checks out, and dials registries for the steps
//	   └─ steps        the same, in a network namespace of its own: buildah runs here, so RUN and ADD can reach public
//	      │            addresses and nothing else. Registries are reached through the child, which checks each address
//	      └─ runc      one container for each RUN step, in the steps' network namespace
//
// The child dies with the service (PDEATHSIG), and everything below it with the child (pid namespace), and with the
// last of them the mounts, the network namespace and its veth pair. What can survive a kill -9 is files: the job's
// directory, an empty cgroup, a half-made container in the storage. [Open] removes those.
//
// A program that uses this package calls [Main] first thing in main, and so does a test in TestMain.
package builder
