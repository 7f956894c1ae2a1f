package membership

import "github.com/stead-io/stead/api"

// Find looks a listed member up by id or name.
func (v View) Find(who string) (found Member, listed bool, problem *api.Problem) {
	for _, member := range v.Members {
		switch {
		case string(member.ID) == who:
			return member, true, nil
		case member.Name == who && listed:
			return Member{}, false, api.NewProblem(api.CodeInvalid, "%s and %s are both called %s", found.ID, member.ID, who).
				WithNext("name the id")
		case member.Name == who:
			found, listed = member, true
		}
	}
	return found, listed, nil
}

// Resolve checks what is asked for against who is there: the id of the member to replace, and whether
// nothing remains to be asked, because it is so already.
func (v View) Resolve(name, replaces string) (old api.MemberID, settled bool, problem *api.Problem) {
	for _, intent := range v.Intents {
		if intent.Name == name && v.means(replaces, intent.Replaces) {
			return intent.Replaces, true, nil
		}
	}
	if replaces == "" {
		return v.resolveAddition(name)
	}
	target, listed, problem := v.Find(replaces)
	switch newcomer, here := v.Newcomer(Intent{Name: name, Replaces: target.ID}); {
	case problem != nil:
		return "", false, problem.InField("replaces")
	case !listed && here && name != replaces:
		return "", true, nil // it was replaced
	case !listed:
		return "", false, api.NewProblem(api.CodeMemberUnknown, "there is no member %s", api.Clip(replaces)).InField("replaces")
	case target.Name == name && target.Alive:
		return "", false, api.NewProblem(api.CodeMemberAlive, "member %s runs", target.ID).InField("replaces").
			WithNext("stop it first; another machine takes its place under another name")
	case here:
		return "", false, nameKnown(newcomer)
	}
	return target.ID, false, nil
}

// means reports whether text, an id or a name, may stand for a member that an intent replaces.
func (v View) means(text string, id api.MemberID) bool {
	if text == string(id) {
		return true
	}
	member, listed := v.member(id)
	return listed && member.Name == text
}

func (v View) resolveAddition(name string) (old api.MemberID, settled bool, problem *api.Problem) {
	member, listed, problem := v.Find(name)
	switch {
	case problem != nil:
		return "", false, problem.InField("name")
	case listed && member.Alive:
		return "", true, nil
	case listed:
		return "", false, nameKnown(member)
	case len(v.Members)+len(v.Intents) >= MembersMax:
		return "", false, api.NewProblem(api.CodeMembersFull, "there are %d already, those on their way included", len(v.Members)+len(v.Intents)).
			WithNext("remove one first, or replace it")
	}
	return "", false, nil
}

func nameKnown(member Member) *api.Problem {
	return api.NewProblem(api.CodeMemberNameKnown, "the name %s belongs to member %s", member.Name, member.ID).InField("name").
		WithNext("if its disk is lost: stead members replace %s %s", member.Name, member.Name)
}
