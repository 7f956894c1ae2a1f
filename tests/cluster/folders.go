package cluster

import "path/filepath"

// Folder is the data folder of a process of the cluster, by its name: c1, p1, n1.
func (c *Cluster) Folder(name string) string { return filepath.Join(c.dir, name) }
