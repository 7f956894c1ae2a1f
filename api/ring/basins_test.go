package ring_test

import "math/big"

// basins fill with water, event by event: in each it rises at the rate of its weight from where it
// stands until the basin or its zone is full.
type basins struct {
	weight, most []int
	zone         []string
	share        []*big.Rat
	limits       map[string]int // by zone
}

func whole(number int) *big.Rat           { return big.NewRat(int64(number), 1) }
func times(a *big.Rat, b int) *big.Rat    { return new(big.Rat).Mul(a, whole(b)) }
func minus(a, b *big.Rat) *big.Rat        { return new(big.Rat).Sub(a, b) }
func over(a *big.Rat, speed int) *big.Rat { return new(big.Rat).Quo(a, whole(speed)) }

func (b *basins) add(weight, stands, most int, zone string) {
	b.weight, b.most, b.zone = append(b.weight, weight), append(b.most, most), append(b.zone, zone)
	b.share = append(b.share, whole(stands))
}

// pour lets the level rise until total is in the basins.
func (b *basins) pour(total int) {
	level := new(big.Rat)
	for {
		missing := minus(whole(total), b.sum(""))
		if missing.Sign() <= 0 {
			return
		}
		rising := b.rising(level)
		step := b.next(level, rising, missing)
		level.Add(level, step)
		for _, i := range rising {
			b.share[i].Add(b.share[i], times(step, b.weight[i]))
		}
	}
}

// sum is what is in a zone's basins, or in all.
func (b *basins) sum(zone string) *big.Rat {
	sum := new(big.Rat)
	for i, share := range b.share {
		if zone == "" || zone == b.zone[i] {
			sum.Add(sum, share)
		}
	}
	return sum
}

// rising lists the basins at the level that are not full.
func (b *basins) rising(level *big.Rat) (rising []int) {
	for i, share := range b.share {
		full := share.Cmp(whole(b.most[i])) >= 0 || b.sum(b.zone[i]).Cmp(whole(b.limits[b.zone[i]])) >= 0
		if !full && share.Cmp(times(level, b.weight[i])) <= 0 {
			rising = append(rising, i)
		}
	}
	return rising
}

// next is how far the level rises until all is poured, a basin or zone is full, or the level comes to
// where a basin stands.
func (b *basins) next(level *big.Rat, rising []int, missing *big.Rat) *big.Rat {
	speed, zoneSpeed := 0, map[string]int{}
	for _, i := range rising {
		speed += b.weight[i]
		zoneSpeed[b.zone[i]] += b.weight[i]
	}
	var step *big.Rat
	until := func(event *big.Rat) {
		if step == nil || event.Cmp(step) < 0 {
			step = event
		}
	}
	if speed > 0 {
		until(over(missing, speed))
	}
	for _, i := range rising {
		until(over(minus(whole(b.most[i]), b.share[i]), b.weight[i]))
		until(over(minus(whole(b.limits[b.zone[i]]), b.sum(b.zone[i])), zoneSpeed[b.zone[i]]))
	}
	for i, share := range b.share {
		if at := times(level, b.weight[i]); share.Cmp(at) > 0 {
			until(over(minus(share, at), b.weight[i]))
		}
	}
	return step
}
