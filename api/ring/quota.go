package ring

import (
	"cmp"
	"slices"
)

// claim is what a node brings to the sharing out.
type claim struct {
	weight int
	least  int // it gets no less,
	most   int // and no more
	held   int // what it has now
	group  int // a group together gets no more than its limit
}

// quota is what a node should have: target, though anything from low to high is as fair.
type quota struct{ low, high, target, weight int }

// apportion shares total by weight within everyone's bounds; what one cannot take the others get in
// proportion. The exact shares are rounded by the largest remainder method (Hamilton, 1792), with one
// preference before it: whoever has more than its share rounded down is rounded up first, because
// that saves a move. Equal remainders go to the first of the claims.
func apportion(total int, claims []claim, limits []int) []quota {
	limits = slices.Clone(limits)
	for group, least := range sumLeast(claims, len(limits)) {
		limits[group] = max(limits[group], least)
	}
	portions := fill(total, claims, limits)
	quotas := make([]quota, len(claims))
	var fractions []int // claims whose share is not a whole number
	for i, portion := range portions {
		quotas[i] = quota{low: portion.whole, high: portion.whole, target: portion.whole, weight: claims[i].weight}
		if portion.rest > 0 {
			quotas[i].high++
			fractions = append(fractions, i)
		}
		limits[claims[i].group] -= portion.whole
		total -= portion.whole
	}
	slices.SortStableFunc(fractions, func(i, j int) int {
		return cmp.Compare(portions[j].rest*portions[i].of, portions[i].rest*portions[j].of)
	})
	for _, holders := range []bool{true, false} {
		for _, i := range fractions {
			group, holder := claims[i].group, claims[i].held > quotas[i].low
			if holder == holders && total > 0 && limits[group] > 0 {
				quotas[i].target++
				limits[group]--
				total--
			}
		}
	}
	return quotas
}

func sumLeast(claims []claim, groups int) []int {
	sums := make([]int, groups)
	for _, claim := range claims {
		sums[claim.group] += claim.least
	}
	return sums
}

// portion is a share as an exact number: whole + rest/of.
type portion struct{ whole, rest, of int }

// fill finds the exact shares, as if water rose at the rate of its weight in each claim until the
// claim is full, or its group is. Groups that overflow are filled to the brim by themselves; that only
// raises the level of the others, so a group once full stays full.
func fill(total int, claims []claim, limits []int) []portion {
	portions := make([]portion, len(claims))
	open := make([]int, len(claims))
	for i := range open {
		open[i] = i
	}
	for {
		pour(total, open, claims, portions)
		full := map[int][]int{}
		for group, over := range overflowing(open, claims, limits, portions) {
			if over {
				full[group] = nil
			}
		}
		if len(full) == 0 {
			return portions
		}
		open = slices.DeleteFunc(open, func(i int) bool {
			members, over := full[claims[i].group]
			if over {
				full[claims[i].group] = append(members, i)
			}
			return over
		})
		for group, members := range full {
			pour(limits[group], members, claims, portions)
			total -= limits[group]
		}
	}
}

// overflowing says which groups were given more than their limit.
func overflowing(open []int, claims []claim, limits []int, portions []portion) []bool {
	sums := make([]portion, len(limits))
	for _, i := range open {
		sum := &sums[claims[i].group]
		sum.whole += portions[i].whole
		sum.rest += portions[i].rest
		sum.of = max(sum.of, portions[i].of) // all fractions of one pouring have the same
	}
	over := make([]bool, len(limits))
	for group, sum := range sums {
		over[group] = sum.rest > (limits[group]-sum.whole)*sum.of
	}
	return over
}

// pour shares total among some of the claims within each one's bounds. In each round those settle
// that are out of bounds on the side that weighs more: the level can then only move away from them.
func pour(total int, members []int, claims []claim, portions []portion) {
	open := slices.Clone(members)
	for settled := true; settled; {
		weight, excess := 0, 0
		for _, i := range open {
			weight += claims[i].weight
		}
		for _, i := range open {
			fair := total * claims[i].weight
			excess += min(max(fair, claims[i].least*weight), claims[i].most*weight) - fair
		}
		rest := total
		settled = false
		open = slices.DeleteFunc(open, func(i int) bool {
			fair, bound := rest*claims[i].weight, 0
			switch {
			case excess >= 0 && fair < claims[i].least*weight:
				bound = claims[i].least
			case excess <= 0 && fair > claims[i].most*weight:
				bound = claims[i].most
			default:
				portions[i] = divide(fair, weight)
				return false
			}
			portions[i] = portion{whole: bound, of: 1}
			total -= bound
			settled = true
			return true
		})
	}
}

func divide(number, by int) portion {
	if by == 0 {
		return portion{of: 1}
	}
	return portion{whole: number / by, rest: number % by, of: by}
}
