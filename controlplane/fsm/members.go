package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
)

// Raft's configuration says who takes part in the control plane; the state remembers which name belongs
// to which data folder, and who is asked for.

// enlistedMax bounds how many new members may be asked for at once.
const enlistedMax = 7

// Forget frees the name of a member that takes part no more.
type Forget struct {
	ID api.MemberID `json:"id"`
}

// Enlist asks for a new member of that name, which the leader then takes in step by step; with On false
// it is asked for no more: it takes part, or is not wanted.
type Enlist struct {
	Name string `json:"name"`
	// Replaces is the member that leaves once the new one has a vote; empty: none.
	Replaces api.MemberID `json:"replaces,omitempty"`
	On       bool         `json:"on"`
}

func (Forget) commandType() CommandType { return TypeForget }
func (Enlist) commandType() CommandType { return TypeEnlist }

// Enlisted is a member that is asked for and does not take part yet.
type Enlisted struct {
	Name     string       `json:"name"`
	Replaces api.MemberID `json:"replaces,omitempty"`
}

// member records who took part. A name belongs to the data folder it was first used with.
func (d *draft) member(command Member) *api.Problem {
	for _, known := range d.state.Members {
		if known.ID == command.ID {
			return nil
		}
		if known.Name == command.Name {
			return api.NewProblem(api.CodeMemberNameKnown, "member %s has another data folder", command.Name)
		}
	}
	d.state.Members = append(slices.Clone(d.state.Members), command)
	return nil
}

func (d *draft) forget(command Forget) *api.Problem {
	d.state.Members = slices.DeleteFunc(slices.Clone(d.state.Members), func(known Member) bool {
		return known.ID == command.ID
	})
	return nil
}

func (d *draft) enlistMember(command Enlist) *api.Problem {
	if err := api.ValidateMemberName(command.Name); err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("name")
	}
	others := slices.DeleteFunc(slices.Clone(d.state.Enlisted), func(asked Enlisted) bool { return asked.Name == command.Name })
	if !command.On {
		d.state.Enlisted = others
		return nil
	}
	if problem := d.checkEnlist(command, others); problem != nil {
		return problem
	}
	if len(others) == len(d.state.Enlisted) {
		d.state.Enlisted = append(others, Enlisted{Name: command.Name, Replaces: command.Replaces})
	}
	return nil
}

// checkEnlist refuses what contradicts what stands. Asking for the same again is no contradiction. Who
// can be replaced is for the leader to say: Raft's configuration is not in the state.
func (d *draft) checkEnlist(command Enlist, others []Enlisted) *api.Problem {
	for _, known := range d.state.Members {
		if known.Name == command.Name && known.ID != command.Replaces {
			return api.NewProblem(api.CodeMemberNameKnown, "the name %s belongs to member %s", command.Name, known.ID).InField("name").
				WithNext("if its disk is lost: stead members replace %s %s", command.Name, command.Name)
		}
	}
	if asked, found := d.state.Asked(command.Name); found && asked.Replaces != command.Replaces {
		return api.NewProblem(api.CodeMemberBusy, "%s is asked for already, in the place of %q", command.Name, asked.Replaces).InField("replaces").
			WithNext("withdraw that first: stead members remove %s", command.Name)
	}
	for _, asked := range others {
		if asked.Replaces != "" && asked.Replaces == command.Replaces {
			return api.NewProblem(api.CodeMemberBusy, "%s is to take the place of %s already", asked.Name, asked.Replaces).InField("replaces").
				WithNext("withdraw that first: stead members remove %s", asked.Name)
		}
	}
	if len(others) >= enlistedMax {
		return api.NewProblem(api.CodeMembersFull, "%d members are asked for already", len(others))
	}
	return nil
}

// Asked finds what is asked for under a name.
func (s *State) Asked(name string) (Enlisted, bool) {
	for _, asked := range s.Enlisted {
		if asked.Name == name {
			return asked, true
		}
	}
	return Enlisted{}, false
}

func (s *State) checkMembers() error {
	ids, names, asked := map[api.MemberID]bool{}, map[string]bool{}, map[string]bool{}
	for _, member := range s.Members {
		if ids[member.ID] || names[member.Name] {
			return fmt.Errorf("member %s %s is recorded twice", member.ID, member.Name)
		}
		ids[member.ID], names[member.Name] = true, true
	}
	for _, enlisted := range s.Enlisted {
		if asked[enlisted.Name] {
			return fmt.Errorf("member %s is asked for twice", enlisted.Name)
		}
		asked[enlisted.Name] = true
	}
	return nil
}
