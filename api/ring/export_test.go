package ring

// Digests keep mutated input from getting far. Fuzz targets go in behind them.
var (
	TableFromJSON = tableFromJSON
	Patch         = (*Delta).patch
)
