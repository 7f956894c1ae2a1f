package history

import (
	"math"

	"github.com/anishathalye/porcupine"
)

// register is one key: it holds a value, or "" for none.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		ok, next := step(state.(string), input.(Operation), output.(*Answer))
		return ok, next
	},
	DescribeOperation: func(input, _ any) string { return input.(Operation).String() },
	DescribeState:     func(state any) string { return show(state.(string)) },
}

// step is what one operation does to a key that holds a value, and whether it could have been answered so.
// An operation without an answer may have done what it does at any time since, or not yet.
func step(held string, o Operation, answer *Answer) (ok bool, next string) {
	switch o.Kind {
	case Get:
		return answer == nil || answer.Value == held, held
	case Put:
		return true, o.Value
	case Swap:
		if held == o.Expect {
			return answer == nil || answer.Held, o.Value
		}
		return answer == nil || !answer.Held, held
	case Delete:
		return answer == nil || answer.Held == (held != ""), ""
	default:
		return false, held
	}
}

func forPorcupine(operations []Operation) []porcupine.Operation {
	all := make([]porcupine.Operation, len(operations))
	for i, o := range operations {
		all[i] = porcupine.Operation{ClientId: o.Client, Input: o, Output: o.Answer, Call: int64(o.Call), Return: math.MaxInt64}
		if o.Answer != nil {
			all[i].Return = int64(o.Answer.Return)
		}
	}
	return all
}
