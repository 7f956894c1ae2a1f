// Package chaos runs a whole cluster of real processes under load, with a nemesis that kills, stops and cuts
// them off, and with slots moving all the while; at the end every operation is checked. `make chaos`.
//
// It owns the processes, their network and disks, the faults, the load and the counts. What operations mean and
// whether they could have been answered so is package history's. Its invariants: the network and the mounts are
// namespaces of the run's own, which go with it, and the machine's are never touched; the seed fixes the faults
// and their order; a run in which too little happened fails as vacuous.
//
// Files with the build tag chaos need Linux and root; the others, which decide what happens and what counts, are
// plain.
package chaos
