package main

import (
	"fmt"
	"strings"

	"github.com/stead-io/stead/api"
)

// printPlan shows what a plan does, or did.
func (s *session) printPlan(plan api.RingPlan) error {
	for _, blocked := range plan.Blocked {
		s.say("cannot %s %s: %s (%s)", blocked.Field, blocked.Node, blocked.Detail, blocked.Code)
		if blocked.Next != "" {
			s.say("next:  %s", blocked.Next)
		}
	}
	if plan.Note != "" && !s.json {
		s.say("%s", plan.Note)
	}
	if s.json {
		return writeJSON(s.stdout(), plan)
	}
	if rows := planTable(plan); len(rows.rows) > 0 {
		if err := rows.write(s.stdout()); err != nil {
			return err
		}
		fmt.Fprintln(s.stdout())
	}
	fmt.Fprintln(s.stdout(), planSummary(plan))
	if plan.LeavesState > 0 {
		fmt.Fprintln(s.stdout(), stays(plan))
	}
	for _, id := range plan.Settles {
		fmt.Fprintf(s.stdout(), "answers change %d, which waits for a plan\n", id)
	}
	fmt.Fprintln(s.stdout(), planEnd(plan))
	return nil
}

// planTable lists the nodes that hold slots, before or after, or that the plan is about.
func planTable(plan api.RingPlan) table {
	t := table{header: []string{"NODE", "WEIGHT", "ZONE", "BEFORE", "AFTER", "±", ""}}
	for _, node := range plan.Nodes {
		if node.Before == 0 && node.After == 0 && node.Fate == "" {
			continue
		}
		t.rows = append(t.rows, []string{
			string(node.ID), fmt.Sprint(node.Weight), orDash(node.Zone), thousands(node.Before), thousands(node.After),
			fmt.Sprintf("%+d", node.After-node.Before), node.Fate,
		})
	}
	for i := range t.rows {
		t.rows[i] = trimmed(t.rows[i])
	}
	t.header = trimmed(t.header)
	return t
}

// trimmed drops an empty last column, which would leave blanks at the end of the line.
func trimmed(row []string) []string {
	if last := len(row) - 1; row[last] == "" {
		return row[:last]
	}
	return row
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func planSummary(plan api.RingPlan) string {
	verb := "moves"
	if plan.Applied != nil {
		verb = "moved"
	}
	summary := fmt.Sprintf("%s %s of %s slots (%s)", verb, thousands(plan.Moved), thousands(plan.Slots), percent(plan.Moved, plan.Slots))
	if plan.Minimum > 0 {
		summary += fmt.Sprintf("; the least possible is %s", thousands(plan.Minimum))
	}
	if plan.Modulo != nil {
		summary += fmt.Sprintf("; hash mod N would move %.1f %%", 100**plan.Modulo)
	}
	return summary
}

func stays(plan api.RingPlan) string {
	text := fmt.Sprintf("the state of %s stays behind", plural(plan.LeavesState, "slot"))
	var bytes uint64
	for _, node := range plan.Nodes {
		bytes += node.Bytes
	}
	if bytes > 0 {
		text += fmt.Sprintf(", about %s bytes", thousands(int(bytes)))
	}
	if plan.Lossy > 0 {
		text += fmt.Sprintf("; that of %s is given up (lossy)", plural(plan.Lossy, "slot"))
	}
	return text
}

func planEnd(plan api.RingPlan) string {
	switch {
	case plan.Applied != nil:
		return fmt.Sprintf("change %d  %s  ring %s", plan.Applied.Change, plan.Cause, plan.Applied.Version)
	case !plan.Changes:
		return fmt.Sprintf("nothing changed  ring %s", plan.Diff.From)
	default:
		return fmt.Sprintf("not applied  seen: change %d, ring %s  digest %s", plan.Change, plan.Diff.From, plan.Digest)
	}
}

// thousands writes a number with a comma before every three digits from the end.
func thousands(number int) string {
	digits := fmt.Sprint(number)
	var grouped strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			grouped.WriteByte(',')
		}
		grouped.WriteRune(digit)
	}
	return grouped.String()
}
